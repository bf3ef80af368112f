"""How often to contact: planted optima are found, caps hold, and where the data are mute nothing is claimed."""

import datetime as dt
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels import cadence as kernel
from retention.domain import Action, Touch
from retention.errors import ConfigError
from retention.plan import Budget, Offer, OfferStrategy, plan_for
from retention.plan.cadence import NotRandomised, cadence, frequency_trial
from retention.plan.policies import Saturation
from retention.records import Touches, TransactionLog

ARMS = np.asarray([0, 1, 2, 4, 8])
KEEP = 1.1 ** (-28 / 365)


def _world(seed, *, n=6000, a=(7.0, 9.0, 5.0), b=(0.5, 0.4, 0.7), h1=(0.003, 0.001, 0.008), h0=0.004, sd=30.0):
    """A trial in which the response and the opting out of each segment are known; skewed margins."""
    rng = np.random.default_rng(seed)
    a, b, h1 = (np.asarray(given) for given in (a, b, h1))
    who = np.repeat(np.arange(len(a)), n)
    f = rng.choice(ARMS, len(who))
    noise = (rng.gamma(0.5, 1, len(who)) - 0.5) * sd * np.sqrt(2)
    return {
        "customer_id": np.arange(len(who)),
        "segment": who.astype(str),
        "frequency": f,
        "margin": 20 + kernel.brought(f, a[who], b[who]) + noise,
        "opted_out": rng.random(len(who)) < kernel.opted_out(f, h0, h1[who]),
        "period_days": 28,
        "randomised": True,
        "seed": seed,
    }


def _truth(cost, *, a=(7.0, 9.0, 5.0), b=(0.5, 0.4, 0.7), h1=(0.003, 0.001, 0.008), h0=0.004, lost=0.0):
    a, b, h1 = (np.asarray(given)[:, None] for given in (a, b, h1))
    earned, taken = kernel.worth(np.arange(9.0), a, b, h0, h1, cost=cost, keep=KEEP)
    return earned - lost * taken


def test_the_planted_optimum_is_found():
    """Measured over 60 segments: within one contact in all, and 1.3 % of the worth lost on average; here 24 segments.

    A chance of 0.1 % to fail if one segment in 50 went further astray.
    """
    worth = _truth(0.5)
    far, lost, claims, wrong = [], [], 0, 0
    for seed in range(8):
        got = cadence(**_world(seed), today=np.arange(18000) % 9, cost=0.5)
        for k in range(3):
            here = got.segment == str(k)
            best = int(got.best[here][0])
            far.append(abs(best - int(worth[k].argmax())))
            lost.append(1 - worth[k, best] / worth[k].max())
            said = here & np.isin(got.verdict, ("less", "more"))
            claims += said.sum()
            wrong += (worth[k, got.frequency[said]] < worth[k, got.today[said]]).sum()
    assert np.mean(np.asarray(far) <= 1) >= 0.9
    assert np.mean(lost) < 0.04
    assert claims > 20_000, "a trial of this size says something to many"
    assert wrong <= 0.05 * claims


def test_it_says_less_where_less_pays_and_more_where_more_does():
    got = cadence(**_world(1), today=8, cost=0.5)
    assert set(got.verdict[got.segment == "2"].tolist()) == {"less"}
    assert (got.frequency[got.segment == "2"] < 8).all()
    got = cadence(**_world(1), today=0, cost=0.1)
    assert set(got.verdict.tolist()) == {"more"}
    # Where contacts do harm the best is none at all.
    bad = _world(2, a=(-3.0, -3.0, -3.0), h1=(0.02, 0.02, 0.02))
    got = cadence(**bad, today=2, cost=0.1)
    assert set(got.limits.values()) == {0}
    assert set(got.verdict.tolist()) == {"less"}


def test_where_frequency_makes_no_difference_nothing_is_claimed():
    """Null world, nothing brought, nothing cost, nobody driven away: measured 1.5 % of customers told something.

    The verdict is at a probability of 95 %; over 8 worlds more than 10 % told would have a chance below 0.5 %.
    """
    told = []
    for seed in range(8):
        world = _world(seed, n=1500, a=(0.0,) * 3, h1=(0.0,) * 3)
        got = cadence(**world, today=np.arange(4500) % 9)
        told.append(np.isin(got.verdict, ("less", "more")).mean())
        quiet = got.verdict == "cannot tell"
        assert (got.frequency[quiet] == np.minimum(got.today[quiet], 8)).all(), "and then all stays as it is"
    assert np.mean(told) <= 0.10


