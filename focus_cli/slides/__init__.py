"""Slides read by physical scale and cut into tiles; tissue, stain, and whether a picture is an H&E at all."""

from focus_cli.slides.ahead import TileBatch, iterate_tiles
from focus_cli.slides.histology import HistologyFigures, is_histology
from focus_cli.slides.opening import open_slide
from focus_cli.slides.slide import Slide
from focus_cli.slides.tiling import Tiling, tile_slide
from focus_cli.slides.tissue import tissue_mask

__all__ = [
    "HistologyFigures",
    "Slide",
    "TileBatch",
    "Tiling",
    "is_histology",
    "iterate_tiles",
    "open_slide",
    "tile_slide",
    "tissue_mask",
]
