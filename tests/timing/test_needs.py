"""What she needs next, and when: planted needs are found, luck is not taken for a need, and the clock is hers."""

import datetime as dt
import math
from functools import cache

import attrs
import numpy as np
import pytest

import retention as rt
from retention.domain import Action
from retention.errors import ConfigError
from retention.histories import summarize
from retention.plan import Budget, Proposals, make_plan
from retention.records import TransactionLog
from retention.timing import Rhythm, anticipate, backtest_needs, category_clocks, next_needs
from retention.timing.needs import backtest, purchases
from retention.worlds import Good, Pantry

CUT = "2020-06-30"


@cache
def _world(seed=1, customers=200, **recipe):
    return Pantry(customers=customers, seed=seed, **recipe).simulate()


@cache
def _needs(seed=1, customers=200):
    world = _world(seed, customers)
    return next_needs(world.log, as_of=world.as_of)


def _log(rows, **more):
    who, day, what = zip(*rows, strict=True)
    at = np.datetime64("2020-01-01") + np.array(day).astype("timedelta64[D]")
    return TransactionLog.from_arrays(
        customer_id=who,
        at=at.astype("datetime64[s]"),
        revenue=np.full(len(rows), 10),
        margin=0.5,
        category=what,
        **more,
    )


# --- the clock of one customer and category


def test_each_clock_is_a_rhythm_of_that_category_alone():
    """Chances, usual gaps and windows are those of a Rhythm with the category's numbers on her purchases of it."""
    world = _world()
    log = attrs.evolve(world.log, quantity=None)
    needs = next_needs(log, as_of=world.as_of, days=21)
    clocks = needs.clocks
    assert clocks.elasticity == 0
    for c, name in enumerate(clocks.category):
        left = (1 - clocks.again[c]) * clocks.size
        rhythm = Rhythm(
            m0=np.log(clocks.usual_gap_days[c]), kappa0=clocks.kappa0, nu0=clocks.nu0,
            s0_squared=clocks.log_variance[c], a=left, b=clocks.size - left, typical_gap_days=1.0, pause=0.0,
        )  # fmt: skip
        base = summarize(log.take(log.categories.text() == name), as_of=world.as_of)
        mine = needs.take(needs.category == name)
        assert mine.customer_id.tolist() == base.customer_id.tolist()
        assert mine.purchases.tolist() == (base.frequency + 1).tolist()
        np.testing.assert_allclose(mine.again, rhythm.p_alive(base), rtol=1e-9)
        np.testing.assert_allclose(mine.p_due, rhythm.p_purchase(base, 21), rtol=1e-7, atol=1e-12)
        for got, want in zip(
            (mine.usual_low_days, mine.usual_gap_days, mine.usual_high_days), rhythm.usual_gap(base), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-9)
        opens = base.last_at + np.rint(rhythm.gap_exceeded(base, 0.75)).astype("timedelta64[D]")
        np.testing.assert_array_equal(mine.opens_at[mine.has_cycle], opens[mine.has_cycle])
        np.testing.assert_array_equal(np.isnat(mine.opens_at), ~mine.has_cycle)


def test_many_gaps_of_her_own_outweigh_the_category_and_one_purchase_leaves_her_to_it():
    rows = [(f"u{i:02d}", 30 * k + i, "Coffee") for i in range(40) for k in range(12)]
    rows += [("fast", 10 * k, "Coffee") for k in range(30)] + [("once", 340, "Coffee")]
    needs = next_needs(_log(rows), as_of="2020-12-31")
    usual = dict(zip(needs.customer_id.tolist(), needs.usual_gap_days.tolist(), strict=True))
    assert usual["fast"] == pytest.approx(10, rel=0.1)
    assert usual["once"] == pytest.approx(needs.clocks.usual_gap_days[0], rel=1e-9)
    assert usual["u01"] == pytest.approx(30, rel=0.1)


def test_what_is_bought_once_has_no_cycle_and_no_window_and_what_is_used_up_has_one():
    for seed in range(1, 5):
        needs = _needs(seed)
        clocks = dict(zip(needs.clocks.category.tolist(), needs.clocks.has_cycle.tolist(), strict=True))
        assert not clocks["Teapot"]
        assert not clocks["Grinder"]
        assert clocks["Soap"]
        assert clocks["Tea"]
        durable = np.isin(needs.category, ["Teapot", "Grinder"])
        assert not needs.has_cycle[durable].any()
        assert np.isnat(needs.opens_at[durable]).all()
        assert (needs.again[durable] < 0.5).all()


