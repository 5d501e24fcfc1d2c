"""From a raw vendor folder to a stored sample, checked against its image."""

from focus_cli.platforms.preprocessing.encoding import Encoding, check_encoder, encoding_like
from focus_cli.platforms.preprocessing.placement import Placing
from focus_cli.platforms.preprocessing.preparation import Preparation
from focus_cli.platforms.preprocessing.slide_alone import preprocess_slide
from focus_cli.platforms.preprocessing.stage import keep_locations, preprocess

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
