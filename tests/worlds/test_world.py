"""A world goes to any day, hides its future, and answers contacts as planted."""

import csv
import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError, RetentionError
from retention.records import Touches
from retention.worlds import Persona, Shop, World

FOUR = 4.0  # standard errors: a right simulator fails such a test for about 1 seed in 16,000

SHOP = Shop.corner_shop(customers=120, seed=11)
WORLD = SHOP.simulate()
DAYS = st.integers(0, SHOP.days - 1).map(lambda d: SHOP.start + dt.timedelta(days=d))


def contacts(world: World, ids: object, at: object, kind: str = "give") -> Touches:
    ids = np.asarray(ids)
    return Touches.from_arrays(
        customer_id=ids,
        at=np.broadcast_to(np.asarray(at, dtype="datetime64[D]"), ids.shape),
        channel=np.full(len(ids), "phone"),
        kind=np.full(len(ids), kind),
    )


def steady(customers: int, **changes: object) -> World:
    """Many alike customers who stay: easy to experiment on."""
    persona = Persona(name="steady", gap_days=30, margin=10)
    return Shop(**({"customers": customers, "years": 1, "personas": (persona,), "seed": 21} | changes)).simulate()


@given(DAYS)
def test_an_earlier_day_knows_the_log_up_to_it_and_nothing_more(day):
    earlier = WORLD.until(day)
    assert earlier.log.fingerprint() == WORLD.log.take(WORLD.log.day <= np.datetime64(day)).fingerprint()
    assert (earlier.truth.acquired_at <= np.datetime64(day)).all()
    assert np.array_equal(earlier.truth.customer_id, earlier.log.take(~earlier.log.is_return).customers.labels)
    assert (earlier.touches.at <= np.datetime64(day)).all()
    assert (earlier.consents.at <= np.datetime64(day)).all()
    assert earlier.until(WORLD.as_of).log.fingerprint() == WORLD.log.fingerprint()


@given(DAYS, st.integers(0, 200), st.integers(0, 200))
def test_two_windows_of_the_future_add_up_to_the_long_one(day, first, second):
    ids = WORLD.until(day).truth.customer_id
    a, whole = WORLD.future(day, first), WORLD.future(day, first + second)
    b = WORLD.future(day + dt.timedelta(days=first), second)
    known = np.isin(b.customer_id, ids)
    assert np.array_equal(a.customer_id, ids)
    assert np.array_equal(a.purchases + b.purchases[known], whole.purchases)
    assert np.rint(100 * (a.margin + b.margin[known])).tolist() == np.rint(100 * whole.margin).tolist()


def test_the_future_is_what_the_log_later_shows_to_the_cent():
    day = dt.date(2010, 6, 30)
    later, now = WORLD.until(day + dt.timedelta(days=365)), WORLD.until(day)
    future = WORLD.future(day, 365)
    known = np.isin(later.log.customers.text(), now.truth.customer_id)
    grown = float(later.log.margin.total(known) - now.log.margin.total())
    assert future.margin.sum() == pytest.approx(grown, abs=0.001)
    fresh = later.log.take(known & (later.log.day > np.datetime64(day)))
    stands = ~fresh.is_return & ~fresh.is_cancelled
    assert future.purchases.sum() == len(np.unique(fresh.orders.codes[stands]))


