"""Simple methods that every result is shown beside; see docs/evaluation.md for what each one is."""

from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable, Section
from focus_cli.evaluation.baselines.reference import name_alike
from focus_cli.evaluation.baselines.registry import BASELINES, run_baselines

__all__ = ["BASELINES", "Inputs", "NotRunnable", "Section", "name_alike", "run_baselines"]