def test_small_segments_borrow_from_each_other():
    """Eight alike segments of 300: together they choose better than each by itself (loss of worth, 2 worlds)."""
    worth = _truth(0.5, a=(7.0,), b=(0.5,), h1=(0.003,))[0]
    together, alone = [], []
    for seed in range(2):
        world = _world(seed, n=300, a=(7.0,) * 8, b=(0.5,) * 8, h1=(0.003,) * 8)
        got = cadence(**world, today=2, cost=0.5)
        together += [worth.max() - worth[got.best[got.segment == str(k)][0]] for k in range(8)]
        for k in (0, 3, 6):
            mine = {
                name: values[world["segment"] == str(k)] if isinstance(values, np.ndarray) else values
                for name, values in world.items()
            }
            alone.append(worth.max() - worth[cadence(**mine, today=2, cost=0.5).best[0]])
    assert np.mean(together) < 0.7 * np.mean(alone)


def test_who_has_more_to_lose_is_contacted_less():
    """P12 of one: the same response, but her opt-out costs what she is worth."""
    lost = np.tile([0.0, 100.0, 3000.0], 6000)
    got = cadence(**_world(4), today=4, cost=0.3, lost=lost)
    for k in range(3):
        here = got.segment == str(k)
        none, some, much = (int(got.best[here & (lost == amount)][0]) for amount in (0.0, 100.0, 3000.0))
        assert none >= some >= much
        assert none > much
        truth = _truth(0.3, lost=3000.0)[k]
        assert abs(much - int(truth.argmax())) <= 1


@pytest.fixture(scope="module")
def learned():
    return cadence(**_world(5, n=2000), today=3, cost=0.3)


@settings(max_examples=40)
@given(data=st.data())
def test_caps_are_never_exceeded(learned, data):
    n = data.draw(st.integers(0, 12))
    counts = st.lists(st.integers(0, 12), min_size=n, max_size=n)
    cap, today = data.draw(counts), data.draw(counts)
    got = learned.of_others(
        customer_id=[f"x{i}" for i in range(n)],
        segment=data.draw(st.lists(st.sampled_from("012"), min_size=n, max_size=n)),
        today=today,
        cap=cap,
        lost=data.draw(st.lists(st.floats(0, 1e4), min_size=n, max_size=n)),
    )
    assert (got.frequency <= np.asarray(cap, dtype=int)).all()
    assert (got.frequency >= 0).all()
    assert (got.frequency <= np.maximum(got.today, 8)).all(), "nothing beyond what was tried is advised"
    less, more = got.verdict == "less", got.verdict == "more"
    assert (got.frequency[less] < got.today[less]).all()
    assert (got.frequency[more] > got.today[more]).all()
    assert (got.chance[less | more] >= 0.95).all()
    assert got.limits == dict(zip(got.customer_id.tolist(), got.frequency.tolist(), strict=True))


def test_its_limits_are_those_of_a_contact_policy(shop, learned):
    """Nobody gets a contact beyond what pays for her, whatever a strategy thinks."""
    ids = ["a", "b", "c"]
    advice = learned.of_others(customer_id=ids, segment=["0", "1", "2"], today=8, lost=[0.0, 0.0, 1e6])
    assert advice.limits["c"] == 0
    touches = [
        Touch(customer_id="a", at=shop.day - dt.timedelta(days=k), channel="post")
        for k in range(1, 1 + advice.limits["a"])
    ]
    situation = shop.situation(shop.tables(ids), touches=Touches.of(touches))
    card = Action(name="card", kind="thank", channel="post", customer_benefit="is thanked", needs_consent=False)
    plan = plan_for(
        situation,
        budget=Budget(None, None),
        strategies=[OfferStrategy(offers=[Offer(action=card, lift=0.1)])],
        policies=[Saturation(days=28, limits=advice.limits)],
        holdout=0.0,
    )
    assert plan.decision.tolist() == ["none", "contact", "none"]


def test_others_are_advised_as_those_of_the_trial_are(learned):
    again = learned.of_others(customer_id=learned.customer_id, segment=learned.segment, today=learned.today, lost=0.0)
    assert again.equals(learned)
    with pytest.raises(ConfigError, match="segment '7'"):
        learned.of_others(customer_id=["x"], segment=["7"], today=1)


def test_a_trial_without_chance_is_called_an_association():
    world = _world(6, n=300) | {"randomised": False}
    with pytest.warns(NotRandomised, match="association"):
        got = cadence(**world, today=2)
    assert any("association" in note for note in got.notes)
    assert "not randomised" in repr(got)


