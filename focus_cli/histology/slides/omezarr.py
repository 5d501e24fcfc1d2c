"""OME-Zarr (NGFF 0.4 and 0.5): a folder with a pyramid of arrays, cut into chunks.

https://ngff.openmicroscopy.org/0.5/ : `multiscales` names the axes and, for each level, the array and its
scale. A colour image is an array with three channels of uint8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError, FocusError
from focus_cli.core.storage.documents import read_json
from focus_cli.core.storage.zarr_folder import require_zarr
from focus_cli.histology.slides.cache import TileCache
from focus_cli.histology.slides.level import BROKEN_HINT, RGB_HINT, Source, is_reduced
from focus_cli.histology.slides.scale import FileScale, Stated, file_scale
from focus_cli.histology.slides.tiled import TiledLevel

CACHE_BYTES = 96 * 2**20
_MARKS = (".zgroup", ".zattrs", "zarr.json")
_AXES = {"t", "c", "z", "y", "x"}
_UM_PER_UNIT = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}
_RGB_COLOURS = ("FF0000", "00FF00", "0000FF")
_COMPARABLE = 0.2  # of the pixels of the first image of a collection: no label or macro photograph has as many
_NOT_IMAGE_HINT = "give the folder of the image itself, the one whose attributes hold 'multiscales'"


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr group or array."""
    return any((path / mark).is_file() for mark in _MARKS)


def is_omezarr(path: Path) -> bool:
    """Whether a folder is an OME-Zarr image, or a bioformats2raw collection of images, by its attributes."""
    for mark, inside in (("zarr.json", "attributes"), (".zattrs", None)):
        try:
            document = read_json(path / mark)
            attributes = document.get(inside, {}) if inside else document
            attributes = attributes.get("ome", attributes)
            if "multiscales" in attributes or "bioformats2raw.layout" in attributes:
                return True
        except (FocusError, AttributeError, TypeError):
            continue
    return False


@dataclass(frozen=True)
class _Image:
    """What `multiscales` states: axes (one letter each), names of arrays, and the scale of each."""

    axes: tuple[str, ...]
    arrays: tuple[str, ...]
    scales: tuple[FileScale, ...]


class ZarrLevel(TiledLevel):
    """One array of the pyramid; its chunks are the tiles."""

    def __init__(self, path: Path, index: int, array, axes: tuple[str, ...], cache: TileCache) -> None:
        self._array, self._axes = array, axes
        shape = dict(zip(axes, array.shape))
        if array.dtype != np.uint8:
            raise BadInputError(f"{path} is not an H&E image: its pixels are {array.dtype}", hint=RGB_HINT)
        if shape.get("c") != 3:
            raise BadInputError(f"{path} is not an H&E image: {shape.get('c', 1)} channel(s)", hint=RGB_HINT)
        if shape.get("t", 1) * shape.get("z", 1) != 1:
            raise BadInputError(f"{path} holds a stack of images, not one colour image", hint=RGB_HINT)
        chunk = dict(zip(axes, array.chunks))
        super().__init__(path, index, (shape["x"], shape["y"]), (chunk["x"], chunk["y"]), cache)

    def _decode(self, number: int) -> np.ndarray:
        row, column = divmod(number, self.across)
        y, x = row * self.tile_height, column * self.tile_width
        place: dict[str, Any] = {"t": 0, "z": 0, "c": slice(None)}
        place["y"], place["x"] = slice(y, y + self.tile_height), slice(x, x + self.tile_width)
        try:
            pixels = np.asarray(self._array[tuple(place[axis] for axis in self._axes)])
        except Exception as error:  # codecs and stores raise whatever they like
            raise BadInputError(f"cannot decode chunk {number} of {self.path}: {error}", hint=BROKEN_HINT) from error
        left = [axis for axis in self._axes if axis in "cyx"]
        return np.ascontiguousarray(pixels.transpose([left.index(axis) for axis in "yxc"]))


class ZarrSource(Source):
    """An opened OME-Zarr; closing it drops the cache."""

    def __init__(self, cache: TileCache, **fields) -> None:
        super().__init__(**fields)
        self.cache = cache

    def close(self) -> None:
        """Release the decoded chunks."""
        self.cache.clear()


