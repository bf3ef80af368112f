"""From a recipe to a story: people, then their visits, then what lies in the baskets, then the papers.

Time runs in days from the shop's start; money in cents. Each step draws from its own streams.
"""

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.frames.coded import Coded
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance
from retention.records import Amounts, Consents, Quality, Touches, TransactionLog
from retention.worlds._draws import stream
from retention.worlds.shop import Shop
from retention.worlds.truth import KINDS, Truth

__all__ = ["Story", "tell"]

_BATCH = 32  # gaps drawn at once for each customer
_DAY = 24 * 60  # minutes
_NEVER = np.iinfo(np.int64).max


@frozen(eq=False)
class Story:
    """All that happens to the end of the hidden future, if nobody is contacted.

    ``purchase`` says for each line of the log which purchase it belongs to (returns: the one they take back; -1 for
    both halves of a cancelled order). Purchases are numbered by customer, then by day; ``buyer`` and ``bought_on``
    say whose they are and when.
    """

    truth: Truth
    log: TransactionLog
    purchase: IntColumn
    buyer: IntColumn
    bought_on: IntColumn
    consents: Consents
    newsletters: Touches
    days: int


@frozen(eq=False)
class _People:
    persona: IntColumn
    acquired: FloatColumn
    ends: FloatColumn
    gap: FloatColumn
    shape: FloatColumn
    margin: FloatColumn
    tastes: NDArray[np.int64]  # her categories, the favourite first
    breadth: IntColumn
    channel: IntColumn
    weekday: IntColumn


@frozen(eq=False)
class _Lines:
    """What is in the baskets, in order of visit; ``price`` and ``cost`` of one piece, in cents."""

    visit: IntColumn
    category: IntColumn
    quantity: IntColumn
    price: IntColumn
    cost: IntColumn


@frozen(eq=False)
class _Papers:
    """Documents of one sort: ``visit`` and ``minute`` one a paper; the others one a line.

    ``paper`` says on which of these documents a line stands, ``source`` which line in a basket it copies.
    """

    visit: IntColumn
    minute: IntColumn
    paper: IntColumn
    source: IntColumn
    quantity: IntColumn


def tell(shop: Shop) -> Story:
    """The whole story of a shop."""
    horizon = shop.days + shop.beyond_days
    people = _people(shop)
    buyer, day, died = _visits(shop, people, horizon)
    log, purchase = _papers(shop, people, buyer, day, horizon)
    truth = _truth(shop, people, died, log.customers.labels)
    consents, newsletters = _permissions(shop, truth, horizon)
    return Story(truth, log, purchase, buyer, day, consents, newsletters, horizon)


def _per_persona(shop: Shop, people_persona: IntColumn, name: str) -> Any:
    return np.asarray([getattr(p, name) for p in shop.personas])[people_persona]


def _people(shop: Shop) -> _People:
    n = shop.customers
    persona = stream(shop.seed, "personas").permutation(_exact_shares([p.share for p in shop.personas], n))

    def of(name: str) -> Any:
        return _per_persona(shop, persona, name)

    rate_shape = of("rate_shape")
    rate = stream(shop.seed, "rates").gamma(rate_shape, 1.0 / (rate_shape * of("gap_days")))
    pick = stream(shop.seed, "regularity").random(n)
    shapes = [p.regularity for p in shop.personas]
    shape = np.asarray([shapes[p][int(u * len(shapes[p]))] for p, u in zip(persona, pick, strict=True)])
    margin = of("margin") * np.exp(of("margin_spread") * stream(shop.seed, "margins").standard_normal(n))

    joining = stream(shop.seed, "acquisition")
    founder = joining.random(n) < shop.founders
    acquired = joining.random(n) * np.where(founder, min(90, shop.days), shop.days)
    life = stream(shop.seed, "lifetimes").exponential(size=n) * of("lifetime_years") * 365.25

    # Sorting noisy log weights picks categories in proportion to their weights, without replacement.
    liking = np.log([c.weight for c in shop.categories]) + stream(shop.seed, "tastes").gumbel(
        size=(n, len(shop.categories))
    )
    breadth = 1 + stream(shop.seed, "breadth").binomial(len(shop.categories) - 1, 0.35, size=n)
    return _People(
        persona=persona,
        acquired=acquired,
        ends=acquired + life,
        gap=1.0 / np.maximum(rate, 1e-9),
        shape=shape,
        margin=margin,
        tastes=np.argsort(-liking, axis=1, kind="stable"),
        breadth=breadth,
        channel=_weighted(stream(shop.seed, "channels"), list(shop.channels.values()), n),
        weekday=stream(shop.seed, "weekdays").choice(6, size=n),  # Sundays are quiet
    )


