from .holdout import hold_out as hold_out
from .stage import evaluate as evaluate
from .table import COLUMNS as COLUMNS
from .table import format_table as format_table
from .table import is_ours as is_ours
from .table import print_scores as print_scores
from .table import write_tsv as write_tsv

__all__ = [
    "COLUMNS",
    "evaluate",
    "format_table",
    "hold_out",
    "is_ours",
    "print_scores",
    "write_tsv",
]
