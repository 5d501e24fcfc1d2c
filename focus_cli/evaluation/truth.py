"""The truth file: held-out counts, or expectations of a simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.documents import parse_json
from focus_cli.core.storage.hdf5 import read_anndata
from focus_cli.evaluation.normalise import dense_columns, log1p_cp10k, row_sums

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

EXPOSURE = "exposure"  # total that the truth of a location is divided by
VISIBLE = "visible_counts"  # visible total counts of the location
TASKS = ("histology", "impute", "denoise", "refine")
_SCALES = ("linear", "log1p_cp10k")


@dataclass
class Truth:
    """What is scored against.

    Attributes
    ----------
    task
        ``histology``, ``impute``, ``denoise``, ``refine``, or the name a simulator gives.
    kind
        ``counts`` (held-out counts) or ``expected`` (noise-free expectations).
    names, xy_um
        Locations, (n,) and (n, 2).
    genes
        Scored genes, (G,).
    var
        Names of the scored genes in the other naming systems of the file, one row per gene.
    groups
        Name of a group of genes → their positions in `genes`.
    counts
        Hidden counts of the scored genes, CSR (n, G); None for ``expected``.
    exposure
        Total counts that each location is divided by, (n,); ones for ``expected``.
    values
        log1p CP10k of the scored genes: CSC (n, G), or dense for ``expected``.
    inside
        Whether `exposure` counts the scored genes too.
    visible
        Visible total counts of each location, (n,); only for ``denoise``.
    visible_fraction
        Probability with which a count was left visible; only for ``denoise``.
    info
        Content of ``uns["focus_truth"]``, JSON-safe.
    """

    task: str
    kind: str
    names: np.ndarray
    xy_um: np.ndarray
    genes: np.ndarray
    var: pd.DataFrame
    groups: dict[str, np.ndarray]
    counts: sparse.csr_matrix | None
    exposure: np.ndarray
    values: sparse.csc_matrix | np.ndarray
    inside: bool
    visible: np.ndarray | None
    visible_fraction: float | None
    info: dict[str, Any]

    @property
    def n(self) -> int:
        """Number of locations."""
        return len(self.names)

    def columns(self, genes: np.ndarray) -> np.ndarray:
        """log1p CP10k of some scored genes, dense float32 (n, len(genes))."""
        return dense_columns(self.values, genes)

    def take(self, rows: np.ndarray) -> Truth:
        """The truth at some of its locations, `rows` ascending."""
        if len(rows) == self.n:
            return self
        parts = {
            name: None if (part := getattr(self, name)) is None else part[rows]
            for name in ("names", "xy_um", "counts", "exposure", "values", "visible")
        }
        same = ("task", "kind", "genes", "var", "groups", "inside", "visible_fraction", "info")
        return Truth(**parts, **{name: getattr(self, name) for name in same})


def plain(value: Any) -> Any:
    """Turn what an h5ad gives back into JSON's own types; NaN becomes None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def make_truth(
    counts: sparse.csr_matrix,
    source: AnnData,
    *,
    task: str,
    genes: list[str],
    rule: str,
    seed: int,
    sample_id: str,
    exposure: np.ndarray,
    exposure_of: str,
    **more: Any,
) -> AnnData:
    """Assemble a truth of kind ``counts``.

    Parameters
    ----------
    counts
        Hidden counts, CSR (n, genes of `source`).
    source
        Gives obs, var and positions; nothing else of it is copied.
    genes
        The scored genes.
    rule
        Description of how they were selected.
    exposure
        Total counts that each location is divided by, (n,). Locations without any are left out: they have no
        CP10k; how many is written down.
    exposure_of
        ``"all genes"`` or ``"measured genes"``.
    more
        Goes to ``uns["focus_truth"]`` too, or to obs where it is an array (n,).
    """
    from anndata import AnnData

    obs = source.obs[[c for c in (keys.ARRAY_ROW, keys.ARRAY_COL) if c in source.obs]].copy()
    obs[keys.TOTAL_COUNTS] = row_sums(counts)
    obs[EXPOSURE] = np.asarray(exposure, dtype=np.float64)
    for name in [k for k, v in more.items() if isinstance(v, np.ndarray)]:
        obs[name] = more.pop(name)
    columns = [c for c in (keys.GENE_ID, keys.SYMBOL, keys.FEATURE_TYPE) if c in source.var]
    truth = AnnData(X=sparse.csr_matrix(counts, dtype=np.float32), obs=obs, var=source.var[columns].copy())
    for key in (keys.SPATIAL, keys.SPATIAL_UM):
        truth.obsm[key] = np.asarray(source.obsm[key], dtype=np.float64)
    usable = obs[EXPOSURE].to_numpy() > 0
    truth = truth[usable].copy()
    truth.uns[keys.UNS_TRUTH] = {
        "task": task,
        "kind": "counts",
        "genes": list(genes),
        "rule": rule,
        "seed": int(seed),
        "sample_id": sample_id,
        "exposure_of": exposure_of,
        "n_without_exposure": int((~usable).sum()),
        **more,
    }
    return truth


