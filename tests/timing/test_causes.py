"""Causes compete, their shares add up, and what cannot be influenced caps what any programme can save."""

import csv
import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError, RetentionError
from retention.records import Contracts
from retention.timing import cause_hazards, controllable_share, cumulative_incidence, damper

MONTH = 30.4375


def contracts(days, cause, **more):
    """Tenures in days; an empty cause is a contract that runs."""
    return Contracts.from_tenures(
        days=days, ended=[c != "" for c in cause], cause=[c.strip() for c in cause], as_of="2030-01-01", **more
    )


bases = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["", "price", "moved", "service", " "])), min_size=1, max_size=60
)


@given(base=bases)
def test_incidences_and_survival_add_up_to_one_on_every_day(base):
    table = cumulative_incidence(contracts(*zip(*base, strict=True)))
    for day in np.unique(table.time_days):
        rows = table.time_days == day
        assert table.incidence[rows].sum() + table.survival[rows][0] == pytest.approx(1.0, abs=1e-12)
    assert np.all((table.low <= table.incidence + 1e-12) & (table.incidence <= table.high + 1e-12))
    assert np.all((table.low >= 0) & (table.high <= 1) & (table.at_most <= 1))


@given(base=bases)
def test_incidences_are_those_of_walking_through_the_days_one_by_one(base):
    days, cause = (list(column) for column in zip(*base, strict=True))
    table = cumulative_incidence(contracts(days, cause))
    alive, left = 1.0, dict.fromkeys(table.causes, 0.0)
    for day in range(31):
        there = sum(d >= day for d in days)
        ends = [(c.strip() or "not stated") for d, c in zip(days, cause, strict=True) if d == day and c != ""]
        for c in ends:
            left[c] += alive / there
        alive *= 1 - len(ends) / there if there else 1.0
        told = table.by(day)
        assert told.pop("survival") == pytest.approx(alive, abs=1e-12)
        assert told == pytest.approx(left, abs=1e-12)


def statsmodels_says(days, codes, causes):
    """Incidence and standard error by cause, on the days on which something ended."""
    survfunc = pytest.importorskip("statsmodels.duration.survfunc")
    theirs = survfunc.CumIncidenceRight(np.asarray(days, dtype=float), np.asarray(codes))
    kept = np.isin(theirs.times, np.unique(np.asarray(days)[np.asarray(codes) > 0]))
    return [(p[kept], e[kept]) for p, e in zip(theirs.cinc, theirs.cinc_se, strict=True)]


def agrees_with_statsmodels(days, cause, low_high_of=0.90):
    from scipy.stats import norm

    table = cumulative_incidence(contracts(days, cause), interval=low_high_of)
    names = list(table.causes)
    codes = [0 if c == "" else names.index(c.strip() or "not stated") + 1 for c in cause]
    for name, (incidence, error) in zip(names, statsmodels_says(days, codes, names), strict=True):
        mine = table.cause == name
        np.testing.assert_allclose(table.incidence[mine], incidence, rtol=1e-10, atol=1e-14)
        F, z = incidence, norm.ppf(0.5 + low_high_of / 2)
        some = (F > 0) & (F < 1)
        reach = z * error[some] / ((1 - F[some]) * -np.log1p(-F[some]))
        np.testing.assert_allclose(table.high[mine][some], 1 - (1 - F[some]) ** np.exp(reach), rtol=1e-7)
        np.testing.assert_allclose(table.low[mine][some], 1 - (1 - F[some]) ** np.exp(-reach), rtol=1e-7, atol=1e-12)


def test_incidences_and_their_errors_are_those_of_an_independent_implementation():
    rng = np.random.default_rng(3)
    days = rng.integers(1, 200, 800)
    agrees_with_statsmodels(days, rng.choice(["", "", "moved", "price", " "], 800))


