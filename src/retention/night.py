"""One night: all that a run found out and decided, and the ways to hand it on."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from retention.frames.export import replace_file
from retention.histories import Histories
from retention.journal import Adherence, Recorded
from retention.lenses import Audit
from retention.plan import Plan
from retention.plan.responses import Responses
from retention.records import TransactionLog, TransactionScan
from retention.report.reports import HtmlPage, Report, checked_reports, write_reports
from retention.tiers import Tiering
from retention.timing import Leak, Outlook
from retention.value import Valuation

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Night", "quiet"]


def quiet(stage: str) -> None:
    """Progress that says nothing."""


@frozen(kw_only=True, eq=False, repr=False)
class Night:
    """All that one run found out and decided; nothing in it can be changed.

    ``reports`` are the ways in which ``save`` tells it besides the tables.
    """

    as_of: dt.date
    log: TransactionLog | TransactionScan
    base: Histories
    audit: Audit
    worth: Valuation
    when: Outlook
    tiers: Tiering
    plan: Plan
    leak: Leak
    recorded: Recorded | None = None
    adherence: Adherence | None = None
    responses: Responses | None = None
    reports: tuple[Report, ...] = field(default=(HtmlPage(),), converter=checked_reports)

    def report(self, path: "str | PathLike[str]") -> Path:
        """Write the night as one self-contained HTML page; needs the extra ``report``."""
        from retention.report import render

        where = Path(path)
        page = render(self)
        replace_file(where, lambda temporary: temporary.write_text(page, encoding="utf-8", newline="\n"))
        return where

    def save(self, folder: "str | PathLike[str]", *, progress: Callable[[str], None] = quiet) -> dict[str, Path]:
        """Write ``plan.csv`` (every customer), ``leads.csv`` (whom to contact) and each report into a folder.

        Returns where they are: "plan", "leads", "report" for ``report.html``, and further reports by their names. A
        report that fails is warned about by name and left out. Raises PluginError for two reports of one file.
        ``progress`` is told the name of each stage as it begins.
        """
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        paths = {"plan": where / "plan.csv", "leads": where / "leads.csv"}
        progress("writing the plan")
        self.plan.to_csv(paths["plan"])
        self.plan.lead_list().to_csv(paths["leads"])
        progress("writing reports")
        written = write_reports(self, self.reports, where)
        return paths | {"report" if name == "html" else name: path for name, path in written.items()}

    def why(self, customer_id: object) -> Any:
        """Why this customer was, or was not, chosen."""
        return self.plan.why(str(customer_id))

    def summary(self) -> dict[str, Any]:
        """The night in a few plain JSON values."""
        plan, currency = self.plan, self.log.currency
        contacts = plan.decision == "contact"
        return {
            "as_of": self.as_of.isoformat(),
            "currency": currency,
            "lines_read": self.log.quality.rows_in,
            "lines_kept": self.log.quality.rows_kept,
            "customers": len(self.base),
            "expected_margin": float(self.worth.expected_margin.sum()),
            "horizon_days": self.worth.horizon_days,
            "at_risk_per_day": self.leak.per_day,
            "overdue_valuable_untouched": len(self.leak),
            "contacts": int(contacts.sum()),
            "held_out": int((plan.decision == "hold-out").sum()),
            "vetoes": len(plan.vetoes),
            "spent_money": float(plan.spent_money),
            "spent_hours": float(plan.spent_hours),
            "expected_gain": float(np.sum(plan.gain[contacts])),
            "gains_measured": int((plan.evidence[contacts] == "measured").sum()),
            "planned_so_far": None if self.adherence is None else int(self.adherence.planned.sum()),
            "done_so_far": None if self.adherence is None else int(self.adherence.done.sum()),
            "already_in_journal": None if self.recorded is None else self.recorded.already,
            "plan_fingerprint": plan.fingerprint(),
        }

    def __repr__(self) -> str:
        s = self.summary()
        return f"<Night of {s['as_of']}: {s['customers']:,} customers, {s['contacts']:,} contacts planned>"

    def _repr_html_(self) -> str:
        return str(self.plan._repr_html_())
