"""The third coordinate of locations: which column holds it, and the planes that its levels are."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from focus_cli.core.missing import texts
from focus_cli.platforms.position_columns import split_axis

_Z_NAMES = re.compile(
    r"z|z_?(pos|position|centroid|center|coord|coordinate|location|um|micron|index|plane|slice|stack|layer|level|px)s?"
    r"|z_?depth(_?um)?|depth_?(um|microns?|z)"
    r"|(center|centre|centroid|global|local|spatial|mean|pos|coord)_?z(_?(um|px))?|z_?plane|focal_?plane|plane",
    re.IGNORECASE,
)
# Words beside z in the name of a position.
_BESIDE_Z = frozenset(
    (
        *("pos", "position", "positions", "centroid", "center", "centre", "coord", "coords", "coordinate", "location"),
        *("um", "micron", "microns", "µm", "mm", "nm", "px", "pixel", "pixels", "voxel", "index", "global", "spatial"),
        *("mean", "cell", "nucleus", "image", "physical", "loc", "sdim", "stage", "slice", "stack", "layer", "level"),
    )
)
_MAYBE = re.compile(
    r"((tissue|section|slice|imaging|optical|cell|nucle(us|ar)|physical|cortical)[\s_.-]?)?depth([\s_.-]?(px|pixels?|mm|nm))?",
    re.IGNORECASE,
)
_MOST_PLANES = 30
_FEWEST_OF_A_PLANE = 5


def is_depth(name: str) -> bool:
    """Whether a column's name is that of a third coordinate."""
    if _Z_NAMES.fullmatch(re.sub(r"[\s.\-]+", "_", str(name).strip())):
        return True
    axis = None if may_be_depth(name) else split_axis(str(name))
    return axis is not None and axis[0] == "z" and set(axis[1]) <= _BESIDE_Z


def may_be_depth(name: str) -> bool:
    """Whether a column's name is that of a third coordinate or of something else, as of the depth of sequencing."""
    return bool(_MAYBE.fullmatch(str(name).strip()))


def z_column(obs: pd.DataFrame) -> tuple[np.ndarray | None, str]:
    """The column of a third coordinate that varies, float (n,), and its name.

    A column ``depth`` is taken where no other is, and where it holds fractions or few levels: a depth of sequencing is
    a whole number of many values.
    """
    for wanted in (is_depth, may_be_depth):
        for name in obs.columns:
            values = as_depth(obs[name]) if wanted(name) else None
            if values is None or not np.isfinite(values).any() or np.nanmax(values) <= np.nanmin(values):
                continue
            levels = np.unique(values[np.isfinite(values)])
            if wanted is is_depth or len(levels) <= _MOST_PLANES or (levels != np.rint(levels)).any():
                return values, str(name)
    return None, ""


def as_depth(values: pd.Series) -> np.ndarray | None:
    """Numbers, or text that is numbers alone, as float (n,); None for anything else."""
    if pd.api.types.is_bool_dtype(values):
        return None
    numbers = pd.to_numeric(values.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not pd.api.types.is_numeric_dtype(values) and (np.isfinite(numbers) != (texts(values) != "")).any():
        return None
    return numbers


def planes(z: np.ndarray) -> np.ndarray | None:
    """``z=…`` for each location, where few levels hold all of them; None where z is continuous or constant."""
    known = np.isfinite(z)
    if not known.any():
        return None
    levels, counts = np.unique(z[known], return_counts=True)
    if len(levels) < 2:
        return None
    if len(levels) > _MOST_PLANES or np.median(counts) < _FEWEST_OF_A_PLANE:  # levels that jitter
        gaps = np.diff(levels)
        cut = np.flatnonzero(gaps > max(0.02 * np.ptp(levels), 20 * np.median(gaps)))
        starts, ends = np.append(0, cut + 1), np.append(cut, len(levels) - 1)
        widths = levels[ends] - levels[starts]
        if not len(cut) or len(starts) > _MOST_PLANES or widths.max() > 0.3 * gaps[cut].min():
            return None
        level = np.searchsorted(levels[starts], z[known], side="right") - 1
        names = [f"z={np.median(z[known][level == i]):.4g}" for i in range(len(starts))]
    else:
        level = np.searchsorted(levels, z[known])
        names = [f"z={value:.10g}" for value in levels]
    if len(set(names)) < len(names) or len(z) < 4 * len(names):
        return None
    labels = np.full(len(z), "", dtype=object)
    labels[known] = np.asarray(names, dtype=object)[level]
    return labels


def state_depth(z: np.ndarray, name: str, where: str, *, overlapping: bool) -> list[str]:
    """Note on a third coordinate that is left out.

    Parameters
    ----------
    z
        float (n,), of the locations that are read.
    name
        Of its column.
    overlapping
        Whether locations lie closer to each other in x and y than those of one section do.
    """
    known = z[np.isfinite(z)]
    if not len(known) or np.ptp(known) <= 1e-6 * max(1.0, float(np.abs(known).max())):
        return []
    levels = len(np.unique(known))
    how = f", {levels} levels" if levels <= len(known) / 2 else ""
    above = "; locations of different z lie on top of each other" if overlapping else ""
    is_ = "may have" if may_be_depth(name) else "have"
    return [
        f"{where}: positions {is_} a third coordinate ({name} from {known.min():.6g} to {known.max():.6g}{how}): "
        f"z is left out, and x and y alone are used{above}"
    ]
