"""What is learned from the arms: planted truths, found; what misleads, shown to mislead."""

import datetime as dt
import json

import attrs
import numpy as np
import pytest

from retention.domain import Action
from retention.errors import ConfigError
from retention.histories import summarize
from retention.journal import Journal
from retention.plan import Budget, Proposals, make_plan
from retention.plan.responses import Responses
from retention.proof.learn import learn
from retention.records.transactions import TransactionLog
from retention.timing import anticipate
from retention.verbs import appraise, assign_tiers

DAY, WINDOW = dt.date(2011, 1, 10), 60
BUY, END = "2011-02-01", "2011-03-31"
TIERS = ("bronze", "gold", "silver")


class World:
    """One night in which chance held some out, and many futures of it.

    ``cells`` are (action, tier, contacted, held out); gains are lognormal, larger in higher tiers.
    """

    def __init__(self, plan_of, cells, *, seed=0, kind="give", factor=1.0, day=DAY, gain=None, journal=None):
        rng = np.random.default_rng(seed)
        action, tier, contact = _laid_out(cells)
        order = np.argsort(~contact, kind="stable")  # plan_of wants the contacted first
        self.action, self.tier, self.contact = action[order], tier[order], contact[order]
        n, k = len(order), int(contact.sum())
        self.who = np.asarray([f"{day:%m%d}c{i:05d}" for i in range(n)])
        level = np.asarray([{"bronze": 5.0, "silver": 10.0, "gold": 20.0}.get(t, 10.0) for t in self.tier])
        self.gain = level * rng.lognormal(-0.125, 0.5, n) if gain is None else np.full(n, gain)
        share = 1.0 - k / n
        plan = plan_of(day, contact=self.who[:k].tolist(), holdout=self.who[k:].tolist(), share=share, money=0.5)
        self.plan = attrs.evolve(
            plan,
            action=self.action,
            segment=self.tier,
            kind=np.full(n, kind),
            strategy=np.full(n, "check-in"),
            gain=self.gain * factor,
            assumed=self.gain,
        )
        self.journal = Journal(":memory:") if journal is None else journal
        self.journal.record(self.plan)

    def log(self, multiplier, rng, noise=1.0):
        """A future in which contact adds ``multiplier`` (by action and tier, or one for all) times the gain."""
        if not isinstance(multiplier, dict):
            multiplier = dict.fromkeys(zip(self.action, self.tier, strict=True), multiplier)
        m = np.asarray([multiplier[key] for key in zip(self.action, self.tier, strict=True)])
        stake = self.gain * 4.0
        spend = stake * rng.gamma(1.0 / noise**2, noise**2, len(self.who)) if noise else stake
        margin = np.round(spend + m * self.gain * self.contact, 2)
        some = margin != 0
        return TransactionLog.from_arrays(
            customer_id=[*self.who[some], "somebody else"],
            at=[BUY] * int(some.sum()) + [END],
            revenue=np.concatenate([np.abs(margin[some]) + 1, [1.0]]),
            margin=np.concatenate([margin[some], [1.0]]),
            currency="EUR",
        )

    def learn(self, multiplier, rng, noise=1.0, **how):
        return learn(self.journal, self.log(multiplier, rng, noise), window_days=WINDOW, **how)


def _laid_out(cells):
    action = np.concatenate([[a] * (c + h) for a, _, c, h in cells])
    tier = np.concatenate([[t] * (c + h) for _, t, c, h in cells])
    contact = np.concatenate([[True] * c + [False] * h for _, _, c, h in cells])
    return action, tier, contact


@pytest.fixture
def cards(plan_of):
    return World(plan_of, [("card", tier, 90, 30) for tier in TIERS])


