from .artefacts import clean_tissue as clean_tissue
from .describe import describe_slide as describe_slide
from .describe import is_slide_file as is_slide_file
from .histology import HistologyFigures as HistologyFigures
from .histology import is_histology as is_histology
from .level import MAX_DAMAGED as MAX_DAMAGED
from .omezarr import is_omezarr as is_omezarr
from .opening import open_slide as open_slide
from .prefetch import TileBatch as TileBatch
from .prefetch import iterate_tiles as iterate_tiles
from .scale import require_square as require_square
from .scale import tiff_scale as tiff_scale
from .slide import Slide as Slide
from .stain import optical_density as optical_density
from .stain import unmix as unmix
from .tiff_pictures import largest_series as largest_series
from .tiff_pictures import picture_size as picture_size
from .tiling import Tiling as Tiling
from .tiling import tile_slide as tile_slide
from .tissue import tissue_mask as tissue_mask

__all__ = [
    "MAX_DAMAGED",
    "HistologyFigures",
    "Slide",
    "TileBatch",
    "Tiling",
    "clean_tissue",
    "describe_slide",
    "is_histology",
    "is_omezarr",
    "is_slide_file",
    "iterate_tiles",
    "largest_series",
    "open_slide",
    "optical_density",
    "picture_size",
    "require_square",
    "tiff_scale",
    "tile_slide",
    "tissue_mask",
    "unmix",
]
