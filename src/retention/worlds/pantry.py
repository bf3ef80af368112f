"""A simulated shop whose customers run out of things: planted needs by category, and when each will be felt."""

import datetime as dt
from typing import Any, Self

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.table import DayColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.records.transactions import TransactionLog
from retention.worlds._simulate import customer_ids

__all__ = ["Good", "Pantry", "PantryTruth", "PantryWorld"]


@frozen(kw_only=True)
class Good:
    """Something that is used up, or bought once and kept.

    One piece lasts the customers who use it ``lasts_days`` in the median, each her own time (log standard deviation
    ``spread``), and each piece a little more or less (``wobble``). ``share`` of the customers use it; of another camp
    than her own only ``Pantry.elsewhere`` times as many. ``once``: who has one needs no other. ``weight`` is how often
    it is picked up on a whim, and how popular it is where popularity is all there is.
    """

    name: str
    lasts_days: float = 30.0
    spread: float = 0.25
    wobble: float = 0.15
    share: float = 0.5
    weight: float = 1.0
    price: float = 8.0
    camp: str = ""
    once: bool = False


GOODS = (
    Good(name="Coffee", lasts_days=21, share=0.8, weight=3, price=9.0, camp="coffee"),
    Good(name="Filters", lasts_days=56, share=0.7, weight=1, price=3.0, camp="coffee"),
    Good(name="Tea", lasts_days=35, share=0.8, weight=2, price=7.0, camp="tea"),
    Good(name="Honey", lasts_days=70, share=0.6, weight=1, price=6.0, camp="tea"),
    Good(name="Soap", lasts_days=42, share=0.6, weight=1, price=4.0),
    Good(name="Candles", lasts_days=90, share=0.4, weight=1, price=5.0),
    Good(name="Chocolate", lasts_days=14, share=0.3, weight=5, price=3.5),
    Good(name="Teapot", share=0.3, weight=0.3, price=45.0, once=True),
    Good(name="Grinder", share=0.3, weight=0.2, price=80.0, once=True),
)


@frozen(eq=False, repr=False, kw_only=True)
class PantryTruth(Table):
    """One row a customer and good that she uses: how long it lasts her, and the day on which she runs out next.

    Of what is bought once there is no row. Rows stand in order of customer and category.
    """

    customer_id: TextColumn = column("who")
    category: TextColumn = column("what she uses")
    lasts_days: FloatColumn = column("how long one piece lasts her in the median", unit="days")
    bought_at: DayColumn = column("when she bought it last; NaT if never")
    need_at: DayColumn = column("the day on which she runs out; past if she has run out and not bought yet")

    def inside(self, customer_id: Any, category: Any, at: dt.date, *, share: float = 0.25) -> NDArray[np.bool_]:
        """Whether a reminder on that day comes when she needs it: within that share of its life around running out.

        One answer a row of ``customer_id`` and ``category``; never for what she does not use.
        """
        mine = np.char.add(np.char.add(self.customer_id, "\x1f"), self.category)
        asked = np.char.add(np.char.add(np.asarray(customer_id, np.str_), "\x1f"), np.asarray(category, np.str_))
        order = np.argsort(mine)
        place = np.clip(np.searchsorted(mine, asked, sorter=order), 0, max(len(mine) - 1, 0))
        if not len(mine):
            return np.zeros(len(asked), dtype=np.bool_)
        row = order[place]
        away = np.abs((self.need_at[row] - np.datetime64(at, "D")).astype(np.float64))
        return np.asarray((mine[row] == asked) & (away <= share * self.lasts_days[row]))


@frozen(kw_only=True)
class PantryWorld:
    """What the shop knows on ``as_of``, and what it does not."""

    as_of: dt.date
    log: TransactionLog
    truth: PantryTruth
    recipe: "Pantry"


