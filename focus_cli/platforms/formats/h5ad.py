"""One AnnData file opened part by part: the counts and a table of positions, never its images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.platforms.checks import whole_numbers
from focus_cli.platforms.formats.annpositions import Positions, of_element
from focus_cli.platforms.formats.features import feature_table
from focus_cli.platforms.formats.opening import damaged
from focus_cli.platforms.frames import choose_frame


def single_file(path: Path, ending: str = ".h5ad") -> Path | None:
    """The file with that ending that `path` is, or the only one in the folder that `path` is."""
    if path.is_file():
        return path if path.name.endswith(ending) else None
    found = [p for p in sorted(path.glob(f"*{ending}")) if p.is_file()] if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def peek(path: Path) -> dict[str, tuple[str, ...]]:
    """The keys of ``obs``, ``obsm`` and ``uns``, without reading any; empty if it is no AnnData file."""
    try:
        with open_hdf5(path) as file:
            return {g: tuple(sorted(file[g])) for g in ("obs", "obsm", "uns") if isinstance(file.get(g), h5py.Group)}
    except Exception:  # a damaged file is no one's: its own reader will say what is wrong
        return {}


class H5ad:
    """An open AnnData file; every part is read when it is requested, and damage is refused in one line."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise MissingResourceError(f"no such file: {path}", hint="check the path")
        try:
            self._file = open_hdf5(self.path)
        except Exception as error:
            raise damaged(self.path, error) from error

    def __enter__(self) -> H5ad:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        try:
            return key in self._file
        except Exception:
            return False

    def keys(self, group: str) -> tuple[str, ...]:
        """The keys of one group, sorted; none if there is no such group."""
        try:
            found = self._file.get(group)
            return tuple(sorted(found)) if isinstance(found, h5py.Group) else ()
        except Exception as error:
            raise damaged(self.path, error) from error

    def element(self, key: str) -> Any:
        """One element, as anndata reads it.

        Raises
        ------
        BadInputError
            If it is damaged.
        """
        from anndata.io import read_elem

        try:
            return read_elem(self._file[key])
        except Exception as error:  # anndata wraps h5py's errors in classes of its own
            raise damaged(self.path, error) from error

    def scalar(self, key: str) -> Any:
        """One number or word of ``uns``, None if it is not there or something else."""
        if key not in self:
            return None
        value = self.element(key)
        value = value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value
        value = value.item() if isinstance(value, np.generic) else value
        return value if isinstance(value, (str, int, float)) else None

    def frame(self, key: str) -> pd.DataFrame:
        """``obs`` or ``var``."""
        found = self.element(key) if key in self else None
        if not isinstance(found, pd.DataFrame):
            raise BadInputError(f"{self.path.name}: {key} is missing or no table", hint="is this an AnnData file?")
        return found

    def positions(self, key: str) -> Positions:
        """``obsm[key]``: the first two columns of an array, the columns of a table by their names.

        Raises
        ------
        BadInputError
            If it is no table of numbers with two columns, or it is not clear which column is x.
        """
        value = self.element(f"obsm/{key}")
        length = value.shape[0] if getattr(value, "ndim", 0) == 2 else -1
        return of_element(value, f"{self.path.name}: obsm[{key!r}]", length)

    def counts(self) -> tuple[sparse.csr_matrix, pd.DataFrame, str]:
        """Raw counts: ``layers["counts"]``, else ``X``, else ``raw.X``, whichever holds whole numbers.

        Returns
        -------
        counts, genes, where
            CSR locations × genes, columns ``id``, ``name``, ``type`` of its genes, and the key.
        """
        name = self.path.name
        places = [("X", "var"), ("raw/X", "raw/var")]
        if f"layers/{keys.COUNTS}" in self:
            places = [(f"layers/{keys.COUNTS}", "var")]
        first = None
        for key, var in places:
            if key not in self:
                continue
            matrix = self._matrix(key)
            found = (matrix, var, f"{name} {key}")
            if whole_numbers(matrix.data):
                break
            first = first or found
        else:
            if first is None:
                raise BadInputError(f"{name}: no counts: X is missing", hint="put raw counts in X or layers['counts']")
            found = first
        matrix, var, where = found
        return matrix, feature_table(self.frame(var), where, prefer_columns=True), where

    def _matrix(self, key: str) -> sparse.csr_matrix:
        value = self.element(key)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SciPy warns of indices that are checked below
                matrix = sparse.csr_matrix(value)
            if matrix.dtype.kind not in "iufb":
                raise ValueError("its values are no numbers")
            indices = matrix.indices
            if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= matrix.shape[1]):
                raise ValueError("the sparse arrays do not fit together")
            if np.any(np.diff(matrix.indptr) < 0) or matrix.indptr[-1] != len(indices):
                raise ValueError("the sparse arrays do not fit together")
            matrix.sum_duplicates()
            return matrix
        except Exception as error:
            raise damaged(self.path, error) from error


def one_section(
    path: Path, placed: Positions, obs: pd.DataFrame, counts: sparse.csr_matrix, region: str | None
) -> tuple[np.ndarray, pd.DataFrame, sparse.csr_matrix, list[str]]:
    """Positions, ``obs`` and counts of the one section that is meant, and warnings.

    Raises
    ------
    UsageError
        If several sections share one frame and none, or an unknown one, is chosen.
    BadInputError
        If the parts differ in length, or many positions coincide.
    """
    if not len(obs) == len(placed.xy) == counts.shape[0]:
        raise BadInputError(f"{path.name}: obs, X and the positions differ in length", hint="copy the file again")
    frame = choose_frame(obs, placed.xy, where=path.name, z=placed.z, names=obs.index, region=region)
    rows = frame.rows
    notes = [*placed.warnings, *frame.warnings]
    if len(rows) == len(obs):
        return placed.xy, obs, counts, notes
    return placed.xy[rows], obs.iloc[rows], counts[rows], notes


def plain_columns(obs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Those of `columns` that are there and hold plain numbers or words."""
    kept = {}
    for name in columns:
        if name in obs.columns and isinstance(obs[name], pd.Series):
            values = obs[name]
            if isinstance(values.dtype, pd.CategoricalDtype) or values.dtype == object:
                values = values.astype(str)
            kept[name] = values
    return pd.DataFrame(kept, index=obs.index)