def test_usual_gaps_are_the_planted_ones():
    """Rank correlation with the planted lives above 0.85 where a cycle is named, and the median ratio within 20 %.

    A gap is somewhat longer than a life: it ends on a visit, and some purchases are of two pieces."""
    from scipy.stats import spearmanr

    world, needs = _world(2, 400), _needs(2, 400)
    truth = world.truth
    planted = {
        (a, b): v
        for a, b, v in zip(truth.customer_id.tolist(), truth.category.tolist(), truth.lasts_days.tolist(), strict=True)
    }
    pairs = [
        (planted[a, b], v)
        for a, b, v, has in zip(
            needs.customer_id.tolist(), needs.category.tolist(), needs.usual_gap_days.tolist(),
            needs.has_cycle.tolist(), strict=True,
        )
        if has and (a, b) in planted
    ]  # fmt: skip
    lives, gaps = np.array(pairs).T
    assert len(lives) > 400
    assert spearmanr(lives, gaps)[0] > 0.85
    assert 1.0 < np.median(gaps / lives) < 1.25


def test_twice_as_much_lasts_longer_where_that_shows_and_amounts_are_ignored_where_it_does_not():
    """False claims: three standard errors, 1.3 in 1,000 worlds; at four worlds, one in 200."""
    world = _world(3, 300)
    with_amounts = next_needs(world.log, as_of=CUT)
    assert with_amounts.clocks.elasticity > 0.3
    without = next_needs(attrs.evolve(world.log, quantity=None), as_of=CUT)
    assert without.clocks.elasticity == 0
    later = world.log.take(world.log.day > np.datetime64(CUT))

    def log_score(needs):
        wait = backtest._again(needs, later) - np.datetime64(CUT)
        came, p = ~np.isnat(wait) & (wait <= np.timedelta64(14, "D")), np.clip(needs.p_due, 1e-6, 1 - 1e-6)
        return float(np.mean(np.where(came, np.log(p), np.log1p(-p))))

    assert log_score(with_amounts) > log_score(without)
    for seed in range(4):
        null = Pantry.by_popularity(customers=100, years=1.5, seed=seed).simulate()
        assert category_clocks(null.log, as_of=CUT).elasticity == 0


def test_p_due_promises_what_comes():
    """Over four worlds, purchases within 14 days: 0.85 to 1.15 times as many as promised."""
    tried = [backtest_needs(_world(seed).log, cutoffs=["2020-03-31", CUT]) for seed in range(1, 5)]
    ratio = sum(t.due_actual for t in tried) / sum(t.due_expected for t in tried)
    assert 0.85 < ratio < 1.15


# --- which category next


def test_ranks_probabilities_and_lists_tell_one_story():
    needs = _needs()
    names, ranked = needs.clocks.category, needs.top(9)
    assert len(ranked) == 9 * len(np.unique(ranked.customer_id))
    for who in np.unique(needs.customer_id)[:40]:
        hers, told = ranked.customer(who), needs.customer(who)
        assert hers["rank"].tolist() == list(range(1, 10))
        assert sorted(hers.category.tolist()) == names.tolist()
        assert (np.diff(hers.p_next) <= 0).all()
        place = {c: (r, p) for c, r, p in zip(hers.category, hers["rank"], hers.p_next, strict=True)}
        for c, r, p in zip(told.category, told["rank"], told.p_next, strict=True):
            assert place[c] == (r, p)
        assert set(hers.category[~hers.is_new].tolist()) == set(told.category.tolist())
        assert told.top(2).equals(hers.take(hers["rank"] <= 2))
    assert needs.top(1).equals(needs.top(3).take(needs.top(3)["rank"] == 1))