def test_a_planted_multiplier_is_found_and_said_to_be_measured(plan_of):
    """Half of what was assumed: the answer says so within its interval, and over how many contacts."""
    world = World(plan_of, [("card", tier, 1500, 500) for tier in TIERS])
    learned = world.learn(0.5, np.random.default_rng(1))
    for tier in (*TIERS, "a tier never seen"):
        found = learned.response("check-in", "card", tier)
        assert found.low < 0.5 < found.high
        assert found.evidence == "measured"
        assert found.share > 0.9
    assert abs(found.multiplier - 0.5) < 0.25
    assert (found.contacts, found.held_out) == (4500, 1500)


def test_a_few_contacts_leave_the_assumption_standing(plan_of):
    world = World(plan_of, [("card", tier, 9, 3) for tier in TIERS])
    found = world.learn(0.0, np.random.default_rng(2), noise=2.0).response("check-in", "card", "gold")
    assert found.evidence == "assumption"
    assert found.share < 0.5
    assert abs(found.multiplier - 1.0) < abs(found.seen - 1.0)


def test_intervals_cover_and_pooling_beats_each_tier_on_its_own(cards):
    """Worlds drawn from the prior: 90 % intervals hold the truth in 87 to 93 of 100, and the error is smaller.

    300 worlds with three tiers each give a standard error of about 1.2 points; the seed is fixed.
    """
    rng = np.random.default_rng(5)
    inside, pooled, alone = [], [], []
    for _ in range(300):
        common = rng.normal(1.0, 0.5)
        apart = 0.0 if rng.random() < 0.5 else abs(rng.normal(0.0, 0.5))
        truth = {("card", tier): rng.normal(common, apart) for tier in TIERS}
        learned = cards.learn(truth, rng, noise=0.7)
        for tier in TIERS:
            found, true = learned.response("check-in", "card", tier), truth[("card", tier)]
            inside.append(found.low <= true <= found.high)
            pooled.append((found.multiplier - true) ** 2)
            alone.append((found.seen - true) ** 2)
    assert 0.87 <= np.mean(inside) <= 0.93
    assert np.mean(pooled) < 0.6 * np.mean(alone)


def test_learning_from_the_contacted_alone_is_wrong(plan_of):
    """Wrong on purpose: who is contacted buys anyway. Without the hold-out, no effect looks like several gains."""
    world = World(plan_of, [("card", tier, 1500, 500) for tier in TIERS])
    log = world.log(0.0, np.random.default_rng(3))
    who, margin = log.customers.labels[log.customers.codes], log.margin.to_float()
    brought = dict(zip(who.tolist(), margin.tolist(), strict=True))
    contacted = world.who[world.contact]
    naive = sum(brought.get(who, 0.0) for who in contacted.tolist()) / world.gain[world.contact].sum()
    found = learn(world.journal, log, window_days=WINDOW).response("check-in", "card", "gold")
    assert naive > 3.0
    assert found.low < 0.0 < found.high < 1.0


def test_nights_that_held_out_more_do_not_bias(plan_of):
    """One night of small customers with half held out, one of large ones with a tenth: pooled naively, contact pays."""
    small = World(plan_of, [("card", "silver", 500, 500)], gain=2.0)
    large = World(
        plan_of, [("card", "silver", 900, 100)], gain=20.0, day=DAY + dt.timedelta(1), journal=small.journal, seed=1
    )
    rng = np.random.default_rng(4)
    log = small.log(0.0, rng, noise=0.3) + large.log(0.0, rng, noise=0.3)
    found = learn(small.journal, log, window_days=WINDOW - 1).response("check-in", "card", "silver")
    assert abs(found.seen) < 3 * found.seen_error < 0.5


# Offers by segment


@pytest.fixture
def offered(plan_of):
    return World(plan_of, [(action, tier, 400, 150) for action in ("card", "voucher") for tier in TIERS], seed=6)


def best_offers(learned, proposals, situation):
    """The offer with the largest net gain in each tier."""
    after = learned.apply(proposals, situation)
    tiers = situation.tiering.tier[after.base_row]
    names = after.of_actions("name")
    return {tier: str(names[tiers == tier][np.argmax(after.net[tiers == tier])]) for tier in np.unique(tiers).tolist()}