def test_the_dead_have_no_future():
    future, truth = WORLD.future(WORLD.as_of, 365), WORLD.truth
    assert future.purchases[~truth.alive].sum() == 0
    assert future.purchases[truth.alive].sum() > 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda: WORLD.future(WORLD.as_of, 10_000),
        lambda: WORLD.future(WORLD.as_of, -1),
        lambda: WORLD.until(dt.date(2008, 12, 31)),
        lambda: WORLD.until(dt.date(2050, 1, 1)),
        lambda: WORLD.live(WORLD.as_of - dt.timedelta(days=1)),
        lambda: WORLD.live(WORLD.as_of, contacts(WORLD, WORLD.truth.customer_id[:1], "2011-01-01")),
        lambda: WORLD.respond(WORLD.truth.customer_id[:1], "shout", WORLD.as_of),
        lambda: WORLD.respond(["Nobody Known"], "give", WORLD.as_of),
    ],
)
def test_what_a_world_cannot_do_is_one_clear_error_without_a_name(ask):
    with pytest.raises(ConfigError, match="remedy:") as caught:
        ask()
    assert "Nobody" not in str(caught.value)
    assert not any(str(who) in str(caught.value) for who in WORLD.truth.customer_id)


# --------------------------------------------------------------------------------------------- contacts


@given(st.data())
def test_what_a_contact_does_depends_on_nobody_else(data):
    n = len(WORLD.truth)
    rows = np.asarray(data.draw(st.lists(st.integers(0, n - 1), max_size=20)), dtype=int)
    kinds = np.asarray(data.draw(st.lists(st.sampled_from(["give", "ask", "thank", "wait"]), min_size=n, max_size=n)))
    at = np.datetime64(WORLD.as_of) + np.arange(n) % 30
    world = Shop.corner_shop(customers=120, seed=11, response={"give": 0.5, "ask": -0.5, "thank": 1}).simulate()
    everyone = world.respond(world.truth.customer_id, kinds, at)
    some = world.respond(world.truth.customer_id[rows], kinds[rows], at[rows])
    assert some.equals(everyone.take(rows))


@given(st.lists(st.tuples(st.integers(0, 119), st.integers(1, 30)), max_size=40))
def test_thirty_nights_one_by_one_are_the_same_as_all_at_once(made):
    world = Shop.corner_shop(customers=120, seed=11, response={"give": 0.7, "ask": -0.7}).simulate()
    ids = world.truth.customer_id
    nights = [world.as_of + dt.timedelta(days=d) for d in range(1, 31)]
    batches = [
        contacts(world, ids[[who for who, d in made if d == number]], night, ("give", "ask")[number % 2])
        for number, night in enumerate(nights, start=1)
    ]
    stepwise, together = world, Touches.none()
    for night, batch in zip(nights, batches, strict=True):
        stepwise, together = stepwise.live(night, batch), together.joined(batch)
    at_once = world.live(nights[-1], together)
    assert stepwise.log.fingerprint() == at_once.log.fingerprint()
    assert stepwise.touches.equals(at_once.touches)
    assert stepwise.until(world.as_of).log.fingerprint() == world.log.fingerprint()


def test_contacts_never_change_what_was_known_before_them():
    world = Shop.harmful(customers=120, seed=11).simulate()
    night = world.as_of + dt.timedelta(days=1)
    lived = world.live(night, contacts(world, world.truth.customer_id, night)).live(night + dt.timedelta(days=99))
    before = lived.log.take(lived.log.day <= np.datetime64(night))
    assert before.fingerprint() == world.until(night).log.fingerprint()


@pytest.mark.parametrize("lift", [0.6, -0.6])
def test_the_log_of_a_lived_world_gains_or_loses_exactly_what_the_responses_say(lift):
    world = steady(300, response={"give": lift}, returns=0.2)
    day = world.as_of  # contacts after it would be forgotten by until()
    made = contacts(world, world.truth.customer_id, day)
    told = world.respond(made.customer_id, made.kind, made.at)
    lived, plain = (w.until(world.last_day).log for w in (world.live(day, made), world))
    assert round(float(lived.margin.total() - plain.margin.total()), 2) == round(told.margin.sum(), 2)
    assert round(float(lived.revenue.total() - plain.revenue.total()), 2) == round(told.revenue.sum(), 2)
    assert np.sign(told.purchases.sum()) == np.sign(lift)
    assert lived.quality.rows_in == len(lived)
    assert np.all(np.diff(lived.at.astype(int)) >= 0)
    late = lived.take(~lived.is_return)  # returns may follow after she has gone
    died = world.truth.died_at[np.searchsorted(world.truth.customer_id, late.customers.text())]
    assert np.all(np.isnat(died) | (late.day <= died))


