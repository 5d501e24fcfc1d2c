"""An AnnData file that carries positions: whatever platform it came from, as far as the file says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli import keys
from focus_cli.errors import BadInputError
from focus_cli.platforms import images, pitch
from focus_cli.platforms.checks import (
    GENE_EXPRESSION,
    check_counts,
    check_positions,
    check_unique,
    name_genes,
    whole_numbers,
)
from focus_cli.platforms.matrix import DAMAGE, damaged
from focus_cli.platforms.sample import Detection, RawSample
from focus_cli.platforms.spaceranger import Scale
from focus_cli.platforms.visium import PITCH_UM, SPOT_UM
from focus_cli.store import Footprint, PlatformInfo

NAME = "anndata"
LOOKS_FOR = f"an .h5ad file with obsm[{keys.SPATIAL!r}]"
SYMBOL_COLUMNS = (keys.SYMBOL, "gene_symbol", "feature_name", "gene_name", "gene_short_name", "symbol")
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")


def find_file(path: Path) -> Path | None:
    """The ``.h5ad`` file that `path` is, or the only one in the folder that `path` is."""
    if path.is_file():
        return path if path.suffix == ".h5ad" else None
    found = sorted(path.glob("*.h5ad")) if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def detect(path: Path) -> Detection | None:
    """Recognise an AnnData file by its name's ending."""
    file = find_file(path)
    return Detection(NAME, "", (file.name,)) if file is not None else None


def read(path: Path, *, image: Path | None = None, mpp: float | None = None) -> RawSample:
    """Read an AnnData file with raw counts and positions.

    Counts are ``layers["counts"]``, else ``X`` if it holds whole numbers, else ``raw.X`` if it does.

    Parameters
    ----------
    path
        The ``.h5ad`` file, or a folder with no other.
    image
        The H&E; otherwise one is looked for beside the file, if that is alone in its folder.
    mpp
        µm per full-resolution pixel; otherwise from ``obsm["spatial_um"]``, from ``microns_per_pixel`` in the
        scale factors, or from Visium's array pitch.

    Raises
    ------
    MissingResourceError
        If µm per pixel is unknown.
    BadInputError
        If the file is damaged, has no positions, or no raw counts.
    """
    file = find_file(Path(path))
    if file is None:
        raise BadInputError(f"{path}: no .h5ad file, or several", hint=f"give {LOOKS_FOR}")
    path = file
    try:
        source = anndata.read_h5ad(path)
    except DAMAGE as error:
        raise damaged(path, error) from error
    except Exception as error:  # anndata wraps h5py's errors in classes of its own
        raise damaged(path, error) from error
    if keys.SPATIAL not in source.obsm:
        raise BadInputError(
            f"{path.name}: obsm[{keys.SPATIAL!r}] is missing: the locations have no position",
            hint="put (x, y) in full-resolution pixels there",
        )
    xy = np.asarray(source.obsm[keys.SPATIAL])
    if xy.ndim != 2 or xy.shape[1] < 2 or not np.issubdtype(xy.dtype, np.number):
        raise BadInputError(
            f"{path.name}: obsm[{keys.SPATIAL!r}] is not a table of (x, y)",
            hint="it needs two columns of numbers",
        )
    xy = xy[:, :2].astype(np.float64)
    check_positions(xy, path.name)
    check_unique(source.obs_names, "barcodes", path.name)
    counts, table, where = _find_counts(source, path.name)
    check_unique(table.index, "genes", path.name)
    var, keep, warnings = _genes(table, path.name)
    counts = counts[:, np.flatnonzero(keep)] if not keep.all() else counts
    check_counts(counts, where)

    library, entry = _library(source.uns)
    factors = {k: float(v) for k, v in entry.get("scalefactors", {}).items() if np.isscalar(v)}
    fit = _visium_fit(source.obs, xy)
    vendor = _stated_mpp(source, xy, factors)
    scale, notes = pitch.choose_mpp(given=mpp, vendor=vendor, fit=fit, where=path.name)
    warnings += notes
    if fit is not None and fit.mirrored:
        warnings.append("the array appears mirrored on the image: were x and y exchanged in obsm['spatial']?")
    known = [k for k in (keys.IN_TISSUE, keys.ARRAY_ROW, keys.ARRAY_COL) if k in source.obs]
    obs = source.obs[known].apply(pd.to_numeric, errors="coerce").fillna(0).astype(np.int64)
    if keys.IN_TISSUE not in obs:
        obs[keys.IN_TISSUE] = 1
    adata = anndata.AnnData(X=counts.astype(np.float32), obs=obs, var=var)
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = xy, xy * scale
    if entry:
        adata.uns[keys.UNS_SPATIAL] = {library: entry}
    footprint, notes = _footprint(xy * scale, factors, scale, fit)
    warnings += notes
    inputs = {"matrix": path}
    if image is not None:
        chosen = images.check_image(image)
    else:  # among several files it would be a guess whose image it is
        chosen = images.find_he([path.parent]) if find_file(path.parent) == path else None
    if chosen is None:
        warnings.append("no H&E image was found (pass --image): image features will be missing")
    else:
        inputs["image"] = chosen
    return RawSample(
        adata=adata,
        platform=PlatformInfo(name=NAME, resolution_um=footprint.size_um),
        footprint=footprint,
        mpp=scale,
        image_path=chosen,
        image_scale=1.0,
        inputs=inputs,
        warnings=warnings,
    )


