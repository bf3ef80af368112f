"""Small fixed data to try things on: bases with awkward customers, and a whole shop on the day before a plan.

Nothing here is drawn anew: the same customers each time, on every machine.
"""

import datetime as dt
from functools import cache
from typing import Any

import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.histories import Histories, summarize
from retention.plan.proposals import Proposals
from retention.plan.situation import Situation
from retention.records import Consents, Touches, TransactionLog
from retention.tiers import MarginBands, Tiering
from retention.timing import Outlook, anticipate
from retention.value import BGNBD, Valuation, appraise

__all__ = ["SampleShop", "even_gaps", "sample_histories", "sample_shop"]

AS_OF = dt.date(2011, 12, 1)
"""The day of the sample shop."""


def sample_histories(n: int = 40) -> Histories:
    """A small base with the awkward customers in it: new today, bought yesterday, buys daily, silent for years.

    ``n`` simulated customers (fixed seed, whole days, at most one purchase day a day, by chance) and six awkward ones.

    Example:
        >>> base = sample_histories(10)
        >>> len(base), bool((base.frequency <= base.recency_days).all())
        (16, True)
    """
    rng = np.random.default_rng(20111201)
    age = rng.integers(30, 700, n).astype(float)
    frequency = np.minimum(rng.geometric(0.35, n) - 1, 12)
    recency = np.where(frequency > 0, np.maximum(np.ceil(rng.uniform(0.1, 1.0, n) * age), frequency), 0.0)
    margin_mean = np.where(frequency > 0, np.round(rng.gamma(4.0, 5.0, n), 2), 0.0)
    awkward = (
        (0, 0.0, 0.0, 0.0), (1, 1.0, 1.0, 3.0), (1, 700.0, 700.0, 25.0),
        (90, 99.0, 100.0, 12.5), (30, 40.0, 900.0, 60.0), (2, 50.0, 400.0, -5.0),
    )  # fmt: skip
    columns = np.array(awkward).T
    frequency, recency = np.concatenate([frequency, columns[0]]), np.concatenate([recency, columns[1]])
    return Histories.from_arrays(
        frequency=frequency,
        recency_days=recency,
        age_days=np.concatenate([age, columns[2]]),
        margin_mean=np.concatenate([margin_mean, columns[3]]),
        **_gaps(frequency, recency, n),
    )


def _gaps(frequency: Any, recency: Any, n: int) -> dict[str, Any]:
    """The log gaps of ``n`` customers who come by chance and of others who come evenly, as columns of histories."""
    rng = np.random.default_rng(20111203)
    logs = even_gaps(frequency, recency)
    for i in range(n):
        x, days = int(frequency[i]), int(recency[i])
        if x:
            between = np.sort(rng.choice(np.arange(1, days), size=x - 1, replace=False)) if x > 1 else np.zeros(0)
            each = np.log(np.diff(np.concatenate([[0], between, [days]])))
            logs["gap_log_sum"][i], logs["gap_log_squares"][i] = each.sum(), np.einsum("n,n", each, each)
    return logs


def even_gaps(frequency: Any, recency: Any) -> dict[str, Any]:
    """The log gaps of customers who come as evenly as whole days allow, as columns of histories."""
    x, days = np.asarray(frequency, dtype=np.int64), np.asarray(recency, dtype=np.int64)
    gap, longer = np.divmod(days, np.maximum(x, 1))
    short, long = np.log(np.maximum(gap, 1)), np.log(gap + 1)
    return {
        "gap_log_sum": (x - longer) * short + longer * long,
        "gap_log_squares": (x - longer) * short**2 + longer * long**2,
    }


@frozen(eq=False, kw_only=True)
class SampleShop:
    """A small shop on one day, every stage up to the proposals; all of it is frozen and may be shared."""

    log: TransactionLog
    histories: Histories
    valuation: Valuation
    outlook: Outlook
    tiering: Tiering
    situation: Situation
    proposals: Proposals

    @property
    def as_of(self) -> dt.date:
        """The plan's day."""
        return self.situation.as_of