def _exact_shares(shares: list[float], n: int) -> IntColumn:
    """As many of each kind as its share says, by largest remainder."""
    exact = np.asarray(shares, dtype=float) / sum(shares) * n
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return np.repeat(np.arange(len(shares)), counts)


def _weighted(rng: np.random.Generator, weights: list[float], n: int) -> IntColumn:
    edges = np.cumsum(weights) / sum(weights)
    return np.minimum(np.searchsorted(edges, rng.random(n), side="right"), len(weights) - 1)


def _visits(shop: Shop, people: _People, horizon: int) -> tuple[IntColumn, IntColumn, IntColumn]:
    """Who came and on which day, by customer and day; and on which day each customer was lost (_NEVER: not here)."""
    n = shop.customers
    buyer, when = _renewals(stream(shop.seed, "visits"), people, np.minimum(people.ends, horizon))

    leaves = stream(shop.seed, "dropout").random(len(buyer)) < _per_persona(shop, people.persona, "dropout")[buyer]
    first = np.searchsorted(buyer, np.arange(n))
    left_before = np.cumsum(leaves) - leaves
    stays = left_before == left_before[first][buyer]
    ends = people.ends.copy()
    last = stays & leaves
    ends[buyer[last]] = when[last]
    buyer, when = buyer[stays], when[stays]

    died = np.where(ends < horizon, np.floor(np.minimum(ends, horizon)).astype(np.int64), _NEVER)
    day = _on_her_weekday(shop, people, buyer, np.floor(when).astype(np.int64), np.minimum(died, horizon - 1))
    order = np.lexsort((day, buyer))
    return buyer[order], day[order], died


def _renewals(rng: np.random.Generator, people: _People, ends: FloatColumn) -> tuple[IntColumn, FloatColumn]:
    """Purchase times with gamma gaps, from acquisition (the first purchase) to each customer's end."""
    who, when = [np.arange(len(ends))], [people.acquired]
    active, now = np.arange(len(ends)), people.acquired
    while len(active):
        shape, scale = people.shape[active, None], (people.gap / people.shape)[active, None]
        times = now[:, None] + np.cumsum(rng.gamma(shape, scale, size=(len(active), _BATCH)), axis=1)
        inside = times < ends[active, None]
        who.append(np.repeat(active, inside.sum(axis=1)))
        when.append(times[inside])
        going_on = inside[:, -1]
        active, now = active[going_on], times[going_on, -1]
    buyers, moments = np.concatenate(who), np.concatenate(when)
    order = np.lexsort((moments, buyers))
    return buyers[order], moments[order]


def _on_her_weekday(shop: Shop, people: _People, buyer: IntColumn, day: IntColumn, latest: IntColumn) -> IntColumn:
    """Some visits move to the nearest favourite weekday, never before the first or after the last possible day."""
    shift = (people.weekday[buyer] - (shop.start.weekday() + day) % 7 + 3) % 7 - 3
    wants = (
        stream(shop.seed, "weekday habit").random(len(day)) < _per_persona(shop, people.persona, "weekday_habit")[buyer]
    )
    first = np.r_[True, buyer[1:] != buyer[:-1]]
    moved = day + shift
    possible = ~first & (moved >= np.floor(people.acquired)[buyer]) & (moved <= latest[buyer])
    return np.where(wants & possible, moved, day)


