"""Leaving points are found where they were planted, and none where there are none."""

import datetime as dt

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.records import Contracts
from retention.timing import leaving_points


def lives(seed, n=3000, *, base=0.20, spikes=(), fall=0.0, watched=1500):
    """Tenures drawn day by day from a hazard a year: flat, with spikes (from, to, times), or falling."""
    rng = np.random.default_rng(seed)
    day = np.arange(watched)
    hazard = base / 365.25 * (1 + fall * np.exp(-day / 120))
    for begin, end, times in spikes:
        hazard = np.where((day > begin) & (day <= end), hazard * times, hazard)
    reach = rng.exponential(1.0, n)
    life = np.searchsorted(np.cumsum(hazard), reach)
    seen = rng.integers(200, watched, n)
    return Contracts.from_tenures(days=np.minimum(life, seen), ended=life <= seen, as_of="2030-01-01")


def names_the_top_bin(contracts):
    """The popular rule, wrong on purpose: a bar whose own 90 % interval clears the mean is a leaving point."""
    points = leaving_points(contracts, draws=20)
    d, e = points.ended, points.years_at_risk
    mean = d.sum() / e.sum()
    return bool(np.any((e > 1) & (d - 1.645 * np.sqrt(d) > mean * e)))


def test_a_flat_hazard_is_given_a_peak_in_at_most_one_case_in_twenty_and_more_often_by_the_popular_rule():
    """150 flat worlds, exact level 5 %: 14 or more named would happen in 1.5 % of runs, as would 14 of 50 in none."""
    worlds = [lives(seed, 800) for seed in range(150)]
    named = sum(bool(leaving_points(world, draws=199).peaks) for world in worlds)
    assert named <= 13
    assert sum(map(names_the_top_bin, worlds[:50])) > 13


def test_planted_peaks_are_found_within_one_bin_in_nine_worlds_of_ten():
    """60 worlds, a spike of one month at an anniversary: three times the rate of elsewhere."""
    near = 0
    for seed in range(60):
        points = leaving_points(lives(seed, spikes=[(360, 390, 3.0)]), draws=199)
        near += bool(points.peaks) and abs(points.peaks[0].at_days - 375) <= 30
    assert near >= 54


def test_two_peaks_are_two_and_the_more_certain_comes_first():
    points = leaving_points(lives(1, 20_000, spikes=[(90, 120, 2.5), (720, 780, 4.0)]))
    assert [(p.from_days, p.to_days) for p in points.peaks] in ([(720, 780), (90, 120)], [(90, 120), (720, 780)])
    assert points.peaks[0].p_value <= points.peaks[1].p_value
    assert 3 < max(p.times for p in points.peaks) < 5
    assert np.flatnonzero(points.peak).tolist() == [3, 24, 25]
    assert "none found" not in repr(points)


def test_a_hazard_that_only_falls_is_no_leaving_point_if_one_asks_so():
    """The flat null finds the start raised, truly; the falling one names 5 % of such worlds: 5 of 30 has 1 %."""
    worlds = [lives(seed, 4000, fall=2.0) for seed in range(30)]
    assert leaving_points(worlds[0]).peaks[0].from_days == 0
    assert sum(bool(leaving_points(world, against="falling", draws=99).peaks) for world in worlds) <= 5
    spike = leaving_points(lives(7, 8000, fall=2.0, spikes=[(540, 570, 3.0)]), against="falling", draws=199)
    assert [(p.from_days, p.to_days) for p in spike.peaks] == [(540, 570)]


def test_counts_at_risk_are_those_of_an_independent_implementation_with_late_entry():
    survfunc = pytest.importorskip("statsmodels.duration.survfunc")
    rng = np.random.default_rng(2)
    n, origin = 2000, np.datetime64("2020-01-01")
    start = origin + rng.integers(-900, 300, n).astype("timedelta64[D]")
    end = start + rng.integers(0, 1500, n).astype("timedelta64[D]")
    c = Contracts.from_arrays(
        customer_id=np.arange(n).astype(str), start=start, end=end, as_of="2021-01-01", observed_from="2020-01-01"
    ).watched()
    points = leaving_points(c, every_days=1, draws=20)
    theirs = survfunc.SurvfuncRight(c.days.astype(float), c.ended.astype(float), entry=c.entry_days - 0.5)
    row = np.maximum(theirs.surv_times.astype(int) - 1, 0)
    late = theirs.surv_times > 1  # days 0 and 1 share the first row
    np.testing.assert_allclose(points.years_at_risk[row[late]] * 365.25, theirs.n_risk[late])
    np.testing.assert_array_equal(points.ended[row[late]], theirs.n_events[late])


def test_in_continuous_time_the_hazard_of_a_stretch_is_the_piecewise_exponential_maximum():
    """Ends over time at risk, the closed form, from the second stretch on (the first has day 0 too)."""
    rng = np.random.default_rng(4)
    days, ended = rng.integers(1, 700, 3000), rng.random(3000) < 0.6
    points = leaving_points(
        Contracts.from_tenures(days=days, ended=ended, as_of="2030-01-01"), every_days=100, draws=20
    )
    for row in range(1, len(points)):
        low, high = points.from_days[row], points.to_days[row]
        at_risk = np.clip(np.minimum(days, high) - low, 0, None).sum()
        assert points.hazard[row] == pytest.approx(365.25 * (ended & (days > low) & (days <= high)).sum() / at_risk)


