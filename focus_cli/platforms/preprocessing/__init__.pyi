from .encoding import Encoding as Encoding
from .encoding import check_encoder as check_encoder
from .encoding import encoding_like as encoding_like
from .options import Placement as Placement
from .options import PreprocessOptions as PreprocessOptions
from .slide_alone import preprocess_slide as preprocess_slide
from .stage import keep_locations as keep_locations
from .stage import preprocess as preprocess

__all__ = [
    "Encoding",
    "Placement",
    "PreprocessOptions",
    "check_encoder",
    "encoding_like",
    "keep_locations",
    "preprocess",
    "preprocess_slide",
]
