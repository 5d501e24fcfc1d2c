from .stage import CellTypeOptions as CellTypeOptions
from .stage import celltypes as celltypes

__all__ = [
    "CellTypeOptions",
    "celltypes",
]