def telco(shared_data):
    with gzip.open(shared_data("telco_churn_reasons/telco.csv.gz"), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    days = [round(float(row["Tenure in Months"]) * MONTH) for row in rows]
    left = [row["Customer Status"] == "Churned" for row in rows]
    cause = [(row["Churn Reason"] or " ") if gone else "" for row, gone in zip(rows, left, strict=True)]
    return days, cause


def test_the_causes_of_a_telephone_company_are_those_of_an_independent_implementation(shared_data):
    days, cause = telco(shared_data)
    assert sum(c != "" for c in cause) == 1869
    agrees_with_statsmodels(days, cause)


def test_few_of_those_who_left_the_telephone_company_could_not_have_been_kept(shared_data):
    share = controllable_share(contracts(*telco(shared_data)), uncontrollable=("Moved", "Deceased"))
    assert share.uncontrollable == ("Moved", "Deceased")
    assert share.ended == 1869
    assert 0.95 < share.low < share.share < share.high < 1.0


def test_lapses_of_motor_policies_are_those_of_an_independent_implementation(shared_data):
    with gzip.open(shared_data("eu_direct_lapse/eu_direct_lapse.csv.gz"), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    days = [round(float(row["policy_age"]) * 365.25) for row in rows]
    agrees_with_statsmodels(days, ["lapse" if row["lapse"] == "1" else "" for row in rows])


def late_entries(rng, n=4000):
    """Lives with a constant hazard for two causes, of which only those still there on a day come into view."""
    born = rng.integers(-3000, 0, n)
    life = np.ceil(rng.exponential(1000, n)).astype(int)
    cause = np.where(rng.random(n) < 0.3, "moved", "price")
    origin = np.datetime64("2020-01-01")
    end = np.array([origin + np.timedelta64(int(b + t), "D") for b, t in zip(born, life, strict=True)])
    start = np.array([origin + np.timedelta64(int(b), "D") for b in born])
    return {"customer_id": [str(i) for i in range(n)], "start": start, "end": end, "cause": cause}


def test_late_entry_is_accounted_for_and_ignoring_it_flatters_the_firm():
    """Mean of 20 bases against the truth; ignoring truncation, the wrong model, is off by several times the error."""
    truth = 0.7 * -math.expm1(-0.5)
    right, naive = [], []
    for seed in range(20):
        columns = late_entries(np.random.default_rng(seed))
        inside = columns["end"] >= np.datetime64("2020-01-01")
        seen = {name: np.asarray(values)[inside] for name, values in columns.items()}
        watched = Contracts.from_arrays(**seen, as_of="2021-01-01", observed_from="2020-01-01")
        right.append(cumulative_incidence(watched).by(500)["price"])
        naive.append(cumulative_incidence(Contracts.from_arrays(**seen, as_of="2021-01-01")).by(500)["price"])
    error = np.std(right, ddof=1) / math.sqrt(20)
    assert abs(np.mean(right) - truth) < 4 * error
    assert abs(np.mean(naive) - truth) > 10 * error


def bank(seed, n=5000):
    """A constant hazard of leaving, 55 % of it uncontrollable; half the contracts still run when one looks."""
    rng = np.random.default_rng(seed)
    life = np.ceil(rng.exponential(700, n))
    seen = rng.integers(1, 1200, n)
    said = rng.choice(["deceased", "job transfer", "relocation", "price", "service"], n, p=[0.1, 0.25, 0.2, 0.25, 0.2])
    return np.minimum(life, seen).astype(int), np.where(life <= seen, said, "")


def test_in_fifty_banks_the_controllable_share_is_found_within_three_points():
    """K8: 45 % planted, n = 5,000. The standard error is about 1 point: all within 3 points but 1 in 400 each."""
    found = []
    for seed in range(50):
        share = controllable_share(contracts(*bank(seed)))
        found.append(share)
        assert share.uncontrollable
        assert set(share.controllable) == {"price", "service"}
    assert sum(abs(s.share - 0.45) <= 0.03 for s in found) >= 48
    assert sum(s.low <= 0.45 <= s.high for s in found) >= 39, "90 % intervals: 39 of 50 or fewer have a chance of 1 %"


def test_one_minus_kaplan_meier_of_one_cause_says_too_much():
    """The popular short cut, that takes other causes for censoring: shown wrong on the same banks."""
    days, cause = bank(0)
    only = [c if c in ("price", "service") else "" for c in cause]
    short_cut = 1 - cumulative_incidence(contracts(days, ["left" if c else "" for c in only])).by(1000)["survival"]
    told = cumulative_incidence(contracts(days, cause)).by(1000)
    assert told["price"] + told["service"] < 0.45 < short_cut
    assert told["price"] + told["service"] == pytest.approx(0.45 * -math.expm1(-1000 / 700), abs=0.03)


@given(base=bases, reduction=st.floats(0, 1))
def test_a_damper_never_promises_more_than_one_who_takes_every_end_for_controllable(base, reduction):
    made = contracts(*zip(*base, strict=True))
    if not made.ended.any():
        with pytest.raises(RetentionError, match="no contract that has ended"):
            damper(made)
        return
    d = damper(made, reduction=reduction)
    assert d.hazard_removed == pytest.approx(d.controllable * reduction)
    assert -1e-12 <= d.prevented <= d.single_cause + 1e-12
    assert d.prevented <= d.ceiling + 1e-12
    assert damper(made, reduction=0.0).prevented == pytest.approx(0.0, abs=1e-12)


def test_halving_a_controllable_forty_five_in_a_hundred_removes_22_5_of_them_not_fifty():
    days, cause = [10] * 100, ["moved"] * 55 + ["price"] * 45
    d = damper(contracts(days, cause), reduction=0.5)
    assert d.hazard_removed == pytest.approx(0.225, abs=1e-12)
    assert d.prevented == pytest.approx(0.225, abs=1e-12)
    assert d.single_cause == pytest.approx(0.5, abs=1e-12)
    assert "22.5%" in repr(d)


def test_what_a_programme_saves_is_what_a_simulated_programme_saves():
    """Halve the planted controllable hazards and count: 200,000 lives, error of the share 0.002."""
    d = damper(contracts(*bank(1, 200_000)), reduction=0.5, horizon_days=1000)
    rng = np.random.default_rng(9)
    moved, price = rng.exponential(700 / 0.55, 200_000), rng.exponential(700 / 0.45, 200_000)
    before = np.minimum(moved, price) <= 1000
    after = np.minimum(moved, price * 2) <= 1000
    assert d.prevented == pytest.approx(1 - after.mean() / before.mean(), abs=0.01)
    assert d.prevented < d.hazard_removed, "who is saved can leave later"


def test_unstated_causes_give_bounds_and_not_a_guess():
    days, cause = bank(2)
    truth = controllable_share(contracts(days, cause)).share
    rng = np.random.default_rng(4)
    hidden = np.where((cause != "") & (rng.random(len(cause)) < np.where(cause == "price", 0.6, 0.2)), " ", cause)
    share = controllable_share(contracts(days, hidden))
    assert share.unstated > 300
    assert share.least < truth < share.most, "whatever was hidden, and here the hiding was not at random"
    assert share.low <= share.least
    assert share.most <= share.high
    stated = cumulative_incidence(contracts(days, hidden))
    whole = cumulative_incidence(contracts(days, cause))
    last = {c: stated.cause == c for c in stated.causes}
    assert stated.by(900)["price"] < whole.by(900)["price"] < float(stated.at_most[last["price"]][-1])


def test_hazards_by_cause_are_the_planted_ones():
    """Constant hazards of 0.55 and 0.45 per 700 days: each 90 % interval holds its truth, but 1 in 10; 4 years x 5."""
    table = cause_hazards(contracts(*bank(5, 50_000)), every_days=100)
    rate = {"deceased": 0.1, "job transfer": 0.25, "relocation": 0.2, "price": 0.25, "service": 0.2}
    early = table.from_days < 1000
    truth = np.array([rate[c] * 365.25 / 700 for c in table.cause])
    held = (table.low <= truth) & (truth <= table.high)
    assert held[early].mean() > 0.78
    ends = sum(c != "" for c in bank(5, 50_000)[1])
    assert table.ended.sum() == ends


@pytest.mark.parametrize(
    ("days", "cause"),
    [
        ([], []),
        ([40], [""]),
        ([40], ["moved"]),
        ([10, 20, 30], ["", "", ""]),
        ([10] * 5, ["price"] * 5),
        ([0], ["price"]),
    ],
)
def test_tiny_bases_are_answered(days, cause):
    made = contracts(days, cause)
    table = cumulative_incidence(made)
    assert len(table) == (1 if any(cause) else 0)
    assert len(cause_hazards(made)) == (1 if any(cause) else 0)
    share = controllable_share(made)
    assert math.isnan(share.share) == (not any(cause))
    assert "nobody has left" in repr(share) or any(cause)
    if any(cause):
        assert table.incidence[-1] == 1.0
        assert table.survival[-1] == 0.0


def test_a_bank_of_one_is_not_sure_of_anything():
    share = controllable_share(contracts([40, 50], ["price", "price"]))
    assert (share.share, share.high) == (1.0, 1.0)
    assert share.low < 0.3


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: cumulative_incidence(c, interval=1.5),
        lambda c: cause_hazards(c, every_days=0),
        lambda c: controllable_share(c, uncontrollable="moved"),
        lambda c: controllable_share(c, horizon_days=-1),
        lambda c: damper(c, reduction=2),
    ],
)
def test_arguments_out_of_range_are_one_clear_error(ask):
    with pytest.raises(ConfigError):
        ask(contracts([10, 20], ["price", ""]))