def _baskets(shop: Shop, people: _People, buyer: IntColumn) -> _Lines:
    """What lies in each purchase: its margin scatters around her mean and is split over a few lines."""
    v = len(buyer)
    sd = _per_persona(shop, people.persona, "basket_spread")[buyer]
    margin = people.margin[buyer] * np.exp(sd * stream(shop.seed, "baskets").standard_normal(v) - sd**2 / 2)
    extra = stream(shop.seed, "lines").poisson(_per_persona(shop, people.persona, "lines")[buyer] - 1.0)
    visit = np.repeat(np.arange(v), 1 + extra)

    weight = 0.5 + stream(shop.seed, "line sizes").random(len(visit))
    part = weight / np.bincount(visit, weights=weight, minlength=v)[visit]
    taste = stream(shop.seed, "line categories")
    strays = (taste.random(len(visit)) > 0.6) & (people.breadth[buyer[visit]] > 1)
    other = 1 + np.floor(taste.random(len(visit)) * (people.breadth[buyer[visit]] - 1)).astype(np.int64)
    category = people.tastes[buyer[visit], np.where(strays, other, 0)]

    rate = np.asarray([c.margin_rate for c in shop.categories])[category]
    quantity = np.minimum(stream(shop.seed, "quantities").geometric(0.5, size=len(visit)), 12)
    price = np.maximum(1, np.rint(100.0 * margin[visit] * part / rate / quantity)).astype(np.int64)
    cost = np.rint(price * (1.0 - rate)).astype(np.int64)
    return _merged(_Lines(visit, category, quantity, price, cost))


def _merged(lines: _Lines) -> _Lines:
    """Equal goods of one order stand on one line, as a till writes them: equal rows are then duplicates."""
    key = (lines.visit * (1 + lines.category.max()) + lines.category) * (1 + lines.price.max()) + lines.price
    _, first, same = np.unique(key, return_index=True, return_inverse=True)
    quantity = np.bincount(same, weights=lines.quantity).astype(np.int64)
    order = np.argsort(first)
    first, quantity = first[order], quantity[order]
    return _Lines(lines.visit[first], lines.category[first], quantity, lines.price[first], lines.cost[first])


def _papers(
    shop: Shop, people: _People, buyer: IntColumn, day: IntColumn, horizon: int
) -> tuple[TransactionLog, IntColumn]:
    """The till's papers as a log, numbered as they are written; and the purchase that each line belongs to."""
    sold = _baskets(shop, people, buyer)
    minute = day * _DAY + 9 * 60 + (stream(shop.seed, "time of day").random(len(buyer)) * 9 * 60).astype(np.int64)
    later = day > np.floor(people.acquired)[buyer]
    receipts = _Papers(np.arange(len(buyer)), minute, sold.visit, np.arange(len(sold.visit)), sold.quantity)
    orders, undone = _cancelled_orders(shop, sold, minute, later)
    returns = _returns(shop, sold, minute, horizon)
    parts = (receipts, orders, undone, returns)

    visit, at = (np.concatenate([getattr(part, name) for part in parts]) for name in ("visit", "minute"))
    source, quantity = (np.concatenate([getattr(part, name) for part in parts]) for name in ("source", "quantity"))
    is_credit = np.repeat([False, False, True, True], [len(part.visit) for part in parts])
    lines_of = [len(part.source) for part in parts]
    # Line i of the cancelled orders is undone by line i of their credit notes.
    gone = np.concatenate([np.full(lines_of[0], -1), *[undone.minute[undone.paper]] * 2, np.full(lines_of[3], -1)])
    before = np.cumsum([0, *(len(part.visit) for part in parts)])
    paper = np.concatenate([start + part.paper for start, part in zip(before[:-1], parts, strict=True)])

    number = np.empty(len(at), dtype=np.int64)
    number[np.lexsort((buyer[visit], at))] = np.arange(len(at))
    lines = np.argsort(number[paper], kind="stable")
    paper, source, quantity, gone = paper[lines], source[lines], quantity[lines], gone[lines]
    cancelled = gone >= 0
    start = np.datetime64(shop.start, "s")
    channel = np.where(
        stream(shop.seed, "stray channels").random(len(buyer)) < 0.85,
        people.channel[buyer],
        _weighted(stream(shop.seed, "other channels"), list(shop.channels.values()), len(buyer)),
    )
    log = _log(
        shop,
        owner=buyer[visit][paper],
        at=start + (60 * at[paper]).astype("timedelta64[s]"),
        orders=_numbered(number, is_credit).take(paper),
        category=sold.category[source],
        channel=channel[visit][paper],
        quantity=quantity,
        revenue=quantity * sold.price[source],
        margin=quantity * (sold.price - sold.cost)[source],
        undone_at=np.where(cancelled, start + (60 * gone).astype("timedelta64[s]"), np.datetime64("NaT", "s")),
    )
    return log, np.where(cancelled, -1, sold.visit[source])