def test_the_chances_of_the_next_basket_come_true():
    """Customers who come next: summed over categories, promised and held differ by less than 12 %; in thirds, 20 %."""
    promised, held = [], []
    for seed in range(1, 5):
        world = _world(seed)
        needs = next_needs(world.log, as_of=CUT)
        later = world.log.take(world.log.day > np.datetime64(CUT))
        first = {}
        for who, day in zip(later.customers.text().tolist(), later.day.tolist(), strict=True):
            first[who] = min(first.get(who, day), day)
        lines = zip(later.customers.text().tolist(), later.day.tolist(), later.categories.text().tolist(), strict=True)
        baskets = {(who, what) for who, day, what in lines if first[who] == day}
        ranked = needs.top(9)
        for who, what, p in zip(ranked.customer_id.tolist(), ranked.category.tolist(), ranked.p_next, strict=True):
            if who in first:
                promised.append(p)
                held.append((who, what) in baskets)
    promised, held = np.array(promised), np.array(held)
    assert promised.sum() == pytest.approx(held.sum(), rel=0.12)
    for part in np.array_split(np.argsort(promised), 3)[1:]:
        assert promised[part].sum() == pytest.approx(held[part].sum(), rel=0.2)


def test_what_she_never_bought_is_named_by_what_she_buys():
    """Two camps that share no goods: the first new category named is of her camp for 90 %, by luck for half."""
    goods = tuple(Good(name=f"{camp}{i}", share=0.6, lasts_days=30, camp=camp) for camp in "AB" for i in range(5))
    world = Pantry(customers=300, goods=goods, elsewhere=0.0, whim=0.0, settling_days=700, seed=2).simulate()
    needs = next_needs(world.log, as_of=world.as_of)
    camp = {who: what[0] for who, what in zip(needs.customer_id.tolist(), needs.category.tolist(), strict=True)}
    ranked = needs.top(10)
    new = ranked.take(ranked.is_new)
    _, first = np.unique(new.customer_id, return_index=True)
    hers = [
        new.category[i][0] == camp[new.customer_id[i]]
        for i in first
        if (new.customer_id == new.customer_id[i]).sum() > 5
    ]
    assert len(hers) > 100
    assert np.mean(hers) > 0.9


def test_customers_in_bunches_or_all_at_once_is_the_same(monkeypatch):
    whole = _needs()
    monkeypatch.setattr(purchases, "_CELLS", 400)
    bunched = next_needs(_world().log, as_of=_world().as_of)
    np.testing.assert_allclose(bunched.p_next, whole.p_next, rtol=1e-12)
    assert bunched["rank"].tolist() == whole["rank"].tolist()
    assert bunched.top(5).category.tolist() == whole.top(5).category.tolist()


# --- what is known, and what is not


def test_nothing_after_the_day_is_known():
    log = _world().log
    needs = next_needs(log, as_of=CUT)
    known = next_needs(log.until(dt.date.fromisoformat(CUT)), as_of=CUT)
    assert needs.equals(known)
    assert needs.top(5).equals(known.top(5))
    assert needs.clocks.equals(known.clocks)
    assert needs.last_at.max() <= np.datetime64(CUT)


def test_the_order_of_the_lines_tells_nothing():
    log = _world().log
    mixed = log.take(np.random.default_rng(0).permutation(len(log)))
    a, b = next_needs(log, as_of=CUT), next_needs(mixed, as_of=CUT)
    assert a.category.tolist() == b.category.tolist()
    np.testing.assert_allclose(a.p_next, b.p_next, rtol=1e-9)
    np.testing.assert_allclose(a.p_due, b.p_due, rtol=1e-9)


def test_what_came_back_was_no_purchase_and_lines_without_a_category_count_as_visits_only():
    rows = [(f"u{i}", 20 * k + i, "Tea") for i in range(10) for k in range(10)]
    plain = next_needs(_log(rows), as_of="2020-12-31")
    back = TransactionLog.from_arrays(
        customer_id=["u1"], at=["2020-09-01"], revenue=[-10], margin=0.5, category=["Tea"]
    )
    assert next_needs(_log(rows) + back, as_of="2020-12-31").equals(plain)
    blank = next_needs(_log([*rows, ("u1", 333, ""), ("stranger", 5, "")]), as_of="2020-12-31")
    assert blank.category.tolist() == plain.category.tolist()
    assert blank.clocks.visit_share[0] < plain.clocks.visit_share[0] == 1.0
    assert "2 lines without a category" in blank.provenance.notes[-1]
    assert "stranger" in blank.top(1).customer_id.tolist()  # no need on file; the popular one is named


