"""Answers: what a verb after enhancement says of locations, as an AnnData of the same locations.

An answer holds no expression. Its locations have the names and positions of the file that it was made of, so that
scanpy and squidpy draw it as it is, and `same_locations` can lay it beside that file.
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
from focus_cli.core.storage.kinds import ANSWERS, NEW_FILE

if TYPE_CHECKING:
    import pandas as pd

# What an answer takes over from the file that it was made of, so that it is drawn in the same way.
_GEOMETRY = ("sample_id", "mpp", "platform", "footprint_shape", "footprint_um", "pitch_um", "resolution_um")


def write_answer(
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
    """Write what was found of the locations of `file`.

    Parameters
    ----------
    out
        The ``.h5ad`` to write.
    file
        What the answer was made of: names, positions and thumbnails of its locations are taken over.
    kind
        What it answers, for instance ``"domains"``; stands in ``uns["focus"]["kind"]``.
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
    told = {key: file.focus[key] for key in _GEOMETRY if key in file.focus}
    told |= {key: _flat(value) for key, value in sorted((facts or {}).items())}
    adata.uns[keys.UNS] = {"kind": kind, **told, "provenance": json.dumps(record, sort_keys=True, default=str)}
    if (spatial := file.uns(keys.UNS_SPATIAL)) is not None:
        adata.uns[keys.UNS_SPATIAL] = _small_pictures(spatial)
    for key, value in sorted((uns or {}).items()):
        adata.uns[key] = value
    with atomic_file(out, overwrite, kind=ANSWERS.get(kind, NEW_FILE)) as temporary:
        write_anndata(adata, temporary)


def _small_pictures(spatial: Mapping[str, Any]) -> dict[str, Any]:
    """The smaller picture of each library alone: with the larger one the pictures would outweigh the answers."""
    small = {}
    for library, entry in spatial.items():
        pictures = entry.get("images", {})
        kept = {"lowres": pictures["lowres"]} if "lowres" in pictures else pictures
        small[library] = {**entry, "images": kept}
    return small


def _flat(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, sort_keys=True, default=str)


def require_kind(file: SpatialFile, kind: str, verb: str) -> None:
    """Refuse a file that is not an answer of `kind`.

    Raises
    ------
    BadInputError
        Naming what it is and the verb that makes the right one.
    """
    if file.kind != kind:
        raise BadInputError(f"{file.path} is {file.kind!r}, not {kind!r}", hint=f"{verb} writes one")


def same_locations(answer: SpatialFile, file: SpatialFile) -> np.ndarray:
    """Row of `answer` for every location of `file`, int64.

    Raises
    ------
    BadInputError
        If a location of `file` is not in `answer`.
    """
    rows = answer.obs.index.get_indexer(file.obs.index)
    if (rows < 0).any():
        missing = file.obs.index[rows < 0]
        raise BadInputError(
            f"{answer.path} says nothing of {len(missing):,} of the {len(rows):,} locations of {file.path} "
            f"(the first is {missing[0]})",
            hint="both must be made of the same sample",
        )
    return rows.astype(np.int64)
