from .stage import PatternOptions as PatternOptions
from .stage import find_patterns as find_patterns

__all__ = [
    "PatternOptions",
    "find_patterns",
]
