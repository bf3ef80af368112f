"""Every customer stands somewhere between two purchases, on her own clock, or on none."""

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.histories import Histories
from retention.timing import NO_CYCLE, STAGES, Rhythm, cycle

CLOCK = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0)
SEEDS = range(50)


def base_of(gaps_by_customer, idle):
    logs = [np.log(gaps) for gaps in gaps_by_customer]
    first = np.datetime64("2020-01-01")
    spent = [round(float(np.sum(g))) for g in gaps_by_customer]
    return Histories.from_arrays(
        frequency=[len(g) for g in gaps_by_customer],
        recency_days=spent,
        age_days=[s + h for s, h in zip(spent, idle, strict=True)],
        last_at=[first + np.timedelta64(s, "D") for s in spent],
        margin=[100.0] * len(idle),
        gap_log_sum=[float(g.sum()) for g in logs],
        gap_log_squares=[float((g**2).sum()) for g in logs],
    )


def mixed(seed, regular=8.0, poisson=1.0, n=120, gaps=16):
    """Half of the base comes like a clock, half at random, each customer around a gap of her own."""
    rng = np.random.default_rng(seed)
    own = rng.gamma(6.0, 5.0, 2 * n) + 5
    shape = np.repeat([regular, poisson], n)
    drawn = [np.maximum(rng.gamma(k, m / k, gaps), 0.05) for k, m in zip(shape, own, strict=True)]
    return base_of(drawn, rng.gamma(1.0, 10.0, 2 * n).round().tolist()), shape > poisson


@pytest.mark.slow
def test_in_fifty_worlds_poisson_buyers_have_no_cycle_and_clocks_have_one():
    """T10. A rule that gives everybody a clock, wrong on purpose, calls all Poisson buyers cyclic."""
    right, wrong, everybody = [], [], []
    for seed in SEEDS:
        base, regular = mixed(seed)
        told = cycle(base)
        right.append(told.has_cycle[regular].mean())
        wrong.append(told.has_cycle[~regular].mean())
        everybody.append(cycle(base, sure=1e-9).has_cycle[~regular].mean())
    assert np.mean(right) > 0.95
    assert np.mean(wrong) < 0.05
    assert np.mean(everybody) > 0.95


def test_at_the_same_recency_the_regular_buyer_is_further_in_her_cycle_in_all_fifty_worlds():
    """T10: same number of gaps, same usual gap, same silence; only evenness differs. One clock for all cannot tell."""
    later = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        crowd = [np.maximum(rng.gamma(3.0, 8.0, 8), 0.5) for _ in range(60)]
        even, odd = rng.gamma(30.0, 1.0, 12), rng.gamma(1.2, 1.0, 12)
        even, odd = (np.exp(np.log(g) - np.log(g).mean() + np.log(24.0)) for g in (even, odd))
        base = base_of([*crowd, even, odd], [10] * 60 + [45, 45])
        told = cycle(base)
        assert told.idle_gaps[-2] == pytest.approx(told.idle_gaps[-1], rel=0.15)
        assert told.p_looking[-2] > told.p_looking[-1]
        assert told.stage[-2] == "looking"
        later.append(told.stage[-1] != "looking")
    assert np.mean(later) > 0.4


def test_the_stages_come_in_their_order_as_days_go_by():
    gaps = [20.0, 21.0, 19.0, 20.0, 22.0, 18.0, 20.0, 20.0]
    days = list(range(60))
    told = cycle(base_of([gaps] * len(days), days), rhythm=CLOCK)
    place = [STAGES.index(stage) for stage in told.stage]
    assert place == sorted(place)
    assert set(place) == {0, 1, 2, 3}
    assert (np.diff(told.p_looking) >= 0).all()
    itching = told.stage == "itching"
    assert (told.idle_days[itching] >= told.opens_days[itching] - 1e-9).all()
    assert (told.idle_days[itching] <= told.closes_days[itching] + 1e-9).all()


