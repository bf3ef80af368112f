"""A night told: as one self-contained HTML page, and as a few lines of text."""

from retention.report.page import render
from retention.report.terminal import tell

__all__ = ["render", "tell"]
