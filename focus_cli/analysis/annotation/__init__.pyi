from .stage import apply_annotation as apply_annotation
from .stage import fit_annotation as fit_annotation
from .stage import format_scores as format_scores

__all__ = [
    "apply_annotation",
    "fit_annotation",
    "format_scores",
]
