"""From a raw vendor folder to a stored sample, checked against its image."""

from focus_cli.preprocessing.encoding import Encoding, check_encoder, encoding_like
from focus_cli.preprocessing.placing import Placing
from focus_cli.preprocessing.preparation import Preparation
from focus_cli.preprocessing.slide_alone import preprocess_slide
from focus_cli.preprocessing.stage import keep_locations, preprocess

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
