"""Reading ``morphology.zarr`` at any place."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.schema import Document, EncoderDocument, Name, Pitch, validated
from focus_cli.core.storage.zarr_folder import require_zarr

_AGAIN = "run focus preprocess again"
_MAX_CHUNK = 1 << 30
_MAX_SIDE = 1 << 22
_BLOCK_BYTES = 2**24  # of what is read at a time


class RasterAttributes(Document):
    """Attributes of a raster's group. Keys that only state where it comes from are kept."""

    model_config = ConfigDict(extra="allow")

    names: list[Name] = Field(min_length=1, max_length=1 << 20)
    step_um: Pitch
    origin_um: list[float] = Field(min_length=2, max_length=2)
    version: int
    encoder: EncoderDocument | None = None


def _chunk_bytes(array: Any) -> int:
    return math.prod(array.chunks) * array.dtype.itemsize


class MorphologyRaster:
    """Image features on a regular grid in µm, read block by block.

    Attributes
    ----------
    names
        Names of the F features, with the σ of their window.
    step_um
        Pitch of the grid.
    origin_um
        float64 (2,): (x, y) of the centre of cell (0, 0).
    shape
        (rows, columns).
    version
        Version of the features' definition.
    encoder
        Description of a learned encoder (`EncoderInfo` as a dict); None for the built-in morphology.
    """

    def __init__(self, path: str | Path) -> None:
        import zarr

        self.path = Path(path)
        if not os.path.lexists(self.path):
            raise MissingResourceError(f"no such raster: {path}", hint="run focus preprocess with --image")
        require_zarr(self.path)
        try:
            group = zarr.open_group(store=str(self.path), mode="r", zarr_format=3)
            self._features, self._tissue = group["features"], group["tissue"]
            described = dict(group.attrs)
            shapes = self._features.shape, self._tissue.shape
            kinds = self._features.dtype.kind, self._tissue.dtype.kind
            largest = max(_chunk_bytes(array) for array in (self._features, self._tissue))
        except Exception as error:  # zarr's own kinds of error differ by version
            raise damaged(self.path, error, _AGAIN) from error
        attributes = validated(RasterAttributes, described, self.path, _AGAIN)
        self.names: list[str] = list(attributes.names)
        self.step_um = float(attributes.step_um)
        self.origin_um = np.array(attributes.origin_um, dtype=np.float64)
        self.version = attributes.version
        self.encoder: dict[str, Any] | None = described.get("encoder")
        self.shape: tuple[int, int] = tuple(shapes[0][:2])
        if shapes != ((*self.shape, len(self.names)), self.shape) or min(self.shape) < 1 or kinds != ("f", "f"):
            raise BadInputError(f"{path} is damaged: its arrays do not match", hint=_AGAIN)
        if largest > _MAX_CHUNK or max(self.shape) > _MAX_SIDE:
            raise BadInputError(f"{path} is damaged: its arrays claim an absurd size", hint=_AGAIN)

    @property
    def n_features(self) -> int:
        """Number of features, F."""
        return len(self.names)

    @property
    def extent_um(self) -> tuple[float, float, float, float]:
        """The area that the cells cover: (x0, y0, x1, y1)."""
        x0, y0 = self.origin_um - self.step_um / 2
        return x0, y0, x0 + self.shape[1] * self.step_um, y0 + self.shape[0] * self.step_um

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Features of some rows of cells as they are stored, float16 (rows, columns, F)."""
        return self._read(slice(start, stop))

    def _read(self, part: slice | tuple[slice, slice]) -> np.ndarray:
        """A block of the features.

        Raises
        ------
        BadInputError
            If it cannot be decoded, or holds values that are not finite.
        """
        try:
            values = self._features[part]
        except FocusError:
            raise
        except Exception as error:  # each codec raises its own
            raise damaged(self._place_on_disk, error, _AGAIN) from error
        if not np.isfinite(values).all():
            raise BadInputError(f"{self._place_on_disk}: features are NaN or infinite", hint=_AGAIN)
        return values

    @property
    def _place_on_disk(self) -> Path:
        return getattr(self, "path", Path("the corpus"))

    @property
    def tissue_fraction(self) -> np.ndarray:
        """Fraction of each cell that is tissue, float32 (rows, columns)."""
        try:
            values = self._tissue[:]
        except FocusError:
            raise
        except Exception as error:  # as above
            raise damaged(self._place_on_disk, error, _AGAIN) from error
        if not (np.isfinite(values).all() and values.min(initial=0) >= 0 and values.max(initial=0) <= 1.001):
            raise BadInputError(f"{self._place_on_disk}: shares of tissue are not within 0 to 1", hint=_AGAIN)
        return values

    def sample(self, xy_um: np.ndarray) -> np.ndarray:
        """Interpolate the features bilinearly.

        Parameters
        ----------
        xy_um
            float64 (n, 2), µm. Beyond the grid the nearest edge counts.

        Returns
        -------
        np.ndarray
            float32 (n, F); NaN where an encoder computed none of the four cells around.
        """
        row, column, down, right = self._place(xy_um)
        out = np.empty((len(row), self.n_features), np.float32)
        side = max(16, int(np.sqrt(_BLOCK_BYTES / (2 * self.n_features))))
        blocks_across = -(-self.shape[1] // side)
        block = row // side * blocks_across + column // side
        order = np.argsort(block, kind="stable")
        cuts = np.flatnonzero(np.diff(block[order])) + 1
        for members in np.split(order, cuts) if len(order) else ():
            r, c = row[members], column[members]
            r0, c0 = r.min(), c.min()
            values = self._read((slice(r0, r.max() + 2), slice(c0, c.max() + 2)))
            place = r - r0, c - c0, down[members], right[members]
            if self.encoder is None:
                out[members] = _bilinear(values, *place)
                continue
            # An encoder looks at tissue alone; the cells that it left out are empty and carry no information.
            known = values.any(axis=2, keepdims=True).astype(np.float32)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[members] = _bilinear(values * known, *place) / _bilinear(known, *place)
        return out

    def tissue(self, xy_um: np.ndarray) -> np.ndarray:
        """Interpolate the tissue fraction bilinearly.

        Parameters
        ----------
        xy_um
            float64 (n, 2), µm.

        Returns
        -------
        np.ndarray
            float32 (n,), 0 to 1.
        """
        values = self.tissue_fraction
        return _bilinear(values[..., None], *self._place(xy_um))[:, 0]

    def tissue_grid(self, step_um: float) -> np.ndarray:
        """Return the centres of a regular grid over the tissue.

        Parameters
        ----------
        step_um
            Pitch, µm.

        Returns
        -------
        np.ndarray
            float64 (m, 2), row by row; only where the tissue fraction is at least a half.
        """
        from focus_cli.histology.features.grid import Grid

        if not step_um > 0:
            raise UsageError(f"the grid's pitch must be positive, not {step_um}")
        grid = Grid.over(*self.extent_um, step_um)
        x, y = np.meshgrid(grid.x, grid.y)
        xy = np.stack([x.ravel(), y.ravel()], axis=1)
        return xy[self.tissue(xy) >= 0.5]

    def _place(self, xy_um: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Upper left cell of each place and the shares of the lower and the right neighbour."""
        xy = np.asarray(xy_um, dtype=np.float64)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise UsageError(f"positions must have shape (n, 2), not {xy.shape}")
        if not np.isfinite(xy).all():
            raise BadInputError("positions must be finite", hint="check obsm['spatial_um']")
        last = np.array([self.shape[1] - 1, self.shape[0] - 1])
        cell = np.clip((xy - self.origin_um) / self.step_um, 0, last)
        corner = np.minimum(np.floor(cell).astype(np.int64), np.maximum(last - 1, 0))
        share = (cell - corner).astype(np.float32)
        return corner[:, 1], corner[:, 0], share[:, 1], share[:, 0]


def _bilinear(
    values: np.ndarray, row: np.ndarray, column: np.ndarray, down: np.ndarray, right: np.ndarray
) -> np.ndarray:
    below = np.minimum(row + 1, values.shape[0] - 1)
    beside = np.minimum(column + 1, values.shape[1] - 1)
    down, right = down[:, None], right[:, None]
    upper = values[row, column] * (1 - right) + values[row, beside] * right
    lower = values[below, column] * (1 - right) + values[below, beside] * right
    return (upper * (1 - down) + lower * down).astype(np.float32)
