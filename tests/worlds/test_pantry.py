"""A pantry does what its recipe says."""

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.worlds import Good, Pantry


def test_the_same_recipe_gives_the_same_world_and_another_seed_another():
    one, again, other = (Pantry(customers=80, years=1, seed=seed).simulate() for seed in (1, 1, 2))
    assert one.log.equals(again.log)
    assert one.truth.equals(again.truth)
    assert not one.log.equals(other.log)


def test_what_is_bought_once_is_bought_once():
    log = Pantry(customers=200, seed=3).simulate().log
    what, who = log.categories.text(), log.customers.text()
    for durable in ("Teapot", "Grinder"):
        assert len(who[what == durable]) == len(set(who[what == durable])) > 20


def test_pieces_last_as_long_as_planted():
    """Without whims, coming by daily: gaps over pieces are her planted time; the median within 3 % over 1,500 gaps."""
    soap = Good(name="Soap", lasts_days=40, share=1.0)
    world = Pantry(
        customers=250, goods=(soap,), whim=0.0, visit_gap_days=1.0, double=0.5, lifetime_years=1000, seed=4
    ).simulate()
    log, truth = world.log, world.truth
    lasts = dict(zip(truth.customer_id.tolist(), truth.lasts_days.tolist(), strict=True))
    order = np.lexsort((log.at, log.customers.codes))
    who, day, pieces = log.customers.text()[order], log.day[order].astype(int), log.quantity[order]
    same = who[1:] == who[:-1]
    same &= np.isin(who[:-1], list(lasts))  # of who has left there is no row
    ratio = np.diff(day)[same] / pieces[:-1][same] / np.array([lasts[w] for w in who[:-1][same]])
    assert len(ratio) > 1500
    assert abs(np.median(ratio) - 1) < 0.03
    assert abs(np.std(np.log(ratio)) - soap.wobble) < 0.03
    assert np.median(truth.lasts_days) == pytest.approx(40, rel=0.1)


def test_the_planted_day_is_when_she_runs_out_and_a_reminder_is_judged_against_it():
    world = Pantry(customers=200, seed=5).simulate()
    truth = world.truth
    bought = ~np.isnat(truth.bought_at)
    # Most pieces bought on a day last longer than to that day; what is past is what waits for her next visit.
    assert np.mean(truth.need_at[bought] > truth.bought_at[bought]) > 0.99
    waiting = truth.need_at <= np.datetime64(world.as_of)
    assert np.mean(waiting[bought]) < 0.25
    away = np.abs((truth.need_at - np.datetime64(world.as_of)).astype(float))
    want = away <= 0.25 * truth.lasts_days
    np.testing.assert_array_equal(truth.inside(truth.customer_id, truth.category, world.as_of), want)
    assert 0.05 < want.mean() < 0.6
    assert not truth.inside([truth.customer_id[0]], ["Teapot"], world.as_of).any()
    assert not Pantry.by_popularity(customers=20, seed=1).simulate().truth.inside(["10001"], ["Tea"], world.as_of).any()


def test_where_popularity_is_all_there_is_goods_are_bought_in_its_proportions():
    world = Pantry.by_popularity(customers=300, seed=6).simulate()
    names, counts = np.unique(world.log.categories.text(), return_counts=True)
    weight = {good.name: good.weight for good in world.recipe.goods}
    want = np.array([weight[name] for name in names]) / sum(weight.values())
    visits = len(np.unique(world.log.occasions()))
    # Three visits of ten draw a second time; the same good twice is one line.
    np.testing.assert_allclose(counts / visits, want * (1 + 0.3 * (1 - want)), atol=0.012)
    assert len(world.truth) == 0


def test_camps_keep_to_their_goods():
    goods = tuple(Good(name=f"{camp}{i}", share=0.6, camp=camp) for camp in "AB" for i in range(3))
    truth = Pantry(customers=200, goods=goods, elsewhere=0.0, seed=7).simulate().truth
    camp = {}
    for who, what in zip(truth.customer_id.tolist(), truth.category.tolist(), strict=True):
        camp.setdefault(who, set()).add(what[0])
    assert all(len(one) == 1 for one in camp.values())


@pytest.mark.parametrize(
    "wrong", [{"customers": 0}, {"goods": ()}, {"goods": (Good(name="a"), Good(name="a"))}, {"double": 1.5}]
)
def test_a_recipe_that_cannot_be_cooked_is_an_error(wrong):
    with pytest.raises(ConfigError, match="Pantry"):
        Pantry(**wrong)