@pytest.mark.parametrize(
    "rows",
    [
        [("a", 3, "Tea")],
        [("a", 3, "Tea"), ("a", 3, "Tea"), ("a", 3, "Soap")],
        [(f"u{i}", 3, "Tea") for i in range(5)],
        [("a", k, "Tea") for k in range(6)],
        [("a", 0, "Tea"), ("b", 300, "Soap")],
    ],
    ids=["one line", "one day", "all on one day", "every day", "two strangers"],
)
def test_bases_with_next_to_nothing_in_them_get_an_answer(rows):
    needs = next_needs(_log(rows), as_of="2020-12-31")
    for name in ("usual_gap_days", "again", "p_due", "p_next", "margin"):
        assert np.isfinite(needs[name]).all(), name
    assert ((needs.p_due >= 0) & (needs.p_due <= 1) & (needs.p_next > 0) & (needs.p_next < 1)).all()
    assert len(needs) == len({(who, what) for who, _, what in rows})


def test_bad_input_is_one_clear_error():
    log = _world().log
    with pytest.raises(ConfigError, match="without categories"):
        next_needs(attrs.evolve(log, categories=None), as_of=CUT)
    with pytest.raises(ConfigError, match="named category up to 2001"):
        category_clocks(log, as_of="2001-01-01")
    for wrong in ({"days": 0}, {"window": (0.8, 0.2)}, {"window": (0.5,)}, {"sure": 1.0}, {"interval": 2}):
        with pytest.raises(ConfigError):
            next_needs(log, as_of=CUT, **wrong)
    few = category_clocks(log.take(log.categories.text() == "Tea"), as_of=CUT)
    with pytest.raises(ConfigError, match="other categories"):
        next_needs(log, as_of=CUT, clocks=few)
    for n in (0, 11, 1.5):
        with pytest.raises(ConfigError):
            _needs().top(n)
    for wrong in ({"per_customer": 0}, {"min_again": 2}):
        with pytest.raises(ConfigError):
            _needs().reminders(**wrong)
    for wrong in ({"cutoffs": []}, {"cutoffs": "2030-01-01"}, {"top": (0,)}, {"near": 0}, {"within_days": 0}):
        with pytest.raises(ConfigError):
            backtest_needs(log, **({"cutoffs": [CUT]} | wrong))


# --- reminders


def test_a_reminder_names_the_need_and_falls_into_its_window():
    needs = _needs()
    told = needs.reminders()
    today = np.datetime64(needs.as_of)
    assert len(told) > 20
    assert len(np.unique(told.customer_id)) == len(told)
    assert (told.opens_at == today).all()
    assert (told.closes_at >= today).all()
    for i in range(0, len(told), 5):
        row = needs.customer(told.customer_id[i])
        row = row.take(row.category == told.category[i])
        assert row.has_cycle[0]
        assert row.opens_at[0] <= today <= row.closes_at[0] == told.closes_at[i]
        assert row.again[0] >= 0.5
        usual, idle = row.usual_gap_days[0], row.idle_days[0]
        what = told.category[i]
        want = f"{what}: what she bought usually lasts her {usual:.0f} days; that was {idle:.0f} days ago"
        assert told.reason[i] == want
    all_of_them = needs.reminders(per_customer=9, min_again=0.0)
    assert len(all_of_them) == needs.is_open.sum()
    best = {who: max(all_of_them.p_due[all_of_them.customer_id == who]) for who in told.customer_id}
    assert all(best[who] == p for who, p in zip(told.customer_id, told.p_due, strict=True))
    assert len(needs.reminders(min_again=1.0)) == 0


@attrs.frozen
class _Remind:
    """The least that makes reminders a strategy."""

    reminders: object
    lift: float = 0.1
    name: str = "need-reminder"

    def propose(self, situation):
        told, n = self.reminders, len(self.reminders)
        note = Action(
            name="reminder",
            kind="remind",
            channel="in person",
            customer_benefit="does not run out",
            needs_consent=False,
        )
        return Proposals(
            customer_id=told.customer_id, base_row=situation.rows_of(told.customer_id), action=np.zeros(n, dtype=int),
            gain=self.lift * told.margin, gain_sd=0.5 * self.lift * told.margin, opens=told.opens_at,
            closes=told.closes_at, strategy=np.full(n, self.name), reason=told.reason,
            evidence=np.full(n, "assumption"), actions=(note,),
        )  # fmt: skip


