from .stage import EmbedOptions as EmbedOptions
from .stage import embed as embed

__all__ = [
    "EmbedOptions",
    "embed",
]
