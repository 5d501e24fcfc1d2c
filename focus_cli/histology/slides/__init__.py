"""Slides read by physical scale and cut into tiles; tissue, stain, and whether a picture is an H&E at all."""

from focus_cli.histology.slides.histology import HistologyFigures, is_histology
from focus_cli.histology.slides.opening import open_slide
from focus_cli.histology.slides.prefetch import TileBatch, iterate_tiles
from focus_cli.histology.slides.slide import Slide
from focus_cli.histology.slides.tiling import Tiling, tile_slide
from focus_cli.histology.slides.tissue import tissue_mask

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
