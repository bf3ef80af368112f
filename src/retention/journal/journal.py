"""The journal: what was decided on which night, whom it reached, what came of it."""

import datetime as dt
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from retention.domain import Outcome, Touch
from retention.errors import JournalError, nearest
from retention.journal import reading, writing
from retention.journal.complaints import Complaints
from retention.journal.events import day_of, key_of, known_people
from retention.journal.store import open_store
from retention.journal.tables import (
    Adherence,
    Contacts,
    Corrections,
    Decisions,
    Due,
    Nights,
    Outcomes,
    Recorded,
    Results,
    Vetoes,
)
from retention.records.permissions import Consents
from retention.records.touches import Touches

if TYPE_CHECKING:
    from retention.plan.plan import Plan

__all__ = ["Journal"]

_TABLES = ("decisions", "contacts", "vetoes", "nights", "adherence", "outcomes", "results", "corrections", "complaints")


class Journal:
    """An append-only record: nights with decisions and vetoes, touches, outcomes, consents, complaints.

    ``path`` is a SQLite file (made if missing), ``":memory:"``, or the address of a PostgreSQL database as in
    ``"postgresql+psycopg://user@host/shop"`` (extra ``sql``; the journal is its schema ``retention_journal``). Each
    call that records is one transaction: on file whole or not at all, and what it returned for is on the disk. The
    same thing recorded twice is one thing. Several processes may write. Use it in a ``with`` statement, or call
    :meth:`close`.

    Nothing is ever changed or deleted, with one exception: :meth:`forget` erases who a person was. What was wrong is
    corrected by a later event (:meth:`correct`, :meth:`cancel`); the first stays on file.

    Raises:
        JournalError: the path is a folder, another kind of file or database, a journal of a newer version, or cannot
            be reached.
        MissingExtraError: an address without the libraries of the extra ``sql``.

    Example:
        >>> import datetime as dt
        >>> from retention.domain import Touch
        >>> with Journal(":memory:") as journal:
        ...     call = Touch(customer_id="7", at=dt.date(2011, 3, 1), channel="phone")
        ...     journal.record_touches(Touches.of([call])).events
        ...     journal.record_touches(Touches.of([call])).already
        ...     len(journal.touches_before(dt.date(2011, 3, 2)))
        1
        True
        1
    """

    def __init__(self, path: str | Path) -> None:
        self._store = open_store(path)

    def close(self) -> None:
        """Close the journal; everything recorded is in it."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Writing

    def record(self, plan: "Plan") -> Recorded:
        """Write a night: its plan's decisions, vetoes and contacts, in one transaction.

        Each customer in the plan's ``contact`` or ``hold-out`` arm gets a row; those left alone are counted. A planned
        contact counts as a touch on the plan's day until the real one is recorded, or the contact is cancelled. The
        same plan again changes nothing and says so. Of two processes that record one day, the first wins.

        Raises:
            JournalError: that day was decided otherwise, a later one is on file, or another night was recorded since
                the plan was made. Nothing is written then.
        """
        day = plan.as_of.isoformat()
        with self._store.writing():
            if writing.night_on_file(self._store, plan):
                return Recorded(events=0, already=True, message=f"the night of {day} is on file already")
            new = writing.write_night(self._store, plan)
        return Recorded(events=new, already=False, message=f"the night of {day} is recorded: {new:,} events")

    def record_touches(
        self, touches: Touches, *, results: Sequence[str | None] | None = None, result_at: Sequence[Any] | None = None
    ) -> Recorded:
        """Write contacts that happened, in or out, whether they carry out the plan or not.

        Two touches with the same customer, day, channel, kind and direction are one, so a list may be recorded twice.
        A contact by the planned channel on the plan's day or within 28 days of it is the planned one, done.

        ``results`` says per touch what it brought (``"open"``, ``"reply"``, any word; None or empty for nothing known)
        and ``result_at`` on which day. A touch that brought two things is listed twice; it stays one touch.
        """
        with self._store.writing():
            new = writing.write_touches(self._store, touches, results, result_at)
        return _recorded(
            new, len(touches) + sum(map(bool, results or ())), "touches and results" if results else "touches"
        )

    def record_outcomes(self, outcomes: Iterable[Outcome]) -> Recorded:
        """Write what came back. Outcomes that are equal in every field are one, within a call and over calls.

        An outcome of kind ``"complaint"`` opens a complaint, see :meth:`open_complaints`.
        """
        listed = list(outcomes)
        with self._store.writing():
            new = writing.write_outcomes(self._store, listed)
        return _recorded(new, len(listed), "outcomes")

    def record_consents(self, consents: Consents) -> Recorded:
        """Write permissions and withdrawals. Records that are equal in every column are one.

        Example:
            >>> from retention.domain import Consent
            >>> with Journal(":memory:") as journal:
            ...     _ = journal.record_consents(Consents.of([Consent(customer_id="7", channel="email")]))
            ...     journal.consents_before(dt.date(2011, 3, 2)).granted_to("email", on=dt.date(2011, 3, 2))
            frozenset({'7'})
        """
        with self._store.writing():
            new = writing.write_consents(self._store, consents)
        return _recorded(new, len(consents), "consents")

    def record_complaints(self, complaints: Complaints) -> Recorded:
        """Write complaints opened and closed. One opening and one closing a customer and day."""
        with self._store.writing():
            new = writing.write_complaints(self._store, complaints)
        return _recorded(new, len(complaints), "complaints")

    def correct(self, wrong: Touch | Outcome, right: Touch | Outcome | None = None, *, reason: str = "") -> Recorded:
        """Take back a touch or outcome that was recorded wrongly, and put ``right`` in its place if it is given.

        ``wrong`` is named field by field, as it was recorded. It stays on file and no longer counts; recording it once
        more, from a list that still holds it, does not bring it back, but correcting ``right`` to it does. The same
        correction again changes nothing and says so.

        Raises:
            JournalError: nothing such is on file, or it was corrected otherwise already. Nothing is written then.

        Example:
            >>> from retention.domain import Touch
            >>> call = Touch(customer_id="7", at=dt.date(2011, 3, 1), channel="phone")
            >>> with Journal(":memory:") as journal:
            ...     _ = journal.record_touches(Touches.of([call]))
            ...     _ = journal.correct(call, reason="the call went to somebody else")
            ...     len(journal.touches_before(dt.date(2011, 3, 2))), journal.events
            (0, 2)
        """
        if right is not None and (right == wrong or isinstance(right, Touch) != isinstance(wrong, Touch)):
            raise JournalError(
                "a correction that changes nothing, or makes an outcome of a touch",
                rule="a touch is replaced by another touch, an outcome by another outcome",
                remedy="leave `right` out to take the event back, and record the other on its own",
            )
        with self._store.writing():
            new = writing.write_correction(self._store, wrong, right, reason)
        return Recorded(events=new, already=new == 0, message="corrected" if new else "corrected already")

    def cancel(
        self, plan_day: dt.date, customer_ids: Iterable[object], reason: str = "", *, on: dt.date | None = None
    ) -> Recorded:
        """Call off planned contacts that will not be carried out: they stop counting as touches.

        ``on`` is the day on which they are called off: a plan of that day or before, when it is made again, goes by
        what was known then. None means at once, the plan's own day. The decisions stay on file, in their arm, for a
        proof goes by what was decided. A touch that is recorded all the same counts. Cancelled twice is cancelled once.

        Raises:
            JournalError: one of the customers has no contact planned on that day. Nothing is cancelled then.
        """
        listed = list(dict.fromkeys(map(str, customer_ids)))
        with self._store.writing():
            new = writing.write_cancellations(self._store, day_of(plan_day), listed, reason, day_of(on or plan_day))
        return _recorded(new, len(listed), "cancellations")

    def announced(self, day: dt.date) -> bool:
        """Whether it is on file that a night's plan was announced."""
        return bool(self._rows("SELECT 1 FROM events WHERE key = :key", {"key": key_of("announced", day_of(day))}))

    def record_announced(self, day: dt.date) -> Recorded:
        """Write that a night's plan was announced: after a crash in between it is announced once more, never not."""
        with self._store.writing():
            new = writing.write_announced(self._store, day_of(day))
        return _recorded(new, 1, "announcements")

    def forget(self, customer_id: object) -> int:
        """Erase who a person was: her id and all free text about her leave the journal, byte for byte.

        Her events stay as those of nobody, so counts and sums stay. Returns how many events there are of that kind for
        her (0 if she was not known). What is recorded later under the same id is of a new person: her withdrawals are
        forgotten too, and no permission is left, so keep whom you may not contact in a list of your own. Copies and
        backups are the caller's; so are the blocks that the file system has let go, and a server's write-ahead log.

        Raises:
            JournalError: another process is reading, so that old pages could not be overwritten; call it again.
        """
        with self._store.writing():
            person = known_people(self._store, [str(customer_id)]).get(str(customer_id))
            who = {"person": person}
            events = self._rows("SELECT count(*) FROM events WHERE person = :person", who)[0][0]
            about_her = "DELETE FROM words WHERE seq IN (SELECT seq FROM events WHERE person = :person)"
            self._store.run(about_her, [who])
            self._store.run("DELETE FROM people WHERE person = :person", [who])
        self._store.scrub()
        return int(events)

    # Reading

    def touches_before(self, day: dt.date) -> Touches:
        """The contacts strictly before a day, oldest first; those of forgotten people are left out.

        A planned contact counts, from its plan on, as long as it is neither cancelled nor known to be done; then the
        day it was made counts instead. Until then it is dated on the first day of its window, and undated while that is
        to come: what has no date counts against every other contact.
        """
        return reading.touches_before(self._store, day)

    def due(self, day: dt.date) -> Due:
        """The planned contacts that may be made on a day and are neither done nor called off: what to send.

        From the first day of their window to 28 days after the plan. What has come up since, as far as it is on file,
        stands beside each: a permission that was taken back, a complaint that was opened. Such a contact must
        not be made; :meth:`cancel` calls it off.
        """
        return reading.due(self._store, day)

    def consents_before(self, day: dt.date) -> Consents:
        """Permissions given before a day, and withdrawals up to and on it: what is known when that day is planned.

        So a withdrawal counts at once and a permission from the next day on. Records without a date are in it.
        """
        return reading.consents_before(self._store, day)

    def open_complaints(self, day: dt.date) -> frozenset[str]:
        """The customers with an open complaint on a day, see :class:`Complaints` for which counts.

        Example:
            >>> with Journal(":memory:") as journal:
            ...     _ = journal.record_complaints(Complaints.from_arrays(customer_id=["7"], at=["2011-05-01"]))
            ...     journal.open_complaints(dt.date(2011, 4, 30)), journal.open_complaints(dt.date(2011, 5, 1))
            (frozenset(), frozenset({'7'}))
        """
        return reading.complaints(self._store).open_on(day)

    def complaints(self) -> Complaints:
        """Every complaint opened or closed, in the order of recording, without forgotten people."""
        return reading.complaints(self._store)

    def holdout(self) -> tuple[float, str] | None:
        """Share and salt of the last night's hold-out, for the next plan to keep the same people; None before any."""
        return reading.holdout(self._store)

    def last_night(self) -> dt.date | None:
        """The last night on file; a plan made with this journal is recorded only while that is still the last."""
        return reading.last_night(self._store)

    def nights(self) -> Nights:
        """The recorded nights, oldest first."""
        return reading.nights(self._store)

    def adherence(self) -> Adherence:
        """One row a night, oldest first: of the contacts decided, how many are on file as touches, or called off."""
        return reading.adherence(self._store)

    def decisions(self, as_of: dt.date | None = None) -> Decisions:
        """Who was chosen and in which arm, by night and then by customer; of one night if ``as_of`` is given."""
        return reading.decisions(self._store, as_of)

    def contacts(self) -> Contacts:
        """Every contact that was planned and what became of it, and every touch that went out without a plan.

        A touch by the planned channel on the plan's day or within 28 days of it is the planned one.
        """
        return reading.contacts(self._store)

    def vetoes(self, as_of: dt.date | None = None) -> Vetoes:
        """What policies refused, by night and then by customer; of one night if ``as_of`` is given."""
        return reading.vetoes(self._store, as_of)

    def outcomes(self) -> Outcomes:
        """What came back, in the order of recording, without what was corrected."""
        return reading.outcomes(self._store)

    def results(self) -> Results:
        """What touches brought (opens, replies), in the order of recording, without touches that were corrected."""
        return reading.results(self._store)

    def corrections(self) -> Corrections:
        """What was taken back or called off, in the order of recording."""
        return reading.corrections(self._store)

    @property
    def events(self) -> int:
        """How many events are on file."""
        return int(self._rows("SELECT count(*) FROM events")[0][0])

    def export_csv(self, path: str | Path, what: str = "decisions") -> None:
        """Write one of the journal's tables for a spreadsheet; cells that look like formulas are made harmless.

        ``what`` is the method that gives the table: decisions, contacts, vetoes, nights, adherence, outcomes, results,
        corrections or complaints.
        """
        from retention.frames.export import write_csv

        if what not in _TABLES:
            raise JournalError(
                f"a table {what!r} to export", rule="the journal has its tables", remedy=nearest(what, _TABLES)
            )
        write_csv(getattr(self, what)(), path)

    def __repr__(self) -> str:
        try:
            nights, last = self._rows("SELECT count(*), max(at) FROM events WHERE kind = 'night'")[0]
            return f"<Journal: nights {nights}{f', the last {last}' if last else ''}, events {self.events:,}>"
        except JournalError:
            return "<Journal: closed>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self)[1:-1])}</p>"

    def _rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self._store.rows(sql, values)


def _recorded(new: int, given: int, what: str) -> Recorded:
    old = given - new
    said = f"{what} recorded: {new:,}" + (f", on file already: {old:,}" if old else "")
    return Recorded(events=new, already=given > 0 and new == 0, message=said)
