from .encoded import extract_features as extract_features
from .extract import tissue_fraction as tissue_fraction
from .extract import write_morphology as write_morphology
from .grid import Grid as Grid
from .raster import MorphologyRaster as MorphologyRaster
from .stack import RasterStack as RasterStack

__all__ = [
    "Grid",
    "MorphologyRaster",
    "RasterStack",
    "extract_features",
    "tissue_fraction",
    "write_morphology",
]
