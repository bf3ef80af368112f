"""Pareto/NBD on bases made here and on published ones: planted truth, odd bases, units, storage, intervals."""

import csv
import gzip
import json

import numpy as np
import pytest

from retention.histories import Histories
from retention.value import FittedPurchases
from retention.value.purchases.bgnbd import BGNBD
from retention.value.purchases.paretonbd import ParetoNBD

TRUTH = {"r": 0.7, "alpha": 6.0, "s": 0.7, "beta": 9.0}
MARGINS = {"p": 6.0, "q": 4.0, "v": 15.0}


def simulated(n, seed, horizon_days=364.0, rate=0.10, truth=TRUTH):
    """A base that follows the model purchase by purchase, and what each customer brings in the horizon, discounted."""
    rng = np.random.default_rng(seed)
    age = np.rint(rng.uniform(180, 540, n))
    lam = rng.gamma(truth["r"], 1 / truth["alpha"], n) / 7
    leaves = rng.exponential(7 / rng.gamma(truth["s"], 1 / truth["beta"], n))
    nu = rng.gamma(MARGINS["q"], 1 / MARGINS["v"], n)
    delta = np.log1p(rate) / 365
    x, last, spent, realised, clock = (np.zeros(n) for _ in range(5))
    going = np.arange(n)
    while len(going):
        clock[going] += rng.exponential(1 / lam[going])
        going = going[clock[going] <= np.minimum(leaves[going], age[going] + horizon_days)]
        money = rng.gamma(MARGINS["p"], 1 / nu[going])
        seen = clock[going] <= age[going]
        past, future = going[seen], going[~seen]
        x[past] += 1
        last[past] = clock[past]
        spent[past] += money[seen]
        realised[future] += money[~seen] * np.exp(-delta * (clock[future] - age[future]))
    base = Histories.from_arrays(
        frequency=x.astype(int),
        recency_days=last,
        age_days=age,
        margin_mean=np.divide(spent, x, out=x * 0, where=x > 0),
    )
    return base, realised


def test_planted_parameters_are_found_within_their_standard_errors():
    """Four parameters, 10,000 customers, one seed: each within 4 errors, so chance fails this once in 4,000 seeds."""
    base, _ = simulated(10_000, seed=3)
    fitted = ParetoNBD().fit(base)
    assert fitted.diagnosis == ""
    for name, true in TRUTH.items():
        assert abs(fitted.params[name] - true) < 4 * fitted.standard_errors[name], name


@pytest.mark.parametrize(("n", "seeds"), [(1_000, range(3)), (50, range(20))])
def test_nine_in_ten_intervals_hold_what_is_realised(n, seeds):
    """Nominal 90 %. Most customers have 0 as lower bound, which nobody misses, so 95 % is the aim; the standard error
    of the mean coverage over these seeds is about 1 %."""
    held = []
    for seed in seeds:
        base, realised = simulated(n, seed)
        worth = ParetoNBD().fit(base).value(base, horizon_days=364, discount_rate=0.10, interval=0.90)
        held.append(np.mean((worth.value_low <= realised) & (realised <= worth.value_high)))
    assert 0.85 <= np.mean(held) <= 0.98


odd_bases = {
    "nobody": {"frequency": [], "recency_days": [], "age_days": []},
    "one newcomer": {"frequency": [0], "recency_days": [0], "age_days": [0]},
    "one-time buyers only": {"frequency": [0] * 50, "recency_days": [0] * 50, "age_days": [200] * 50},
    "all the same": {"frequency": [3] * 50, "recency_days": [100] * 50, "age_days": [200] * 50},
    "nobody ever leaves": {"frequency": [50] * 30, "recency_days": [200] * 30, "age_days": [200] * 30},
    "ten thousand purchases": {
        "frequency": [10_000, 1, 0],
        "recency_days": [12_000, 5, 0],
        "age_days": [12_000, 500, 90],
    },
}


