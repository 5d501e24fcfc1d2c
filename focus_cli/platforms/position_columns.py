"""Which columns of a table are x and y, by their names: never by their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What stands for a direction, as a word or at the end or the start of one.
_X = ("x", "col", "column", "cols", "lon", "longitude")
_Y = ("y", "row", "rows", "lat", "latitude")
_Z = ("z", "plane", "depth")
_UM = ("um", "micron", "microns", "micrometer", "micrometers", "µm")
UM_PER_UNIT = {"µm": 1.0, "mm": 1000.0, "nm": 0.001, "cm": 10_000.0}
_NOT_POSITIONS = (
    *("array", "grid", "index", "idx", "local", "fov", "umap", "tsne", "pca", "min", "max", "shift", "offset", "bbox"),
    *("width", "size", "std", "var", "velocity", "minimum", "maximum", "extent", "length", "tile", "hires", "lowres"),
)
_SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Pair:
    """Two columns that are x and y, the words that they share, and a third one where there is z."""

    x: str
    y: str
    words: tuple[str, ...]
    z: str | None = None

    @property
    def unit(self) -> str:
        """The length of `UM_PER_UNIT` that the names state; "" where they state none."""
        if set(self.words) & set(_UM):
            return "µm"
        return next((unit for unit in UM_PER_UNIT if unit in self.words), "")


def split_axis(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The axis (``"x"``, ``"y"``, ``"z"``) that a column's name states, and its other words; None if it states none.

    ``pxl_col_in_fullres``, ``imagecol``, ``CenterX_global_px``, ``X_centroid`` and ``spatial.x`` are x.
    """
    words = [w.lower() for w in re.split(r"[^A-Za-zµ]+", _SPLIT.sub(" ", str(name))) if w]
    for axis, known in (("x", _X), ("y", _Y), ("z", _Z)):
        if sum(word in known for word in words) == 1:
            return axis, tuple(word for word in words if word not in known)
    # Written together: imagecol, pxlrow, xcoord, posx.
    for place, word in enumerate(words):
        match = re.fullmatch(
            r"(image|img|pxl|pixel|px|pos|coord|center|centre|centroid|global|spatial|sdim|loc|location)(x|y|z|col|row)|"
            r"(x|y|z)(coords?|pos|position|loc|location|center|centre|centroid|pixel|px|um|global)",
            word,
        )
        if match:
            axis = match.group(2) or match.group(3)
            rest = match.group(1) or match.group(4)
            axis = {"col": "x", "row": "y"}.get(axis, axis)
            return axis, (*words[:place], rest, *words[place + 1 :])
    return None


def find_pairs(names: Sequence[str]) -> list[Pair]:
    """The pairs of columns that differ in the axis alone, in the order of the table."""
    by_words: dict[tuple, dict[str, list[str]]] = {}
    for name in names:
        found = split_axis(str(name))
        if found is not None:
            by_words.setdefault((found[1], _kind(str(name))), {}).setdefault(found[0], []).append(str(name))
    pairs = []
    for (words, _), axes in by_words.items():
        if len(axes.get("x", ())) == 1 and len(axes.get("y", ())) == 1:
            z = axes.get("z", [None])
            pairs.append(Pair(axes["x"][0], axes["y"][0], words, z[0] if len(z) == 1 else None))
    return pairs


def _kind(name: str) -> str:
    """Rows pair with columns, and x with y."""
    words = re.split(r"[^a-z]+", _SPLIT.sub(" ", name).lower())
    return "grid" if any(re.search(r"(^|[a-z])(col|cols|column|row|rows)$", word) for word in words) else "axes"


def position_pairs(names: Sequence[str]) -> list[Pair]:
    """The pairs that hold positions of locations: one, or several between which the names do not decide.

    Pixels of the full image come before other positions, those before lengths. Places on an array, within a field of
    view and in an embedding are none.
    """
    held = [pair for pair in find_pairs(names) if not set(_NOT_POSITIONS) & set(pair.words)]
    first = min(map(_rank, held), default=0)
    return [pair for pair in held if _rank(pair) == first]


def _rank(pair: Pair) -> int:
    words = set(pair.words)
    if {"pxl", "fullres"} & words or (words and words <= {"image", "img", "pixel", "px", "pixels"}):
        return 0
    if "global" in words:
        return 1 if "px" in words else 2
    if not words or words & {"cell", "spatial"}:
        return 3
    return 5 if pair.unit or "slide" in words else 4


def numbered(names: Sequence[str]) -> bool:
    """Whether columns are named by numbers that count up, as an array's columns are: ``0, 1`` or ``spatial_1, …``.

    Measurements of label pictures number rows first (``centroid-0``): they are not.
    """
    parts = [re.fullmatch(r"(.*?)[-_. ]?(\d+)", str(name)) for name in names]
    others = ("centroid", "umap", "tsne", "pca", "pc")
    if not all(parts) or any(word in part.group(1).lower() for part in parts for word in others):
        return False
    stems, numbers = {part.group(1) for part in parts}, [int(part.group(2)) for part in parts]
    return len(stems) == 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] in (0, 1)