def _cancelled_orders(shop: Shop, sold: _Lines, minute: IntColumn, possible: BoolColumn) -> tuple[_Papers, _Papers]:
    """Orders placed the day before a purchase, and the credit notes that undid them within the hour.

    The day before a later purchase always lies within her life as a customer.
    """
    rng = stream(shop.seed, "cancelled orders")
    regrets = (rng.random(len(minute)) < shop.cancelled) & possible
    wait = 5 + (rng.random(len(minute)) * 50).astype(np.int64)
    visit, source = np.flatnonzero(regrets), np.flatnonzero(regrets[sold.visit])
    paper, placed = np.searchsorted(visit, sold.visit[source]), minute[visit] - _DAY
    return (
        _Papers(visit, placed, paper, source, sold.quantity[source]),
        _Papers(visit, placed + wait[visit], paper, source, -sold.quantity[source]),
    )


def _returns(shop: Shop, sold: _Lines, minute: IntColumn, horizon: int) -> _Papers:
    """Some pieces of the first line of several pieces come back within three weeks, never all of them.

    So a return leaves a purchase standing, and cannot be taken for a cancelled order.
    """
    rng = stream(shop.seed, "returns")
    unhappy, share, delay = (rng.random(len(minute)) for _ in range(3))
    several = np.flatnonzero(sold.quantity >= 2)
    visit, first = np.unique(sold.visit[several], return_index=True)
    back = minute[visit] + _DAY * (1 + (delay[visit] * 20).astype(np.int64))
    comes = (unhappy[visit] < shop.returns) & (back < horizon * _DAY)
    visit, source = visit[comes], several[first][comes]
    pieces = 1 + np.floor(share[visit] * (sold.quantity[source] - 1)).astype(np.int64)
    return _Papers(visit, back[comes], np.arange(len(visit)), source, -pieces)


def _numbered(number: IntColumn, is_credit: BoolColumn) -> Coded:
    """Invoice numbers of one width; credit notes have a C before theirs, and so stand last in sorted order."""
    base = 10 ** max(5, len(str(len(number))))
    order = np.lexsort((number, is_credit))
    labels = [f"{'C' if is_credit[i] else ''}{base + number[i] + 1}" for i in order]
    codes = np.empty(len(number), dtype=np.int32)
    codes[order] = np.arange(len(number))
    return Coded(codes, np.asarray(labels, dtype=np.str_))


def customer_ids(n: int) -> NDArray[np.str_]:
    """Ids of one width, so that their order as text is their order as numbers."""
    base = 10 ** max(4, len(str(n)))
    return np.asarray([str(base + 1 + i) for i in range(n)], dtype=np.str_)


def labelled(codes: IntColumn, names: list[str]) -> Coded:
    """A column of names given by their position in a list of distinct names."""
    rank = np.argsort(names, kind="stable")
    position = np.empty(len(names), dtype=np.int32)
    position[rank] = np.arange(len(names))
    return Coded(position[codes], np.asarray(names, dtype=np.str_)[rank]).take(slice(None))


def _log(
    shop: Shop,
    *,
    owner: IntColumn,
    at: NDArray[np.datetime64],
    orders: Coded,
    category: IntColumn,
    channel: IntColumn,
    quantity: IntColumn,
    revenue: IntColumn,
    margin: IntColumn,
    undone_at: NDArray[np.datetime64],
) -> TransactionLog:
    money = Amounts(revenue, 2)
    return TransactionLog(
        customers=Coded(owner.astype(np.int32), customer_ids(shop.customers)),
        at=at,
        revenue=money,
        margin=Amounts(margin, 2),
        is_return=quantity < 0,
        undone_at=undone_at,
        line=np.arange(1, len(at) + 1, dtype=np.int64),
        orders=orders,
        categories=labelled(category, [c.name for c in shop.categories]),
        channels=labelled(channel, list(shop.channels)),
        quantity=quantity.astype(np.float64),
        quality=Quality.clean(rows=len(at), money=money.total()),
        provenance=_made_by(shop),
    )


