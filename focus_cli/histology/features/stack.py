"""Several rasters of one slide, sampled as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.histology.features.raster import MorphologyRaster

_VALUES = 2**24  # sampled at a time
_REGION_UM = 2000.0  # points of one region are sampled together, so that a block is read once


class RasterStack:
    """Image features of a sample: the built-in morphology, and an encoder's where there is one.

    Parameters
    ----------
    rasters
        At least one; the first states where tissue is.
    """

    def __init__(self, rasters: Sequence[MorphologyRaster]) -> None:
        self.rasters = list(rasters)

    @classmethod
    def open(cls, paths: Sequence[Path]) -> RasterStack | None:
        """Open the rasters of a sample; None where it has none."""
        return cls([MorphologyRaster(path) for path in paths]) if paths else None

    @property
    def names(self) -> list[str]:
        """Names of all features, F."""
        return [name for raster in self.rasters for name in raster.names]

    @property
    def widths(self) -> list[int]:
        """Number of features of each raster."""
        return [raster.n_features for raster in self.rasters]

    @property
    def encoder(self) -> dict[str, Any] | None:
        """Description of the learned encoder, with the pitch of its raster (``step_um``); None without one."""
        for raster in self.rasters:
            if raster.encoder is not None:
                return {**raster.encoder, "step_um": raster.step_um}
        return None

    def select(self, names: Sequence[str]) -> RasterStack:
        """The rasters that hold `names`, in this order.

        Raises
        ------
        BadInputError
            If no choice of rasters has exactly these features.
        """
        wanted, chosen = list(names), []
        for raster in self.rasters:
            if raster.names == wanted[: raster.n_features]:
                chosen.append(raster)
                wanted = wanted[raster.n_features :]
        if wanted or not chosen:
            raise BadInputError(
                f"the image features are {_described(self.names)}, not {_described(names)}",
                hint="focus preprocess --encoder chooses them",
            )
        return RasterStack(chosen)

    def sample(self, xy_um: np.ndarray, then: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """Interpolate all features bilinearly.

        Parameters
        ----------
        xy_um
            float64 (n, 2), µm.
        then
            Maps float32 (m, F) to (m, P), row by row; it sees a part of the points at a time, so that features of many
            dimensions are never held for all of them.

        Returns
        -------
        np.ndarray
            float32 (n, F) or (n, P); see `MorphologyRaster.sample`.
        """
        rows_at_a_time = max(1, _VALUES // sum(self.widths))
        if len(xy_um) <= rows_at_a_time:
            return self._read(xy_um, then)
        region = np.floor(np.asarray(xy_um) / _REGION_UM)
        order = np.lexsort((region[:, 0], region[:, 1]))
        out = None
        for start in range(0, len(order), rows_at_a_time):
            rows = order[start : start + rows_at_a_time]
            values = self._read(xy_um[rows], then)
            if out is None:
                out = np.empty((len(order), values.shape[1]), np.float32)
            out[rows] = values
        return out

    def _read(self, xy_um: np.ndarray, then: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
        parts = [raster.sample(xy_um) for raster in self.rasters]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return values if then is None else then(values)

    def tissue(self, xy_um: np.ndarray) -> np.ndarray:
        """Tissue fraction at places, as `MorphologyRaster.tissue`."""
        return self.rasters[0].tissue(xy_um)

    def tissue_grid(self, step_um: float) -> np.ndarray:
        """Centres of a regular grid over the tissue, as `MorphologyRaster.tissue_grid`."""
        return self.rasters[0].tissue_grid(step_um)


def encoder_of(name: str) -> str:
    """Which encoder a feature's name belongs to: ``morphology``, or what stands before the slash."""
    return name.rsplit("/", 1)[0] if "/" in name else "morphology"


def _described(names: Sequence[str]) -> str:
    encoders = dict.fromkeys(encoder_of(name) for name in names)
    return " and ".join(f"{e} ({sum(encoder_of(n) == e for n in names)})" for e in encoders) or "none"
