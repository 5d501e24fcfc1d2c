"""What the readers of AnnData tables share: a file or store read in parts, and what its entries state of scales.

Nothing but the elements that are needed is read, so that dense layers, embeddings and graphs cost nothing and a
damaged one of them does no harm. A dense matrix becomes sparse a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, FocusError
from focus_cli.core.storage.hdf5 import read_anndata
from focus_cli.platforms.count_scale import RAW_HINT
from focus_cli.platforms.formats.annparts import AnnTable, Matrix
from focus_cli.platforms.formats.annpositions import is_position_key, of_element
from focus_cli.platforms.formats.annstore import open_anndata
from focus_cli.platforms.formats.opening import damaged

# Other names of layers with raw counts, where neither X nor raw holds them.
_COUNT_LAYERS = (
    "counts",
    "raw_counts",
    "raw_count",
    "rawcounts",
    "count",
    "raw",
    "umi",
    "umis",
    "umi_counts",
    "spliced_counts",
)
_BLOCK_VALUES = 4_000_000  # of a dense matrix that are in memory at a time


def open_table(path: Path) -> AnnTable:
    """Read tables and positions of an AnnData file or store, and leave the matrices on disk.

    Raises
    ------
    MissingResourceError
        If it is not there.
    BadInputError
        If it is truncated, damaged or no AnnData.
    """
    try:
        with open_anndata(path) as file:
            if "obs" not in file or "var" not in file:
                raise BadInputError(f"{path} is not an AnnData file (no obs or var)", hint="give an .h5ad file")
            old = not all("encoding-type" in file[part].attrs for part in ("obs", "var"))
            if old and path.is_file():  # written before anndata 0.7
                return of_anndata(read_anndata(path), path.name)
            obsm, uns = file.get("obsm", {}), file.get("uns", {})
            wanted = [k for k in obsm if is_position_key(k) or k == keys.SPATIAL_UM]
            table = AnnTable(
                name=path.name,
                obs=_frame(file["obs"]),
                matrices=_matrices(file, path),
                obsm={k: read_elem(obsm[k]) for k in wanted},
                uns={k: read_elem(uns[k]) for k in (keys.UNS_SPATIAL, keys.UNS) if k in uns},
                transposed=keys.SPATIAL in file.get("varm", {}),
                within=tuple(f"obsm[{k!r}]" for k in obsm if "fov" in k.lower() or "local" in k.lower()),
            )
    except FocusError:
        raise
    except Exception as error:  # anndata wraps h5py's errors in classes of its own
        raise damaged(path, error) from error
    return table


def of_anndata(source: anndata.AnnData, name: str) -> AnnTable:
    """The same of an AnnData in memory."""
    matrices = []
    if source.X is not None:
        matrices.append((f"{name} X", source.var, source.X))
    if source.raw is not None:
        matrices.append((f"{name} raw.X", source.raw.var, source.raw.X))
    # anndata 0.13 lists X among the layers, as None.
    layers = [k for k in source.layers if k is not None and k.lower() in _COUNT_LAYERS]
    matrices += [(f"{name} layers[{k!r}]", source.var, source.layers[k]) for k in layers]
    return AnnTable(
        name=name,
        obs=source.obs,
        matrices=_in_order(
            Matrix(
                where,
                var,
                lambda x=x, where=where: _csr(x, where),
                lambda n, x=x, where=where: _csr(x[:n], where),
            )
            for where, var, x in matrices
        ),
        obsm={k: v for k, v in source.obsm.items() if is_position_key(k) or k == keys.SPATIAL_UM},
        uns=dict(source.uns),
        transposed=keys.SPATIAL in source.varm,
    )


def _matrices(file: Any, path: Path) -> list[Matrix]:
    var = _frame(file["var"])
    layers = file.get("layers", {})
    found = []
    if "X" in file and file["X"].attrs.get("encoding-type") != "null":
        found.append((f"{path.name} X", "X", var))
    if "raw" in file and "X" in file["raw"]:
        found.append((f"{path.name} raw.X", "raw/X", _frame(file["raw/var"])))
    found += [(f"{path.name} layers[{k!r}]", f"layers/{k}", var) for k in sorted(layers) if k.lower() in _COUNT_LAYERS]

    def load(place: str, n: int | None = None) -> sparse.csr_matrix:
        try:
            with open_anndata(path) as again:
                node = again[place]
                if not hasattr(node, "keys"):
                    values = node if n is None else node[:n]
                else:
                    values = read_elem(node) if n is None else sparse_dataset(node)[:n]
                return _csr(values, f"{path.name} {place}")
        except FocusError:
            raise
        except Exception as error:  # as above
            raise damaged(path, error) from error

    return _in_order(Matrix(where, table, partial(load, place), partial(load, place)) for where, place, table in found)


def _in_order(matrices: Iterable[Matrix]) -> list[Matrix]:
    """``layers["counts"]`` before all others."""
    return sorted(matrices, key=lambda matrix: not matrix.is_counts_layer)


def _frame(node: Any) -> pd.DataFrame:
    table = read_elem(node)
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"{node.name} is not a table")
    return table


def _csr(values: Any, where: str) -> sparse.csr_matrix:
    """Any matrix as CSR of real numbers, its indices checked: compiled code trusts them."""
    if sparse.issparse(values):
        values.check_format(full_check=True)
        matrix = sparse.csr_matrix(values)
    elif len(values.shape) != 2:
        raise ValueError(f"a matrix has two dimensions, not {len(values.shape)}")
    else:
        rows = max(1, _BLOCK_VALUES // max(1, values.shape[1]))
        # SciPy has no matrix of half precision.
        wide = np.float32 if values.dtype == np.float16 else None
        blocks = [sparse.csr_matrix(values[i : i + rows], dtype=wide) for i in range(0, values.shape[0], rows)]
        matrix = sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix(values.shape)
    if not (np.issubdtype(matrix.dtype, np.integer) or np.issubdtype(matrix.dtype, np.floating)):
        what = "true and false" if matrix.dtype == bool else str(matrix.dtype)
        raise BadInputError(f"{where}: the values are {what}, not counts", hint=RAW_HINT)
    return matrix


def libraries(uns: Mapping[str, Any]) -> dict[str, dict]:
    """The libraries of ``uns["spatial"]``, by name: entries with scale factors or images."""
    spatial = uns.get(keys.UNS_SPATIAL)
    if not isinstance(spatial, Mapping):
        return {}
    known = ("scalefactors", "images")
    return {
        str(k): dict(v)
        for k, v in sorted(spatial.items())
        if isinstance(v, Mapping) and any(isinstance(v.get(part), Mapping) for part in known)
    }


def library(table: AnnTable, chosen: tuple[str, ...] = ()) -> tuple[str, dict, dict[str, float]]:
    """The library of the locations: its name, its entry, and its scale factors that are numbers.

    It is the only one, the one that was `chosen`, or the one that a column of ``obs`` names for all locations.
    """
    entries = {k: v for k, v in libraries(table.uns).items() if isinstance(v.get("scalefactors"), Mapping)}
    names = [name for name in chosen if name in entries]
    if not names and len(entries) > 1:
        constant = [values for _, values in table.obs.items() if values.nunique() == 1]
        names = [name for name in (str(values.dropna().iloc[0]) for values in constant) if name in entries]
    if not names and len(entries) == 1:
        names = list(entries)
    if not names:  # several libraries share the file: no one scale holds for all
        return "", {}, {}
    entry = entries[names[0]]
    factors = {k: length(v) for k, v in entry["scalefactors"].items()}
    return names[0], entry, {k: v for k, v in factors.items() if v is not None}


def length(value: Any) -> float | None:
    """A positive number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def stated_mpp(table: AnnTable, xy: np.ndarray, factors: Mapping[str, float], factor: str) -> float | None:
    """µm per pixel as the file states it: both kinds of positions, FOCUS's own word, or a scale factor."""
    if keys.SPATIAL_UM in table.obsm:
        um = of_element(table.obsm[keys.SPATIAL_UM], f"{table.name}: obsm[{keys.SPATIAL_UM!r}]", len(table.obs)).xy
        pixels, lengths = np.ptp(xy, axis=0), np.ptp(um, axis=0)
        if pixels.max() > 0 and lengths.max() > 0:
            return length(lengths.max() / pixels.max())
    ours = table.uns.get(keys.UNS)
    if isinstance(ours, Mapping) and length(ours.get("mpp")) is not None:
        return length(ours["mpp"])
    return factors.get(factor)
