"""Image features on a regular grid in µm."""

from focus_cli.features.extract import write_morphology
from focus_cli.features.raster import MorphologyRaster

__all__ = ["MorphologyRaster", "write_morphology"]
