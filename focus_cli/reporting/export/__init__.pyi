from .stage import FORMATS as FORMATS
from .stage import export as export

__all__ = [
    "FORMATS",
    "export",
]