def test_an_extra_visit_never_comes_after_she_has_gone():
    """Lives of a month on average: within the two weeks of a response many end."""
    persona = Persona(name="mayfly", gap_days=10, lifetime_years=0.08)
    world = steady(2000, personas=(persona,), response={"give": 1.0}).until(dt.date(2009, 6, 30))
    told, died = world.respond(world.truth.customer_id, "give", world.as_of), world.truth.died_at
    soon = world.truth.alive & (died <= np.datetime64(world.as_of) + np.timedelta64(14, "D"))
    assert soon.sum() > 30
    assert (told.purchases[world.truth.alive] == 1).all()
    assert (told.purchase_at[soon] <= died[soon]).all()
    assert (told.purchase_at[soon] > np.datetime64(world.as_of)).all()


def test_the_same_contact_twice_is_one():
    world = steady(50, response={"give": 1.0})
    once = contacts(world, world.truth.customer_id, world.as_of)
    assert world.live(world.as_of, once).until(world.last_day).log.fingerprint() == (
        world.live(world.as_of, once.joined(once)).until(world.last_day).log.fingerprint()
    )


@pytest.mark.parametrize("kind", ["give", "ask", "thank"])
def test_the_planted_response_is_recovered(kind):
    """Extra purchases of living customers are Bernoulli with the planted lift, their margins as her others."""
    world = steady(4000, response={"give": 0.12, "ask": 0.08, "thank": 0.3})
    told = world.respond(world.truth.customer_id, kind, world.as_of)
    lift = world.shop.response[kind]
    assert abs(told.purchases.mean() - lift) < FOUR * math.sqrt(lift * (1 - lift) / 4000)
    worth = told.margin[told.purchases == 1] / world.truth.margin_mean[told.purchases == 1]
    assert abs(worth.mean() - 1) < FOUR * worth.std() / math.sqrt(len(worth))
    delay = (told.purchase_at - told.at).astype(float)[told.purchases == 1]
    assert delay.min() >= 1
    assert delay.max() <= 14


def test_responsiveness_differs_by_persona_and_the_dead_do_not_answer():
    world = Shop.corner_shop(customers=8000, years=1, response={"give": 0.2}).simulate()
    told, truth = world.respond(world.truth.customer_id, "give", world.as_of), world.truth
    assert told.purchases[~truth.alive].sum() == 0
    for persona in world.shop.personas:
        here = truth.alive & (truth.segment == persona.name)
        p = 0.2 * persona.responsiveness
        assert truth.lift("give")[here] == pytest.approx(p)
        assert abs(told.purchases[here].mean() - p) < FOUR * math.sqrt(p * (1 - p) / here.sum())


def test_different_days_and_kinds_are_independent_draws():
    """Correlation of two contacts' effects over 4,000 customers: its standard error is 1 / sqrt(4000)."""
    world = steady(4000, response={"give": 0.5, "ask": 0.5})
    ids, day = world.truth.customer_id, np.datetime64(world.as_of)
    first = world.respond(ids, "give", day).purchases
    for other in (world.respond(ids, "give", day + np.timedelta64(1, "D")), world.respond(ids, "ask", day)):
        assert abs(np.corrcoef(first, other.purchases)[0, 1]) < FOUR / math.sqrt(4000)


