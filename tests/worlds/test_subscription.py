"""A simulated subscription business does what its recipe says."""

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.timing import cause_hazards, controllable_share, leaving_points
from retention.worlds import Subscription


def test_the_same_recipe_gives_the_same_world_and_another_seed_another():
    one, again, other = (Subscription(customers=300, seed=seed).simulate() for seed in (1, 1, 2))
    assert one.contracts.equals(again.contracts)
    assert one.truth.equals(again.truth)
    assert not one.contracts.equals(other.contracts)


def test_hazards_by_cause_are_the_planted_ones():
    """Five causes, 90 % exact Poisson intervals: at least three hold but 1 time in 100."""
    world = Subscription(customers=40_000, seed=3).simulate()
    table = cause_hazards(world.contracts, every_days=10_000)
    truth = np.array([world.recipe.hazards[cause] for cause in table.cause])
    assert len(truth) == 5
    assert np.sum((table.low <= truth) & (truth <= table.high)) >= 3
    np.testing.assert_allclose(table.hazard, truth, rtol=0.1)


def test_what_is_on_file_is_the_truth_up_to_the_day_and_nothing_after_it():
    world = Subscription(customers=3000, unstated=0.3, seed=5).simulate()
    c, truth = world.contracts, world.truth
    known = truth.leaves_at <= np.datetime64(c.as_of)
    np.testing.assert_array_equal(c.ended, known)
    np.testing.assert_array_equal(c.end[known], truth.leaves_at[known])
    said = known & (c.cause != "")
    np.testing.assert_array_equal(c.cause[said], truth.cause[said])
    assert 0.25 < 1 - said.sum() / known.sum() < 0.35
    assert np.all(c.cause[~known] == "")


def test_a_bank_loses_more_than_half_of_its_leavers_to_what_it_cannot_change():
    share = controllable_share(Subscription.bank(customers=20_000, seed=1).simulate().contracts)
    assert share.share == pytest.approx(0.45, abs=0.02)


def test_planted_peaks_and_price_rises_are_where_the_recipe_puts_them():
    world = Subscription(customers=20_000, peaks=[(360, 390, 6)], price_rise=8.0, price_days=60, seed=2).simulate()
    by_tenure = leaving_points(world.contracts, draws=199)
    assert by_tenure.peaks[0].at_days == 375
    after = leaving_points(world.contracts, since=world.price_rises, every_days=20, within_days=200, draws=199)
    assert (after.peaks[0].from_days, after.peaks[0].to_days) == (0, 60)
    price = world.contracts.take(np.isin(world.contracts.cause, ["price", ""]))
    held = leaving_points(price, since=world.price_rises, every_days=60, within_days=240, draws=199)
    assert held.peaks[0].times == pytest.approx(8.0, rel=0.25)


def test_who_ended_before_ends_were_recorded_is_not_on_file():
    world = Subscription(customers=3000, observed_years=2, seed=4).simulate()
    c = world.contracts.watched()
    assert c.observed_from is not None
    assert len(c) < 3000
    assert np.nanmin(c.end[c.ended].astype("int64")) >= np.datetime64(c.observed_from).astype("int64")
    assert c.entry_days.max() > 700


@pytest.mark.parametrize(
    "wrong",
    [{"customers": 0}, {"hazards": {}}, {"hazards": {"a": -1}}, {"unstated": 2}, {"peaks": [(5, 2, 1)]}, {"years": 0}],
)
def test_a_recipe_with_numbers_out_of_range_is_one_clear_error(wrong):
    with pytest.raises(ConfigError):
        Subscription(**wrong)
