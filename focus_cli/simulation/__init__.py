"""Tissue with known truth, written in the layouts of real vendors."""

from focus_cli.simulation.study import simulate

__all__ = ["simulate"]
