"""Outcomes of patients from their slides: attention pooling, judged by nested cross-validation over donors."""

from focus_cli.analysis.outcome.stage import apply_outcome, fit_outcome

__all__ = ["apply_outcome", "fit_outcome"]
