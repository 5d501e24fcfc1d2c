"""Export: one enhanced file and its analysis results, in the format of another program."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.provenance import describe_run
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import EXPORTED_H5AD, SPATIALDATA, VITESSCE
from focus_cli.reporting.export.anndata_file import write_anndata
from focus_cli.reporting.export.joined import join_analyses

FORMATS = {"anndata": ".h5ad", "spatialdata": ".zarr", "vitessce": ""}  # format → ending of the output; none: a folder

_KINDS = {"anndata": EXPORTED_H5AD, "spatialdata": SPATIALDATA, "vitessce": VITESSCE}


def export(
    enhanced: Path,
    analyses: Sequence[Path],
    to: str,
    out: Path,
    *,
    genes: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an enhanced file and its analysis results for another program.

    Parameters
    ----------
    enhanced
        File of ``focus enhance``, or a refined one.
    analyses
        Files of later verbs on the same locations.
    to
        ``"anndata"``, ``"spatialdata"`` or ``"vitessce"``.
    out
        What to make: an .h5ad, a .zarr, or a folder.
    genes
        For ``vitessce``: the genes to bring along; by default as many as a browser can hold.
    overwrite
        Replace what is there.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    UsageError
        If the format is not known, `out` has the wrong ending, a file is named twice, or a gene is not in the file.
    BadInputError
        If an analysis result is of another sample or lacks some location.
    MissingResourceError
        If a file or a library is not there.
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    enhanced, analyses, out = Path(enhanced), [Path(a) for a in analyses], Path(out)
    _check(enhanced, analyses, to, out, genes, overwrite)
    check_memory("export", result_size(enhanced))
    with ExitStack() as stack:
        file = stack.enter_context(SpatialFile(enhanced))
        opened = [stack.enter_context(SpatialFile(a)) for a in analyses]
        found = join_analyses(file, opened)
        provenances = {analysis.kind: analysis.focus.get("provenance", {}) for analysis in opened}
        inputs = {"enhanced": enhanced} | {f"analysis:{i + 1}:{a.kind}": a.path for i, a in enumerate(opened)}
        record = describe_run("export", {"to": to, "genes": list(genes) if genes else None}, inputs)
        if to == "anndata":
            write_anndata(out, file, found, record, provenances, overwrite)
        elif to == "spatialdata":
            from focus_cli.reporting.export.spatialdata_store import write_spatialdata

            write_spatialdata(out, file, found, record, provenances, overwrite)
        else:
            from focus_cli.reporting.export.vitessce_folder import write_vitessce

            write_vitessce(out, file, found, list(genes) if genes else None, record, overwrite)
    return out


def _check(
    enhanced: Path, analyses: list[Path], to: str, out: Path, genes: Sequence[str] | None, overwrite: bool
) -> None:
    if to not in FORMATS:
        raise UsageError(f"--to {to} is not known", hint=f"one of: {', '.join(FORMATS)}")
    ending = FORMATS[to]
    if ending and out.suffix != ending:
        raise UsageError(f"--out {out} does not end in {ending}", hint=f"--to {to} writes a {ending}")
    if not ending and out.suffix in (".h5ad", ".zarr", ".html", ".json"):
        raise UsageError(f"--out {out} looks like a file", hint=f"--to {to} writes a folder")
    if genes and to != "vitessce":
        raise UsageError(f"--genes has no meaning with --to {to}", hint="all genes are written")
    seen: set[str] = set()
    for path in (enhanced, *analyses):
        if os.path.realpath(path) in seen:
            raise UsageError(f"{path} is given twice", hint="name each file once")
        seen.add(os.path.realpath(path))
    check_output(out, _KINDS[to], inputs=[enhanced, *analyses], overwrite=overwrite)
    if to == "spatialdata" and importlib.util.find_spec("spatialdata") is None:
        raise MissingResourceError("--to spatialdata needs a library", hint="pip install 'focus-st[spatialdata]'")
