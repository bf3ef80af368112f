"""The whole CDNOW cohort, from receipts to the table of recency, frequency and monetary thirds.

Fader, Hardie and Lee 2005, "RFM and CLV: Using Iso-Value Curves for Customer Base Analysis", Journal of Marketing
Research 42(4), 415-430: Pareto/NBD and gamma-gamma learnt from 78 weeks of one customer in ten, a margin of 30 %, 15 %
a year (of 52 weeks) discounted without a horizon, everyone valued but the ten who spent most. What the paper rounds
is also compared with the digits of an independent implementation at the same parameters.
"""

import functools

import numpy as np
import pytest

import retention as rt
from retention.histories import Histories
from retention.lenses import rfm_terciles
from retention.value.purchases.paretonbd import ParetoNBD

YEARLY = 1.15 ** (365 / 364) - 1
PURCHASES = {"r": 0.5630, "alpha": 12.5591, "s": 0.4081, "beta": 10.5146}
SPEND = {"p": 4.6854, "q": 4.1882, "v": 24.3689}
MODEL = ParetoNBD().at(**PURCHASES, **SPEND | {"v": 0.30 * SPEND["v"]})


@functools.cache
def base_of(path, customer):
    log = rt.read_transactions(path, customer=customer, at="date", revenue="sales", margin=0.30, currency="USD")
    return rt.summarize(log, as_of="1998-06-30", habits=False)


@pytest.fixture
def everyone(shared_data):
    return base_of(shared_data("cdnow/cdnow_master.csv.gz"), "customer_id")


@pytest.fixture
def cohort(everyone):
    return everyone[everyone.revenue < np.sort(everyone.revenue)[-10]]


@pytest.fixture
def sample(shared_data):
    return base_of(shared_data("cdnow/cdnow_sample.csv.gz"), "master_id")


@pytest.fixture
def worth(cohort):
    return MODEL.value(cohort, horizon_days=np.inf, discount_rate=YEARLY).value


def test_the_ten_left_out_are_those_with_repeat_purchases_above_4000_dollars(everyone, cohort):
    """Two readings of "who spent most" name the same ten."""
    assert (len(everyone), len(cohort)) == (23_570, 23_560)
    repeats = everyone.frequency * everyone.margin_mean / 0.30
    assert sorted(everyone.customer_id[repeats <= 4_000]) == sorted(cohort.customer_id)


def test_the_parameters_are_learnt_from_the_sample_s_receipts(sample):
    fitted = ParetoNBD().fit(sample)
    # Another implementation's maximum, good to three digits and more.
    assert {name: fitted.params[name] for name in PURCHASES} == pytest.approx(PURCHASES, rel=2e-4)
    assert fitted.log_likelihood == pytest.approx(-17135.836, abs=1e-3)
    spend = {name: fitted.params[name] * (1 / 0.30 if name == "v" else 1) for name in SPEND}
    assert spend == pytest.approx(SPEND, rel=1e-3)
    repeaters = int((sample.frequency > 0).sum())
    # A density of margins is that of revenue over 0.3.
    assert fitted.margin.log_likelihood + repeaters * np.log(0.30) == pytest.approx(-4884.566, abs=1e-3)
    assert fitted.diagnosis == ""


def test_who_never_came_back_is_worth_4_dollars_40_and_all_together_half_a_hundred_thousand(cohort, worth):
    once = cohort.frequency == 0
    assert once.sum() == 12_054
    assert round(worth[once].mean(), 2) == 4.40
    assert round(worth[once].sum(), -3) == 53_000
    assert worth[once].sum() == pytest.approx(53_088, rel=5e-5)


def test_the_cohort_is_worth_just_over_1_1_million(worth):
    assert 1_100_000 < worth.sum() < 1_101_000
    assert round(worth.mean()) == 47
    assert worth.sum() == pytest.approx(1_100_629, rel=5e-5)


def test_fitted_and_stated_parameters_value_the_cohort_alike(sample, cohort, worth):
    fitted = ParetoNBD().fit(sample).value(cohort, horizon_days=np.inf, discount_rate=YEARLY)
    assert fitted.total() == pytest.approx(worth.sum(), rel=1e-4)
    discounted = MODEL.expected_purchases(cohort, np.inf, discount_rate=YEARLY)
    assert worth == pytest.approx(discounted * MODEL.margin.margin_mean(cohort), rel=1e-12)


@pytest.mark.parametrize(
    ("mark", "printed", "apart"),
    [
        # Days of last purchases tie little; the paper's thirds of recency differ from ours in some other way.
        ("recency", [10, 62, 201], [0.7, 1.5, 1.9]),
        # Thousands tie in frequency. With ties going to the later customer ours round to what is printed.
        ("frequency", [18, 50, 205], [0.5, 0.5, 0.5]),
        ("monetary", [31, 81, 160], [0.5, 0.5, 0.5]),
    ],
)
def test_the_thirds_are_worth_what_the_paper_prints(cohort, worth, mark, printed, apart):
    cells = rfm_terciles(cohort).cells(worth, by=[mark])
    assert cells.cell.tolist() == ["0", "1", "2", "3"]
    assert cells.customers[0] == 12_054
    assert np.all(np.abs(cells.mean[1:] - printed) <= apart)


def test_the_best_cell_is_between_the_paper_and_its_reproduction(cohort, worth):
    """954 customers at $435 are printed; ways to break ties that go by the last day give 926 to 932 at $438 to $440."""
    cells = rfm_terciles(cohort).cells(worth)
    assert len(cells) == 28
    best = cells.customer("333")
    assert 926 <= best["customers"] <= 954
    assert 435 <= best["mean"] <= 440
    assert cells.mean.max() == best["mean"]


def test_among_the_long_silent_the_most_frequent_are_worth_least(cohort, worth):
    """At each third of monetary value; where the last purchase is recent it is the other way round."""
    cells = rfm_terciles(cohort).cells(worth)
    mean = dict(zip(cells.cell.tolist(), cells.mean, strict=True))
    for paid in "123":
        assert mean[f"13{paid}"] < mean[f"11{paid}"]
        assert mean[f"33{paid}"] > 3 * mean[f"31{paid}"]
        assert mean[f"31{paid}"] > 4 * mean[f"13{paid}"]


def test_two_very_different_histories_are_worth_about_two_purchases():
    """Seven repeats, the last in week 35, and one in week 30, of 77.86 weeks: "about 2" both; 1.87 and 2.21."""
    pair = Histories.from_arrays(frequency=[7, 1], recency_days=[245, 210], age_days=[545, 545])
    ahead = MODEL.expected_purchases(pair, np.inf, discount_rate=YEARLY)
    assert ahead == pytest.approx([1.87, 2.21], abs=5e-3)