@frozen(kw_only=True)
class Pantry:
    """A recipe for customers who run out of things; :meth:`simulate` cooks it, the same one for the same seed.

    She passes by every ``visit_gap_days`` or so (gamma gaps of shape ``visit_shape``) and takes what has run out or
    will tomorrow: two pieces instead of one with probability ``double``, which then last twice as long. With
    probability ``whim`` she takes something popular besides. Who belongs to one camp uses the goods of another
    ``elsewhere`` times as often as others do. She begins to use her goods over her first ``settling_days``, and stays
    an exponential time of mean ``lifetime_years``. With ``needs=False`` nothing runs out: every visit takes one or two
    goods by popularity alone, and no customer differs from another.

    Example:
        >>> world = Pantry(customers=50, years=1, seed=1).simulate()
        >>> world.log.categories.labels.tolist()[:3], bool((world.truth.category != "Teapot").all())
        (['Candles', 'Chocolate', 'Coffee'], True)
    """

    customers: int = 300
    years: float = 2.0
    start: dt.date = dt.date(2019, 1, 1)
    goods: tuple[Good, ...] = GOODS
    visit_gap_days: float = 6.0
    visit_shape: float = 3.0
    double: float = 0.2
    whim: float = 0.15
    elsewhere: float = 0.3
    settling_days: float = 240.0
    lifetime_years: float = 6.0
    needs: bool = True
    seed: int = field(default=0)

    def __attrs_post_init__(self) -> None:
        names = [good.name for good in self.goods]
        sizes = [self.visit_gap_days, self.visit_shape, self.lifetime_years]
        sizes += [v for g in self.goods for v in (g.lasts_days, g.weight, g.price)]
        shares = [self.double, self.whim, self.elsewhere, *(g.share for g in self.goods)]
        fine = (
            self.customers >= 1
            and 0 < self.years <= 100
            and names
            and len(set(names)) == len(names)
            and all(0 < v < np.inf for v in sizes)
            and all(0 <= v <= 1 for v in shares)
            and all(0 <= v < 5 for g in self.goods for v in (g.spread, g.wobble))
            and self.settling_days >= 0
        )
        if not fine:
            raise ConfigError(
                "a Pantry with a number out of range, no goods, or two of one name",
                rule="customers, days, weights and prices are positive, shares lie in [0, 1], goods have names",
                remedy="mend the recipe; Pantry() is one that works",
            )

    @classmethod
    def by_popularity(cls, **changes: Any) -> Self:
        """No needs at all: whoever finds a next category beyond the popular ones here is wrong."""
        return cls(**({"needs": False} | changes))

    @property
    def as_of(self) -> dt.date:
        """The last day of the story."""
        return self.start + dt.timedelta(days=int(365.25 * self.years) - 1)

    def simulate(self) -> PantryWorld:
        """The log up to the last day, and who will run out of what, when."""
        rng = np.random.default_rng(self.seed)
        n, k, days = self.customers, len(self.goods), int(365.25 * self.years)

        def of(name: str) -> FloatColumn:
            return np.asarray([getattr(good, name) for good in self.goods], dtype=np.float64)

        camps = np.unique([good.camp for good in self.goods if good.camp] or [""])
        own, of_good = rng.choice(camps, n), np.asarray([good.camp for good in self.goods])
        away = (of_good[None, :] != "") & (of_good[None, :] != own[:, None])
        uses = rng.random((n, k)) < of("share") * np.where(away, self.elsewhere, 1.0)
        lasts = of("lasts_days") * np.exp(of("spread") * rng.standard_normal((n, k)))
        once = of("once") > 0
        comes = rng.uniform(0.0, 0.4 * days, n)
        gone = comes + rng.exponential(self.lifetime_years * 365.25, n)
        need = np.where(uses, comes[:, None] + rng.uniform(0.0, self.settling_days, (n, k)), np.inf)
        bought = np.full((n, k), -1)
        weight = of("weight") / of("weight").sum()
        visit = comes.copy()
        lines: list[tuple[IntColumn, IntColumn, IntColumn, IntColumn]] = []
        for day in range(days):
            here = np.flatnonzero((visit < day + 1) & (gone > day))
            if not len(here):
                continue
            whim = rng.choice(k, (len(here), 2), p=weight)
            if self.needs:
                takes = need[here] <= day + 1
                moved = rng.random(len(here)) < self.whim
                fancy = whim[moved, 0]
                # What is bought once is no whim of who has it.
                kept = ~(once[fancy] & (bought[here[moved], fancy] >= 0))
                takes[np.flatnonzero(moved)[kept], fancy[kept]] = True
            else:
                takes = np.zeros((len(here), k), dtype=np.bool_)
                takes[np.arange(len(here)), whim[:, 0]] = True
                second = rng.random(len(here)) < 0.3
                takes[np.flatnonzero(second), whim[second, 1]] = True
            row, good = np.nonzero(takes)
            who = here[row]
            pieces = np.where(once[good], 1, 1 + (rng.random(len(who)) < self.double))
            last = lasts[who, good] * pieces * np.exp(of("wobble")[good] * rng.standard_normal(len(who)))
            left = np.maximum(need[who, good], day)  # what is left at home is used up first
            need[who, good] = np.where(once[good] | ~uses[who, good], np.inf, left + last)
            bought[who, good] = day
            lines.append((who, np.full(len(who), day), good, pieces))
            visit[here] = np.maximum(visit[here], day) + np.maximum(
                rng.gamma(self.visit_shape, self.visit_gap_days / self.visit_shape, len(here)), 1.0
            )
        ids, names = customer_ids(n), np.asarray([good.name for good in self.goods])
        who, on, good, pieces = (np.concatenate(part) for part in zip(*lines, strict=True)) if lines else (
            np.zeros(0, dtype=np.int64),) * 4  # fmt: skip
        first = np.datetime64(self.start, "D")
        log = TransactionLog.from_arrays(
            customer_id=ids[who],
            at=(first + on.astype("timedelta64[D]")).astype("datetime64[s]") + np.timedelta64(12, "h"),
            revenue=np.round(of("price")[good] * pieces, 2),
            margin=0.4,
            category=names[good],
            quantity=pieces.astype(np.float64),
            currency="EUR",
        )
        if not self.needs:
            uses = np.zeros_like(uses)
        alphabet = np.argsort(names)
        i, j = np.nonzero((uses & ~once & (gone > days)[:, None])[:, alphabet])
        j = alphabet[j]
        at = np.where(bought[i, j] >= 0, bought[i, j], np.iinfo(np.int64).min).astype("timedelta64[D]")
        truth = PantryTruth(
            customer_id=ids[i],
            category=names[j],
            lasts_days=lasts[i, j],
            bought_at=first + at,
            need_at=first + np.floor(need[i, j]).astype("timedelta64[D]"),
        )
        return PantryWorld(as_of=self.as_of, log=log, truth=truth, recipe=self)
