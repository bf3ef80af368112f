"""The hold-out: who is in it, every night, on every machine."""

import datetime as dt
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retention.errors import PlanError
from retention.plan import Budget, holdout_draws, make_plan

RICH = Budget(money=None, hours=None)


@given(data=st.data(), salt=st.text(max_size=5))
def test_a_draw_depends_on_salt_and_id_alone(data, shop, salt):
    ids = data.draw(shop.ids())
    together = dict(zip(ids, holdout_draws(ids, salt).tolist(), strict=True))
    for who in ids:
        assert holdout_draws([who], salt)[0] == together[who]
        digest = hashlib.blake2b((salt + "|" + who).encode(), digest_size=8).hexdigest()
        assert together[who] == int(f"{int(digest, 16):064b}"[:53], 2) / 2**53


def test_draws_are_uniform_and_salts_are_independent():
    """A hash has no chance in it: the p-values are fixed numbers, and a fair hash passes 99.9 % of such tests."""
    ids = [str(i) for i in range(20_000)]
    one, two = holdout_draws(ids, "one"), holdout_draws(ids, "two")
    assert 0.0 <= one.min() <= one.max() < 1.0
    assert stats.kstest(one, "uniform").pvalue > 0.001
    assert stats.spearmanr(one, two).pvalue > 0.001


def test_the_held_out_are_the_same_every_night_and_never_contacted(shop):
    ids = [f"c{i}" for i in range(200)]
    consents = shop.everyone_consents(ids)
    held: set[str] = set()
    reached: set[str] = set()
    for night in range(10):
        day = shop.day + dt.timedelta(days=night)
        plan = make_plan(
            *shop.tables_by_chance(ids, night, day),
            budget=RICH,
            consents=consents,
            holdout=0.25,
            salt="shop",
            seed=night,
        )
        held |= set(plan.customer_id[plan.decision == "hold-out"].tolist())
        reached |= set(plan.contacts.customer_id.tolist())
    in_it = {who for who, u in zip(ids, holdout_draws(ids, "shop").tolist(), strict=True) if u < 0.25}
    assert held
    assert held <= in_it
    assert reached.isdisjoint(in_it)


@given(small=st.floats(0, 0.99), more=st.floats(0, 0.99), salt=st.text(max_size=3))
def test_a_larger_share_keeps_the_customers_of_a_smaller_one(small, more, salt):
    ids = [str(i) for i in range(50)]
    draws = holdout_draws(ids, salt)
    low, high = sorted((small, more))
    assert not np.any((draws < low) & ~(draws < high))


@given(data=st.data(), holdout=st.sampled_from([0.0, 0.25, 0.8]))
def test_the_probability_is_what_the_hold_out_leaves(data, shop, holdout):
    ids = data.draw(shop.ids())
    plan = make_plan(*shop.tables_by_chance(ids, data.draw(st.integers(0, 999))), budget=RICH, holdout=holdout)
    assert np.array_equal(plan.probability, np.where(plan.decision == "none", 0.0, 1 - holdout))


@given(data=st.data(), seed=st.integers(0, 999))
def test_with_room_for_all_the_hold_out_changes_nobody_elses_contact(data, shop, seed):
    """Who would be contacted does not depend on her arm, or the arms could not be compared."""
    ids = data.draw(shop.ids())
    tables = shop.tables_by_chance(ids, seed)
    without = make_plan(*tables, budget=RICH, holdout=0.0)
    with_one = make_plan(*tables, budget=RICH, holdout=0.5)
    assert np.array_equal(without.decision == "none", with_one.decision == "none")
    assert np.array_equal(without.action, with_one.action)


def test_a_held_out_customer_uses_no_budget(shop):
    ids = [f"c{i}" for i in range(100)]
    base = shop.tables(ids, overdue=True, at_risk_per_day=1.0, idle_days=30.0)
    plan = make_plan(*base, budget=Budget(money=15.0, hours=8.0), holdout=0.5)
    assert plan.spent_money == plan.contacts.money.sum() == 15.0
    assert len(plan.contacts) == 10
    assert (plan.decision == "hold-out").sum() > 0


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), "half"])
def test_an_impossible_share_is_one_clear_error(shop, share):
    with pytest.raises(PlanError, match="holdout is a share"):
        make_plan(*shop.tables(["7"]), budget=RICH, holdout=share)
