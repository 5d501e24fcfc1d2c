"""Reading an estimate that may be larger than memory: scored genes only, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from anndata.io import read_elem, sparse_dataset

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage.hdf5 import open_hdf5

_BLOCK_BYTES = 64 << 20
_LOG_MAX = 15.0  # log1p of any sensible CP10k; a larger value is a count
_LOOK_ROWS = 512


class EstimateFile:
    """An AnnData file with an estimate, opened for reading; a context manager.

    Attributes
    ----------
    obs_names, var_names
        Names of locations (n,) and genes (g,).
    xy_um
        Positions in µm (n, 2), or None.
    measured
        ``var["measured"]`` as bool (g,); all True if the file has no such column.
    var
        The table of genes.
    uns
        ``uns["focus"]``, empty if FOCUS did not write the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise MissingResourceError(f"no such file: {self.path}", hint="an .h5ad that holds an estimate")
        self._file = open_hdf5(self.path)
        try:
            self._read_frame()
        except (KeyError, OSError, ValueError, TypeError) as error:
            self._file.close()
            raise BadInputError(f"{self.path} is not an AnnData file: {error}") from error
        except BadInputError:
            self._file.close()
            raise

    def _read_frame(self) -> None:
        names = {}
        for axis in ("obs", "var"):
            group = self._file[axis]
            index = read_elem(group[group.attrs["_index"]])
            names[axis] = np.asarray(index).astype(str)
            if len(np.unique(names[axis])) != len(names[axis]):
                raise BadInputError(f"{self.path} has duplicate names in {axis}", hint="make them unique")
        self.obs_names, self.var_names = names["obs"], names["var"]
        obsm = self._file.get("obsm", {})
        self.xy_um = np.asarray(read_elem(obsm[keys.SPATIAL_UM]), dtype=np.float64) if keys.SPATIAL_UM in obsm else None
        self.var = read_elem(self._file["var"])
        if keys.MEASURED in self.var:
            self.measured = self.var[keys.MEASURED].to_numpy().astype(bool)
        else:
            self.measured = np.ones(len(self.var_names), dtype=bool)
        uns = self._file.get("uns", {})
        found = read_elem(uns[keys.UNS]) if keys.UNS in uns else {}
        self.uns: dict[str, Any] = found if isinstance(found, dict) else {}

    def exposure(self) -> np.ndarray | None:
        """Total counts at which the file states its mean counts, (n,); None if not stated."""
        obs = self._file["obs"]
        return np.asarray(obs[keys.EXPOSURE], dtype=np.float64) if keys.EXPOSURE in obs else None

    def __enter__(self) -> EstimateFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def by_focus(self) -> bool:
        """Whether FOCUS wrote the file."""
        return self.uns.get("kind") in ("enhanced", "refined")

    @property
    def layers(self) -> list[str]:
        """Names of the layers, sorted."""
        return sorted(self._file.get("layers", {}))

    def _matrix(self, layer: str) -> Any:
        if layer == "X":
            node = self._file.get("X")
        else:
            node = self._file.get("layers", {}).get(layer)
        if node is None:
            known = ", ".join(["X", *self.layers])
            raise UsageError(f"{self.path} has no layer {layer!r}", hint=f"one of {known}")
        shape = (len(self.obs_names), len(self.var_names))
        if isinstance(node, h5py.Group):
            node = sparse_dataset(node)
        if tuple(node.shape) != shape:
            raise BadInputError(f"{self.path}: {layer} is {tuple(node.shape)}, its names have {shape}")
        return node

    def blocks(self, layer: str, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read some columns of a layer, a block of rows at a time.

        Parameters
        ----------
        layer
            ``"X"`` or a layer's name.
        rows, columns
            Positions in the file; rows ascending and unique.

        Yields
        ------
        ``(where, values)``: positions in `rows`, and float32 (len(where), len(columns)).
        """
        matrix = self._matrix(layer)
        order = np.argsort(columns)
        back = np.argsort(order)
        ascending = columns[order]
        read = _dense_block if isinstance(matrix, h5py.Dataset) else _sparse_block
        step = _rows_per_block(matrix, len(columns))
        for start in range(0, len(self.obs_names), step):
            first, last = np.searchsorted(rows, (start, start + step))
            if first < last:
                values = read(matrix, rows[first:last], ascending)
                yield np.arange(first, last), np.asarray(values, dtype=np.float32)[:, back]

    def looks_like(self, layer: str) -> str:
        """Infer the scale of a layer from its first rows: ``"log1p"`` or ``"counts"``.

        The scale is certain for files of FOCUS and whole numbers; otherwise values above 15 cannot be logarithms.
        """
        if self.by_focus and layer == "X":
            return "log1p"
        head = np.arange(min(_LOOK_ROWS, len(self.obs_names)))
        matrix = self._matrix(layer)
        if isinstance(matrix, h5py.Dataset):
            values = np.asarray(matrix[: len(head)], dtype=np.float64).ravel()
        else:
            values = np.asarray(matrix[: len(head)].data, dtype=np.float64)
        values = values[np.isfinite(values)]
        if len(values) and (values.min() < 0 or (values != np.rint(values)).any()):
            return "log1p" if values.max() <= _LOG_MAX else "counts"
        return "counts"

    def totals(self, layer: str, rows: np.ndarray) -> np.ndarray:
        """Sum over the measured genes of some rows, float64 (len(rows),)."""
        out = np.zeros(len(rows))
        columns = np.flatnonzero(self.measured)
        for where, values in self.blocks(layer, rows, columns):
            out[where] = values.sum(axis=1, dtype=np.float64)
        return out


def _rows_per_block(matrix: Any, n_columns: int) -> int:
    """Runs of rows of limited size, in whole chunks of the file so that none is decompressed twice."""
    width = matrix.shape[1]
    step = max(1, _BLOCK_BYTES // (8 * max(1, width)))
    chunks = getattr(matrix, "chunks", None)
    if chunks:
        step = max(1, step // chunks[0]) * chunks[0]
    return step


def _dense_block(matrix: h5py.Dataset, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    first, last = int(rows[0]), int(rows[-1]) + 1
    width = matrix.chunks[1] if matrix.chunks else matrix.shape[1]
    out = np.empty((len(rows), len(columns)), dtype=np.float32)
    # One read per chunk column with a requested gene: the others are not decompressed.
    for chunk in np.unique(columns // width):
        here = np.flatnonzero(columns // width == chunk)
        low, high = int(columns[here[0]]), int(columns[here[-1]]) + 1
        part = matrix[first:last, low:high]
        out[:, here] = part[np.ix_(rows - first, columns[here] - low)]
    return out


def _sparse_block(matrix: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    first, last = int(rows[0]), int(rows[-1]) + 1
    if matrix.format == "csc":
        return matrix[:, columns][rows].toarray()
    return matrix[first:last][rows - first][:, columns].toarray()
