"""Image features on a regular grid in µm."""

from focus_cli.histology.features.extract import write_morphology
from focus_cli.histology.features.raster import MorphologyRaster
from focus_cli.histology.features.stack import RasterStack

__all__ = ["MorphologyRaster", "RasterStack", "write_morphology"]