def _truth(shop: Shop, people: _People, died: IntColumn, ids: NDArray[np.str_]) -> Truth:
    start = np.datetime64(shop.start, "D")

    def of(name: str) -> Any:
        return _per_persona(shop, people.persona, name)

    died_at = np.full(len(died), np.datetime64("NaT", "D"), dtype="datetime64[D]")
    died_at[died < _NEVER] = start + died[died < _NEVER].astype("timedelta64[D]")
    # The promise is at most one purchase won or lost a contact, so a lift stays within [-1, 1].
    lifts = {f"lift_{kind}": np.clip(shop.response[kind] * of("responsiveness"), -1.0, 1.0) for kind in KINDS}
    return Truth(
        customer_id=ids,
        segment=of("name"),
        acquired_at=start + np.floor(people.acquired).astype("timedelta64[D]"),
        died_at=died_at,
        alive=died > shop.days - 1,
        gap_days=people.gap,
        regularity=people.shape,
        margin_mean=people.margin,
        margin_log_sd=of("basket_spread").astype(np.float64),
        weekday=people.weekday,
        weekday_habit=of("weekday_habit").astype(np.float64),
        category=np.asarray([c.name for c in shop.categories])[people.tastes[:, 0]],
        breadth=people.breadth,
        channel=np.asarray(list(shop.channels))[people.channel],
        **lifts,
        provenance=_made_by(shop),
    )


def _made_by(shop: Shop) -> Provenance:
    return Provenance(model="simulated shop", seed=shop.seed, notes=("simulated: no real customer is meant",))


def _permissions(shop: Shop, truth: Truth, horizon: int) -> tuple[Consents, Touches]:
    """Consents given on the first day, some taken back later; and newsletters to those who then allowed email."""
    n = len(truth)
    last = np.datetime64(shop.start, "D") + np.timedelta64(horizon - 1, "D")
    rows, newsletters = [], Touches.none()
    for number, (channel, share) in enumerate(shop.opt_in.items()):
        rng = stream(shop.seed, f"consent: {channel}")
        asked, regrets, moment = rng.random(n), rng.random(n), rng.random(n)
        given = np.flatnonzero(asked < share)
        span = (last - truth.acquired_at).astype(np.int64)
        withdrawn_at = truth.acquired_at + np.floor(1.0 + moment * span).astype("timedelta64[D]")
        lost = given[(regrets[given] < shop.withdrawn) & (withdrawn_at[given] <= last)]
        rows += [(i, number, channel, True, truth.acquired_at[i]) for i in given]
        rows += [(i, number, channel, False, withdrawn_at[i]) for i in lost]
        if channel == "email":
            until = np.full(n, last + np.timedelta64(1, "D"))
            until[lost] = withdrawn_at[lost]
            newsletters = _newsletters(shop, truth, given, until)
    rows.sort(key=lambda row: (row[0], row[1], row[4]))
    consents = Consents.from_arrays(
        customer_id=truth.customer_id[[row[0] for row in rows]] if rows else [],
        channel=[row[2] for row in rows],
        granted=[row[3] for row in rows],
        at=[row[4] for row in rows],
    )
    return consents, newsletters


def _newsletters(shop: Shop, truth: Truth, given: IntColumn, until: NDArray[np.datetime64]) -> Touches:
    count = int(shop.days / 365 * shop.newsletters_per_year)
    days = np.datetime64(shop.start, "D") + np.floor((np.arange(count) + 0.5) * shop.days / max(count, 1)).astype(
        "timedelta64[D]"
    )
    who = [given[(truth.acquired_at[given] < day) & (day < until[given])] for day in days]
    sent = np.concatenate([np.zeros(0, dtype=np.int64), *who])
    return Touches.from_arrays(
        customer_id=truth.customer_id[sent],
        at=np.repeat(days, [len(part) for part in who]),
        channel=np.full(len(sent), "email"),
        kind=np.full(len(sent), "give"),
    )
