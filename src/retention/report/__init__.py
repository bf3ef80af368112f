"""What one night found out and decided, as one self-contained HTML page."""

from retention.report.page import render

__all__ = ["render"]
