"""What is planted is what grows: the truth of a world is recovered from its receipts."""

import math

import attrs
import numpy as np
import pytest

from retention.errors import ConfigError
from retention.worlds import Category, Persona, Shop, World

# Statistical tests below compare a mean with its planted value at four standard errors: under a right simulator such
# a test fails for about 1 seed in 16,000. Seeds are fixed, so they either hold or do not.
FOUR = 4.0


def one_kind(persona: Persona, **changes: object) -> World:
    """A world of one persona, all acquired in the first 90 days, without returns or cancelled orders."""
    recipe = {"customers": 400, "years": 3, "founders": 1.0, "returns": 0.0, "cancelled": 0.0, "beyond_days": 0}
    return Shop(personas=(persona,), **(recipe | changes)).simulate()


def z_of_mean(values: np.ndarray, planted: float) -> float:
    return float((values.mean() - planted) / (values.std(ddof=1) / math.sqrt(len(values))))


def purchase_days(world: World) -> list[np.ndarray]:
    """Each customer's purchase days in order, one entry an order, read from the log line by line."""
    log = world.log.take(~world.log.is_return & ~world.log.is_cancelled)
    assert np.array_equal(log.customers.labels, world.truth.customer_id)  # everybody bought something
    once = np.unique(np.stack([log.customers.codes, log.day.astype(int), log.orders.codes], axis=1), axis=0)
    return np.split(once[:, 1].astype("datetime64[D]"), np.flatnonzero(np.diff(once[:, 0])) + 1)