@pytest.mark.parametrize("name", odd_bases)
def test_odd_bases_get_finite_answers_and_a_diagnosis(name):
    base = Histories.from_arrays(**odd_bases[name])
    fitted = ParetoNBD().fit(base)
    assert "no clear maximum" in fitted.diagnosis
    assert np.isnan(list(fitted.standard_errors.values())).any()
    for answer in (
        fitted.p_alive(base),
        fitted.survival(base, 100),
        fitted.expected_purchases(base, 365),
        fitted.expected_purchases(base, np.inf, discount_rate=0.1),
        fitted.p_purchase(base, 30),
        fitted.purchase_probabilities(base, 30, 5),
        fitted.log_rate(base),
    ):
        assert np.all(np.isfinite(answer))


@pytest.mark.parametrize("unit", [1.0, 30.4375])
def test_forecasts_do_not_depend_on_the_time_unit(unit):
    base, _ = simulated(300, seed=2)
    weeks, other = ParetoNBD().fit(base), ParetoNBD(time_unit_days=unit).fit(base)
    for name in ("alpha", "beta"):
        assert other.params[name] * unit == pytest.approx(weeks.params[name] * 7, rel=1e-8)
    a, b = (model.value(base, horizon_days=100, discount_rate=0.1) for model in (weeks, other))
    for column in ("p_alive", "expected_purchases", "value", "value_low", "value_high"):
        assert b[column] == pytest.approx(a[column], rel=1e-7, abs=1e-9)


def test_a_stored_model_gives_exactly_the_same_numbers():
    base, _ = simulated(200, seed=9)
    fitted = ParetoNBD().fit(base)
    again = FittedPurchases.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again == fitted
    a, b = (model.value(base, horizon_days=90, discount_rate=0.1) for model in (fitted, again))
    assert a.equals(b)


def test_a_one_time_buyer_fades_as_she_does_not_under_bg_nbd():
    """What sets the two models apart: silence alone can tell that she has left."""
    once = Histories.from_arrays(frequency=[0, 0, 0], recency_days=[0, 0, 0], age_days=[0, 100, 1000])
    pareto = ParetoNBD().at(r=0.5533, alpha=10.578, s=0.6062, beta=11.669).p_alive(once)
    assert pareto[0] == 1
    assert np.all(np.diff(pareto) < -0.1)
    assert np.all(BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426).p_alive(once) == 1)


@pytest.fixture
def cdnow(shared_data):
    """The 2,357 customers of the usual sample, in whole days, watched to 1997-09-30."""
    with gzip.open(shared_data("cdnow/cdnow_sample_summary.csv.gz"), "rt", newline="") as handle:
        table = list(csv.DictReader(handle))
    return Histories.from_arrays(
        frequency=[int(float(row["x"])) for row in table],
        recency_days=np.rint([float(row["t_x"]) * 7 for row in table]),
        age_days=np.rint([float(row["T_cal"]) * 7 for row in table]),
    )


def test_the_parameters_are_those_of_the_paper(cdnow):
    """Table 2 of Fader, Hardie and Lee 2005; standard errors as CLVTools reports them."""
    fitted = ParetoNBD().fit(cdnow)
    printed = {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}
    assert {name: round(fitted.params[name], 3) for name in printed} == printed
    assert fitted.log_likelihood == pytest.approx(-9594.976179, abs=1e-6)
    errors = {"r": 0.0476, "alpha": 0.8427, "s": 0.1871, "beta": 6.204}
    assert {name: fitted.standard_errors[name] for name in errors} == pytest.approx(errors, rel=2e-3)
    assert fitted.estimate.diagnosis == ""
    assert fitted.expected_new(364) == pytest.approx(1.473434, abs=2e-6)
    assert fitted.expected_purchases(cdnow, 39 * 7).sum() == pytest.approx(1665.51, abs=6e-3)
    assert fitted.p_alive(cdnow).sum() == pytest.approx(1051.87, abs=6e-3)
    # 10 % a year of 52 weeks there, of 365 days here.
    yearly = 1.1 ** (365 / 364) - 1
    assert fitted.expected_purchases(cdnow, np.inf, discount_rate=yearly).sum() == pytest.approx(9009, abs=0.6)
