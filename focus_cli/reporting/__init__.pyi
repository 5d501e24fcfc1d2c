from .explanation import explain as explain
from .explanation_text import explain_text as explain_text
from .facts import result as result
from .html import write_report as write_report
from .overview import write_overview as write_overview

__all__ = [
    "explain",
    "explain_text",
    "result",
    "write_overview",
    "write_report",
]
