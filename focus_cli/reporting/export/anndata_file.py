"""One .h5ad: the enhanced file as it is, with the analysis results beside it.

The dense matrices are copied byte for byte with the file; only tables are written again, so that the memory this takes
does not grow with the number of genes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import atomic_file, write_elements
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.core.storage.kinds import EXPORTED_H5AD
from focus_cli.reporting.export.joined import Additions


def write_anndata(
    out: Path, file: SpatialFile, found: Additions, record: dict[str, Any], provenances: dict[str, Any], overwrite: bool
) -> None:
    """Write the joined file.

    Parameters
    ----------
    record
        Provenance of the export.
    provenances
        Kind → provenance of its analysis result.
    """
    with atomic_file(out, overwrite, kind=EXPORTED_H5AD) as temporary:
        shutil.copyfile(file.path, temporary)
        try:
            with open_hdf5(temporary, "r+") as handle:
                add_to(handle, found, record, provenances)
        except OSError as error:
            raise BadInputError(f"cannot read {file.path}: {error}", hint="write or copy the file again") from error


def add_to(handle: Any, found: Additions, record: dict[str, Any], provenances: dict[str, Any]) -> None:
    """Add analysis results to an open AnnData, of HDF5 or zarr."""
    write_elements(handle, "", {"obs": found.obs, "var": found.var})
    write_elements(handle, "obsm", found.obsm)
    write_elements(handle, "uns", found.uns)
    if found.parts:
        write_elements(handle, "uns", {keys.UNS_ANALYSES: analysis_records(found, provenances)})
    write_elements(handle, f"uns/{keys.UNS}", {"provenance": json.dumps(record, sort_keys=True, default=str)})


def analysis_records(found: Additions, provenances: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Kind of analysis result → what it added and how it was made, as JSON text."""
    return {
        kind: {"parts": json.dumps(parts), "provenance": json.dumps(provenances.get(kind, {}), sort_keys=True)}
        for kind, parts in sorted(found.parts.items())
    }


def focus_record(file: SpatialFile, record: dict[str, Any]) -> dict[str, Any]:
    """``uns["focus"]`` of the enhanced file as it is stored, with the provenance of the export."""
    stored = file.uns(keys.UNS) or {}
    return {**stored, "provenance": json.dumps(record, sort_keys=True, default=str)}
