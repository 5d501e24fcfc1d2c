"""Where locations lie on the image: coordinates in px and µm, and the eight-orientation check."""

from focus_cli.alignment.coordinates import bounding_box, image_mpp, inside, px_to_um, um_to_px
from focus_cli.alignment.orientation import (
    ORIENTATIONS,
    Agreement,
    check_orientation,
    compare_orientations,
    reorient,
)

__all__ = [
    "ORIENTATIONS",
    "Agreement",
    "bounding_box",
    "check_orientation",
    "compare_orientations",
    "image_mpp",
    "inside",
    "px_to_um",
    "reorient",
    "um_to_px",
]