def _find_counts(source: anndata.AnnData, name: str) -> tuple[sparse.csr_matrix, pd.DataFrame, str]:
    if keys.COUNTS in source.layers:
        return sparse.csr_matrix(source.layers[keys.COUNTS]), source.var, f"{name} layers[{keys.COUNTS!r}]"
    if source.X is None:
        raise BadInputError(f"{name}: no counts: X is empty", hint="put raw counts in X or layers['counts']")
    x = sparse.csr_matrix(source.X)
    if not whole_numbers(x.data) and source.raw is not None:
        raw = sparse.csr_matrix(source.raw.X)
        if whole_numbers(raw.data):
            return raw, source.raw.var, f"{name} raw.X"
    return x, source.var, f"{name} X"


def _genes(table: pd.DataFrame, where: str) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    names = table.index.astype(str)
    ensembl = np.mean([bool(_ENSEMBL.fullmatch(n)) for n in names[:1000]]) > 0.5 if len(names) else False
    symbols = names
    if ensembl:  # an index of ids: the symbols are in a column, if anywhere
        column = next((c for c in SYMBOL_COLUMNS if c in table.columns), None)
        if column is not None:
            symbols = table[column].astype(str).where(table[column].notna(), names)
    ids = names if ensembl or keys.GENE_ID not in table.columns else table[keys.GENE_ID].astype(str)
    types = table[keys.FEATURE_TYPE] if keys.FEATURE_TYPE in table.columns else [GENE_EXPRESSION] * len(names)
    var, keep, warnings = name_genes(list(ids), list(symbols), list(types), where)
    if keys.MEASURED in table.columns:  # an enhanced file: its inferred genes are not data
        measured = table[keys.MEASURED].astype(bool).to_numpy()
        if not measured.all():
            warnings.append(f"{where}: {int(np.sum(~measured))} genes that were inferred, not measured, were left out")
            var, keep = var[measured[keep]], keep & measured
    return var, keep, warnings


def _library(uns: Mapping[str, Any]) -> tuple[str, dict]:
    spatial = uns.get(keys.UNS_SPATIAL)
    if not isinstance(spatial, Mapping):
        return "", {}
    entries = {k: v for k, v in sorted(spatial.items()) if isinstance(v, Mapping) and "scalefactors" in v}
    if len(entries) != 1:  # several libraries share the file: no one scale holds for all
        return "", {}
    return next(iter(entries.items()))


def _stated_mpp(source: anndata.AnnData, xy: np.ndarray, factors: dict[str, float]) -> float | None:
    if keys.SPATIAL_UM in source.obsm:
        um = np.asarray(source.obsm[keys.SPATIAL_UM], dtype=np.float64)[:, :2]
        pixels, lengths = np.ptp(xy, axis=0), np.ptp(um, axis=0)
        if pixels.max() > 0 and lengths.max() > 0:
            return float(lengths.max() / pixels.max())
    ours = source.uns.get(keys.UNS)
    if isinstance(ours, Mapping) and "mpp" in ours:
        return float(ours["mpp"])
    return factors.get(Scale.MPP)


def _visium_fit(obs: pd.DataFrame, xy: np.ndarray) -> pitch.PitchFit | None:
    """Fit Visium's array, if rows and columns are numbered as on one: their sum is always even."""
    if keys.ARRAY_ROW not in obs or keys.ARRAY_COL not in obs:
        return None
    row, col = (pd.to_numeric(obs[k], errors="coerce").to_numpy(float) for k in (keys.ARRAY_ROW, keys.ARRAY_COL))
    if not np.all(np.isfinite(row) & np.isfinite(col)) or np.any((row + col) % 2 != 0):
        return None
    return pitch.fit_pitch(pitch.hexagonal_um(row, col, PITCH_UM), xy)


def _footprint(
    xy_um: np.ndarray, factors: dict[str, float], mpp: float, fit: pitch.PitchFit | None
) -> tuple[Footprint, list[str]]:
    if Scale.BIN in factors:
        return Footprint("square", factors[Scale.BIN], factors[Scale.BIN]), []
    if fit is not None:
        return Footprint("circle", SPOT_UM, PITCH_UM), []
    if len(xy_um) < 2:
        raise BadInputError("a single location has no pitch", hint="give the whole sample")
    near = cKDTree(xy_um).query(xy_um, k=2)[0][:, 1]
    spacing = round(float(np.median(near)), 3)
    if spacing <= 0:
        raise BadInputError("most locations share their position with another", hint="check obsm['spatial']")
    stated = factors.get(Scale.SPOT)
    size = round(min(stated * mpp, spacing), 3) if stated else spacing
    note = f"the platform is not known; locations are taken as circles of {size:g} µm, {spacing:g} µm apart"
    return Footprint("circle", size, spacing), [note]
