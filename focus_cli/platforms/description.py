"""What a path holds, in words and numbers; what `focus inspect` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import FocusError, one_line
from focus_cli.genes import gene_report, report_warnings
from focus_cli.histology.slides import open_slide
from focus_cli.platforms.detection import detect, read
from focus_cli.platforms.images import image_size


def describe(path: Path, platform: str = "auto", **options: Any) -> dict[str, Any]:
    """Describe a raw folder or file; what cannot be used is described too, as a problem.

    `options` are those of `platforms.read`.

    Returns
    -------
    dict
        JSON-safe. Always ``path``, ``kind``, ``platform``, ``version``, ``evidence``, ``warnings`` and
        ``problems`` (each with ``message``, ``hint``, ``exit_code``); where the data can be read also
        ``locations``, ``in_tissue``, ``genes``, ``counts``, ``median_counts``, ``mpp``, ``extent_um``,
        ``footprint``, ``image`` and ``gene_names`` (see `focus_cli.genes.gene_report`).

    Raises
    ------
    MissingResourceError
        If the path does not exist.
    BadInputError
        If no reader recognises it.
    """
    path = Path(path)
    report: dict[str, Any] = {"path": str(path), "kind": "raw", "platform": platform, "version": ""}
    report |= {"evidence": [], "warnings": [], "problems": []}
    missing: tuple[str, ...] = ()
    if platform == "auto":
        found = detect(path)
        missing = found.problems
        report |= {"platform": found.platform, "version": found.version, "evidence": list(found.evidence)}
    try:
        sample = read(path, report["platform"], **options)
        # A reader that says more of a missing file says it better.
        silent = [line for line in missing if not any(warning.startswith(line) for warning in sample.warnings)]
        report["warnings"] = [*silent, *sample.warnings]
        report |= _figures(sample)
        report["gene_names"] = gene_report(sample.adata.var)
        report["warnings"] += map(one_line, report_warnings(report["gene_names"]))
        if sample.image_path is not None:
            with open_slide(sample.image_path, options.get("mpp")):
                pass  # what the image's header refuses, `focus preprocess` would
    except FocusError as error:
        report["warnings"] = [line for line in missing if line not in error.message]
        report["problems"].append({"message": error.message, "hint": error.hint or "", "exit_code": error.exit_code})
    return report


def _figures(sample) -> dict[str, Any]:
    adata = sample.adata
    totals = np.asarray(adata.X.sum(axis=1, dtype=np.float64)).ravel()
    under = adata.obs[keys.IN_TISSUE].to_numpy() == 1
    extent = np.ptp(adata.obsm[keys.SPATIAL_UM], axis=0)
    picture = None
    if sample.image_path is not None:
        size = image_size(sample.image_path)
        picture = {
            "path": str(sample.image_path),
            "width": size[0] if size else None,
            "height": size[1] if size else None,
            "scale": sample.image_scale,
            "mpp": sample.mpp / sample.image_scale,
        }
    return {
        "version": sample.platform.version,
        "chemistry": sample.platform.chemistry,
        "preservation": sample.platform.preservation,
        "locations": adata.n_obs,
        "in_tissue": int(under.sum()),
        "genes": adata.n_vars,
        "counts": int(totals.sum()),
        "median_counts": float(np.median(totals[under])) if under.any() else 0.0,
        "mpp": sample.mpp,
        "extent_um": [float(v) for v in extent],
        "footprint": {
            "shape": sample.footprint.shape,
            "size_um": sample.footprint.size_um,
            "pitch_um": sample.footprint.pitch_um,
        },
        "image": picture,
    }
