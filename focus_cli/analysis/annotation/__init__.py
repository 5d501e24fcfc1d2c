"""Annotations from a handful of labelled locations: a small calibrated head on frozen representations."""

from focus_cli.analysis.annotation.stage import apply_annotation, fit_annotation

__all__ = ["apply_annotation", "fit_annotation"]
