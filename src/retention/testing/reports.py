"""The laws of reports: a page of one night, the same each time, in which a customer's id is text and nothing else.

A report is tried on a night of yours: ``check_report(report, program.run(log, as_of=...))``. Best is one with an id
such as ``<script>alert(1)</script>`` among its customers, as the log of ``sample_shop()`` has.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import define

from retention.frames.table import Table
from retention.testing._shared import (
    Subject,
    first_difference,
    has_a_name,
    maker,
    must,
    nothing_shared_changes,
    snapshot,
)
from retention.testing.laws import Kit, NotAsked, laws, report

__all__ = ["KIT", "LAWS", "check_report"]

_HTML = (".html", ".htm", ".xhtml", ".svg")


@define(eq=False)
class _Report(Subject):
    """A report, and the night that it tells of."""

    given: Any

    @property
    def night(self) -> Any:
        """The night; without one there is nothing to ask."""
        if self.given is None:
            raise NotAsked("no night was given to tell of")
        return self.given

    def render(self, made: Any = None) -> Any:
        """What it makes of the night."""
        return (self.thing if made is None else made).render(self.night)


def _subject(thing: Any, night: Any = None) -> _Report:
    return _Report(made=maker(thing), given=night)


def has_a_file_name(subject: _Report) -> None:
    """``file_name`` is the name of a file with an ending, and no path."""
    name = getattr(subject.thing, "file_name", None)
    plain = isinstance(name, str) and name == name.strip() and not set(name) & set('/\\:*?"<>|\0')
    must(plain and "." in str(name).strip("."), f"file_name is {name!r}")


def gives_text_or_bytes(subject: _Report) -> None:
    """The answer is text that can be written down (UTF-8), or bytes, and not empty."""
    page = subject.render()
    must(isinstance(page, str | bytes), f"rendered a {type(page).__name__}, not text or bytes")
    must(page, "the page is empty")
    if isinstance(page, str):
        page.encode("utf-8")


def the_same_night_gives_the_same_bytes(subject: _Report) -> None:
    """Rendered again, by itself or by a report made alike, it is the same to the last byte: no clock, no dice."""
    first = subject.render()
    must(subject.render() == first, "rendered a second time it is another page")
    must(subject.render(subject.fresh()) == first, "a report made alike renders another page")


def ids_are_text(subject: _Report) -> None:
    """In HTML a customer's id is escaped: a name such as ``<script>`` is shown and never run."""
    page = subject.render()
    text = page.decode("utf-8", "replace") if isinstance(page, bytes) else page
    named = str(getattr(subject.thing, "file_name", "")).lower().endswith(_HTML)
    if not (named or text.lstrip()[:200].lower().startswith(("<!doctype html", "<html", "<svg"))):
        raise NotAsked("the page is not HTML")
    who = [str(one) for one in subject.night.base.customer_id if "<" in str(one)]
    if not who:
        raise NotAsked("no customer of this night has an id with <: try the log of sample_shop()")
    raw = sum(one in text for one in who)
    must(not raw, f"{raw} customer ids stand in the page as they are, unescaped")


def night_untouched(subject: _Report) -> None:
    """It does not change the night."""
    before = _held(subject.night)
    subject.render(subject.fresh())
    changed = first_difference(before, _held(subject.night))
    must(not changed, f"night.{changed} was changed")


def _held(night: Any) -> dict[str, Any]:
    """The tables of a night, with what they hold now."""
    known = [one.name for one in attrs.fields(type(night))] if attrs.has(type(night)) else list(vars(night))
    values = {name: getattr(night, name) for name in known}
    return {name: snapshot(value.columns() if isinstance(value, Table) else value) for name, value in values.items()}


def the_world_stays_as_it_was(subject: _Report) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    made = subject.fresh()
    with nothing_shared_changes():
        subject.render(made)


LAWS = laws(
    has_a_name,
    has_a_file_name,
    night_untouched,  # before anything else has seen it
    gives_text_or_bytes,
    the_same_night_gives_the_same_bytes,
    ids_are_text,
    the_world_stays_as_it_was,
)
KIT = Kit("report", LAWS, _subject)


def check_report(made: Any, night: Any, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Hold a report to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    Args:
        made: the report, or a class or function that makes one without arguments.
        night: the night to tell of, from ``Program.run``.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    report(made, "report", expected_failures=expected_failures, night=night).raise_if_broken()
