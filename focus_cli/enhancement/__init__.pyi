from .inputs import Inputs as Inputs
from .inputs import require_shared_genes as require_shared_genes
from .section import Section as Section
from .stage import EnhanceOptions as EnhanceOptions
from .stage import enhance as enhance
from .whole_slide import slide_sample as slide_sample

__all__ = [
    "EnhanceOptions",
    "Inputs",
    "Section",
    "enhance",
    "require_shared_genes",
    "slide_sample",
]
