"""The one section, field of view or plane that is read, where several share one range of positions.

A table that joins several sections has positions of each in a separate frame: read as one, they lie on top of each
other. Columns whose names indicate sections are compared by area: groups that lie side by side are one frame, groups
that lie within each other are several. Any other column counts only where its groups ignore each other's spacing, as
cells of one section never do: no two of them share a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.missing import texts
from focus_cli.platforms.checks import choose_region
from focus_cli.platforms.depth import is_depth, may_be_depth, state_depth, z_column
from focus_cli.platforms.frame_areas import keeps_distance, share_area
from focus_cli.platforms.frame_groups import Groups, find_groups, is_field, names_sections, section_columns

_COINCIDENT, _FEWEST_COINCIDENT = 0.05, 10


@dataclass(frozen=True)
class Frame:
    """The locations of one frame.

    Attributes
    ----------
    rows
        int (m,), which locations.
    labels
        The names that chose them; empty where all locations share one frame.
    warnings
        One line each.
    """

    rows: np.ndarray
    labels: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


def choose_frame(
    obs: pd.DataFrame,
    xy: np.ndarray,
    *,
    where: str,
    z: np.ndarray | None = None,
    libraries: Sequence[str] = (),
    names: Sequence[str] | None = None,
    region: str | None = None,
) -> Frame:
    """The locations of the one section that is meant.

    Parameters
    ----------
    obs
        Columns of the locations; those that name sections are looked for.
    xy
        float (n, 2), positions.
    where
        File to name in messages.
    z
        float (n,), the third coordinate; None looks for a column of `obs`.
    libraries
        Names of the libraries that the file describes.
    names
        Barcodes (n,), where they are known: they repeat where sections were joined.
    region
        The section: its name, ``column=name``, or several of these divided by commas.

    Raises
    ------
    UsageError
        If several sections share one frame and none, or an unknown one, is chosen.
    BadInputError
        If many positions coincide and no column distinguishes the locations.
    """
    obs = obs.loc[:, ~obs.columns.duplicated()]
    rows = np.arange(len(xy))
    notes: list[str] = []
    chosen: list[str] = []
    left = region
    z, z_name = (np.asarray(z, float), "z") if z is not None else z_column(obs)
    while True:
        here = obs.iloc[rows]
        of_names = None if names is None else np.asarray(names, dtype=object)[rows]
        found = find_groups(here, xy[rows], None if z is None else z[rows], where, libraries, of_names)
        if not found:
            break
        pick = _pick(found, left, chosen, where)
        rows, left = rows[pick.rows], pick.left
        chosen.append(pick.name)
        libraries = () if pick.name in libraries else libraries
        if pick.left_out:
            notes.append(f"{where}: {pick.left_out} locations have no name in {pick.source} and were left out")
    if left is not None:
        pick = _beside(obs.iloc[rows], left, where)
        rows = rows[pick.rows]
        chosen.append(pick.name)
    if z is not None:
        notes += state_depth(z[rows], z_name, where, overlapping=not keeps_distance(xy[rows]))
    if not chosen:
        notes += _one_section(obs, xy, where)
    notes += _check_coincident(xy[rows], where, "position")
    if {keys.ARRAY_ROW, keys.ARRAY_COL} <= set(obs.columns):
        place = obs.iloc[rows][[keys.ARRAY_ROW, keys.ARRAY_COL]].apply(pd.to_numeric, errors="coerce")
        _check_coincident(place.to_numpy(np.float64, na_value=np.nan), where, "place on the array")
    return Frame(rows, tuple(chosen), notes)


def split_region(path: Path, names: Sequence[str], region: str | None) -> tuple[str, str | None]:
    """The one of several sections that `region` starts with, and the rest of it: a plane, a field of view.

    Raises
    ------
    UsageError
        If there are several and none, or an unknown one, is chosen.
    """
    if region is not None and region not in names:
        for name in sorted(names, key=len, reverse=True):
            if region.startswith(f"{name},"):
                return name, region[len(name) + 1 :]
        if len(names) == 1:
            return names[0], region
    return choose_region(path, list(names), region), None


def frame_columns(names: Sequence[str]) -> list[str]:
    """The columns of a table of cells that `choose_frame` looks at: of sections, fields of view and depth."""
    return [name for name in names if names_sections(name) is not None or is_depth(name) or may_be_depth(name)]


@dataclass(frozen=True)
class _Pick:
    rows: np.ndarray
    name: str
    source: str
    left: str | None
    left_out: int


def _pick(found: list[Groups], region: str | None, chosen: list[str], where: str) -> _Pick:
    """The rows of the group that `region` starts with, and what is left of `region`."""
    first = found[0]
    before = "".join(f"{name}," for name in chosen)
    listed = ", ".join(before + name for name in first.names[:8]) + (", …" if len(first.names) > 8 else "")
    if region is None:
        raise UsageError(
            f"{where} holds {len(first.names)} regions in one frame, by {first.source} ({listed})",
            hint=f"choose one with --region, for instance --region {before}{first.names[0]}",
        )
    for groups in found:
        pick = _match(groups, region)
        if pick is not None:
            return pick
    raise UsageError(f"{where}: no region {before}{region!r}", hint=f"--region is one of {listed}")


def _match(groups: Groups, region: str) -> _Pick | None:
    for name in sorted(groups.names, key=len, reverse=True):
        for word in (name, f"{groups.column}={name}", name.removeprefix("z=")):
            if region == word or region.startswith(word + ","):
                left = region[len(word) + 1 :] or None
                missing = int(np.sum(groups.labels == ""))
                return _Pick(np.flatnonzero(groups.labels == name), name, groups.source, left, missing)
    return None


def _beside(obs: pd.DataFrame, region: str, where: str) -> _Pick:
    """A group that lies beside others in one frame, or the only one."""
    candidates = []
    for place in range(obs.shape[1]):
        name = str(obs.columns[place])
        if names_sections(name) is not None:
            candidates.append(Groups(name, texts(obs.iloc[:, place])))
    for groups in candidates:
        pick = _match(groups, region)
        if pick is not None and pick.left is None:
            return pick
    raise UsageError(f"{where}: no region {region!r}", hint="it holds one section: leave --region out")


def _one_section(obs: pd.DataFrame, xy: np.ndarray, where: str) -> list[str]:
    """Note where a column names groups that were read as one section."""
    for groups in section_columns(obs)[0]:
        if not is_field(groups.column):
            how = (
                "lie among each other at the distances of one section"
                if share_area(groups.labels, xy)
                else "lie side by side"
            )
            return [
                f"{where}: {groups.source} names {len(groups.names)} groups that {how}: they are read as "
                "one section (--region reads one of them)"
            ]
    return []


def _check_coincident(xy: np.ndarray, where: str, what: str) -> list[str]:
    """Refuse positions that many locations share: several sections, and nothing that distinguishes them.

    A few are noted.
    """
    if len(xy) < 2 or not np.isfinite(xy).all():
        return []
    repeated = len(xy) - len(np.unique(xy, axis=0))
    if repeated >= max(_FEWEST_COINCIDENT, _COINCIDENT * len(xy)):
        raise BadInputError(
            f"{where}: {repeated} of {len(xy)} locations share their exact {what} with another: are several "
            "sections, fields of view or planes joined?",
            hint="give one section, or name the section of each location in a column (obs['library_id'])",
        )
    return [f"{where}: {repeated} locations share their exact {what} with another"] if repeated > 1 else []
