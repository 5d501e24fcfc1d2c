"""HTML reports, figures, and what a file is: ``write_report`` and ``explain``."""

from focus_cli.reporting.explain import explain
from focus_cli.reporting.html import write_report

__all__ = ["explain", "write_report"]