def test_the_window_opens_before_it_closes_and_follows_the_last_purchase():
    base, _ = mixed(1)
    told = cycle(base)
    assert (told.settles_days < told.opens_days).all()
    assert (told.opens_days < told.closes_days).all()
    assert (told.window_opens_at >= base.last_at).all()
    assert (told.window_opens_at <= told.window_closes_at).all()


def reentry(seed, n=400):
    """Planted needs: each customer's need comes back after gaps of her own law; today falls anywhere into the next."""
    rng = np.random.default_rng(seed)
    s2 = 1 / rng.gamma(4.0, 1 / (4.0 * 0.25), n)
    mu = rng.normal(3.3, 0.5, n)
    gaps = [np.exp(rng.normal(m, np.sqrt(v), 10)) for m, v in zip(mu, s2, strict=True)]
    need = np.exp(rng.normal(mu, np.sqrt(s2)))
    idle = need * rng.uniform(0.1, 2.0, n)
    told = cycle(base_of(gaps, idle.tolist()))
    return told.p_looking, need < idle, told, need


@pytest.mark.slow
def test_the_risk_of_shopping_around_is_calibrated_and_the_window_opens_before_it_rises():
    """T9 over 50 worlds of 400: the planted need has come for whom the risk says so, in each of ten bands.

    Today is at a planted multiple of the need, so bands are of p among all; what is compared is P(need < t) at a t that
    does not depend on the need: the window's own days. Standard error of a share of 20,000 is below 0.4 points.
    """
    inside = {}
    for seed in SEEDS:
        _, _, told, need = reentry(seed)
        for name, promised in (("settles_days", 0.05), ("opens_days", 0.25), ("closes_days", 0.75)):
            inside.setdefault(promised, []).append((need < told[name]).mean())
    for promised, shares in inside.items():
        assert np.mean(shares) == pytest.approx(promised, abs=0.015)


def test_one_clock_for_all_is_not_calibrated():
    """Wrong on purpose: the base's usual gap as everybody's date. For the slow half it comes far too early."""
    early = []
    for seed in range(10):
        _, _, told, need = reentry(seed)
        fixed = np.median(told.usual_gap_days)
        slow = told.usual_gap_days > fixed
        early.append((need[slow] < fixed).mean())
    assert np.mean(early) < 0.4, "half of them, if one date fitted all"


def test_the_picture_shows_the_table():
    base, _ = mixed(2)
    told = cycle(base)
    who = str(told.customer_id[3])
    bands, ax = told.bands(who), told.picture(who)
    assert bands["stage"].tolist() == list(STAGES)
    np.testing.assert_allclose(bands.from_gaps[1:], bands.to_gaps[:-1])
    bars = ax.patches
    np.testing.assert_allclose([b.get_x() for b in bars[:4]], bands.from_gaps)
    np.testing.assert_allclose([b.get_x() + b.get_width() for b in bars[:4]], bands.to_gaps)
    assert (bars[4].get_x(), bars[4].get_x() + bars[4].get_width()) == pytest.approx(
        (bands.from_gaps[2], bands.to_gaps[2])
    )
    assert ax.lines[0].get_xdata()[0] == told.customer(who)["idle_gaps"]


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_the_smallest_bases_have_no_cycle(rows):
    told = cycle(base_of([[]] * rows, [30] * rows))
    assert told["stage"].tolist() == [NO_CYCLE] * rows
    assert f"{rows} no cycle" in repr(told)


@pytest.mark.parametrize("wrong", [{"bounds": (0.5, 0.2, 0.7)}, {"sure": 1.0}, {"interval": 0.0}, {"least_gaps": -1}])
def test_arguments_out_of_range_are_one_clear_error(wrong):
    with pytest.raises(ConfigError):
        cycle(base_of([[5.0]], [3]), rhythm=CLOCK, **wrong)
