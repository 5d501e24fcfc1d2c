from .encoding import Encoding as Encoding
from .encoding import check_encoder as check_encoder
from .encoding import encoding_like as encoding_like
from .placement import Placing as Placing
from .preparation import Preparation as Preparation
from .slide_alone import preprocess_slide as preprocess_slide
from .stage import keep_locations as keep_locations
from .stage import preprocess as preprocess

__all__ = [
    "Encoding",
    "Placing",
    "Preparation",
    "check_encoder",
    "encoding_like",
    "keep_locations",
    "preprocess",
    "preprocess_slide",
]