def order_margins(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Who and how much, one entry an order."""
    log = world.log
    bought = log.take(~log.is_return & ~log.is_cancelled)
    number = bought.occasions()
    margin = np.bincount(number, weights=bought.margin.to_float())
    who = np.empty(len(margin), dtype=np.int64)
    who[number] = np.searchsorted(world.truth.customer_id, bought.customers.text())
    return who, margin


def test_the_same_recipe_gives_the_same_world_byte_for_byte(tmp_path):
    first, second = (Shop.corner_shop(seed=3).simulate() for _ in range(2))
    assert first.log.fingerprint() == second.log.fingerprint()
    for name in ("truth", "consents", "touches"):
        assert getattr(first, name).equals(getattr(second, name))
    first.write_invoices(tmp_path / "a.csv")
    second.write_invoices(tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_another_seed_gives_another_world():
    assert (
        Shop.corner_shop(seed=3).simulate().log.fingerprint() != Shop.corner_shop(seed=4).simulate().log.fingerprint()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"returns": 0.5},
        {"cancelled": 0.5},
        {"response": {"give": -1.0}},
        {"opt_in": {"sms": 1.0}},
        {"newsletters_per_year": 0},
        {"withdrawn": 1.0},
    ],
)
def test_changing_one_ingredient_moves_no_purchase(change):
    plain, changed = (Shop.corner_shop(**c).simulate().log for c in ({}, change))
    mine, theirs = (log.take(~log.is_return & ~log.is_cancelled) for log in (plain, changed))
    assert mine.customers.text().tolist() == theirs.customers.text().tolist()
    assert np.array_equal(mine.at, theirs.at)
    assert np.array_equal(mine.revenue.minor, theirs.revenue.minor)
    assert np.array_equal(mine.margin.minor, theirs.margin.minor)


def test_segments_have_the_shares_of_the_recipe():
    truth = Shop(customers=1000).simulate().truth
    for persona in Shop().personas:
        assert np.sum(truth.segment == persona.name) == pytest.approx(1000 * persona.share, abs=1)


@pytest.mark.parametrize("shape", [1, 4, 12])
def test_each_customers_mean_gap_and_regularity_are_in_her_receipts(shape):
    """The first 40 gaps of every customer: taking all gaps of a window would prefer short ones."""
    persona = Persona(name="x", gap_days=60, rate_shape=20, regularity=(shape,))
    world = one_kind(persona, customers=150, years=50, seed=shape)
    days = purchase_days(world)
    gaps = np.asarray([np.diff(d[:41]).astype(float) for d in days])
    assert gaps.shape == (150, 40)  # nobody was too slow to have them
    planted = world.truth.gap_days[:, None]
    z = (gaps.sum(axis=1) - 40 * planted[:, 0]) / (planted[:, 0] * math.sqrt(40 / shape))
    assert abs(z_of_mean(z, 0.0)) < FOUR
    assert abs(z_of_mean(z**2, 1.0)) < FOUR
    assert abs(z_of_mean(((gaps / planted - 1) ** 2).ravel(), 1 / shape)) < FOUR
    assert set(world.truth.regularity.tolist()) == {shape}


def test_purchase_rates_are_gamma_distributed_between_customers():
    truth = one_kind(Persona(name="x", gap_days=20, rate_shape=5), customers=4000, years=0.5, seed=1).truth
    relative = 20 / truth.gap_days
    assert abs(z_of_mean(relative, 1.0)) < FOUR
    assert abs(z_of_mean((relative - 1) ** 2, 1 / 5)) < FOUR


def test_each_customers_mean_margin_is_in_her_receipts():
    persona = Persona(name="x", gap_days=15, margin=20, margin_spread=0.6, basket_spread=0.4, lines=3)
    world = one_kind(persona, seed=2)
    who, margin = order_margins(world)
    planted = world.truth.margin_mean[who]
    assert abs(z_of_mean(margin / planted, 1.0)) < FOUR
    assert abs(z_of_mean((margin / planted - 1) ** 2, math.expm1(0.4**2))) < FOUR
    assert abs(z_of_mean(np.log(world.truth.margin_mean), math.log(20))) < FOUR
    assert abs(z_of_mean((np.log(world.truth.margin_mean) - math.log(20)) ** 2, 0.6**2)) < FOUR


def test_margin_is_each_categorys_rate_of_revenue():
    world = Shop.corner_shop().simulate()
    log = world.log
    for category in world.shop.categories:
        here = log.categories.text() == category.name
        # Unit costs are rounded to the cent, half a cent at most on each piece.
        slack = 0.005 * np.abs(log.quantity[here]).sum()
        assert float(log.margin.total(here)) == pytest.approx(
            category.margin_rate * float(log.revenue.total(here)), abs=slack
        )


def test_customers_buy_in_as_many_categories_as_planted_and_most_in_their_favourite():
    world = one_kind(Persona(name="x", gap_days=5, lines=4), customers=60, seed=5)
    log, truth = world.log, world.truth
    for i in range(60):
        bought, counts = np.unique(log.categories.text()[log.customers.codes == i], return_counts=True)
        assert len(bought) == truth.breadth[i]
        assert bought[np.argmax(counts)] == truth.category[i]


def test_favourite_weekdays_are_in_the_receipts():
    """A visit stands on the favourite weekday by habit or by chance (1 in 7)."""
    world = one_kind(Persona(name="x", gap_days=40, weekday_habit=0.6), seed=6)
    hits = []
    for days, favourite in zip(purchase_days(world), world.truth.weekday, strict=True):
        weekday = (days[1:].astype(int) + 3) % 7  # 1970-01-01 was a Thursday
        hits += (weekday == favourite).tolist()
    share = np.asarray(hits, dtype=float)
    # A visit cannot move past the end of the story: that touches up to one visit a customer in about thirty.
    assert abs(share.mean() - (0.6 + 0.4 / 7)) < FOUR * share.std() / math.sqrt(len(share)) + 0.01


def test_lifetimes_are_exponential():
    world = one_kind(Persona(name="x", lifetime_years=2), customers=3000, years=4, seed=8)
    truth = world.truth
    for years in (1, 3):
        lived = np.isnat(truth.died_at) | ((truth.died_at - truth.acquired_at).astype(int) > 365.25 * years)
        assert abs(z_of_mean(lived.astype(float), math.exp(-years / 2))) < FOUR


def test_dropout_makes_the_number_of_purchases_geometric():
    world = one_kind(Persona(name="x", gap_days=3, rate_shape=50, dropout=0.3), customers=2000, years=2, seed=9)
    counts = np.asarray([len(days) for days in purchase_days(world)], dtype=float)
    assert abs(z_of_mean(counts, 1 / 0.3)) < FOUR
    assert abs(z_of_mean((counts == 1).astype(float), 0.3)) < FOUR
    assert not world.truth.alive.any()


@pytest.mark.parametrize("seed", range(5))
def test_nobody_buys_before_she_is_acquired_or_after_she_died(seed):
    world = Shop.corner_shop(seed=seed, beyond_days=0).simulate()
    for days, born, died in zip(purchase_days(world), world.truth.acquired_at, world.truth.died_at, strict=True):
        assert days[0] == born
        assert np.isnat(died) or days[-1] <= died


def test_alive_means_not_yet_gone_on_the_as_of_day():
    truth = Shop.corner_shop().simulate().truth
    assert np.array_equal(truth.alive, np.isnat(truth.died_at) | (truth.died_at > np.datetime64("2011-12-31")))
    assert 0.3 < truth.alive.mean() < 0.8


@pytest.mark.parametrize("seed", range(5))
def test_the_quiet_best_are_on_top_by_profit_and_buy_at_most_twice_a_year(seed):
    world = Shop.corner_shop(seed=seed).simulate()
    log, truth = world.log, world.truth
    margin = log.margin.by_group(log.customers.codes, len(truth))
    orders = np.asarray([len(days) for days in purchase_days(world)])
    years = np.maximum((np.datetime64(world.as_of) - truth.acquired_at).astype(int), 365) / 365
    quiet = truth.segment == "quiet_best"
    top_tenth = margin >= np.sort(margin)[-35]
    assert np.mean(orders[quiet] / years[quiet] <= 2) == 1
    assert np.mean(top_tenth[quiet]) > 0.9
    noisy = truth.segment == "noisy"
    assert orders[noisy].sum() > orders[quiet].sum() * 20
    assert margin[noisy].sum() < margin[quiet].sum() / 4


def test_returns_take_back_part_of_an_order_and_cancelled_orders_take_back_all():
    world = Shop.corner_shop(returns=0.3, cancelled=0.3).simulate()
    log = world.log
    assert (log.is_return & ~log.is_cancelled).any()
    assert log.revenue.total(log.is_cancelled) == 0
    assert log.margin.total(log.is_cancelled) == 0
    credit = np.char.startswith(log.orders.text(), "C")
    assert np.array_equal(credit, log.is_return)
    bought = set(zip(log.customers.text().tolist(), log.categories.text().tolist(), strict=True))
    taken = log.take(log.is_return)
    assert set(zip(taken.customers.text().tolist(), taken.categories.text().tolist(), strict=True)) <= bought
    # What a customer takes back never exceeds what she bought.
    assert log.revenue.by_group(log.customers.codes, len(world.truth)).min() > 0


def test_shares_of_returns_and_cancelled_orders_are_planted():
    world = one_kind(Persona(name="x", gap_days=10, lines=5), returns=0.2, cancelled=0.1, seed=4)
    log = world.log
    orders = {
        name: len(np.unique(log.orders.codes[mask]))
        for name, mask in {
            "bought": ~log.is_return & ~log.is_cancelled,
            "returned": log.is_return & ~log.is_cancelled,
            "cancelled": log.is_return & log.is_cancelled,
        }.items()
    }
    n = orders["bought"]
    # First purchases have no cancelled order before them, single pieces are not sent back, and the last returns fall
    # after the as-of day: each lowers a share by less than a tenth of itself here.
    for name, share in (("returned", 0.2), ("cancelled", 0.1)):
        slack = FOUR * math.sqrt(share / n)
        assert 0.9 * share - slack < orders[name] / n < share + slack


def test_a_line_is_exact_money_and_the_log_reconciles():
    log = Shop.corner_shop().simulate().log
    price = log.revenue.minor / log.quantity
    assert np.array_equal(price, np.rint(price))
    assert (price >= 1).all()
    cost = (log.revenue.minor - log.margin.minor) / log.quantity
    assert np.array_equal(cost, np.rint(cost))
    assert sum((log.revenue.exact(i) for i in range(len(log))), start=0) == log.revenue.total()
    assert np.all(np.diff(log.at.astype(int)) >= 0)
    assert log.line.tolist() == list(range(1, len(log) + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"customers": 0},
        {"customers": 2.5},
        {"years": -1},
        {"returns": 1.5},
        {"returns": math.nan},
        {"response": {"shout": 0.1}},
        {"response": {"give": 2.0}},
        {"response": {"wait": 0.1}},
        {"personas": ()},
        {"personas": (Persona(name="a"), Persona(name="a"))},
        {"personas": (Persona(name="a", share=0),)},
        {"channels": {"web": -1.0}},
    ],
)
def test_a_recipe_that_cannot_be_cooked_is_one_clear_error(wrong):
    with pytest.raises(ConfigError, match="rule:"):
        Shop(**wrong)


@pytest.mark.parametrize("wrong", [{"gap_days": 0}, {"dropout": 2}, {"regularity": (0,)}, {"lines": 0.5}])
def test_a_persona_that_cannot_be_is_one_clear_error(wrong):
    with pytest.raises(ConfigError, match="rule:"):
        Persona(name="x", **wrong)


@pytest.mark.parametrize("customers", [1, 2])
def test_the_smallest_shops_work(customers):
    shop = Shop(
        customers=customers,
        years=0.1,
        personas=(Persona(name="x"),),
        categories=(Category(name="y", margin_rate=1.0),),
        channels={"counter": 1},
        opt_in={},
        beyond_days=0,
    )
    world = shop.simulate()
    assert len(world.truth) == customers
    assert len(world.consents) == 0
    assert world.log.revenue.total() == world.log.margin.total()


def test_a_recipe_is_a_value():
    assert Shop.corner_shop(seed=5) == Shop.corner_shop(seed=5)
    assert attrs.evolve(Shop.corner_shop(seed=5), seed=6) == Shop.corner_shop(seed=6)
    assert set(Shop.null().response.values()) == {0.0}
    assert all(lift < 0 for lift in Shop.harmful().response.values())
