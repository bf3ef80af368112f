"""Those she brings are credited to her: once, and never for more than they are worth."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError, ModelError
from retention.frames.table import Provenance
from retention.histories import Histories
from retention.records import Referrals, read_referrals
from retention.value import BGNBD, ServingCosts, appraise
from retention.value.referrals.credit import credit_referrals
from retention.value.referrals.future import expected_referrals
from retention.value.referrals.service import total_value
from retention.value.referrals.tables import ReferralCredits
from retention.value.valuation import Valuation


def valued(values, *, low=None, high=None, purchases=1e6, ids=None, as_of=None, rate=0.10, interval=0.90):
    """A valuation with these values; ids are "0", "1", ... unless given."""
    value = np.asarray(values, dtype=float)
    n = len(value)
    return Valuation(
        customer_id=np.asarray([str(i) for i in range(n)] if ids is None else ids, dtype=np.str_),
        p_alive=np.ones(n),
        expected_purchases=np.full(n, purchases),
        margin_mean=value,
        expected_margin=value,
        value=value,
        value_low=value if low is None else np.asarray(low, dtype=float),
        value_high=value if high is None else np.asarray(high, dtype=float),
        model="given",
        horizon_days=365.0,
        discount_rate=rate,
        interval=interval,
        provenance=Provenance(as_of=as_of),
    )


def brought(pairs, **others):
    return Referrals.from_arrays(
        referrer_id=[str(up) for up, _ in pairs], referred_id=[str(down) for _, down in pairs], **others
    )


@st.composite
def forests(draw, most=14):
    """A random forest: each person is brought by nobody or by one who comes before her in a random order."""
    n = draw(st.integers(1, most))
    order = draw(st.permutations(range(n)))
    parents = [draw(st.integers(-1, place - 1)) for place in range(n)]
    pairs = [(order[up], order[place]) for place, up in enumerate(parents) if up >= 0]
    return n, draw(st.permutations(pairs))


money = st.floats(-1e6, 1e6).map(lambda x: round(x, 2))


@st.composite
def questions(draw, least=-1e6):
    """A forest of customers, and how its referrals are to be credited; some people have no valuation."""
    n, pairs = draw(forests())
    values = draw(st.lists(money.filter(lambda x: x >= least), min_size=n, max_size=n))
    known = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    ids = [str(i) for i in range(n) if known[i]]
    valuation = valued([value for value, one in zip(values, known, strict=True) if one], ids=ids)
    shares = draw(st.lists(st.floats(0, 1), min_size=len(pairs), max_size=len(pairs)))
    options = {
        "type_one_share": np.asarray(shares),
        "acquisition_cost": draw(st.floats(0, 1e5)),
        "earlier_days": draw(st.floats(0, 1000)),
        "deeper_share": draw(st.floats(0, 1)),
    }
    return valuation, brought(pairs), options


def lawful(credits: ReferralCredits, crv: np.ndarray) -> bool:
    """Each credit lies between zero and the value; what all keep is what was credited, no cent of it twice."""
    scale = 1e-9 * (1 + np.abs(credits.value))
    inside = (credits.credit <= np.maximum(credits.value, 0) + scale) & (
        credits.credit >= np.minimum(credits.value, 0) - scale
    )
    same = abs(crv.sum() - credits.credit.sum()) <= 1e-9 * (1 + np.abs(credits.value).sum())
    return bool(inside.all() and same)


@given(questions())
def test_no_value_is_credited_twice_or_beyond_what_the_referred_are_worth(question):
    valuation, referrals, options = question
    crv = credit_referrals(valuation, referrals, **options)
    assert lawful(crv.credits, crv.crv)
    np.testing.assert_allclose(crv.type_one + crv.type_two, crv.crv, rtol=1e-12, atol=1e-6)
    gains = np.maximum(crv.credits.value, 0).sum()
    assert crv.total() <= gains * (1 + 1e-9) + 1e-6


@given(questions(least=0))
def test_crediting_moves_value_between_customers_and_makes_none(question):
    """The attributed values add up to the base; sums of CLV and CRV would not, and are not offered."""
    valuation, referrals, options = question
    total = total_value(valuation, credit_referrals(valuation, referrals, **options))
    assert total.attributed.sum() == pytest.approx(valuation.value.sum(), rel=1e-9, abs=1e-6)
    assert total.base() == pytest.approx(valuation.value.sum())


@given(questions())
def test_each_keeps_what_a_walk_up_from_every_referral_leaves_her(question):
    """The definition, without levels: walk up from each referral and split its credit once on the way."""
    valuation, referrals, options = question
    crv = credit_referrals(valuation, referrals, **options)
    up = dict(zip(referrals.referred_id.tolist(), referrals.referrer_id.tolist(), strict=True))
    share = dict(zip(referrals.referred_id.tolist(), crv.credits.type_one_share.tolist(), strict=True))
    kept = dict.fromkeys(crv.customer_id.tolist(), 0.0)
    for one, credit in zip(referrals.referred_id.tolist(), crv.credits.credit.tolist(), strict=True):
        at, rest = up[one], credit
        while at in up:
            passed = options["deeper_share"] * share[at] * rest
            kept[at] += rest - passed
            at, rest = up[at], passed
        kept[at] += rest
    np.testing.assert_allclose(crv.crv, [kept[one] for one in crv.customer_id.tolist()], rtol=1e-9, atol=1e-5)


def credited_to_every_ancestor(valuation, referrals, options):
    """Wrong on purpose: the full credit at every level."""
    crv = credit_referrals(valuation, referrals, **options)
    tree = referrals.tree()
    credit = dict(zip(referrals.referred_id.tolist(), crv.credits.credit.tolist(), strict=True))
    out = np.zeros(len(tree.people))
    for place, one in enumerate(tree.people.tolist()):
        at = tree.parent[place]
        while at >= 0:
            out[at] += credit[one]
            at = tree.parent[at]
    return crv.credits, out


def passed_on_and_kept(valuation, referrals, options):
    """Wrong on purpose: what is passed up is kept as well."""
    crv = credit_referrals(valuation, referrals, **options)
    tree = referrals.tree()
    out = np.zeros(len(tree.people))
    order = np.argsort(-tree.depth)
    for place in order:
        if tree.row[place] >= 0:
            out[tree.parent[place]] += crv.credits.credit[tree.row[place]] + 0.5 * out[place]
    return crv.credits, out


def saved_cost_on_top(valuation, referrals, options):
    """Wrong on purpose: a customer who would not have come at any cost is said to have saved one."""
    credits = credit_referrals(valuation, referrals, **options).credits
    more = credits.credit + credits.type_one_share * options["acquisition_cost"]
    return attrs.evolve(credits, credit=more), more


@pytest.mark.parametrize("wrong", [credited_to_every_ancestor, passed_on_and_kept, saved_cost_on_top])
def test_the_law_catches_whoever_counts_twice(wrong):
    quick = settings(max_examples=200, phases=[Phase.generate])
    assert find(questions(least=0), lambda question: not lawful(*wrong(*question)), settings=quick)


def test_type_one_is_worth_all_of_her_and_type_two_the_cost_saved():
    crv = credit_referrals(
        valued([10, 500, 30]), brought([(0, 1), (0, 2)]), type_one_share=[1.0, 0.0], acquisition_cost=20
    )
    assert crv.crv.tolist() == [520, 0, 0]
    assert (crv.type_one[0], crv.type_two[0], crv.referred[0]) == (500, 20, 2)
    assert crv.given.tolist() == [0, 500, 20]


def test_nobody_is_worth_more_to_win_than_to_have_and_a_loss_is_no_gain():
    pairs = brought([(0, 1), (0, 2), (0, 3)])
    crv = credit_referrals(valued([0, 30, -40, 0]), pairs, type_one_share=0.0, acquisition_cost=100)
    assert crv.credits.credit.tolist() == [30, 0, 0]
    crv = credit_referrals(valued([0, 30, -40, 0]), pairs, type_one_share=1.0, acquisition_cost=100)
    assert crv.credits.credit.tolist() == [30, -40, 0]


def test_coming_a_year_earlier_is_worth_a_years_discount_if_asked():
    """A stream of 110 a year from now is worth 100 now at 10 %: one year earlier gains a share of 1 - 1/1.1."""
    options = {"type_one_share": 0.0, "acquisition_cost": 5.0, "earlier_days": 365.0}
    crv = credit_referrals(valued([0, 110]), brought([(0, 1)]), **options)
    assert crv.crv[0] == pytest.approx(5 + 110 - 100)
    none = credit_referrals(valued([0, 110]), brought([(0, 1)]), **options, discount_rate=0.0)
    assert none.crv[0] == 5


def test_a_cost_saved_two_years_ago_is_money_of_that_day():
    referrals = brought([(0, 1), (0, 2)], at=[dt.date(2009, 12, 31), None])
    worth = valued([0, 1000, 1000], as_of="2011-12-31")
    crv = credit_referrals(worth, referrals, type_one_share=0.0, acquisition_cost=100)
    assert crv.credits.credit.tolist() == pytest.approx([121, 100])
    undated = credit_referrals(valued([0, 1000, 1000]), referrals, type_one_share=0.0, acquisition_cost=100)
    assert undated.credits.credit.tolist() == [100, 100]
    assert any("no as-of date" in note for note in undated.provenance.notes)
    with pytest.raises(ConfigError, match="row 1: after the as-of date 2009-01-01"):
        credit_referrals(valued([0, 1, 1], as_of="2009-01-01"), referrals, type_one_share=0.5, acquisition_cost=0)


def test_deeper_levels_share_what_was_credited_once():
    """0 brought 1, who brought 2, who brought 3; half is passed up at each step."""
    worth, chain = valued([0, 0, 0, 80]), brought([(0, 1), (1, 2), (2, 3)])
    one_level = credit_referrals(worth, chain, type_one_share=1.0, acquisition_cost=0)
    assert one_level.crv.tolist() == [0, 0, 80, 0]
    deeper = credit_referrals(worth, chain, type_one_share=1.0, acquisition_cost=0, deeper_share=0.5)
    assert deeper.crv.tolist() == [20, 20, 40, 0]
    assert deeper.deeper.tolist() == [2, 1, 0, 0]
    all_up = credit_referrals(worth, chain, type_one_share=1.0, acquisition_cost=0, deeper_share=1.0)
    assert all_up.crv.tolist() == [80, 0, 0, 0]


def test_who_would_have_come_anyway_owes_her_own_referrals_to_nobody():
    chain = brought([(0, 1), (1, 2)])
    crv = credit_referrals(valued([0, 10, 80]), chain, type_one_share=[0.0, 1.0], acquisition_cost=0, deeper_share=0.5)
    assert crv.crv.tolist() == [0, 80, 0]


def test_friends_family_and_co_workers_are_told_apart():
    referrals = brought([(0, 1), (0, 2), (3, 4)], tie=["friend", "family", "friend"])
    shares = {"friend": 0.5, "family": 1.0}
    crv = credit_referrals(valued([0, 100, 50, 0, 20]), referrals, type_one_share=shares, acquisition_cost=10)
    ties = crv.by_tie()
    assert ties["tie"].tolist() == ["friend", "family", "co-worker", "other"]
    assert ties["referrals"].tolist() == [2, 1, 0, 0]
    assert ties["value"].tolist() == [120, 50, 0, 0]
    assert ties["crv"].tolist() == [50 + 5 + 10 + 5, 50, 0, 0]
    assert ties["crv"].sum() == crv.total()
    with pytest.raises(ConfigError, match="'friend'") as caught:
        credit_referrals(valued([0, 1, 1, 1, 1]), referrals, type_one_share={"friend": 1}, acquisition_cost=0)
    assert "'family'" in caught.value.remedy


def test_referrers_who_never_bought_are_there_and_referred_without_a_history_are_counted():
    crv = credit_referrals(
        valued([7.0], ids=["bea"]),
        brought([("ann", "bea"), ("ann", "cleo")]),
        type_one_share=1.0,
        acquisition_cost=50,
    )
    assert crv.customer_id.tolist() == ["bea", "ann"]
    assert crv.crv.tolist() == [0, 7]
    assert any(note.startswith("1 referred customers have no valuation") for note in crv.provenance.notes)


def test_nobody_referred_is_worth_nothing_to_anybody():
    crv = credit_referrals(valued([3, 4]), Referrals.none(), type_one_share=0.5, acquisition_cost=9)
    assert crv.crv.tolist() == [0, 0]
    assert crv.by_tie()["referrals"].tolist() == [0, 0, 0, 0]
    empty = credit_referrals(valued([]), Referrals.none(), type_one_share=0.5, acquisition_cost=9)
    assert len(empty) == 0
    crv.plot()


@pytest.mark.parametrize(
    "options",
    [
        {"acquisition_cost": -1},
        {"acquisition_cost": float("nan")},
        {"type_one_share": 1.2},
        {"type_one_share": float("nan")},
        {"type_one_share": [0.5, 0.5]},
        {"type_one_share": {"freind": 0.5}},
        {"discount_rate": -0.1},
        {"deeper_share": 1.5},
        {"earlier_days": -3},
        {"draws": np.zeros((5, 7))},
    ],
)
def test_what_makes_no_sense_is_told(options):
    with pytest.raises(ConfigError):
        credit_referrals(valued([1, 2]), brought([(0, 1)]), **{"type_one_share": 0.5, "acquisition_cost": 1} | options)


def test_a_valuation_that_is_none_is_told():
    with pytest.raises(ModelError, match="no numbers"):
        credit_referrals(valued([1, np.nan]), brought([(0, 1)]), type_one_share=0.5, acquisition_cost=1)
    with pytest.raises(ModelError, match="two rows"):
        credit_referrals(valued([1, 2], ids=["0", "0"]), brought([(0, 1)]), type_one_share=0.5, acquisition_cost=1)


def test_the_interval_for_one_friend_is_that_friends_own():
    worth = valued([5, 100], low=[1, 40], high=[9, 190])
    crv = credit_referrals(worth, brought([(0, 1)]), type_one_share=1.0, acquisition_cost=0)
    assert (crv.crv_low[0], crv.crv_high[0]) == (40, 190)
    half = credit_referrals(worth, brought([(0, 1)]), type_one_share=0.5, acquisition_cost=10)
    assert (half.crv_low[0], half.crv[0], half.crv_high[0]) == (25, 55, 100)


def test_friends_who_fare_alike_leave_more_doubt_than_friends_who_do_not():
    n = 9
    worth = valued([0] + [100] * n, low=[0] + [40] * n, high=[0] + [190] * n)
    star = brought([(0, i + 1) for i in range(n)])
    apart = credit_referrals(worth, star, type_one_share=1.0, acquisition_cost=0)
    alike = credit_referrals(worth, star, type_one_share=1.0, acquisition_cost=0, together=True)
    assert (alike.crv_low[0], alike.crv_high[0]) == (40 * n, 190 * n)
    assert 40 * n < apart.crv_low[0] < 100 * n < apart.crv_high[0] < 190 * n
    assert alike.by_tie()["crv_high"][3] == 190 * n


@pytest.mark.parametrize(("shape", "friends"), [(1.0, 3), (1.0, 12), (4.0, 3), (4.0, 30)])
def test_nine_in_ten_intervals_hold_what_the_friends_really_bring(shape, friends):
    """Gamma-distributed values with exact bounds, from which their spread is guessed. The sum's bounds lie half-way
    between those of a gamma and of a log-normal, so 86 to 91 % are expected. 4,000 draws: a standard error of 0.5
    points, two of them allowed below and four above."""
    from scipy.stats import gamma

    mean = 60.0
    low, high = gamma.ppf([0.05, 0.95], shape, scale=mean / shape)
    worth = valued([0] + [mean] * friends, low=[0] + [low] * friends, high=[0] + [high] * friends)
    star = brought([(0, i + 1) for i in range(friends)])
    crv = credit_referrals(worth, star, type_one_share=1.0, acquisition_cost=0)
    real = np.random.default_rng(7).gamma(shape, mean / shape, (4000, friends)).sum(axis=1)
    held = np.mean((real >= crv.crv_low[0]) & (real <= crv.crv_high[0]))
    assert 0.85 < held < 0.93


@pytest.mark.parametrize(("purchases", "friends"), [(0.1, 5), (0.1, 40), (0.4, 3), (0.4, 12), (2.0, 5)])
def test_intervals_hold_for_friends_who_most_likely_buy_nothing(purchases, friends):
    """A Poisson number of exponential purchases, guessed from bounds of which the upper one is often 0, which is rough:
    90 % intervals hold at least 85 %. 4,000 draws: a standard error of 0.5 points, four of them allowed. A sum that is
    0 with a probability above 5 % cannot be cut at 90 %, so the interval holds more."""
    rng = np.random.default_rng(5)
    real = rng.poisson(purchases, 200_000)
    one = np.where(real > 0, rng.gamma(np.maximum(real, 1), 50.0), 0.0)
    low, high = np.quantile(one, [0.05, 0.95])
    mean = 50.0 * purchases
    worth = valued([0] + [mean] * friends, low=[0] + [low] * friends, high=[0] + [high] * friends, purchases=purchases)
    star = brought([(0, i + 1) for i in range(friends)])
    crv = credit_referrals(worth, star, type_one_share=1.0, acquisition_cost=0)
    sums = rng.choice(one, (4000, friends)).sum(axis=1)
    assert np.mean(sums > crv.crv_high[0]) < 0.08
    assert np.mean((sums >= crv.crv_low[0]) & (sums <= crv.crv_high[0])) > 0.83


@pytest.fixture(scope="module", params=["now and then", "often"])
def newcomer(request):
    """A model, and 100,000 futures of a customer two months after her first purchase, simulated from the story that
    the model tells and not by its code: discounted margin of a year."""
    rates = {"now and then": (0.243, 4.414, 0.793, 2.426), "often": (1.5, 20.0, 0.5, 3.0)}[request.param]
    (r, alpha, a, b), (p, q, v) = rates, (6.25, 3.74, 15.44)
    rng, n, age, horizon = np.random.default_rng(17), 100_000, 60.0, 365.0
    rate = rng.gamma(r, 1 / (alpha + age / 7), n) / 7  # silent so far, and nobody leaves before a repeat purchase
    leave, size = rng.beta(a, b, n), rng.gamma(q, 1 / v, n)
    day, worth, there = np.zeros(n), np.zeros(n), np.arange(n)
    while len(there):
        day[there] += rng.exponential(1 / np.maximum(rate[there], 1e-300))
        there = there[day[there] <= horizon]
        worth[there] += 1.1 ** (-day[there] / 365) * rng.gamma(p, 1 / size[there])
        there = there[rng.random(len(there)) >= leave[there]]
    return BGNBD().at(r=r, alpha=alpha, a=a, b=b, p=p, q=q, v=v), worth


@pytest.mark.parametrize("saved", [0.0, 20.0])
@pytest.mark.parametrize("friends", [1, 2, 5, 20])
def test_nine_in_ten_intervals_hold_what_newcomers_bring(newcomer, friends, saved):
    """Each bound fails with 5 %, which 20,000 sums tell to 0.15 points (standard error); 3 points are allowed for what
    moments do not say. Where more than 5 % of the sums are nothing at all no lower bound can fail, and the interval
    holds 95 %."""
    model, worth = newcomer
    everyone = Histories.from_arrays(
        frequency=[0] * friends, recency_days=[0] * friends, age_days=[60] * friends, margin_mean=[0] * friends,
        customer_id=[str(i + 1) for i in range(friends)],
    )  # fmt: skip
    share = 0.5 if saved else 1.0
    hers = credit_referrals(
        model.value(everyone, horizon_days=365, discount_rate=0.10),
        brought([(0, i + 1) for i in range(friends)]), type_one_share=share, acquisition_cost=saved,
    ).customer("0")  # fmt: skip
    one = share * worth + (1 - share) * np.minimum(worth, saved)
    sums = np.random.default_rng(3).choice(one, (20_000, friends)).sum(axis=1)
    assert hers["crv_mean"] == pytest.approx(sums.mean(), rel=0.06)
    assert hers["crv_sd"] == pytest.approx(sums.std(), rel=0.1)
    nothing = np.mean(sums == 0)
    assert hers["p_silent"] == pytest.approx(nothing, abs=0.015)
    assert 0.02 < np.mean(sums > hers["crv_high"]) < 0.08
    held = np.mean((sums >= hers["crv_low"]) & (sums <= hers["crv_high"]))
    if nothing > 0.06:
        assert hers["crv_low"] == 0
        assert 0.94 < held < 0.975
    else:
        assert 0.02 < np.mean(sums < hers["crv_low"]) < 0.08
        assert 0.87 < held < 0.94


def test_a_value_without_horizon_is_credited_like_any_other():
    """Undiscounted purchases without end are infinitely many; the values are finite."""
    n = 4
    worth = valued([0] + [100] * n, low=[0] + [40] * n, high=[0] + [190] * n, purchases=np.inf)
    chain = brought([(0, 1), (0, 2), (1, 3), (3, 4)])
    crv = credit_referrals(worth, chain, type_one_share=1.0, acquisition_cost=0, deeper_share=0.5)
    assert crv.total() == pytest.approx(400)
    assert 0 < crv.crv_low[0] < crv.crv[0] < crv.crv_high[0]


def test_draws_of_the_values_give_the_interval_of_what_they_say():
    """Friends whose values come and go together, one of them passed up by half: quantiles of the credited draws."""
    rng = np.random.default_rng(3)
    common = rng.gamma(2.0, 50.0, 2000)
    draws = np.stack([np.zeros(2000), common, common], axis=1)
    chain = brought([(0, 1), (1, 2)])
    crv = credit_referrals(
        valued([0, 100, 100]), chain, type_one_share=1.0, acquisition_cost=0, deeper_share=0.5, draws=draws
    )
    np.testing.assert_allclose([crv.crv_low[0], crv.crv_high[0]], 1.5 * np.quantile(common, [0.05, 0.95]))
    assert crv.crv.tolist() == [150, 50, 0]


@given(questions(), st.integers(0, 2**32 - 1))
def test_bounds_are_in_order_and_the_order_of_the_rows_does_not_matter(question, seed):
    valuation, referrals, options = question
    rng = np.random.default_rng(seed)
    up, down = rng.uniform(0, 1e5, (2, len(valuation)))
    worth = valued(
        valuation.value, low=valuation.value - down, high=valuation.value + up, ids=valuation.customer_id.tolist()
    )
    crv = credit_referrals(worth, referrals, **options)
    assert np.all(crv.crv_low <= crv.crv_high + 1e-9)
    order = rng.permutation(len(referrals))
    again = credit_referrals(
        worth, referrals.take(order), **options | {"type_one_share": options["type_one_share"][order]}
    )
    for name in ("crv", "crv_low", "crv_high"):
        np.testing.assert_allclose(again[name], crv[name], rtol=1e-6, atol=1e-6)


def test_a_chain_of_thousands_is_walked_without_recursion():
    n = 5000
    chain = brought([(i, i + 1) for i in range(n - 1)])
    crv = credit_referrals(valued(np.ones(n)), chain, type_one_share=1.0, acquisition_cost=0, deeper_share=0.5)
    assert crv.total() == pytest.approx(n - 1)
    assert crv.deeper[0] == n - 2


def test_the_jazz_musicians_credit_adds_up_over_eleven_levels(shared_data):
    referrals = read_referrals(shared_data("referral_networks/jazz_recruits.csv"), referrer="recruiter", referred="id")
    people = referrals.tree().people
    worth = valued(np.random.default_rng(1).gamma(1.0, 100.0, len(people)), ids=people.tolist())
    crv = credit_referrals(worth, referrals, type_one_share=0.6, acquisition_cost=15, deeper_share=0.4)
    assert lawful(crv.credits, crv.crv)
    assert crv.referred.sum() == 251
    assert np.count_nonzero(crv.referred) == 118
    top = referrals.tree().depth == 0
    assert (crv.referred + crv.deeper)[top].sum() == 251
    assert total_value(worth, crv).attributed.sum() == pytest.approx(worth.value.sum())


# ---- those she is still expected to bring


def base(n, *, days=700.0):
    return Histories.from_arrays(
        frequency=[5] * n, recency_days=[days] * n, age_days=[days] * n, customer_id=[f"{i:05}" for i in range(n)]
    )


def test_rates_of_referral_are_found_and_the_forecast_holds():
    """Planted: rates gamma(0.5) with a mean of 0.4 a year. 4,000 customers: the mean within 8 %, four standard errors;
    what happens next within four standard errors of the forecast, overall and among those who brought several."""
    rng = np.random.default_rng(11)
    n, years = 4000, 700 / 365
    rate = rng.gamma(0.5, 0.8, n)
    seen = rng.poisson(rate * years)
    pairs = [(f"{i:05}", f"x{i}.{k}") for i in range(n) for k in range(seen[i])]
    histories = base(n)
    worth = valued(np.ones(n), ids=histories.customer_id.tolist())
    ahead = expected_referrals(histories, worth, brought(pairs), horizon_days=365)
    assert ahead.referred.tolist() == seen.tolist()
    assert ahead.yearly_rate.mean() == pytest.approx(0.4, rel=0.08)
    assert ahead.shape == pytest.approx(0.5, rel=0.3)
    really = rng.poisson(rate)
    for group in (seen == 0, seen >= 1, seen >= 3):
        error = np.sqrt(ahead.expected[group].sum() * 2)  # Poisson, and as much again for the rates themselves
        assert abs(really[group].sum() - ahead.expected[group].sum()) < 4 * error
    assert np.mean(really <= ahead.expected_high) > 0.95 - 0.02
    assert np.all(ahead.value(10.0, discount_rate=0.0) == ahead.expected * 10)
    assert ahead.value(10.0, discount_rate=0.10)[0] == pytest.approx(
        ahead.expected[0] * 10 * np.mean(1.1 ** -((np.arange(1000) + 0.5) / 1000)), rel=1e-6
    )


def test_a_base_where_nobody_has_referred_is_held_able_to_and_the_gone_are_not():
    histories = base(50)
    worth = valued(np.ones(50), ids=histories.customer_id.tolist())
    ahead = expected_referrals(histories, worth, Referrals.none())
    assert ahead.expected.sum() == pytest.approx(0.5 * 365 / 700)
    gone = attrs.evolve(worth, p_alive=np.zeros(50))
    assert expected_referrals(histories, gone, Referrals.none()).expected.sum() == 0
    with pytest.raises(ModelError, match="different customers"):
        expected_referrals(histories[:3], worth, Referrals.none())
    with pytest.raises(ConfigError, match="horizon"):
        expected_referrals(histories, worth, Referrals.none(), horizon_days=0)


# ---- net values and bounds without chance


def test_sums_of_net_values_are_never_better_than_upkeep_if_nobody_buys():
    """Letters cost the same whoever buys: with nobody buying, her newcomers are worth less than nothing, and the lower
    bound says by how much."""
    friends = 3
    base = Histories.from_arrays(
        frequency=[0] * friends, recency_days=[0] * friends, age_days=[200] * friends, margin_mean=[0] * friends,
        customer_id=[str(i + 1) for i in range(friends)],
    )  # fmt: skip
    model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
    net = appraise(base, model, costs=ServingCosts(contact=1), contacts_a_year={"post": 2})
    upkeep = net.contacts.sum()
    hers = credit_referrals(
        net, brought([(0, i + 1) for i in range(friends)]), type_one_share=1.0, acquisition_cost=0
    ).customer("0")
    assert hers["crv_idle"] == pytest.approx(-upkeep)
    assert hers["crv_low"] == pytest.approx(-upkeep)
    assert hers["crv"] == pytest.approx(net.value.sum())
    assert hers["crv_high"] > 0
    gross = credit_referrals(
        appraise(base, model), brought([(0, i + 1) for i in range(friends)]), type_one_share=1.0, acquisition_cost=0
    ).customer("0")
    assert hers["crv_high"] == pytest.approx(gross["crv_high"] - upkeep, rel=1e-6)


def test_what_newcomers_can_be_expected_to_bring_is_surer_than_what_they_will():
    friends = 10
    base = Histories.from_arrays(
        frequency=[0] * friends, recency_days=[0] * friends, age_days=[60] * friends, margin_mean=[0] * friends,
        customer_id=[str(i + 1) for i in range(friends)],
    )  # fmt: skip
    model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
    star = brought([(0, i + 1) for i in range(friends)])
    seen, expected = (
        credit_referrals(appraise(base, model, chance=chance), star, type_one_share=1.0, acquisition_cost=0).customer(
            "0"
        )
        for chance in (True, False)
    )
    assert expected["crv"] == seen["crv"]
    assert expected["p_silent"] == 0
    assert seen["crv_low"] < expected["crv_low"] < expected["crv"] < expected["crv_high"] < seen["crv_high"]
