"""Where locations lie on the image: extents, orientation, shifts, and registration of an H&E imaged apart."""

from focus_cli.platforms.alignment.array import fit_array
from focus_cli.platforms.alignment.extent import bounding_box, inside
from focus_cli.platforms.alignment.files import fit_landmarks, read_landmarks, read_transform
from focus_cli.platforms.alignment.images import draw_locations, shrink
from focus_cli.platforms.alignment.mismatch import check_mismatch, compare_with_chance
from focus_cli.platforms.alignment.orientation import (
    ORIENTATIONS,
    Agreement,
    BetterOrientationError,
    check_orientation,
    compare_orientations,
    named_orientation,
    orientation_frame,
    orientation_frames,
    orientation_transform,
    reorient,
)
from focus_cli.platforms.alignment.scales import ScaleFit, Scales
from focus_cli.platforms.alignment.shifts import check_shifts, compare_shifts

__all__ = [
    "ORIENTATIONS",
    "Agreement",
    "BetterOrientationError",
    "ScaleFit",
    "Scales",
    "bounding_box",
    "check_mismatch",
    "check_orientation",
    "check_shifts",
    "compare_orientations",
    "compare_shifts",
    "compare_with_chance",
    "draw_locations",
    "fit_array",
    "fit_landmarks",
    "inside",
    "named_orientation",
    "orientation_frame",
    "orientation_frames",
    "orientation_transform",
    "read_landmarks",
    "read_transform",
    "reorient",
    "shrink",
]
