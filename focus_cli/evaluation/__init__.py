"""Hold-outs, metrics and baselines: the protocol of every score, as code."""

from focus_cli.evaluation.holdout import hold_out
from focus_cli.evaluation.stage import evaluate
from focus_cli.evaluation.table import format_table, print_scores

__all__ = ["evaluate", "format_table", "hold_out", "print_scores"]
