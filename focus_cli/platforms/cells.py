"""Parts shared by the readers of instruments that image and segment cells: tables, controls and transforms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage.regular import read_bounded
from focus_cli.platforms.checks import check_positions, check_unique, control_types
from focus_cli.platforms.formats.opening import DAMAGE, damaged
from focus_cli.platforms.sample import Detection

# No slide is as long as this; what is, has other units.
LARGEST_UM = 1e6
# A transform is nine numbers.
_TRANSFORM_BYTES = 4096
_SPREADSHEET = re.compile(r"\d(\.\d+)?[eE]\+\d+")


def only_file(folder: Path, *patterns: str, token: str = "", region: str | None = None) -> Path | None:
    """The one file of a folder that fits the first pattern that any file fits.

    Parameters
    ----------
    folder, patterns
        Where to look, and for which names.
    token
        What the names have in common; what stands before it names the section.
    region
        The section that is meant, where there are several.

    Raises
    ------
    UsageError
        If several fit it, and `region` is not what one of them starts with.
    """
    for pattern in patterns:
        found = sorted(p for p in folder.glob(pattern) if p.is_file() and not p.name.startswith("."))
        if len(found) > 1:
            starts = {p.name.partition(token)[0].rstrip("_-. "): p for p in found} if token else {}
            if region is not None and region in starts:
                return starts[region]
            named = len(starts) == len(found) and all(starts)
            raise UsageError(
                f"{folder}: several tables to choose from: {', '.join(p.name for p in found[:5])}",
                hint="give one of these files instead of the folder"
                + (f", or choose one of {', '.join(sorted(starts)[:8])} with --region" if named else ""),
            )
        if found:
            return found[0]
    return None


def companion(counts: Path, part: str, other: str) -> Path | None:
    """The table that belongs to `counts`: the same name with `other` for `part`, else the only one like it."""
    for name in (counts.name.replace(part, other), counts.name.replace(part, other).removesuffix(".gz")):
        for candidate in (counts.with_name(name), counts.with_name(name + ".gz")):
            if candidate.is_file():
                return candidate
    return only_file(counts.parent, f"*{other}*.csv", f"*{other}*.csv.gz")


def without_counts(platform: str, path: Path, counts: str, transcripts: str) -> Detection | None:
    """Detection of a table of single transcripts without a table of counts; None if there is no such table.

    Parameters
    ----------
    platform
        Name of the platform.
    path
        A folder or a file.
    counts, transcripts
        Parts of the names of the two tables.
    """
    if path.is_file():
        found = path if transcripts in path.name else None
    else:
        found = only_file(path, f"*{transcripts}*.csv", f"*{transcripts}*.csv.gz")
    return None if found is None else Detection(platform, "", (found.name,), (f"{counts}.csv is missing",))


def feature_names(features: Sequence[str], controls: Mapping[str, str]) -> pd.DataFrame:
    """Table of features with the same id and name; `controls` maps patterns of names to types of controls."""
    return pd.DataFrame({"id": features, "name": features, "type": control_types(features, controls)}, dtype=object)


def needed(path: Path | None, folder: Path, name: str, what: str, hint: str = "copy the vendor's whole folder") -> Path:
    """`path`, or the refusal that states what is missing without it, and the way on.

    Raises
    ------
    MissingResourceError
        If `path` is None.
    """
    if path is None:
        raise MissingResourceError(f"{folder}: {name} is missing: {what}", hint=hint)
    return path


def match_cells(names: Sequence[str], table: Sequence[str], matrix: str, positions: str):
    """Find the row of each cell of the counts in the table of positions.

    Parameters
    ----------
    names, table
        Cell ids of the counts and of the positions.
    matrix, positions
        File names for messages.

    Returns
    -------
    rows : int (n,)
        The cells of the counts that have a position.
    places : int (n,)
        Their rows in the table.
    warnings : list of str
        How many were left out.

    Raises
    ------
    BadInputError
        If ids repeat, were rounded by a spreadsheet, or fewer than half of the cells have a position.
    """
    for ids, where in ((names, matrix), (table, positions)):
        if len(ids) and all(_SPREADSHEET.fullmatch(i) for i in ids[:20]):
            raise BadInputError(
                f"{where}: cell ids were rounded to {ids[0]!r}: saved from a spreadsheet?",
                hint="use the file as the instrument's software wrote it",
            )
        check_unique(ids, "cells", where)
    found = pd.Index(table, dtype=object).get_indexer(pd.Index(names, dtype=object))
    rows = np.flatnonzero(found >= 0)
    if not len(names) or len(rows) < 0.5 * len(names):
        example = next((n for n, at in zip(names, found) if at < 0), "none")
        raise BadInputError(
            f"positions do not match the matrix: {len(rows)} of {len(names)} cells of {matrix} are in {positions} "
            f"(the matrix has {example!r}, the table {table[0] if len(table) else 'none'!r})",
            hint="the two files come from different samples; use those of one run",
        )
    warnings = []
    if len(rows) < len(names):
        warnings.append(f"{len(names) - len(rows)} of {len(names)} cells have no position and were left out")
    return rows, found[rows], warnings


def check_extent(xy_um: np.ndarray, where: str) -> None:
    """Refuse positions that are not finite or lie farther apart than any slide is long.

    Raises
    ------
    BadInputError
        Naming `where`.
    """
    check_positions(xy_um, where)
    if len(xy_um) and max(np.abs(xy_um).max(), np.ptp(xy_um, axis=0).max()) > LARGEST_UM:
        raise BadInputError(
            f"{where}: positions reach {np.abs(xy_um).max():.3g} µm, farther than any slide",
            hint="check the units and the positions file",
        )


def read_transform(path: Path) -> Affine:
    """Read three rows of three numbers, divided by commas or blanks.

    Raises
    ------
    BadInputError
        If the file is damaged, or they are no invertible affine map.
    """
    try:
        content = read_bounded(path, _TRANSFORM_BYTES)
        lines = content.decode("utf-8-sig").replace(",", " ").replace(";", " ").splitlines()
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
    except DAMAGE as error:
        raise damaged(path, error) from error
    if [len(row) for row in rows] != [3, 3, 3]:
        raise BadInputError(f"{path}: a transform must be three rows of three numbers", hint="export it again")
    try:
        return Affine.of(rows)
    except BadInputError as error:
        raise BadInputError(f"{path}: {error.message}", hint="export it again") from error


def grid_note(image: Path | None) -> list[str]:
    """What is taken for granted of an image that no alignment file belongs to."""
    if image is None:
        return []
    return [f"no file states how {image.name} lies on the cells: it is taken to be on the pixel grid of the positions"]