def open_omezarr(path: Path) -> ZarrSource:
    """Open an OME-Zarr image.

    Parameters
    ----------
    path
        Its folder; the folder above, as bioformats2raw writes it, stands for its first image.

    Raises
    ------
    BadInputError
        If it is no image, is damaged, or is not an 8-bit colour image.
    """
    import zarr

    try:
        group = zarr.open_group(require_zarr(path), mode="r")
        if _attributes(group).get("bioformats2raw.layout") and "multiscales" not in _attributes(group):
            _require_one_image(path, group)
            group = group["0"]
        image = _described(path, _attributes(group))
        # The specification asks for the largest first; not every writer follows it.
        sized = sorted(
            ((group[name], scale) for name, scale in zip(image.arrays, image.scales)),
            key=lambda one: one[0].size,
            reverse=True,
        )
    except FocusError:
        raise
    except Exception as error:  # zarr's own kinds of error differ by version
        raise BadInputError(f"cannot read {path}: {error}", hint=BROKEN_HINT) from error
    cache = TileCache(CACHE_BYTES)
    levels: list[ZarrLevel] = []
    for array, _ in sized:
        level = ZarrLevel(path, len(levels), array, image.axes, cache)
        if not levels or is_reduced(levels[-1], levels[0], level.width, level.height):
            levels.append(level)
    return ZarrSource(cache, levels=list(levels), scale=sized[0][1])


def _require_one_image(path: Path, group) -> None:
    """Refuse a collection whose first image is not clearly the largest: the others may be separate slides.

    Raises
    ------
    BadInputError
        With the folders.
    """
    sizes = {}
    for name in sorted(name for name in group.group_keys() if name.isdecimal()):
        described = _attributes(group[name]).get("multiscales")
        if described:
            shape = group[name][described[0]["datasets"][0]["path"]].shape
            sizes[name] = int(shape[-1]) * int(shape[-2])
    rivals = [name for name, size in sizes.items() if name != "0" and size > _COMPARABLE * sizes.get("0", 0)]
    if rivals:
        raise BadInputError(
            f"{path} holds {len(rivals) + 1} images: {', '.join(['0', *rivals][:5])}",
            hint=f"give the one of this section, for instance {path / '0'}",
        )


def _attributes(group) -> dict[str, Any]:
    """Return the group's NGFF metadata: under ``ome`` since 0.5."""
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)


def _described(path: Path, attributes: dict[str, Any]) -> _Image:
    """Read `multiscales` and `omero`."""
    if not attributes.get("multiscales"):
        raise BadInputError(f"{path} is a zarr without an OME-Zarr image", hint=_NOT_IMAGE_HINT)
    try:
        scales = attributes["multiscales"][0]
        axes = tuple(one["name"] for one in scales["axes"])
        arrays = tuple(one["path"] for one in scales["datasets"])
        if not ({"y", "x"} <= set(axes) <= _AXES and arrays):
            raise ValueError(f"axes {', '.join(axes)}")
        stated = [[_um_per_px(scales, level, axes.index(a)) for a in "xy"] for level in range(len(arrays))]
        colours = [str(one.get("color", "")).upper() for one in attributes.get("omero", {}).get("channels", [])]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadInputError(
            f"cannot read {path}: its OME-Zarr metadata are damaged ({error})", hint=BROKEN_HINT
        ) from error
    if any(colours) and tuple(colours) != _RGB_COLOURS:
        raise BadInputError(
            f"{path} is not an H&E image: its channels are shown as {', '.join(colours)}, not red, green and blue",
            hint=RGB_HINT,
        )
    return _Image(axes, arrays, tuple(file_scale([Stated.of(x, y, "OME-Zarr")]) for x, y in stated))


def _um_per_px(scales: dict[str, Any], level: int, axis: int) -> float | None:
    """Of a level along an axis; None where it names no unit of length."""
    unit = _UM_PER_UNIT.get(scales["axes"][axis].get("unit"))
    return None if unit is None else unit * _scale(scales["datasets"][level], axis) * _scale(scales, axis)


def _scale(described: dict[str, Any], axis: int) -> float:
    transformations = described.get("coordinateTransformations") or []
    return math.prod(float(one["scale"][axis]) for one in transformations if one.get("type") == "scale")