def earned(world, truth, offers):
    """What these offers would truly bring all customers of the world."""
    return sum(truth[(offers[t], t)] * g for t, g in zip(world.tier.tolist(), world.gain.tolist(), strict=True))


def test_where_tastes_differ_an_offer_by_tier_beats_one_for_all(offered, proposals_of, situation):
    tastes = {"bronze": (-0.3, 1.6), "silver": (0.6, 1.0), "gold": (2.0, 0.1)}
    truth = {(a, t): m for t, two in tastes.items() for a, m in zip(("card", "voucher"), two, strict=True)}
    learned = offered.learn(truth, np.random.default_rng(7), noise=0.5)
    offers = best_offers(learned, proposals_of("card", "voucher"), situation)
    assert offers == {"bronze": "voucher", "silver": "voucher", "gold": "card"}
    one_for_all = max(earned(offered, truth, dict.fromkeys(TIERS, a)) for a in ("card", "voucher"))
    assert earned(offered, truth, offers) > 1.1 * one_for_all


def test_where_tastes_do_not_differ_one_offer_is_kept(offered, proposals_of, situation):
    """In nine worlds of ten at least, all tiers share one multiplier; what is lost against the truth stays small."""
    truth = {(a, t): m for t in TIERS for a, m in (("card", 0.8), ("voucher", 1.1))}
    rng, one = np.random.default_rng(8), []
    best = earned(offered, truth, dict.fromkeys(TIERS, "voucher"))
    for _ in range(20):
        learned = offered.learn(truth, rng, noise=0.5)
        offers = best_offers(learned, proposals_of("card", "voucher"), situation)
        one.append(len(set(offers.values())) == 1)
        assert earned(offered, truth, offers) > 0.7 * best
    assert np.mean(one) >= 0.9


def test_thanks_and_incentive_are_estimated_apart(plan_of):
    """The thank-you, for nothing, works; the incentive, for a purchase, does not: two arms, two answers."""
    world = World(plan_of, [(action, t, 1500, 500) for action in ("thank-you", "incentive") for t in TIERS], seed=9)
    truth = {(a, t): m for t in TIERS for a, m in (("thank-you", 1.4), ("incentive", 0.0))}
    learned = world.learn(truth, np.random.default_rng(10), interval=0.99)
    thanks, incentive = (learned.response("check-in", a, "silver") for a in ("thank-you", "incentive"))
    assert thanks.low < 1.4 < thanks.high
    assert incentive.low < 0.0 < incentive.high
    assert incentive.multiplier < 0.5 < 1.0 < thanks.multiplier
    assert thanks.contacts + incentive.contacts == world.contact[world.tier == "silver"].sum()


def test_whoever_asks_may_be_beaten_by_who_gives(offered, proposals_of, situation):
    """Assumed, the ask is worth more; measured, the gift is: the plan's best offer changes."""
    asks = proposals_of("card", "voucher", lifts=(0.10, 0.15))
    assert set(best_offers(Responses.of(()), asks, situation).values()) == {"voucher"}
    truth = {(a, t): m for t in TIERS for a, m in (("card", 1.3), ("voucher", 0.1))}
    learned = offered.learn(truth, np.random.default_rng(11), noise=0.7)
    assert set(best_offers(learned, asks, situation).values()) == {"card"}


# What counts, and what was known before


def test_learning_again_from_plans_that_used_what_was_learned_stays_at_the_truth(plan_of):
    """The journal holds gains after the multiplier; taken for what was assumed, half of half looks like a whole."""
    cells = [("card", tier, 1500, 500) for tier in TIERS]
    second = World(plan_of, cells, factor=0.5, seed=13)
    future = second.log(0.5, np.random.default_rng(12), noise=0.3)
    found = learn(second.journal, future, window_days=WINDOW, interval=0.99).response("check-in", "card", "gold")
    with Journal(":memory:") as journal:
        journal.record(attrs.evolve(second.plan, assumed=second.plan.gain))
        naive = learn(journal, future, window_days=WINDOW).response("check-in", "card", "gold")
    assert found.low < 0.5 < found.high
    assert naive.low > 0.75