@cache
def sample_shop() -> SampleShop:
    """Sixty-odd customers on 1 December 2011, with everything that makes a plugin stumble.

    Among them: one who is new today, one silent for years, one who buys daily, one who is rich and seldom comes, one
    whose returns outweigh her sales, one who took all for nothing, one who only brought back (and so has no history),
    one who has died, one who moved away, one who complains, one who asked to be left alone, one whom nobody leaves
    alone, one without any consent, one who took hers back, one whose consent begins tomorrow, contacts without a date
    or with strangers, time zones that do not exist, limits that are no numbers, and ids with commas, quotes, ``=``,
    ``<script>``, blanks and other alphabets.

    ``proposals`` are those of six actions for everyone: a call, an e-mail, a card, a text message, a word in the shop
    and a note about her order.

    Example:
        >>> shop = sample_shop()
        >>> len(shop.histories), len(shop.proposals) == 6 * len(shop.histories), shop is sample_shop()
        (66, True, True)
    """
    log = _log()
    base = summarize(log, as_of=AS_OF)
    model = BGNBD().at(r=0.6, alpha=6.0, a=0.8, b=2.5, p=6.0, q=4.0, v=15.0)
    worth = appraise(base, model, horizon_days=365.0, discount_rate=0.10, interval=0.90)
    outlook = anticipate(base)
    tiering = MarginBands().assign(base, worth)
    who = [str(one) for one in base.customer_id]
    situation = Situation(
        as_of=AS_OF,
        histories=base.with_attributes({"region": [("north", "south", "unknown")[i % 3] for i in range(len(base))]}),
        valuation=worth,
        outlook=outlook,
        tiering=tiering,
        touches=_touches(),
        consents=_consents(who),
        open_complaints=frozenset({"complains", "not-in-the-base"}),
        do_not_contact=frozenset({"leave-me-alone"}),
        causes={"late-ms-doe": "deceased", "moved-away": "moved", "k4103": "price", "not-in-the-base": "moved"},
        attributes=_attributes(who),
    )
    proposals = Proposals.joined(
        Proposals.of(
            situation,
            np.arange(len(base)),
            action,
            strategy="sample",
            gain=np.maximum(share * worth.expected_margin, 0.0),
            reason="so that every policy has somebody to look at",
        )
        for action, share in _ACTIONS
    )
    return SampleShop(
        log=log,
        histories=situation.histories,
        valuation=worth,
        outlook=outlook,
        tiering=tiering,
        situation=situation,
        proposals=proposals,
    )


_ACTIONS = (
    (Action(name="call", kind="give", channel="phone", money=2.0, hours=0.2, customer_benefit="is advised"), 0.10),
    (Action(name="e-mail", kind="ask", channel="E-Mail", money=0.01, customer_benefit="hears of it first"), 0.03),
    (
        Action(name="card", kind="thank", channel="post", money=1.5, customer_benefit="thanks", needs_consent=False),
        0.05,
    ),
    (Action(name="text", kind="remind", channel="sms", money=0.08, customer_benefit="runs out of nothing"), 0.02),
    (
        Action(
            name="word",
            kind="connect",
            channel="shop",
            customer_benefit="knows whom to ask",
            needs_consent=False,
            touchpoint=True,
        ),
        0.01,
    ),
    (
        Action(
            name="order note", kind="give", channel="e-mail", customer_benefit="knows where it is", purpose="service"
        ),
        0.0,
    ),
)

_PLAIN = tuple(f"k{4100 + i}" for i in range(40))
_SPEAKING = (
    '=HYPERLINK("x")', '"O\'Neill, Ann"', "<script>alert(1)</script>", "a=b&c", "-minus", "007", "Zoë Ångström",
    "山田花子", "two words", "x" * 60,
)  # fmt: skip
_IN_WORDS = (
    "withdrew", "no-consent", "agrees-tomorrow", "complains", "leave-me-alone", "late-ms-doe", "moved-away",
    "worn-out", "asked-yesterday",
)  # fmt: skip


