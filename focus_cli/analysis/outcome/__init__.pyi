from .stage import apply_outcome as apply_outcome
from .stage import fit_outcome as fit_outcome
from .stage import format_scores as format_scores

__all__ = [
    "apply_outcome",
    "fit_outcome",
    "format_scores",
]
