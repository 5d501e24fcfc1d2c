from .stage import WhyOptions as WhyOptions
from .stage import why as why

__all__ = [
    "WhyOptions",
    "why",
]
