"""HTML reports, figures, and what a file is: ``write_report``, ``write_overview`` and ``explain``."""

from focus_cli.reporting.explanation import explain
from focus_cli.reporting.html import write_report
from focus_cli.reporting.overview import write_overview

__all__ = ["explain", "write_overview", "write_report"]