@pytest.mark.parametrize(
    ("shop_response", "expected"), [({"give": 0.4}, 0.4), (None, 0.0), ({"give": -0.4}, -0.4)], ids=str
)
def test_a_randomised_trial_in_the_world_finds_what_is_planted_and_nothing_in_a_null_world(shop_response, expected):
    """Half are contacted by the toss of a coin; everybody has a purchase ahead within the long window."""
    world = steady(6000, response=shop_response)
    treated = np.random.default_rng(5).random(6000) < 0.5
    lived = world.live(world.as_of, contacts(world, world.truth.customer_id[treated], world.as_of))
    bought = lived.future(world.as_of, 60).purchases.astype(float)
    a, b = bought[treated], bought[~treated]
    error = math.sqrt(a.var() / len(a) + b.var() / len(b))
    # A visit driven away may have stood beyond the 60 days: for a mean gap of 30, for about one customer in seven.
    slack = 0.15 * abs(expected) if expected < 0 else 0.0
    assert abs(a.mean() - b.mean() - expected) < FOUR * error + slack
    assert error < 0.06


def test_in_a_null_world_no_contact_of_any_kind_does_anything():
    world = Shop.null(customers=500).simulate()
    for kind in ("give", "ask", "thank", "wait"):
        told = world.respond(world.truth.customer_id, kind, world.as_of)
        assert not told.purchases.any()
        assert not told.margin.any()
    made = contacts(world, world.truth.customer_id, world.as_of)
    assert (
        world.live(world.as_of, made).until(world.last_day).log.fingerprint()
        == world.until(world.last_day).log.fingerprint()
    )


def test_in_a_harmful_world_contacts_cost_purchases():
    world = Shop.harmful(customers=3000, years=1).simulate()
    told = world.respond(world.truth.customer_id, "ask", world.as_of)
    assert told.purchases.max() == 0
    assert told.purchases.sum() < 0
    assert told.margin.sum() < 0


# ------------------------------------------------------------------------------------- consents and touches


def test_consents_have_the_planted_shares_and_some_are_withdrawn():
    world = steady(4000, opt_in={"email": 0.6, "phone": 0.2}, withdrawn=0.5, beyond_days=0)
    for channel, share in world.shop.opt_in.items():
        ever = set(world.consents.customer_id[(world.consents.channel == channel) & world.consents.granted].tolist())
        assert abs(len(ever) / 4000 - share) < FOUR * math.sqrt(share * (1 - share) / 4000)
        now = world.consents.granted_to(channel, on=world.as_of)
        # Half take it back on some day until the end, and the end is the as-of day here.
        assert abs(len(now) / len(ever) - 0.5) < FOUR * math.sqrt(0.25 / len(ever))


def test_newsletters_went_only_to_those_who_allowed_email_on_the_day():
    world = Shop.corner_shop(withdrawn=0.5).simulate()
    days = np.unique(world.touches.at)
    assert len(days) == 12
    for day in days.tolist():
        sent = world.touches.customer_id[world.touches.at == np.datetime64(day)]
        assert set(sent.tolist()) <= world.consents.granted_to("email", on=day)
        assert len(sent) > 0


def test_consents_and_touches_are_written_as_they_are(tmp_path):
    WORLD.write_consents(tmp_path / "consents.csv")
    WORLD.write_touches(tmp_path / "touches.csv")
    with open(tmp_path / "consents.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Customer"] for row in rows] == WORLD.consents.customer_id.tolist()
    assert [row["Date"] for row in rows] == [str(day) for day in WORLD.consents.at]
    assert [row["Granted"] == "yes" for row in rows] == WORLD.consents.granted.tolist()
    with open(tmp_path / "touches.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Customer"] for row in rows] == WORLD.touches.customer_id.tolist()
    assert [row["Date"] for row in rows] == [str(day) for day in WORLD.touches.at]
    assert {(row["Channel"], row["Kind"], row["Direction"]) for row in rows} == {("email", "give", "out")}


def test_a_world_is_frozen_and_says_what_it_is():
    with pytest.raises((AttributeError, RetentionError)):
        WORLD.as_of = dt.date(2010, 1, 1)
    assert "120 customers" in repr(WORLD)
    assert "give +0.12" in repr(WORLD)