@attrs.frozen
class Cards:
    """Proposes a card to everyone, with one gain."""

    name: str = "check-in"

    def propose(self, situation):
        n = len(situation)
        today = np.full(n, np.datetime64(situation.as_of, "D"))
        return Proposals(
            customer_id=situation.customer_id,
            base_row=np.arange(n),
            action=np.zeros(n, dtype=int),
            gain=np.full(n, 10.0),
            gain_sd=np.full(n, 5.0),
            opens=today,
            closes=today,
            strategy=np.full(n, self.name),
            reason=np.full(n, "long overdue"),
            evidence=np.full(n, "assumption"),
            actions=(
                Action(name="card", kind="give", channel="post", money=0.5, customer_benefit="a", needs_consent=False),
            ),
            assumptions=(),
        )


def test_a_plan_made_with_responses_recorded_and_learned_from_again_is_not_multiplied_twice(plan_of):
    """What was learned from the first night is on file in the second, and is the answer again, not its square."""
    first = World(plan_of, [("card", "bronze", 1500, 500)], gain=10.0)
    rng = np.random.default_rng(21)
    learned = first.learn(0.4, rng, noise=0.1)
    ids = [f"n{i:04d}" for i in range(2000)]
    log = TransactionLog.from_arrays(
        customer_id=[*ids, *rng.choice(ids, 4000)],
        at=np.datetime64("2011-01-01") + np.concatenate([np.zeros(2000, int), rng.integers(1, 180, 4000)]),
        revenue=np.full(6000, 9.0),
    )
    base = summarize(log, as_of=dt.date(2011, 7, 1))
    worth = appraise(base, chance=False)
    plan = make_plan(
        base, worth, anticipate(base), assign_tiers(base, worth), budget=Budget(money=None, hours=None),
        strategies=[Cards()], policies=[], responses=learned, holdout=0.3,
    )  # fmt: skip
    assert plan.gain.max() < 6.0
    assert set(plan.assumed) == {10.0}
    contact = plan.decision == "contact"
    margin = 30.0 + 0.4 * 10.0 * contact + rng.normal(0.0, 3.0, 2000)
    future = TransactionLog.from_arrays(
        customer_id=[*plan.customer_id, "somebody else"],
        at=["2011-07-20"] * 2000 + ["2011-10-01"],
        revenue=[*np.round(margin, 2), 1.0],
        margin=[*np.round(margin, 2), 1.0],
    )
    with Journal(":memory:") as journal:
        journal.record(plan)
        again = learn(journal, future, window_days=WINDOW, interval=0.99)
    found = again.response("check-in", "card", "a tier never seen")
    assert found.expected == pytest.approx(10.0)
    assert found.low < 0.4 < found.high
    assert found.multiplier < 0.6  # over the gain of the plan it would be 0.8


def test_what_exploration_drew_and_later_nights_are_left_out_and_told(plan_of, cards):
    explored = np.zeros(len(cards.plan), dtype=bool)
    explored[:30] = True
    with Journal(":memory:") as journal:
        journal.record(attrs.evolve(cards.plan, explored=explored))
        again = attrs.evolve(cards.plan, as_of=DAY + dt.timedelta(1), action=np.full(len(explored), "call"))
        journal.record(again)
        learned = learn(journal, cards.log(1.0, np.random.default_rng(14)), window_days=WINDOW)
    assert learned.response("check-in", "card", "never seen").contacts == cards.contact.sum() - 30
    assert learned.response("check-in", "call", "gold") is None
    assert any(note.startswith(f"{len(explored) + 30:,} decisions are left out") for note in learned.provenance.notes)


