"""Hide part of a sample: what the method may see goes to one place, the truth to another."""

from focus_cli.evaluation.holdout.run import hold_out

__all__ = ["hold_out"]
