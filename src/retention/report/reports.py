"""What a night is written as: reports by name, each a file of its own in the night's folder."""

import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from retention.errors import MissingExtraError, PluginError, RetentionWarning
from retention.frames.export import replace_file

__all__ = ["HtmlPage", "Report", "checked_reports", "write_reports"]

TAKEN = ("plan.csv", "leads.csv")
"""Files that a night writes itself."""

_KEYS = ("plan", "leads", "report")


@runtime_checkable
class Report(Protocol):
    """One way to tell a night. ``file_name`` is a plain file name; text is written as UTF-8 as it is."""

    @property
    def name(self) -> str:
        """The registry name of the report."""

    @property
    def file_name(self) -> str:
        """The file in the night's folder, like "report.html"."""

    def render(self, night: Any) -> str | bytes:
        """The content of that file. ``night`` is a ``retention.night.Night`` and cannot be changed."""


@frozen
class HtmlPage:
    """The self-contained HTML page; needs the extra ``report``.

    Example:
        >>> HtmlPage().file_name
        'report.html'
    """

    name: str = field(default="html", init=False)
    file_name: str = field(default="report.html", init=False)

    def render(self, night: Any) -> str:
        """The page as text."""
        from retention.report.page import render

        return render(night)


def checked_reports(reports: Iterable[Report]) -> tuple[Report, ...]:
    """The reports, if each has a name and a file of its own inside the folder; one PluginError otherwise.

    Example:
        >>> [report.name for report in checked_reports([HtmlPage()])]
        ['html']
    """
    listed = tuple(reports)
    names: set[str] = set()
    files = {name.casefold() for name in TAKEN}
    for report in listed:
        name, file = getattr(report, "name", None), getattr(report, "file_name", None)
        plain = file is not None and str(file).isprintable() and not set(str(file)) & set('/\\:*?"<>|')
        fault = ""
        if not (isinstance(name, str) and name.strip()) or not callable(getattr(report, "render", None)):
            fault = f"a report of type {type(report).__name__} without a name or without render()"
        elif not isinstance(file, str) or not plain or file != file.strip(" .") or not file:
            fault = f"the report {name!r} with the file name {file!r}"
        elif file.casefold() in files:
            fault = f"the report {name!r} with the file name {file!r}, which is another's"
        elif name in names or (name in _KEYS):
            fault = f"a report named {name!r}, which is another's name"
        if fault:
            raise PluginError(
                fault,
                rule="a report has a name, render(night), and a plain file name of its own: no folders, no '..'",
                remedy=f"name the file like 'crm.json'; {' and '.join(TAKEN)} are the night's",
            )
        names.add(str(name))
        files.add(str(file).casefold())
    return listed


def write_reports(night: Any, reports: Iterable[Report], folder: Path) -> dict[str, Path]:
    """Write each report into the folder; what was written, by the name of the report.

    One that fails is warned about by name and stepped around, for a report must not change what it tells of; of a
    missing extra the warning says which.
    """
    written: dict[str, Path] = {}
    for report in checked_reports(reports):
        try:
            content = report.render(night)
            if not isinstance(content, str | bytes):
                raise TypeError(f"render() answered with a {type(content).__name__}, not text or bytes")
            data = content.encode("utf-8") if isinstance(content, str) else content
        except MissingExtraError as error:
            warnings.warn(f"the report {report.name!r} was left out: {error}", RetentionWarning, stacklevel=3)
        except Exception as error:
            # The text of a stranger's exception may hold personal data: only its kind is told.
            warnings.warn(
                f"the report {report.name!r} failed and was left out: {type(error).__name__}",
                RetentionWarning,
                stacklevel=3,
            )
        else:
            written[report.name] = replace_file(folder / report.file_name, partial(_put, data=data))
    return written


def _put(temporary: Path, *, data: bytes) -> None:
    temporary.write_bytes(data)