def test_an_actions_own_control_is_used_on_later_nights(plan_of, cards):
    """The call has a control of its own: its effect is learned although nobody's first contact was a call."""
    n, rng = len(cards.plan), np.random.default_rng(15)
    contacted = cards.contact
    control = contacted & (rng.random(n) < 0.3)
    called = np.where(control | ~contacted, "hold-out", "contact")
    share = 1.0 - contacted.sum() / n
    with Journal(":memory:") as journal:
        journal.record(cards.plan)
        night = attrs.evolve(
            cards.plan, as_of=DAY + dt.timedelta(1), action=np.full(n, "call"), decision=called,
            probability=np.full(n, (1 - share) * 0.7), salt=cards.plan.salt,
        )  # fmt: skip
        journal.record(night)
        learned = learn(journal, cards.log(1.0, rng), window_days=WINDOW - 1)
    found = learned.response("check-in", "call", "never seen")
    # By the hash of the journal's salt some of them would be in the hold-out; the others are the control.
    assert found.contacts == (called == "contact").sum()
    assert 0 < found.held_out <= (called == "hold-out").sum()


def test_a_window_shorter_than_the_gain_is_for_is_scaled_as_told(cards):
    rng = np.random.default_rng(16)
    log = cards.log(0.25, rng, noise=0.3)
    seen, spread_out = (learn(cards.journal, log, window_days=WINDOW, share_seen=share) for share in (1.0, 0.25))
    assert spread_out.seen[0] == pytest.approx(4 * seen.seen[0])
    assert "in which 25% of a gain is taken to show" in spread_out.summary[1]
    assert any("nothing is counted that came later than 60 days" in note for note in seen.provenance.notes)


def test_nothing_to_compare_gives_nothing_and_says_so(plan_of, cards):
    """No hold-out, no measurement; no customers, none either; and a tier without a hold-out borrows from the others."""
    with Journal(":memory:") as journal:
        journal.record(plan_of(DAY, contact=["a", "b"], share=0.0))
        learned = learn(journal, cards.log(1.0, np.random.default_rng(17)), window_days=WINDOW)
    assert len(learned) == 0
    assert any("nothing can be compared" in note for note in learned.provenance.notes)
    thin = World(plan_of, [("card", "gold", 30, 1), ("card", "silver", 300, 100)], seed=18)
    gold = thin.learn(1.0, np.random.default_rng(18)).response("check-in", "card", "gold")
    assert np.isnan(gold.seen)
    assert gold.contacts == 30
    assert gold.share > 0


def test_where_nobody_buys_nothing_is_measured(cards):
    quiet = TransactionLog.from_arrays(customer_id=["x"], at=[END], revenue=[1.0], margin=[1.0])
    found = learn(cards.journal, quiet, window_days=WINDOW).response("check-in", "card", "gold")
    assert found.evidence == "assumption"
    assert np.isnan(found.seen)
    assert found.multiplier == pytest.approx(1.0, abs=1e-12)
    assert found.share == pytest.approx(0.0, abs=1e-12)


def test_what_was_learned_is_json_and_comes_back_to_the_last_digit(cards):
    learned = cards.learn(0.4, np.random.default_rng(20), spread={"check-in": 0.3})
    back = Responses.from_dict(json.loads(json.dumps(learned.to_dict(), allow_nan=False)))
    assert back.equals(learned)
    assert back.to_dict() == learned.to_dict()
    assert back.as_of == learned.as_of


@pytest.mark.parametrize(
    "broken",
    [{}, {"version": 2}, {"version": 1}, {"version": 1, "rows": [{}], "as_of": None}, None],
)
def test_stored_responses_that_are_not_as_written_are_one_clear_error(broken):
    with pytest.raises(ConfigError, match="stored responses"):
        Responses.from_dict(broken)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_days": 0},
        {"spread": 0.0},
        {"spread": {"a": -1.0}},
        {"between": -1.0},
        {"alike": 2.0},
        {"share_seen": 0.0},
        {"interval": 1.0},
    ],
)
def test_arguments_out_of_range_are_refused(cards, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        learn(cards.journal, cards.log(1.0, np.random.default_rng(0)), **{"window_days": 9} | wrong)
