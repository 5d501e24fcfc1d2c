"""Image features on a regular grid in µm."""

from focus_cli.features.extract import write_morphology
from focus_cli.features.raster import MorphologyRaster
from focus_cli.features.stack import RasterStack

__all__ = ["MorphologyRaster", "RasterStack", "write_morphology"]
