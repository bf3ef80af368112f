"""A night told: as one self-contained HTML page, as a few lines of text, and as whatever reports plugins give."""

from retention.report.page import render
from retention.report.reports import HtmlPage, Report, checked_reports, write_reports
from retention.report.terminal import tell

__all__ = ["HtmlPage", "Report", "checked_reports", "render", "tell", "write_reports"]
