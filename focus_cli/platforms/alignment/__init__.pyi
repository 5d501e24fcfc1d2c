from .agreement import Signals as Signals
from .array import fit_array as fit_array
from .extent import bounding_box as bounding_box
from .extent import inside as inside
from .files import fit_landmarks as fit_landmarks
from .files import read_landmarks as read_landmarks
from .files import read_transform as read_transform
from .images import draw_locations as draw_locations
from .images import shrink as shrink
from .mismatch import check_mismatch as check_mismatch
from .mismatch import compare_with_chance as compare_with_chance
from .orientation import ORIENTATIONS as ORIENTATIONS
from .orientation import Agreement as Agreement
from .orientation import BetterOrientationError as BetterOrientationError
from .orientation import check_orientation as check_orientation
from .orientation import compare_orientations as compare_orientations
from .orientation import named_orientation as named_orientation
from .orientation import orientation_frame as orientation_frame
from .orientation import orientation_frames as orientation_frames
from .orientation import orientation_transform as orientation_transform
from .orientation import reorient as reorient
from .scales import ScaleFit as ScaleFit
from .scales import Scales as Scales
from .shifts import check_shifts as check_shifts
from .shifts import compare_shifts as compare_shifts

__all__ = [
    "ORIENTATIONS",
    "Agreement",
    "BetterOrientationError",
    "ScaleFit",
    "Scales",
    "Signals",
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
