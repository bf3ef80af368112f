"""I10: a reminder names the need and comes within its window, or not at all."""

import datetime as dt

import numpy as np
import pytest

import retention as rt
from retention.plan import Budget, NeedReminder, check, plan_for, situate
from retention.timing import next_needs
from retention.worlds import Pantry


@pytest.fixture(scope="module")
def world():
    return Pantry(customers=250, seed=3).simulate()


def planned(world, day, **options):
    base = rt.summarize(world.log, as_of=day)
    worth = rt.appraise(base, chance=False)
    situation = situate(base, worth, rt.anticipate(base), rt.assign_tiers(base, worth), as_of=day, **options)
    told = next_needs(world.log, as_of=world.as_of).reminders()
    plan = plan_for(situation, budget=Budget(None, None), strategies=[NeedReminder(reminders=told)], holdout=0.0)
    assert check(plan, situation) == []
    return plan, told


def test_the_plan_names_the_need_and_keeps_to_its_window(world):
    plan, told = planned(world, world.as_of)
    chosen = plan.decision == "contact"
    assert chosen.sum() > 20
    words = dict(zip(told.customer_id.tolist(), told.reason.tolist(), strict=True))
    closes = dict(zip(told.customer_id.tolist(), told.closes_at.tolist(), strict=True))
    for who, why, end in zip(plan.customer_id[chosen], plan.reason[chosen], plan.closes[chosen], strict=True):
        assert words[str(who)] in why
        assert end == closes[str(who)]
    assert set(plan.channel[chosen].tolist()) == {"in person"}, "no consent is on file for e-mail"


def test_reminders_of_another_day_are_not_sent_when_their_window_is_closed(world):
    """A list that lay about for a year reminds nobody."""
    late = world.as_of + dt.timedelta(days=400)
    plan, told = planned(world, late)
    assert len(told)
    assert (told.closes_at < np.datetime64(late)).all()
    assert not (plan.decision == "contact").any()


def test_reminders_of_strangers_to_an_empty_base_are_proposed_to_nobody(world, shop):
    told = next_needs(world.log, as_of=world.as_of).reminders()
    assert len(told)
    assert len(NeedReminder(reminders=told).propose(shop.situation(shop.tables([])))) == 0


def test_who_bought_since_the_list_was_made_is_not_reminded(world):
    """The list is of a week ago; the base knows of this week's purchases."""
    before = world.as_of - dt.timedelta(days=7)
    told = next_needs(world.log, as_of=before).reminders()
    base = rt.summarize(world.log, as_of=world.as_of)
    worth = rt.appraise(base, chance=False)
    situation = situate(base, worth, rt.anticipate(base), rt.assign_tiers(base, worth))
    asked = NeedReminder(reminders=told).propose(situation)
    assert len(asked) > 0
    assert (base.last_at[asked.base_row] <= np.datetime64(before)).all()
    assert (base.last_at[situation.rows_of(told.customer_id)] > np.datetime64(before)).any(), "somebody did buy"


def test_a_strategy_without_reminders_says_what_it_wants():
    with pytest.raises(TypeError, match="Reminders"):
        NeedReminder(reminders=[("anna", "coffee")])
