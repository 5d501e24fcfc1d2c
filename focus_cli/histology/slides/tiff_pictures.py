"""Which of the pictures in a TIFF is the slide; a file with several slides is refused.

Beside the slide, files hold coarser copies of it, thumbnails, and photographs of the label and of the whole glass. Two
pictures of comparable size that are no copies of each other are two slides, and nothing in the file states which one is
meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import BadInputError

if TYPE_CHECKING:
    import tifffile

_BESIDE = ("thumbnail", "label", "macro", "overview", "map")
_COPY_STRETCH, _MOST_OF_A_COPY = 0.005, 0.75  # a coarser copy has the shape of the slide, and fewer pixels
_COMPARABLE = 0.2  # of the slide's pixels: no label or macro photograph has as many
_MOST_NAMED = 5


def largest_series(handle: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """The series with the most pixels; the first of equals."""
    return max(handle.series, key=lambda one: int(np.prod(one.shape[-3:])))


def picture_size(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    """Width and height of the pictures of a series."""
    return int(series.keyframe.imagewidth), int(series.keyframe.imagelength)


def require_one_picture(path: Path, handle: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse a file that holds another colour picture of the size of `series`.

    Raises
    ------
    BadInputError
        With the sizes of the pictures.
    """
    others = [i for i, one in enumerate(handle.series) if one is not series and _is_another(one, series)]
    if not others:
        return
    numbers = sorted([handle.series.index(series), *others])
    sizes = ", ".join("{} × {} px".format(*picture_size(handle.series[i])) for i in numbers[:_MOST_NAMED])
    raise BadInputError(
        f"{path} holds {len(numbers)} images: {sizes}",
        hint="save the one of this section as a separate file, for instance the first: "
        'python -c "import tifffile as t; '
        f"t.imwrite('he.tif', t.imread('{path.name}', series=0), photometric='rgb')\", and give he.tif",
    )


def _is_another(one: tifffile.TiffPageSeries, slide: tifffile.TiffPageSeries) -> bool:
    if one.keyframe.samplesperpixel < 3 or str(one.name).lower() in _BESIDE:
        return False
    (width, height), (whole_width, whole_height) = picture_size(one), picture_size(slide)
    if min(width, height) < 1:
        return False
    share = width * height / max(1, whole_width * whole_height)
    stretch = (whole_width / width) / (whole_height / height)
    is_copy = share <= _MOST_OF_A_COPY and abs(stretch - 1) <= _COPY_STRETCH + 1 / width + 1 / height
    return share >= _COMPARABLE and not is_copy
