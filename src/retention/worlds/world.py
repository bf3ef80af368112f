"""A simulated shop on one day: what it knows, what is true, and what would happen next."""

import csv
import datetime as dt
from functools import cached_property
from os import PathLike
from typing import Any, Self

import attrs
import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.coded import Coded
from retention.frames.table import IntColumn, TextColumn
from retention.records import Amounts, Consents, Quality, Touches, TransactionLog
from retention.worlds._draws import hashed_normal, hashed_uniform
from retention.worlds._simulate import Story
from retention.worlds.mess import Mess, write_invoices
from retention.worlds.shop import Shop
from retention.worlds.truth import Future, Responses, Truth

__all__ = ["World"]

_WINDOW_DAYS = 14


@frozen(eq=False, repr=False, kw_only=True)
class World:
    """A shop as it stands when its ``as_of`` day closes. Make one with :meth:`Shop.simulate`.

    What a shop would have: :attr:`log`, :attr:`consents`, :attr:`touches`, all up to the as-of day. What it would
    not: :attr:`truth`, :meth:`future`, :meth:`respond`. :meth:`until` goes to another day, :meth:`live` lets days
    pass with contacts and their effects.

    How contacts work: a contact of a living customer makes her come once more within 14 days with probability
    ``truth.lift(kind)``; a negative lift makes her next own visit fall through with probability ``-lift``. What a
    contact does depends on the seed, the customer, the day and the kind alone: not on who else is contacted, in which
    order, or in how many calls. Two contacts of one kind, day and customer are one.

    Example:
        >>> from retention.worlds import Shop
        >>> world = Shop.corner_shop(customers=60, years=2, seed=1).simulate()
        >>> earlier = world.until(dt.date(2009, 12, 31))
        >>> bool(earlier.log.day.max() <= np.datetime64("2009-12-31")), len(earlier.truth) < len(world.truth)
        (True, True)
        >>> len(earlier.future(earlier.as_of, 90)) == len(earlier.truth)
        True
    """

    shop: Shop
    as_of: dt.date
    contacts: Touches = field(factory=Touches.none)
    _story: Story

    def __attrs_post_init__(self) -> None:
        if not self.shop.start <= self.as_of <= self.last_day:
            raise self._beyond(f"as_of={self.as_of}")

    @property
    def last_day(self) -> dt.date:
        """The end of the hidden future: nothing is known, or happens, after it."""
        return self.shop.start + dt.timedelta(days=self._story.days - 1)

    def _beyond(self, given: str) -> ConfigError:
        return ConfigError(
            f"{given} in a world from {self.shop.start} to {self.last_day}",
            rule="a world is asked about days that were simulated",
            remedy="simulate a Shop with more years or more beyond_days",
        )

    @cached_property
    def log(self) -> TransactionLog:
        """The lines up to the as-of day, effects of the contacts lived through included; margins are exact."""
        return self._whole_log.until(self.as_of)

    @cached_property
    def truth(self) -> Truth:
        """What was planted, of every customer acquired by the as-of day."""
        everyone = self._story.truth
        known = everyone.take(everyone.acquired_at <= np.datetime64(self.as_of, "D"))
        return attrs.evolve(known, alive=known.alive_on(self.as_of))

    @cached_property
    def consents(self) -> Consents:
        """Permissions and withdrawals recorded by the as-of day."""
        return self._story.consents.take(self._story.consents.at <= np.datetime64(self.as_of, "D"))

    @cached_property
    def touches(self) -> Touches:
        """Newsletters of the past (they moved nobody) and the contacts lived through, up to the as-of day."""
        both = self._story.newsletters.joined(self.contacts)
        known = both.take(both.at <= np.datetime64(self.as_of, "D"))
        return known.take(np.lexsort((known.customer_id, known.at)))

    def until(self, day: dt.date) -> Self:
        """The same world when that day closed: nothing after it is known, contacts after it never were."""
        return attrs.evolve(self, as_of=day, contacts=self.contacts.take(self.contacts.at <= np.datetime64(day, "D")))

    def live(self, night: dt.date, contacts: Touches | None = None) -> Self:
        """The world when ``night`` closes, after these contacts were made (dated from the as-of day to ``night``).

        Their effects come after the day of the contact, so what is known on the as-of day does not change.

        Example:
            >>> from retention.worlds import Shop
            >>> world = Shop.corner_shop(customers=60, years=1, seed=1).simulate()
            >>> friday = world.as_of + dt.timedelta(days=1)
            >>> call = Touches.from_arrays(customer_id=world.truth.customer_id[:1], at=[friday], channel=["phone"],
            ...                            kind=["give"])
            >>> world.live(friday, call).touches.before(dt.date.max).equals(world.touches.joined(call))
            True
        """
        fresh = Touches.none() if contacts is None else contacts
        first, last = np.datetime64(self.as_of, "D"), np.datetime64(night, "D")
        if night < self.as_of or not np.all((fresh.at >= first) & (fresh.at <= last)):
            raise ConfigError(
                f"living from {self.as_of} to {night} with contacts outside these days, or backwards",
                rule="time goes forward, and contacts are made in the time that passes",
                remedy="date the contacts from the as-of day to the night; use until() to go back",
            )
        self._rows_of(fresh.customer_id)
        return attrs.evolve(self, as_of=night, contacts=self.contacts.joined(fresh))

    def future(self, as_of: dt.date, days: int) -> Future:
        """What each customer acquired by ``as_of`` really did in the ``days`` after it: for calibration only.

        Rows stand in order of ``customer_id``, as in the histories of a log cut at ``as_of``. Contacts lived through
        count with their effects.
        """
        end = as_of + dt.timedelta(days=days)
        if days < 0 or as_of < self.shop.start or end > self.last_day:
            raise self._beyond(f"future({as_of}, {days})")
        log, everyone = self._whole_log, self._story.truth
        ahead = (log.day > np.datetime64(as_of, "D")) & (log.day <= np.datetime64(end, "D"))
        lines = log.take(ahead)
        owner = np.searchsorted(everyone.customer_id, lines.customers.labels)[lines.customers.codes]
        _, first = np.unique(lines.occasions(), return_index=True)
        stands = first[~(lines.is_return | lines.is_cancelled)[first]]
        n, known = len(everyone), everyone.acquired_at <= np.datetime64(as_of, "D")
        return Future(
            customer_id=everyone.customer_id[known],
            purchases=np.bincount(owner[stands], minlength=n)[known],
            revenue=(lines.revenue.by_group(owner, n) / 100.0)[known],
            margin=(lines.margin.by_group(owner, n) / 100.0)[known],
        )

    def respond(self, customer_id: Any, kind: Any, at: Any) -> Responses:
        """What contacts cause, one row a contact: arrays of customers, kinds and days (one kind or day serves all).

        A contact of somebody who is gone, or not yet a customer, causes nothing; neither does ``"wait"``. A purchase
        that two contacts would drive away is told with both, but :meth:`live` loses it once.

        Example:
            >>> from retention.worlds import Shop
            >>> world = Shop.corner_shop(customers=200, years=1, seed=1, response={"give": 1.0}).simulate()
            >>> alive = world.truth.customer_id[world.truth.alive & (world.truth.segment == "regulars")]
            >>> set(world.respond(alive, "give", world.as_of).purchases.tolist())
            {1}
        """
        ids = np.atleast_1d(np.asarray(customer_id, dtype=np.str_))
        kinds = np.broadcast_to(np.asarray(kind, dtype=np.str_), ids.shape)
        days = np.broadcast_to(np.asarray(at, dtype="datetime64[D]"), ids.shape)
        who = self._rows_of(ids)
        everyone, story = self._story.truth, self._story

        lift = np.zeros(len(ids))
        for name in np.unique(kinds):
            lift = np.where(kinds == name, everyone.lift(str(name))[who], lift)
        died = everyone.died_at[who]
        alive = (everyone.acquired_at[who] <= days) & (np.isnat(died) | (died > days))
        keys = (self.shop.seed, who, days.astype(np.int64), np.asarray([_kind_key(k) for k in kinds], dtype=np.int64))
        moved = alive & (hashed_uniform(*keys, purpose="does she respond") < np.abs(lift))

        # An extra visit comes within the window, and while she is still a customer.
        left = np.where(np.isnat(died), _WINDOW_DAYS, np.minimum((died - days).astype(np.int64), _WINDOW_DAYS))
        wait = 1.0 + np.floor(hashed_uniform(*keys, purpose="when") * np.maximum(left, 1))
        extra_at = days + wait.astype("timedelta64[D]")
        sd = everyone.margin_log_sd[who]
        scatter = np.exp(sd * hashed_normal(*keys, purpose="how much") - sd**2 / 2)
        margin = np.maximum(1, np.rint(100.0 * everyone.margin_mean[who] * scatter)).astype(np.int64)
        rates = {c.name: c.margin_rate for c in self.shop.categories}
        rate = np.asarray([rates[str(name)] for name in everyone.category])[who]
        revenue = np.maximum(margin, np.rint(margin / rate).astype(np.int64))

        lost = np.where(moved & (lift < 0), self._next_purchase(who, days), -1)
        won = moved & (lift > 0)
        start = np.datetime64(self.shop.start, "D")
        lost_at = start + story.bought_on[lost].astype("timedelta64[D]") if len(story.bought_on) else days
        never = np.datetime64("NaT", "D")
        return Responses(
            customer_id=ids,
            at=days,
            kind=kinds,
            purchases=won.astype(np.int64) - (lost >= 0),
            purchase_at=np.where(won, extra_at, np.where(lost >= 0, lost_at, never)),
            revenue=np.where(won, revenue, np.where(lost >= 0, -self._worth[0][lost], 0)) / 100.0,
            margin=np.where(won, margin, np.where(lost >= 0, -self._worth[1][lost], 0)) / 100.0,
        )

    def write_invoices(
        self,
        path: str | PathLike[str],
        *,
        mess: bool = True,
        seed: int | None = None,
        encoding: str = "utf-8-sig",
        delimiter: str = ";",
    ) -> Mess:
        """Write the log as a CSV file such as a small shop has, and give account of the mess planted in it.

        See :func:`retention.worlds.mess.write_invoices`; the seed is the shop's own unless given.
        """
        seed = self.shop.seed if seed is None else seed
        return write_invoices(
            self.log, self.shop.categories, path, mess=mess, seed=seed, encoding=encoding, delimiter=delimiter
        )

    def write_consents(self, path: str | PathLike[str]) -> None:
        """Write the consents as CSV: Customer, Channel, Purpose, Granted (yes/no), Date (ISO)."""
        c = self.consents
        granted = np.where(c.granted, "yes", "no")
        _write(
            path,
            ("Customer", "Channel", "Purpose", "Granted", "Date"),
            c.customer_id,
            c.channel,
            c.purpose,
            granted,
            c.at,
        )

    def write_touches(self, path: str | PathLike[str]) -> None:
        """Write the touches as CSV: Customer, Date (ISO), Channel, Kind, Direction (out/in)."""
        t = self.touches
        _write(
            path,
            ("Customer", "Date", "Channel", "Kind", "Direction"),
            t.customer_id,
            t.at,
            t.channel,
            t.kind,
            t.direction,
        )

    def __repr__(self) -> str:
        lifts = ", ".join(f"{kind} {lift:+g}" for kind, lift in self.shop.response.items())
        return (
            f"<World: {len(self.truth):,} customers, {self.shop.start} to {self.as_of}, {len(self.log):,} lines, "
            f"planted lift {lifts}, seed {self.shop.seed}>"
        )

    def _rows_of(self, customer_ids: TextColumn) -> IntColumn:
        everyone = self._story.truth.customer_id
        rows = np.minimum(np.searchsorted(everyone, customer_ids), len(everyone) - 1)
        if not np.all(everyone[rows] == customer_ids):
            raise ConfigError(
                f"{int(np.sum(everyone[rows] != customer_ids))} contacts of nobody in this world",
                rule="contacts are made with the world's own customers",
                remedy="use ids of world.truth['customer_id']",
            )
        return rows

    def _next_purchase(self, who: IntColumn, days: NDArray[np.datetime64]) -> IntColumn:
        """Her first own purchase after a day; -1 if she has none left."""
        story = self._story
        if not len(story.buyer):
            return np.full(len(who), -1, dtype=np.int64)
        after = (days - np.datetime64(self.shop.start, "D")).astype(np.int64)
        position = np.searchsorted(story.buyer * story.days + story.bought_on, who * story.days + after, side="right")
        inside = np.minimum(position, len(story.buyer) - 1)
        return np.where((position < len(story.buyer)) & (story.buyer[inside] == who), inside, -1)

    @cached_property
    def _worth(self) -> tuple[IntColumn, IntColumn]:
        """Revenue and margin of each purchase, net of what came back of it, in cents."""
        purchase, log = self._story.purchase, self._story.log
        real, n = purchase >= 0, len(self._story.buyer)
        return (
            log.revenue.take(real).by_group(purchase[real], n),
            log.margin.take(real).by_group(purchase[real], n),
        )

    @cached_property
    def _whole_log(self) -> TransactionLog:
        """The story's log to its very end, changed by the contacts lived through."""
        log = self._story.log
        if not len(self.contacts):
            return log
        c = self.contacts
        _, once = np.unique(_joined(c.customer_id, c.at.astype(np.str_), c.kind), return_index=True)
        c = c.take(once)
        answers = self.respond(c.customer_id, c.kind, c.at)
        lost = answers.take(answers.purchases < 0)
        gone = self._next_purchase(self._rows_of(lost.customer_id), lost.at)
        log = log.take(~np.isin(self._story.purchase, gone))
        won = answers.take((answers.purchases > 0) & (answers.purchase_at <= np.datetime64(self.last_day, "D")))
        if len(won):
            log = log + self._extra_lines(won)
        log = log.take(np.argsort(log.at, kind="stable"))
        quality = Quality.clean(rows=len(log), money=log.revenue.total())
        return attrs.evolve(log, line=np.arange(1, len(log) + 1, dtype=np.int64), quality=quality)

    def _extra_lines(self, won: Responses) -> TransactionLog:
        """Extra purchases as lines: one each, of her favourite category, through her favourite channel."""
        who = self._rows_of(won.customer_id)
        everyone = self._story.truth
        cents = (np.rint(won.revenue * 100).astype(np.int64), np.rint(won.margin * 100).astype(np.int64))
        plain = TransactionLog.from_arrays(
            customer_id=won.customer_id,
            at=won.purchase_at.astype("datetime64[s]") + np.timedelta64(17, "h"),
            revenue=cents[0],
            margin=cents[1],
            order=_joined(won.customer_id, won.at.astype(np.str_), won.kind),
            quantity=np.ones(len(won)),
        )
        return attrs.evolve(
            plain,
            revenue=Amounts(cents[0], 2),
            margin=Amounts(cents[1], 2),
            categories=Coded.of(everyone.category[who]),
            channels=Coded.of(everyone.channel[who]),
        )


def _joined(*columns: Any) -> TextColumn:
    """One text a row, from several columns."""
    return np.asarray(["-".join(row) for row in zip(*(c.tolist() for c in columns), strict=True)], dtype=np.str_)


def _kind_key(kind: str) -> int:
    return int.from_bytes(kind.encode()[:6], "big")


def _write(path: str | PathLike[str], header: tuple[str, ...], *columns: Any) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(*(column.astype(np.str_) for column in columns), strict=True))
