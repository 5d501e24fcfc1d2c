"""The stage of an analysis that reads one enhanced file and writes one analysis result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from focus_cli.core import provenance
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.progress import print_message
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import analysis_kind

_ENHANCED = ("enhanced", "refined")


def run_analysis(
    name: str,
    analyse: Callable[..., dict[str, Any]],
    enhanced: Path,
    out: Path,
    *,
    settings: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Apply a function to an enhanced file and write what it returns.

    Parameters
    ----------
    name
        Of the verb; also the kind of the analysis result.
    analyse
        Takes the open `SpatialFile` and `settings`; returns keywords of `write_analysis_result`: ``obs``, ``var``,
        ``x``, ``layers``, ``obsm``, ``facts``, ``uns``.
    enhanced
        A file of ``focus enhance``.
    out
        The ``.h5ad`` to write.
    settings
        Keyword parameters of `analyse`; recorded in the provenance.
    overwrite
        Whether an analysis result of the same kind may be replaced.

    Raises
    ------
    UsageError, MissingResourceError, OutputExistsError
        If the output cannot be written or the input does not exist.
    BadInputError
        If `enhanced` was not written by ``focus enhance``.
    """
    check_output(out, analysis_kind(name), inputs=[enhanced], overwrite=overwrite)
    with SpatialFile(enhanced) as file:
        if file.kind not in _ENHANCED:
            raise BadInputError(
                f"{enhanced} is {file.kind!r}, not an enhanced file", hint="name a file written by focus enhance"
            )
        found = analyse(file, **settings)
        seed = int(settings.get("seed", 0))
        record = provenance.describe_run(name, dict(settings), {"enhanced": enhanced}, seed)
        write_analysis_result(out, file, name, record, overwrite=overwrite, **found)
    print_message(f"{name}: {len(file.obs):,} locations → {out}")