def test_a_plan_takes_reminders_as_they_are():
    world, told = _world(), _needs().reminders()
    base = summarize(world.log, as_of=world.as_of)
    value = rt.appraise(base)
    plan = make_plan(
        base, value, anticipate(base), rt.assign_tiers(base, value), strategies=[_Remind(told)], policies=[],
        budget=Budget(money=None, hours=None), holdout=0.0,
    )  # fmt: skip
    best = plan.contacts
    planned = dict(zip(best.customer_id.tolist(), best.reason.tolist(), strict=True))
    assert len(planned) == len(told)
    assert all(planned[who].startswith(why) for who, why in zip(told.customer_id, told.reason, strict=True))


# --- the backtest itself


def _by_hand(log, cut, length, within=90):
    """Hits of popularity and favourites, with loops."""
    cut = np.datetime64(cut)
    lines = sorted(
        set(zip(log.customers.text().tolist(), log.day.tolist(), log.categories.text().tolist(), strict=True))
    )
    known = [line for line in lines if np.datetime64(line[1]) <= cut]
    bought, popular = {}, {}
    for who, _, what in known:
        bought.setdefault(who, {}).setdefault(what, 0)
        bought[who][what] += 1
        popular[what] = popular.get(what, 0) + 1
    ranked = sorted(popular, key=lambda c: (-popular[c], c))
    hits = {"popularity": {}, "favourite": {}}
    for who in bought:
        later = [
            (d, c) for w, d, c in lines if w == who and cut < np.datetime64(d) <= cut + np.timedelta64(within, "D")
        ]
        if not later:
            continue
        basket = {c for d, c in later if d == min(later)[0]}
        own = sorted(bought[who], key=lambda c: (-bought[who][c], ranked.index(c)))
        favourites = (own + [c for c in ranked if c not in own])[:length]
        hits["popularity"][who] = bool(basket & set(ranked[:length]))
        hits["favourite"][who] = bool(basket & set(favourites))
    return hits


def test_the_rules_to_beat_are_counted_as_by_hand():
    log = _world(4, 60, years=1.5).log
    tried = backtest_needs(log, cutoffs=["2019-12-31"], top=(1, 2, 4))
    for i in range(len(tried.next)):
        want = _by_hand(log, "2019-12-31", int(tried.next.top[i]))[str(tried.next.against[i])]
        assert tried.next.forecasts[i] == len(want)
        assert tried.next.rule_hit_rate[i] == pytest.approx(np.mean(list(want.values())), abs=1e-12)


def test_the_interval_counts_a_customer_once_however_many_cuts_saw_her():
    rng = np.random.default_rng(0)
    a, b = rng.random(500) < 0.5, rng.random(500) < 0.3
    who = np.array([f"c{i}" for i in range(500)])
    gap, low, high = backtest._difference((who, a.astype(float)), (who, b.astype(float)), 0.95)
    error = np.std(a.astype(float) - b) / np.sqrt(500)
    assert gap == pytest.approx(a.mean() - b.mean())
    assert high - low == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    twice = [np.concatenate([v, v]) for v in (who, a.astype(float), b.astype(float))]
    again = backtest._difference((twice[0], twice[1]), (twice[0], twice[2]), 0.95)
    np.testing.assert_allclose(again, (gap, low, high))


def test_a_backtest_is_told_the_same_whatever_happens_after_its_window():
    world = _world()
    log = world.log
    cut = "2020-03-31"
    short = log.take(log.day <= np.datetime64("2020-07-15"))
    a, b = backtest_needs(log, cutoffs=[cut]), backtest_needs(short, cutoffs=[cut])
    assert a.next.equals(b.next)
    assert a.due_expected == b.due_expected
    assert a.due_actual == b.due_actual


# --- planted needs are found, luck is not