def test_without_an_arm_that_is_left_alone_nothing_is_said_of_leaving_alone():
    world = _world(7, n=800)
    keep = world["frequency"] > 0
    world |= {name: world[name][keep] for name in ("customer_id", "segment", "frequency", "margin", "opted_out")}
    got = cadence(**world, today=0)
    assert got.curves.frequency.min() == 1
    assert any("nobody was left without contacts" in note for note in got.notes)
    assert any("judged as if" in note for note in got.notes)


def test_the_same_seed_gives_the_same_advice_and_order_does_not_matter(learned):
    world = _world(5, n=2000)
    order = np.random.default_rng(0).permutation(6000)
    shuffled = {name: v[order] if isinstance(v, np.ndarray) else v for name, v in world.items()}
    again = cadence(**shuffled, today=3, cost=0.3)
    assert again.limits == learned.limits
    assert again.curves.worth == pytest.approx(learned.curves.worth, rel=1e-9)


def test_a_trial_is_read_from_a_log():
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "a", "b", "c"],
        at=["2011-01-03", "2011-01-11", "2011-02-07", "2011-01-10", "2011-02-08"],
        revenue=[1, 2, 4, 8, 16],
    )
    since, until = dt.date(2011, 1, 10), dt.date(2011, 2, 7)
    got = frequency_trial(
        log, since=since, until=until, assigned={"b": 1, "a": 4, "new": 2}, opted_out=["b", "stranger"]
    )
    assert got.customer_id.tolist() == ["a", "b", "new"]
    assert got.frequency.tolist() == [4, 1, 2]
    assert got.margin.tolist() == [6.0, 0.0, 0.0]
    assert got.opted_out.tolist() == [False, True, False]
    assert got.randomised
    touches = Touches.of(
        [
            Touch(customer_id=who, at=day, channel="email", direction=way)
            for who, day, way in [
                ("a", since, "out"),
                ("a", until, "out"),
                ("a", until, "in"),
                ("b", dt.date(2011, 1, 20), "out"),
                ("c", until, "out"),
            ]
        ]
    )
    got = frequency_trial(log, since=since, until=until, touches=touches)
    assert dict(zip(got.customer_id.tolist(), got.frequency.tolist(), strict=True)) == {"a": 1, "b": 1}
    assert not got.randomised
    with pytest.raises(ConfigError, match="at least 20 customers each: none"):
        cadence(**got.columns(), period_days=got.period_days, randomised=got.randomised, today=1)
    with pytest.raises(ConfigError, match="trial has days"):
        frequency_trial(log, since=since, until=until)
    with pytest.raises(ConfigError, match="no days"):
        frequency_trial(log, since=until, until=since, touches=touches)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequency": [1, 2]}, "frequency of shape"),
        ({"frequency": np.full(100, -1)}, "outside their domain"),
        ({"margin": np.full(100, np.nan)}, "outside their domain"),
        ({"opted_out": np.full(100, 2)}, "opted_out"),
        ({"today": 1.5}, "today with fractions"),
        ({"cap": np.full(100, -1)}, "cap of shape"),
        ({"cost": -1}, "cost=-1"),
        ({"level": 1.0}, "level=1.0"),
        ({"period_days": 0}, "period_days=0"),
        ({"frequency": np.zeros(100)}, "frequencies tried"),
        ({"frequency": np.arange(100)}, "100 different frequencies"),
        ({"customer_id": np.zeros(100)}, "a customer twice"),
        ({"segment": ["x"]}, "segment of shape"),
    ],
)
def test_bad_input_is_one_clear_error(change, message):
    good = {
        "customer_id": np.arange(100),
        "frequency": np.arange(100) % 3,
        "margin": np.ones(100),
        "opted_out": np.zeros(100, dtype=bool),
        "today": 1,
        "period_days": 28,
        "randomised": True,
    }
    with pytest.raises(ConfigError, match=message):
        cadence(**good | change)


def test_nothing_that_differs_between_customers_is_no_trouble():
    n = 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = cadence(
            customer_id=np.arange(n),
            frequency=np.arange(n) % 3,
            margin=np.zeros(n),
            opted_out=np.zeros(n, dtype=bool),
            today=1,
            period_days=28,
            randomised=True,
        )
    assert np.isfinite(got.curves.worth).all()


def test_it_shows_itself(learned):
    figure, ax = plt.subplots()
    assert learned.plot(ax) is ax
    assert "contacts in 28 days" in ax.get_xlabel()
    plt.close(figure)
    assert repr(learned).startswith("<Cadence: 6,000 customers in 28 days: ")
    assert "<table>" in learned._repr_html_()
    assert learned.customer("17")["segment"] == "0"
    assert sum(learned.verdicts().values()) == 6000
