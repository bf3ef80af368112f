"""Who brought whom, as columns: a forest, in which each customer has at most one who brought her."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from attrs import frozen

from retention.domain import Referral
from retention.errors import ReadError, nearest
from retention.frames.table import DayColumn, IntColumn, Table, TextColumn, column

__all__ = ["Referrals", "ReferralTree", "TIES"]

TIES = ("friend", "family", "co-worker", "other")

_SHOWN = 10


class ReferralTree(NamedTuple):
    """The people of some referrals, sorted by id, and how they hang together.

    ``parent`` is the position of the one who brought each (-1: nobody on file), ``row`` the referral that says so
    (-1), ``depth`` how many steps she is away from one whom nobody brought (0 for such a one).
    """

    people: TextColumn
    parent: IntColumn
    row: IntColumn
    depth: IntColumn


@frozen(eq=False, repr=False, kw_only=True)
class Referrals(Table):
    """One row a referral: a customer who was brought, and by whom.

    Nobody refers herself, nobody is referred twice, and nobody is, through others, referred by one whom she brought:
    the referrals are a forest. ``line`` says where a row stood in its source, so that errors can name it.

    Example:
        >>> r = Referrals.of([Referral(referrer_id="ann", referred_id="bea", tie="friend"),
        ...                   Referral(referrer_id="bea", referred_id="cleo", tie="family")])
        >>> r.tree().depth.tolist()
        [0, 1, 2]
    """

    key: ClassVar[str] = "referred_id"

    referrer_id: TextColumn = column("who brought her")
    referred_id: TextColumn = column("who was brought")
    at: DayColumn = column("day of the referral; NaT if unknown")
    tie: TextColumn = column("friend, family, co-worker or other (which also stands for not stated)")
    line: IntColumn = column("where the row stood in its source")

    @classmethod
    def none(cls) -> Self:
        """No referrals."""
        return cls.from_arrays(referrer_id=[], referred_id=[])

    @classmethod
    def of(cls, referrals: Iterable[Referral]) -> Self:
        """Lift single referrals into columns."""
        listed = list(referrals)
        return cls.from_arrays(
            **{name: [getattr(r, name) for r in listed] for name in ("referrer_id", "referred_id", "at", "tie")}
        )

    @classmethod
    def from_arrays(
        cls, *, referrer_id: Any, referred_id: Any, at: Any = None, tie: Any = None, line: Any = None
    ) -> Self:
        """Referrals from equal-length arrays; by default of unknown day and of an other tie, rows counted from 1.

        Raises:
            ReadError: an end without a name, a tie that is none of ``TIES``, or rows that are no forest: a customer who
                refers herself or is referred by two rows, or a circle. The message names the rows, never a customer.
        """
        n = len(referred_id)
        days = [None] * n if at is None else list(at)
        ties = [None] * n if tie is None else list(tie)
        made = cls(
            referrer_id=_texts(referrer_id, "referrer"),
            referred_id=_texts(referred_id, "referred"),
            at=np.asarray([np.datetime64("NaT", "D") if d is None else d for d in days], dtype="datetime64[D]"),
            tie=np.asarray(["other" if t is None or t == "" else str(t) for t in ties], dtype=np.str_),
            line=np.arange(1, n + 1, dtype=np.int64) if line is None else np.asarray(line, dtype=np.int64),
        )
        strange = np.flatnonzero(~np.isin(made.tie, TIES))
        if len(strange):
            raise ReadError(
                f"referrals, {numbered('row', made.line[strange])}: a tie of another kind",
                rule=f"a tie is one of {', '.join(TIES)}",
                remedy=nearest(str(made.tie[strange[0]]), TIES),
            )
        made.tree()
        return made

    def until(self, day: dt.date) -> Self:
        """The referrals up to and including a day; those of unknown day are among them."""
        return self.take(np.isnat(self.at) | (self.at <= np.datetime64(day, "D")))

    def row(self, position: int) -> Referral:
        """One referral as a domain object."""
        return Referral(
            referrer_id=str(self.referrer_id[position]),
            referred_id=str(self.referred_id[position]),
            at=self.at[position].item(),
            tie=str(self.tie[position]),
        )

    def tree(self, *, source: str = "referrals", unit: str = "row") -> ReferralTree:
        """Who hangs below whom. Raises ReadError if the rows are no forest; ``source`` and ``unit`` word it."""

        def no_forest(rows: Any, fault: str, rule: str, remedy: str) -> ReadError:
            return ReadError(f"{source}, {numbered(unit, self.line[rows])}: {fault}", rule=rule, remedy=remedy)

        n = len(self)
        people, codes = np.unique(np.concatenate([self.referrer_id, self.referred_id]), return_inverse=True)
        codes = codes.reshape(-1).astype(np.int64)
        up, down = codes[:n], codes[n:]
        own = np.flatnonzero(up == down)
        if len(own):
            raise no_forest(
                own,
                "the customer refers herself",
                "a referral has two ends: who brought, and who was brought",
                "take these rows out, or mend the one of the two ids that is wrong",
            )
        again = np.flatnonzero(np.bincount(down, minlength=len(people))[down] > 1)
        if len(again):
            groups = list(dict.fromkeys(down[again].tolist()))
            named = "; ".join(numbered(unit, self.line[down == who]) for who in groups[1:_SHOWN])
            raise no_forest(
                np.flatnonzero(down == groups[0]),
                "these refer one and the same customer" + (f" ({len(groups) - 1} more such: {named})" if named else ""),
                "a customer is brought once, by one: otherwise her value would be credited twice",
                "keep the row of the one who really brought her, such as the earliest, and take the others out",
            )
        parent, row = np.full(len(people), -1, dtype=np.int64), np.full(len(people), -1, dtype=np.int64)
        parent[down], row[down] = up, np.arange(n)
        # Pointer doubling: after k rounds `above` is the ancestor 2**k steps up, so in a forest all run out.
        above, depth = parent, (parent >= 0).astype(np.int64)
        for _ in range(len(people).bit_length()):
            there = above >= 0
            depth = depth + np.where(there, depth[above], 0)
            above = np.where(there, above[above], -1)
        if np.any(above >= 0):
            # Whoever has ancestors without end sits on a circle or below one; the far ancestors are on it.
            circle = [int(above[above >= 0].min())]
            while (one := int(parent[circle[-1]])) != circle[0]:
                circle.append(one)
            others = len(np.unique(above[above >= 0])) - len(circle)
            more = f" ({others} rows more are in other circles)" if others else ""
            raise no_forest(
                np.sort(row[circle]),
                f"these referrals run in a circle{more}",
                "nobody is brought, through others, by one whom she brought",
                "take out the row that cannot be, such as the latest of them",
            )
        return ReferralTree(people, parent, row, depth)


def numbered(unit: str, numbers: Sequence[int] | IntColumn) -> str:
    """Rows as a sentence names them.

    Example:
        >>> numbered("row", [3]), numbered("line", [3, 5, 9])
        ('row 3', 'lines 3, 5 and 9')
    """
    listed = [str(int(number)) for number in numbers]
    if len(listed) == 1:
        return f"{unit} {listed[0]}"
    shown, more = listed[:_SHOWN], len(listed) - _SHOWN
    last = f"{more} more" if more > 0 else shown.pop()
    return f"{unit}s {', '.join(shown)} and {last}"


def _texts(names: Any, role: str) -> TextColumn:
    listed = list(names)
    blank = [i for i, name in enumerate(listed, 1) if name is None or not str(name).strip()]
    if blank:
        raise ReadError(
            f"referrals, {numbered('row', blank)}: no {role}",
            rule="a referral has two ends: who brought, and who was brought",
            remedy="fill in the id, or take the rows out",
        )
    return np.asarray(listed, dtype=np.str_)