def test_the_clock_of_an_anniversary_starts_anew_each_year():
    rng = np.random.default_rng(3)
    years = rng.geometric(0.3, 3000)
    drift = rng.integers(0, 20, 3000)
    noise = rng.integers(1, 1500, 3000)
    at_the_date = rng.random(3000) < 0.4
    days = np.where(at_the_date, np.rint(years * 365.25) + drift, noise).astype(int)
    c = Contracts.from_tenures(days=np.minimum(days, 1400), ended=days <= 1400, as_of="2030-01-01")
    points = leaving_points(c, since="anniversary", every_days=10)
    assert len(points) == 37
    assert (points.peaks[0].from_days, points.peaks[0].to_days) == (0, 20)
    assert "anniversary" in repr(points)


def after_events(seed, times, n=2000):
    """Everyone has a price rise on some day; the hazard is so many times higher from day 30 to 60 after it."""
    rng = np.random.default_rng(seed)
    rise = rng.integers(100, 800, n)
    day = np.arange(1000)
    hazard = np.full((n, 1000), 0.3 / 365.25)
    hot = (day[None, :] > rise[:, None] + 30) & (day[None, :] <= rise[:, None] + 60)
    hazard[hot] *= times
    life = (np.cumsum(hazard, axis=1) < rng.exponential(1.0, n)[:, None]).sum(axis=1)
    start = dt.date(2020, 1, 1)
    c = Contracts.from_arrays(
        customer_id=np.arange(n).astype(str),
        start=[start] * n,
        end=[start + dt.timedelta(int(t)) if t < 1000 else None for t in life],
        as_of=start + dt.timedelta(999),
    )
    at = np.datetime64(start) + rise.astype("timedelta64[D]")
    return c, {"customer_id": np.arange(n).astype(str), "at": at}


def test_a_price_rise_that_drives_customers_away_is_found_and_one_that_does_not_is_none():
    c, rises = after_events(0, 5.0)
    points = leaving_points(c, since=rises, clock="the price rise", every_days=15, within_days=180)
    assert [(p.from_days, p.to_days) for p in points.peaks] == [(30, 60)]
    assert len(points) == 12
    named = sum(
        bool(leaving_points(*[c][:1], since=rises, every_days=15, within_days=180, draws=99).peaks)
        for c, rises in (after_events(seed, 1.0, 600) for seed in range(40))
    )
    assert named <= 6, "5 % of 40: 7 or more in 0.3 % of runs"


def test_time_at_risk_after_events_and_elsewhere_is_all_time_at_risk():
    """The clock starts anew at each event, no day counts twice, and events under no contract count for nothing."""
    c = Contracts.from_arrays(
        customer_id=["a", "b"], start=["2020-01-01", "2020-01-01"], end=["2020-03-01", None], as_of="2020-12-31"
    )
    events = {
        "customer_id": ["a", "a", "a", "stranger"],
        "at": ["2020-01-11", "2020-02-10", "2020-06-01", "2020-01-01"],
    }
    points = leaving_points(c, since=events, every_days=10, within_days=25, draws=20)
    assert points.years_at_risk.sum() * 365.25 == pytest.approx(26 + 21)
    assert points.ended.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("days", "ended"),
    [
        ([], []),
        ([10], [True]),
        ([10], [False]),
        ([5] * 40, [True] * 40),
        ([0, 0], [True, False]),
        ([9] * 9, [False] * 9),
    ],
)
def test_tiny_bases_have_no_leaving_points(days, ended):
    points = leaving_points(Contracts.from_tenures(days=days, ended=ended, as_of="2020-01-01"))
    assert points.peaks == ()
    assert "none found" in repr(points)


def test_the_band_holds_a_flat_hazard_everywhere_at_once_in_nine_worlds_of_ten():
    """80 worlds; a simultaneous 90 % band: fewer than 62 would happen in 0.1 % of runs. Far tenures have few left."""
    held = 0
    for seed in range(80):
        points = leaving_points(lives(seed, 6000), draws=20)
        some = points.years_at_risk > 20
        held += bool(np.all((points.low[some] <= 0.2) & (points.high[some] >= 0.2)))
    assert held >= 62


@pytest.mark.parametrize(
    "more",
    [
        {"every_days": 0},
        {"since": "birth"},
        {"since": 3},
        {"against": "rising"},
        {"level": 0},
        {"draws": 3},
        {"widest": 0},
    ],
)
def test_arguments_out_of_range_are_one_clear_error(more):
    with pytest.raises(ConfigError):
        leaving_points(lives(0, 50), **more)


def test_the_picture_shows_the_table():
    points = leaving_points(lives(1, 5000, spikes=[(360, 390, 4.0)]))
    ax = points.plot()
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["smoothed"].get_ydata(), points.smoothed)
    np.testing.assert_allclose(lines["hazard"].get_ydata(), points.hazard)
    assert len(ax.patches) == len(points.peaks)