def read_truth(path: Path) -> Truth:
    """Read a truth file.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is not a truth: no ``uns["focus_truth"]``, no positions, genes that are not in it, values that
        are negative or not finite.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such truth: {path}", hint="focus holdout writes one")
    adata = read_anndata(path, "focus holdout writes a truth")
    if keys.UNS_TRUTH not in adata.uns:
        raise BadInputError(
            f"{path} is not a truth: uns[{keys.UNS_TRUTH!r}] is missing", hint="focus holdout writes one"
        )
    if keys.SPATIAL_UM not in adata.obsm:
        raise BadInputError(f"{path} has no obsm[{keys.SPATIAL_UM!r}]", hint="a truth needs positions in µm")
    if not (adata.var_names.is_unique and adata.obs_names.is_unique):
        raise BadInputError(f"{path} has duplicate gene or location names", hint="make them unique")
    stored = adata.uns[keys.UNS_TRUTH]
    try:
        info = plain(parse_json(stored, str(path)) if isinstance(stored, str) else dict(stored))
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{path}: uns[{keys.UNS_TRUTH!r}] is not a record: {error}") from error
    kind = info.get("kind", "counts")
    if kind not in ("counts", "expected"):
        raise BadInputError(f"{path}: unknown kind of truth {kind!r}", hint="'counts' or 'expected'")
    values = adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X)
    if values.dtype.kind not in "iufb" or values.ndim == 0:
        raise BadInputError(f"{path} holds no expression", hint="focus holdout writes a truth")
    if adata.n_obs == 0 or not np.isfinite(values).all() or (values < 0).any():
        raise BadInputError(f"{path} has no locations, or values that are negative or not finite")
    try:
        return _from_counts(path, adata, info) if kind == "counts" else _from_expected(path, adata, info)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise damaged(path, error, "focus holdout writes a truth") from error


def _scored(path: Path, adata: AnnData, info: dict[str, Any]) -> np.ndarray:
    genes = np.asarray(info.get("genes") or list(adata.var_names), dtype=object)
    absent = [g for g in genes if g not in adata.var_names]
    if absent:
        raise BadInputError(f"{path} lists {len(absent)} genes to score that it does not hold, first {absent[0]}")
    return genes


def _from_counts(path: Path, adata: AnnData, info: dict[str, Any]) -> Truth:
    genes = _scored(path, adata, info)
    counts = sparse.csr_matrix(adata.X)[:, adata.var_names.get_indexer(genes)]
    inside = info.get("exposure_of", "all genes") == "all genes"
    exposure = adata.obs[EXPOSURE].to_numpy(np.float64) if EXPOSURE in adata.obs else row_sums(adata.X)
    visible = adata.obs[VISIBLE].to_numpy(np.float64) if VISIBLE in adata.obs else None
    fraction = info.get("visible_fraction")
    group = {"impute": "imputed"}.get(info.get("task", ""), "scored")
    return Truth(
        task=str(info.get("task", "counts")),
        kind="counts",
        names=adata.obs_names.to_numpy().astype(str),
        xy_um=np.asarray(adata.obsm[keys.SPATIAL_UM], dtype=np.float64),
        genes=genes,
        var=adata.var.loc[genes],
        groups={group: np.arange(len(genes))},
        counts=counts,
        exposure=exposure,
        values=log1p_cp10k(counts, exposure).tocsc(),
        inside=inside,
        visible=visible,
        visible_fraction=None if fraction is None else float(fraction),
        info=info,
    )


def _from_expected(path: Path, adata: AnnData, info: dict[str, Any]) -> Truth:
    genes = _scored(path, adata, info)
    scale = info.get("scale", "linear")
    if scale not in _SCALES:
        raise BadInputError(f"{path}: unknown scale {scale!r}", hint="one of " + ", ".join(_SCALES))
    if keys.MEASURED in adata.var:
        measured = adata.var[keys.MEASURED].to_numpy().astype(bool)
    else:
        measured = np.ones(adata.n_vars, dtype=bool)
    columns = adata.var_names.get_indexer(genes)
    values, usable = dense_columns(adata.X, columns), np.ones(adata.n_obs, dtype=bool)
    if scale == "linear":
        total = np.asarray(adata.X[:, measured].sum(axis=1), dtype=np.float64).ravel()
        usable = total > 0  # nothing is expected there: no CP10k
        if not usable.any():
            raise BadInputError(f"{path} has no expected counts of any measured gene")
        values = np.log1p(values[usable] * (keys.TARGET_SUM / total[usable])[:, None]).astype(np.float32)
        info["n_without_exposure"] = int((~usable).sum())
    known = measured[columns]
    groups = {"measured": np.flatnonzero(known), "imputed": np.flatnonzero(~known)}
    return Truth(
        task=str(info.get("task", "expected")),
        kind="expected",
        names=adata.obs_names.to_numpy().astype(str)[usable],
        xy_um=np.asarray(adata.obsm[keys.SPATIAL_UM], dtype=np.float64)[usable],
        genes=genes,
        var=adata.var.loc[genes],
        groups={name: part for name, part in groups.items() if len(part)},
        counts=None,
        exposure=np.ones(int(usable.sum())),
        values=values,
        inside=True,
        visible=None,
        visible_fraction=None,
        info=info,
    )