def _log() -> TransactionLog:
    """Receipts: a customer who comes as she likes, or an awkward one as she must be."""
    rng = np.random.default_rng(20111202)
    lines: list[tuple[str, int, float]] = []  # who, days before the plan's day, revenue
    for name in _PLAIN + _SPEAKING + _IN_WORDS:
        pace = float(rng.gamma(2.0, 25.0)) + 5.0
        at, last = int(rng.integers(120, 700)), int(rng.integers(0, 90)) if rng.random() < 0.7 else 150
        while at >= last:
            lines.append((name, at, round(float(rng.gamma(4.0, 8.0)) + 1.0, 2)))
            if rng.random() < 0.06:
                lines.append((name, max(at - 3, 0), -round(float(rng.gamma(2.0, 4.0)) + 1.0, 2)))
            at -= int(rng.gamma(3.0, pace / 3.0)) + 1
    lines += [("new-today", 0, 19.90), ("silent-for-years", 1500, 40.0), ("once-long-ago", 1400, 15.0)]
    lines += [("silent-for-years", days, 35.0) for days in range(1490, 1200, -10)]
    lines += [("daily", days, 4.20) for days in range(60)]
    lines += [("rich-and-quiet", days, 900.0) for days in (700, 380, 60)]
    lines += [("brings-back", 200, 30.0), ("brings-back", 150, 20.0), ("brings-back", 140, -80.0)]
    lines += [("only-returns", 30, -12.0), ("for-nothing", 80, 0.0), ("for-nothing", 40, 0.0)]
    who, days, revenue = zip(*lines, strict=True)
    return TransactionLog.from_arrays(
        customer_id=list(who),
        at=np.datetime64(AS_OF, "D") - np.asarray(days, dtype="timedelta64[D]"),
        revenue=list(revenue),
        margin=0.35,
        currency="EUR",
    )


def _touches() -> Touches:
    """Contacts so far: too many, too late, without a date, inbound, of no known kind, with strangers."""
    day = np.datetime64(AS_OF, "D")
    rows = [
        ("worn-out", ago, "phone" if ago % 2 else "email", "ask" if ago % 3 else "give", "out") for ago in range(1, 25)
    ]
    rows += [("asked-yesterday", 1, "email", "ask", "out"), ("asked-yesterday", 40, "post", "give", "out")]
    rows += [("k4100", 100, "post", "give", "out"), ("k4100", 60, "phone", "thank", "out")]
    rows += [
        ("k4101", 8, "E-Mail", "give", "out"),
        ("k4102", 3, "phone", "ask", "in"),
        ("k4104", 20, "fax", "odd", "out"),
    ]
    rows += [("Zoë Ångström", 12, "sms", "remind", "out"), ("not-in-the-base", 2, "phone", "ask", "out")]
    rows += [("k4105", 5, "", "", ""), ("007", 27, "phone", "give", "out"), ("007", 28, "phone", "give", "out")]
    who, ago, channel, kind, direction = zip(*rows, strict=True)
    dated = Touches.from_arrays(
        customer_id=list(who),
        at=day - np.asarray(ago, dtype="timedelta64[D]"),
        channel=list(channel),
        kind=list(kind),
        direction=list(direction),
    )
    undated = Touches.from_arrays(
        customer_id=["k4106"], at=[np.datetime64("NaT", "D")], channel=["phone"], kind=["give"], direction=["out"]
    )
    return dated.joined(undated)


def _consents(who: list[str]) -> Consents:
    """Most agreed to most; some to nothing, some no longer, one from tomorrow on."""
    rows: list[tuple[str, str, str, bool, dt.date | None]] = []
    for position, one in enumerate(who):
        if one in ("no-consent", "agrees-tomorrow"):
            continue
        for number, channel in enumerate(("phone", "E-Mail", "sms")):
            if (position + number) % 4:
                rows.append((one, channel, "marketing", True, AS_OF - dt.timedelta(days=30 * number + position)))
        rows.append((one, "e-mail", "service", True, None))
    rows += [("withdrew", channel, "marketing", False, AS_OF - dt.timedelta(days=1)) for channel in ("phone", "e-mail")]
    rows += [("withdrew", "sms", "marketing", True, AS_OF), ("withdrew", "SMS", "Marketing", False, AS_OF)]
    rows += [("agrees-tomorrow", "phone", "marketing", True, AS_OF + dt.timedelta(days=1))]
    rows += [("not-in-the-base", "phone", "marketing", True, AS_OF)]
    names = ("customer_id", "channel", "purpose", "granted", "at")
    return Consents.from_arrays(**{n: list(values) for n, values in zip(names, zip(*rows, strict=True), strict=True)})


def _attributes(who: list[str]) -> dict[str, Any]:
    """What else is known: by id with holes in it, and as columns."""
    zones = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "unknown", "Mars/Olympus")
    return {
        "time_zone": {one: zones[i % len(zones)] for i, one in enumerate(who) if i % 7},
        "contact_limit": {one: (3, 1, 0, -1, "many", None, 2.5)[i % 7] for i, one in enumerate(who) if i % 5},
        "deceased": np.asarray([one == "late-ms-doe" for one in who]),
        "birthday": {one: dt.date(1980, 12, 1 + i % 28) for i, one in enumerate(who) if i % 3},
        "plan": np.asarray([("basic", "plus")[i % 2] for i in range(len(who))]),
    }
