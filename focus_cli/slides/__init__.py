"""Slides read by physical scale; tissue, stain, and whether a picture is an H&E at all."""

from focus_cli.slides.histology import HistologyFigures, is_histology
from focus_cli.slides.slide import Slide, open_slide
from focus_cli.slides.tissue import tissue_mask

__all__ = ["HistologyFigures", "Slide", "is_histology", "open_slide", "tissue_mask"]
