"""Nuclei of a slide: where cells are, for queries at the scale of cells."""

from focus_cli.histology.nuclei.backends import METHODS
from focus_cli.histology.nuclei.find import COLUMNS, INDEX, find_nuclei

__all__ = ["COLUMNS", "INDEX", "METHODS", "find_nuclei"]
