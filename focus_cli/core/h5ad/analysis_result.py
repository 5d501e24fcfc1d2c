"""Analysis results: what a verb after enhancement found, as an AnnData of the same locations.

An analysis result holds no expression. Its locations have the names and positions of the file that it was made from, so
that scanpy and squidpy draw it directly and `same_locations` matches it to that file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import atomic_file, write_anndata
from focus_cli.core.storage.kinds import analysis_kind

if TYPE_CHECKING:
    import pandas as pd

# Copied from the file that the result was made from, so that it is drawn in the same way.
_GEOMETRY = ("sample_id", "mpp", "platform", "footprint_shape", "footprint_um", "pitch_um", "resolution_um")


def write_analysis_result(
    out: Path,
    file: SpatialFile,
    kind: str,
    record: Mapping[str, Any],
    *,
    obs: pd.DataFrame | None = None,
    var: pd.DataFrame | None = None,
    x: Any = None,
    layers: Mapping[str, Any] | None = None,
    obsm: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    uns: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write an analysis of the locations of `file`.

    Parameters
    ----------
    out
        The ``.h5ad`` to write.
    file
        The file that was analysed; names, positions and thumbnails of its locations are copied.
    kind
        Kind of analysis, for instance ``"domains"``; written to ``uns["focus"]["kind"]``.
    record
        Provenance, of `focus_cli.core.provenance.describe_run`.
    obs, var
        Columns of locations (indexed as `file`) and of other units: genes, pairs of genes.
    x, layers
        Values, locations × rows of `var`; None: there are none.
    obsm
        Arrays or tables of as many rows as there are locations.
    facts
        Further entries of ``uns["focus"]``: text and numbers; anything else becomes JSON text.
    uns
        Further elements of ``uns``.

    Raises
    ------
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    import anndata
    import pandas as pd

    table = pd.DataFrame(index=file.obs.index) if obs is None else obs
    adata = anndata.AnnData(X=x, obs=table, var=var if var is not None else pd.DataFrame(index=pd.Index([], dtype=str)))
    for key in (keys.SPATIAL, keys.SPATIAL_UM):
        if (xy := file.obsm(key)) is not None:
            adata.obsm[key] = np.asarray(xy, np.float64)
    for key, values in sorted((obsm or {}).items()):
        adata.obsm[key] = values
    for key, values in sorted((layers or {}).items()):
        adata.layers[key] = values
    entries = {key: file.focus[key] for key in _GEOMETRY if key in file.focus}
    entries |= {key: _flat(value) for key, value in sorted((facts or {}).items())}
    adata.uns[keys.UNS] = {"kind": kind, **entries, "provenance": json.dumps(record, sort_keys=True, default=str)}
    if (spatial := file.uns(keys.UNS_SPATIAL)) is not None:
        adata.uns[keys.UNS_SPATIAL] = _small_images(spatial)
    for key, value in sorted((uns or {}).items()):
        adata.uns[key] = value
    with atomic_file(out, overwrite, kind=analysis_kind(kind)) as temporary:
        write_anndata(adata, temporary)


def _small_images(spatial: Mapping[str, Any]) -> dict[str, Any]:
    """The low-resolution image of each library; the larger image would dominate the file size."""
    small = {}
    for library, entry in spatial.items():
        images = entry.get("images", {})
        kept = {"lowres": images["lowres"]} if "lowres" in images else images
        small[library] = {**entry, "images": kept}
    return small


def _flat(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, sort_keys=True, default=str)


def require_kind(file: SpatialFile, kind: str, verb: str) -> None:
    """Refuse a file that is not an analysis result of `kind`.

    Raises
    ------
    BadInputError
        Naming its kind and the verb that writes the right one.
    """
    if file.kind != kind:
        raise BadInputError(f"{file.path} is {file.kind!r}, not {kind!r}", hint=f"{verb} writes one")


def same_locations(result: SpatialFile, file: SpatialFile) -> np.ndarray:
    """Row of `result` for every location of `file`, int64.

    Raises
    ------
    BadInputError
        If a location of `file` is not in `result`.
    """
    rows = result.obs.index.get_indexer(file.obs.index)
    if (rows < 0).any():
        missing = file.obs.index[rows < 0]
        raise BadInputError(
            f"{result.path} lacks {len(missing):,} of the {len(rows):,} locations of {file.path} "
            f"(the first is {missing[0]})",
            hint="both must be made from the same sample",
        )
    return rows.astype(np.int64)