def _inside(world, needs):
    """Shares inside the planted window: need-timed, and the same needs on a calendar day."""
    timed = needs.is_open & (needs.again >= 0.5)
    fixed = needs.has_cycle & (needs.again >= 0.5)
    return [world.truth.inside(needs.customer_id[rows], needs.category[rows], world.as_of) for rows in (timed, fixed)]


def _one_clock_for_all(needs, log):
    """Wrong on purpose: every category the base's clock, and nobody's own gaps count."""
    clocks = needs.clocks
    same = np.full(len(clocks), np.median(needs.usual_gap_days[needs.has_cycle]))
    wrong = attrs.evolve(clocks, usual_gap_days=same, log_variance=np.full(len(clocks), 0.15), kappa0=1e9, nu0=1e9)
    return next_needs(log, as_of=needs.as_of, clocks=wrong)


def _shuffled(log, seed):
    """Wrong on purpose: every line is given the category of some other line."""
    codes = log.categories.codes[np.random.default_rng(seed).permutation(len(log))]
    return attrs.evolve(log, categories=attrs.evolve(log.categories, codes=codes))


def _judge(seed):
    """One seed: verdicts against popularity where needs are planted, where there are none, where they are mixed up."""
    world = _world(seed, 150)
    planted = backtest_needs(world.log, cutoffs=[CUT])
    mixed = backtest_needs(_shuffled(world.log, seed), cutoffs=[CUT])
    level = tuple(attrs.evolve(good, weight=1.0) for good in Pantry().goods)
    # Popularity alone; in every other world all are equally popular, so that the ranking is luck.
    null = Pantry.by_popularity(
        customers=150, years=1.5, seed=seed, **({"goods": level} if seed % 2 else {})
    ).simulate()
    luck = backtest_needs(null.log, cutoffs=["2020-03-31"])
    needs = next_needs(world.log, as_of=world.as_of)
    wrong = _one_clock_for_all(needs, world.log)
    return planted, mixed, luck, _inside(world, needs), _inside(world, wrong)[0]


def _against_popularity(tried, top):
    return tried.next.verdict[(tried.next.against == "popularity") & (tried.next.top == top)][0]


def test_planted_needs_beat_popularity_and_the_calendar_and_luck_does_not():
    """Three seeds of the fifty below."""
    for seed in range(3):
        planted, mixed, luck, (timed, fixed), _ = _judge(seed)
        assert planted.better
        assert _against_popularity(planted, 1) == "ahead"
        assert _against_popularity(mixed, 1) != "ahead"
        assert _against_popularity(luck, 1) != "ahead"
        assert timed.mean() > fixed.mean()


@pytest.mark.slow
def test_over_many_worlds_needs_are_found_where_planted_and_nowhere_else():
    """Ahead of popularity at one named: in 24 of 25 planted worlds at least (the gain is some four errors wide).

    Luck and mixed-up categories: 95 % bounds on both sides leave 0.6 of 25 false claims by chance; 3 or more would
    come twice in 100, the seeds are fixed. Reminders: more inside the planted windows than on a calendar day in 24
    of 25; with one clock for all, wrong on purpose, the gain all but goes.
    """
    judged = [_judge(seed) for seed in range(25)]
    for top in (1, 3):
        claims = [[_against_popularity(one[k], top) for one in judged].count("ahead") for k in range(3)]
        assert claims[0] >= (24 if top == 1 else 12)
        assert claims[1] <= 2
        assert claims[2] <= 2
    timed, fixed = ([one[3][k] for one in judged] for k in (0, 1))
    assert sum(a.mean() > b.mean() for a, b in zip(timed, fixed, strict=True)) >= 24
    right, calendar = np.concatenate(timed).mean(), np.concatenate(fixed).mean()
    wrong = np.concatenate([one[4] for one in judged]).mean()
    assert right > calendar + 0.2
    assert right > wrong + 0.1
    backtested = [one[0].reminders for one in judged]
    assert sum(r.verdict[1] == "ahead" for r in backtested) >= 22
    assert not any(r.verdict[1] == "behind" for r in backtested)


# --- pictures and words


