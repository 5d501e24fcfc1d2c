"""What the readers of AnnData tables share: a file or store read in parts, its raw counts found, its features named.

Nothing but the elements that are needed is read, so that dense layers, embeddings and graphs cost nothing and a
damaged one of them does no harm. A dense matrix becomes sparse a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata.io import read_elem
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import BadInputError, FocusError
from focus_cli.platforms.checks import GENE_EXPRESSION, PROTEIN, check_unique, is_protein, whole_numbers
from focus_cli.platforms.count_scale import RAW_HINT, why_not_counts
from focus_cli.platforms.formats.annpositions import is_position_key, of_element
from focus_cli.platforms.formats.annstore import open_anndata
from focus_cli.platforms.formats.features import check_orientation, feature_table
from focus_cli.platforms.formats.opening import damaged
from focus_cli.store.hdf5 import read_anndata

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
_MOST_PROTEIN_VALUES = 50_000_000


@dataclass(frozen=True)
class Matrix:
    """One matrix of the file: where it lies, its features, and how to read it as CSR."""

    where: str
    var: pd.DataFrame
    load: Callable[[], sparse.csr_matrix]


@dataclass(frozen=True)
class AnnTable:
    """The part of an AnnData that a reader needs; `matrices` in the order in which raw counts are looked for."""

    name: str
    obs: pd.DataFrame
    matrices: list[Matrix]
    obsm: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    transposed: bool = False  # positions are in varm
    within: tuple[str, ...] = ()  # elements with positions within fields of view

    def take(self, rows: np.ndarray) -> AnnTable:
        """The same of some locations, in the order of `rows`."""
        if len(rows) == len(self.obs) and np.array_equal(rows, np.arange(len(rows))):
            return self
        return replace(
            self,
            obs=self.obs.iloc[rows],
            matrices=[replace(m, load=lambda load=m.load: _rows(load(), rows)) for m in self.matrices],
            obsm={
                k: v.iloc[rows] if isinstance(v, pd.DataFrame) else np.asarray(v)[rows] for k, v in self.obsm.items()
            },
        )


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
    if keys.COUNTS in source.layers:
        matrices.append((f"{name} layers[{keys.COUNTS!r}]", source.var, source.layers[keys.COUNTS]))
    else:
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
        matrices=[Matrix(where, var, lambda x=x, where=where: _csr(x, where)) for where, var, x in matrices],
        obsm={k: v for k, v in source.obsm.items() if is_position_key(k) or k == keys.SPATIAL_UM},
        uns=dict(source.uns),
        transposed=keys.SPATIAL in source.varm,
    )


def _matrices(file: Any, path: Path) -> list[Matrix]:
    var = _frame(file["var"])
    layers = file.get("layers", {})
    if keys.COUNTS in layers:
        found = [(f"{path.name} layers[{keys.COUNTS!r}]", f"layers/{keys.COUNTS}", var)]
    else:
        found = [(f"{path.name} X", "X", var)] if "X" in file else []
        if "raw" in file and "X" in file["raw"]:
            found.append((f"{path.name} raw.X", "raw/X", _frame(file["raw/var"])))
        found += [
            (f"{path.name} layers[{k!r}]", f"layers/{k}", var) for k in sorted(layers) if k.lower() in _COUNT_LAYERS
        ]

    def loader(place: str) -> Callable[[], sparse.csr_matrix]:
        def load() -> sparse.csr_matrix:
            try:
                with open_anndata(path) as again:
                    node = again[place]
                    return _csr(read_elem(node) if hasattr(node, "keys") else node, f"{path.name} {place}")
            except FocusError:
                raise
            except Exception as error:  # as above
                raise damaged(path, error) from error

        return load

    return [Matrix(where, table, loader(place)) for where, place, table in found]


def _of_rows(value: Any, rows: np.ndarray) -> Any:
    if isinstance(value, pd.DataFrame):
        return value.iloc[rows]
    array = np.asarray(value)
    return array[rows] if array.ndim and len(rows) and len(array) > rows.max() else array


def _rows(matrix: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    if len(rows) and rows.max() >= matrix.shape[0]:
        return matrix  # it does not fit the table, which is refused
    return matrix[rows]


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
        raise BadInputError(f"{where}: the values are {what}, not numbers of molecules", hint=RAW_HINT)
    return matrix


@dataclass(frozen=True)
class Chosen:
    """Raw counts (or intensities of proteins), and their features.

    Attributes
    ----------
    counts
        CSR, locations × features.
    genes
        Columns ``id``, ``name``, ``type``, as `assemble` asks.
    where
        The place, for messages.
    intensities
        Whether the panel holds proteins alone.
    proteins
        Locations × proteins, where the panel holds genes beside them; else None.
    warnings
        One line each.
    """

    counts: sparse.csr_matrix
    genes: pd.DataFrame
    where: str
    intensities: bool = False
    proteins: pd.DataFrame | None = None
    warnings: list[str] = field(default_factory=list)


def choose_counts(table: AnnTable) -> Chosen:
    """Find the raw counts: ``layers["counts"]``, else ``X`` if its genes hold whole numbers, else ``raw.X``.

    Where none of these does, layers whose names speak of counts are tried. A panel of proteins alone needs no whole
    numbers. Proteins beside genes are set apart.

    Raises
    ------
    BadInputError
        If there is no matrix, none holds raw counts, or names repeat.
    """
    if not table.matrices:
        raise BadInputError(f"{table.name}: no counts: X is empty", hint="put raw counts in X or layers['counts']")
    tried, values = [], []
    for matrix in table.matrices:
        check_orientation(table.obs.index, matrix.var.index, table.name)
        genes = feature_table(matrix.var, matrix.where)
        apart = is_protein(genes["type"])
        only = bool(apart.any()) and not bool(genes["type"].isin([GENE_EXPRESSION, ""]).any())
        counts = matrix.load()
        if counts.shape != (len(table.obs), len(genes)):
            raise BadInputError(
                f"{matrix.where}: {counts.shape[0]} × {counts.shape[1]} values for {len(table.obs)} locations and "
                f"{len(genes)} features",
                hint="write the file again",
            )
        kept = counts if only or not apart.any() else counts[:, np.flatnonzero(~apart)]
        tried.append((counts, genes, matrix.where, only, apart))
        values.append(kept)
        if only or (whole_numbers(kept.data) and not np.any(kept.data < 0)):
            break
    else:
        raise _no_counts([where for _, _, where, _, _ in tried], values)
    counts, genes, where, only, apart = tried[-1]
    if only:
        note = (
            f"{where}: the panel is of {int(apart.sum())} proteins: the model is one of counted molecules and does "
            "not hold for intensities; train and enhance need a panel of genes"
        )
        return Chosen(counts, genes, where, intensities=True, warnings=[note])
    notes = []
    if len(tried) > 1:
        notes.append(f"raw counts are taken from {where}: {tried[0][2]} holds none")
    if not apart.any():
        return Chosen(counts, genes, where, warnings=notes)
    beside, said = _set_apart(counts[:, np.flatnonzero(apart)], genes.loc[apart, "name"], table.obs.index, where)
    keep = np.flatnonzero(~apart)
    return Chosen(counts[:, keep], genes.iloc[keep], where, proteins=beside, warnings=notes + said)


def _no_counts(places: list[str], matrices: list[sparse.csr_matrix]) -> BadInputError:
    """The refusal that says of each matrix what it holds instead of counts."""
    reasons, hint = [], RAW_HINT
    for where, matrix in zip(places, matrices):
        values = matrix.data
        if odd := int(np.sum(~np.isfinite(values))):
            reason = f"{odd} counts are NaN or infinite"
        elif values.min() < 0:
            centred = "" if whole_numbers(values) else "; scaled or centred?"
            reason = f"{int(np.sum(values < 0))} counts are negative (lowest {values.min():.4g}){centred}"
        else:
            reason, hint = why_not_counts(matrix)
        reasons.append(f"{where}: {reason}")
    return BadInputError("; ".join(reasons), hint=hint)


def _set_apart(
    values: sparse.csr_matrix, names: pd.Series, obs_names: pd.Index, where: str
) -> tuple[pd.DataFrame | None, list[str]]:
    n = values.shape[1]
    if values.shape[0] * n > _MOST_PROTEIN_VALUES:
        return None, [f"{where}: {n} proteins beside the genes were left out: too many to keep"]
    # A name becomes a key of the file, where a slash would open a group.
    columns = pd.Index([str(name).replace("/", "_") for name in names])
    check_unique(columns, "proteins", where)
    frame = pd.DataFrame(values.toarray().astype(np.float32), index=obs_names.astype(str), columns=columns)
    return frame, [f"{where}: {n} proteins are kept aside in obsm[{PROTEIN!r}]; the genes alone are enhanced"]


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
    """µm per pixel as the file says: both kinds of positions, FOCUS's own word, or a scale factor."""
    if keys.SPATIAL_UM in table.obsm:
        um = of_element(table.obsm[keys.SPATIAL_UM], f"{table.name}: obsm[{keys.SPATIAL_UM!r}]", len(table.obs)).xy
        pixels, lengths = np.ptp(xy, axis=0), np.ptp(um, axis=0)
        if pixels.max() > 0 and lengths.max() > 0:
            return length(lengths.max() / pixels.max())
    ours = table.uns.get(keys.UNS)
    if isinstance(ours, Mapping) and length(ours.get("mpp")) is not None:
        return length(ours["mpp"])
    return factors.get(factor)