def test_the_picture_shows_the_numbers_of_the_table():
    table = cumulative_incidence(contracts(*bank(6, 500)))
    ax = table.plot()
    tops = [collection.get_paths()[0].vertices[:, 1].max() for collection in ax.collections]
    total = 0.0
    for cause, top in zip(table.causes, tops, strict=True):
        total += table.incidence[table.cause == cause][-1]
        assert top == pytest.approx(total)


def test_a_cause_is_one_cause_however_it_is_spelt():
    table = cumulative_incidence(contracts([10, 20, 30, 40, 50], ["Price", "price", "PRICE ", "Not stated", ""]))
    assert [cause.casefold() for cause in table.causes] == ["price", "not stated"]
    share = controllable_share(contracts([10, 20, 30, 40], ["price", "Not Stated", "moved", " Moved "]))
    assert (share.unstated, share.share) == (1, pytest.approx(1 / 3, abs=0.1))


def test_bounds_of_a_cause_that_has_not_come_yet_know_how_few_were_left_to_show_it():
    """Heavy censoring, a cause that starts late: 90 % bounds at day 800 hold the truth in 8 of 10 worlds."""
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        seen = np.where(rng.random(400) < 0.95, rng.integers(1, 60, 400), rng.integers(900, 1200, 400))
        price = rng.exponential(3000, 400)
        moved = 600 + rng.exponential(2000, 400)
        life = np.ceil(np.minimum(price, moved)).astype(int)
        cause = np.where(life <= seen, np.where(moved < price, "moved", "price"), "")
        table = cumulative_incidence(contracts(np.minimum(life, seen), cause))
        mine = (table.cause == "moved") & (table.time_days <= 800)
        grid = np.arange(600, 800)
        truth = np.sum(np.exp(-grid / 3000) * np.exp(-(grid - 600) / 2000) / 2000)
        if not mine.any():  # the cause never came: no row, and no claim
            held += 1
            continue
        row = np.flatnonzero(mine)[-1]
        held += table.low[row] <= truth <= table.high[row]
    assert held >= 120


def test_all_ended_of_one_cause_is_not_certainty():
    table = cumulative_incidence(contracts([10, 20, 30], ["price"] * 3))
    assert (table.incidence[-1], table.high[-1]) == (1.0, 1.0)
    assert 0.3 < table.low[-1] < 0.4