def test_the_picture_shows_the_windows_of_the_table():
    needs = _needs()
    ax = needs.plot()
    who = max(
        np.unique(needs.customer_id[needs.has_cycle]), key=lambda w: needs.has_cycle[needs.customer_id == w].sum()
    )
    hers = needs.customer(who)
    today = np.datetime64(needs.as_of)
    drawn = sorted(round(patch.get_x()) for patch in ax.patches)
    assert drawn == sorted((hers.opens_at[hers.has_cycle] - today).astype(int).tolist())
    assert len(ax.get_yticklabels()) == len(hers)
    tried = backtest_needs(_world().log, cutoffs=[CUT])
    heights = [patch.get_height() for patch in tried.plot().patches]
    shown = {round(float(h), 12) for h in heights}
    assert {round(float(v), 12) for v in np.r_[tried.next.hit_rate, tried.next.rule_hit_rate]} == shown


def test_what_is_shown_says_the_counts():
    needs = _needs()
    assert f"{len(needs):,} of" in repr(needs)
    assert "with a replenishment cycle" in repr(needs.clocks)
    assert "against" in repr(backtest_needs(_world().log, cutoffs=[CUT]))


def test_some_needs_have_the_next_categories_of_their_customers_and_no_others():
    needs = _needs()
    some = needs.take(needs.is_open)
    assert 0 < len(some) < len(needs)
    assert set(some.top(1).customer_id.tolist()) == set(some.customer_id.tolist())


def test_what_nobody_bought_twice_has_no_cycle():
    """An invoice line as the category: a clock of all gaps there is none, and no window is made up."""
    rng = np.random.default_rng(8)
    days = np.sort(rng.integers(0, 700, 400))
    log = TransactionLog.from_arrays(
        customer_id=[f"c{i}" for i in rng.integers(0, 40, 400)],
        at=np.datetime64("2019-01-01") + days,
        revenue=np.ones(400),
        category=[f"line {i}" for i in range(400)],
    )
    assert not next_needs(log, as_of="2020-12-31").has_cycle.any()


def test_a_handful_of_customers_proves_nothing():
    """Fewer than twenty say nothing of amounts, fewer than ten nothing of a rule."""
    world = Pantry(customers=5, seed=2).simulate()
    assert math.isinf(category_clocks(world.log, as_of=CUT).elasticity_error)
    assert set(backtest_needs(world.log, cutoffs=[CUT]).next.verdict.tolist()) == {"too few"}


def test_clocks_of_a_later_day_are_refused():
    world = _world()
    later = category_clocks(world.log, as_of=world.as_of)
    with pytest.raises(ConfigError, match="on the day of the needs or before"):
        next_needs(world.log, as_of=CUT, clocks=later)


@pytest.mark.parametrize("wrong", [{"days": "x"}, {"window": 0.5}, {"sure": "a"}, {"clocks": 3}, {"window": (0.1,)}])
def test_odd_arguments_of_needs_are_one_clear_error(wrong):
    with pytest.raises(ConfigError):
        next_needs(_world().log, as_of=CUT, **wrong)


# --- real shops


def test_on_a_real_wholesaler_needs_beat_popularity_by_far_and_her_favourites_not(shared_data):
    """541,909 invoice lines; what is honest to say: popularity is left far behind, her own habit is as good a guide."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(shared_data("online_retail_2010_2011/online_retail.parquet"))
    code = table["StockCode"].astype(str)
    table = table[
        table["CustomerID"].notna() & (table["Quantity"] > 0) & (table["UnitPrice"] > 0) & code.str.match(r"\d{5}")
    ]
    common = table["StockCode"].astype(str).str[:5]
    table = table[common.isin(common.value_counts().index[:300])]
    log = TransactionLog.from_arrays(
        customer_id=table["CustomerID"].astype(int).astype(str).to_numpy(),
        at=table["InvoiceDate"].to_numpy().astype("datetime64[s]"),
        revenue=(table["Quantity"] * table["UnitPrice"]).round(2).to_numpy(),
        margin=0.4,
        category=table["StockCode"].astype(str).str[:5].to_numpy(),
        quantity=table["Quantity"].to_numpy(dtype=float),
    )
    tried = backtest_needs(log, cutoffs=["2011-08-31"])
    popular = tried.next.take(tried.next.against == "popularity")
    assert (popular.low > 0.1).all()
    favourite = tried.next.take(tried.next.against == "favourite")
    assert (favourite.low > -0.05).all()
    assert 0.8 < tried.due_expected / tried.due_actual < 1.2
