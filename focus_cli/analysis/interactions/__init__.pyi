from .stage import InteractionOptions as InteractionOptions
from .stage import find_interactions as find_interactions

__all__ = [
    "InteractionOptions",
    "find_interactions",
]
