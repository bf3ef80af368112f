r"""The laws of readers: a log of what came in, to the last line, and the source as it was.

>>> import tempfile
>>> from retention.records import read_transactions
>>> from retention.testing import check_reader
>>> class Till:
...     name = "till"
...     def read(self, source, **options):
...         return read_transactions(source, customer="who", at="day", revenue="sum", **options)
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = Path(folder, "till.csv").write_text("who,day,sum\n7,2011-01-03,9.99\n7,on a Sunday,5\n")
...     check_reader(Till, Path(folder, "till.csv"))
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from attrs import define

from retention.records import TransactionLog, TransactionScan
from retention.testing._shared import Subject, alike, has_a_name, maker, must, nothing_shared_changes, snapshot
from retention.testing.laws import Kit, NotAsked, laws, report

__all__ = ["KIT", "LAWS", "check_reader"]

_NO_SOURCE = object()


@define(eq=False)
class _Reader(Subject):
    """A reader, and a source for it to read."""

    given: Any
    options: Mapping[str, Any]

    @property
    def source(self) -> Any:
        """The source, a copy of it where that can be had; without one there is nothing to ask."""
        if self.given is _NO_SOURCE:
            raise NotAsked("no source was given to read")
        return self.given if isinstance(self.given, str | Path) else copy.deepcopy(self.given)

    def read(self, reader: Any = None) -> TransactionLog:
        """The log that it makes of the source; of a scan all rows, with the account of those that came in."""
        given = (self.thing if reader is None else reader).read(self.source, **self.options)
        if isinstance(given, TransactionScan):
            return attrs.evolve(given.in_memory(), quality=given.quality)
        log: TransactionLog = given
        return log


def _subject(thing: Any, source: Any = _NO_SOURCE, options: Mapping[str, Any] | None = None) -> _Reader:
    return _Reader(made=maker(thing), given=source, options=dict(options or {}))


def gives_a_log(subject: _Reader) -> None:
    """The answer is a TransactionLog, or a TransactionScan, with at least one line."""
    log = subject.read()
    must(isinstance(log, TransactionLog), f"read a {type(log).__name__}, not a TransactionLog")
    must(len(log), "there is no line in the log: give a source that has some")


def every_line_has_a_day_and_a_customer(subject: _Reader) -> None:
    """No line is without a day or without a customer."""
    log = subject.read()
    must(not np.any(np.isnat(log.at)), "a line has no day")
    blank = np.char.str_len(np.char.strip(log.customers.labels)) == 0
    must(not np.any(blank[log.customers.codes]), "a line has no customer")


def nothing_is_lost(subject: _Reader) -> None:
    """Lines and money that came in are exactly those kept plus those set aside: ``log.quality`` accounts for them."""
    log = subject.read()
    quality = log.quality
    aside = sum(part.rows for part in quality.set_aside.values())
    told = f"{quality.rows_in} lines came in, {quality.rows_kept} were kept and {aside} set aside"
    must(quality.rows_in == quality.rows_kept + aside, told)
    must(quality.reconciles, "the money that came in is not that kept plus that set aside")
    must(quality.rows_in >= len(log) and quality.rows_kept == len(log), f"{told}, and the log has {len(log)}")
    must(quality.money_kept == log.revenue.total(), "the money kept is not the revenue of the log")


def reading_twice_gives_the_same(subject: _Reader) -> None:
    """The same source gives the same log again, and so does another reader made alike."""
    first = subject.read()
    for what, again in (("a second reading", subject.read()), ("a reader made alike", subject.read(subject.fresh()))):
        must(first.fingerprint() == again.fingerprint(), f"{what} gives another log")
        must(alike(snapshot(first.columns()), snapshot(again.columns())), f"{what} gives other lines")
        must(first.quality.to_dict() == again.quality.to_dict(), f"{what} gives another account of quality")


def source_untouched(subject: _Reader) -> None:
    """Reading does not change the source: neither a file nor a frame."""
    source = subject.source
    before = _held(source)
    subject.fresh().read(source, **subject.options)
    must(_held(source) == before, "the source was changed")


def _held(source: Any) -> Any:
    """What a source holds, to be compared: the bytes of files, the columns of a frame, or what it says of itself."""
    if isinstance(source, str | Path):
        path = Path(source)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        return [(str(file), file.read_bytes() if file.exists() else None) for file in files]
    if isinstance(source, Mapping):
        return {str(name): repr(list(values)) for name, values in source.items()}
    columns = getattr(source, "columns", None)
    if columns is not None and not callable(columns):
        return {str(name): repr(list(source[name])) for name in columns}
    return repr(source)


def the_world_stays_as_it_was(subject: _Reader) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    reader = subject.fresh()
    with nothing_shared_changes():
        subject.read(reader)


LAWS = laws(
    has_a_name,
    source_untouched,  # before anything else has read it
    gives_a_log,
    every_line_has_a_day_and_a_customer,
    nothing_is_lost,
    reading_twice_gives_the_same,
    the_world_stays_as_it_was,
)
KIT = Kit("reader", LAWS, _subject)


def check_reader(
    reader: Any, source: Any, *, expected_failures: Mapping[str, str] | None = None, **options: Any
) -> None:
    """Hold a reader to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    Args:
        reader: the reader, or a class or function that makes one without arguments.
        source: something for it to read, best with a line or two that have to be set aside.
        expected_failures: laws that are known to fail, by name, each with the reason.
        options: what ``read`` is told besides.
    """
    data = {"source": source, "options": options}
    report(reader, "reader", expected_failures=expected_failures, **data).raise_if_broken()
