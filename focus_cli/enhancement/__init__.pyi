from .section import Section as Section
from .stage import EnhanceOptions as EnhanceOptions
from .stage import enhance as enhance
from .whole_slide import slide_sample as slide_sample

__all__ = [
    "EnhanceOptions",
    "Section",
    "enhance",
    "slide_sample",
]
