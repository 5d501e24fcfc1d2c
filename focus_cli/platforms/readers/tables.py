"""A table of counts and a table of positions of any laboratory, each named by the user: never recognised by itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms import images
from focus_cli.platforms.array_names import TABLE_ENDINGS
from focus_cli.platforms.assemble import assemble, cell_footprint
from focus_cli.platforms.checks import control_types
from focus_cli.platforms.frames import choose_frame
from focus_cli.platforms.paired_tables import PlacedTable, match, read_positions
from focus_cli.platforms.sample import Detection, RawSample

NAME = "tables"
LOOKS_FOR = "--platform tables with --counts FILE and --positions FILE"
ENDINGS = (*TABLE_ENDINGS, ".parquet", ".mtx", ".mtx.gz")
_CONTROLS = {
    r"blank[-_ ]?\d*$": "Blank",
    r"neg(ative)?[-_ ]?(control|probe|prb)": "Negative Control Probe",
    r"(false|unassigned|deprecated)[-_ ]?code(word)?": "False Code",
    r"system[-_ ]?control": "System Control",
}


def detect(path: Path) -> Detection | None:
    """Nothing is recognised: which table is which, the user states."""
    return None


def tables_in(folder: Path) -> list[str]:
    """Names of the tables in a folder, in sorted order."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.name.lower().endswith(ENDINGS) and p.is_file())


def read(
    path: Path,
    *,
    image: Path | None = None,
    mpp: float | None = None,
    region: str | None = None,
    counts: str | None = None,
    positions: str | None = None,
    xy: str | None = None,
    in_order: bool | None = None,
) -> RawSample:
    """Read counts and positions from two tables.

    Text separated by tabs, commas, semicolons or blanks, plain, gzipped or zipped, or parquet. The locations are the
    rows or the columns of the counts, whichever the positions name. Positions are read by the names of columns.

    Parameters
    ----------
    path
        The folder of the two tables, or the table of counts.
    image
        The H&E whose pixels the positions are. None is looked for: nothing states that an image has their frame.
    mpp
        µm per unit of the positions; not needed where their columns end in ``_um`` or ``_mm``.
    region
        The section, field of view or plane, where the positions hold several.
    counts, positions
        Names of the two files in the folder, or paths.
    xy
        ``"X,Y"``: the columns of x and y, where their names do not decide; numbers in a table without header.
    in_order
        Whether the rows of the positions have no names and are in the order of the counts.

    Raises
    ------
    UsageError
        If a table is not named, or something must be chosen.
    MissingResourceError
        If a file is not there, or µm per unit is unknown.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    counts_file, positions_file = _files(path, counts, positions)
    placed = read_positions(positions_file, xy)
    scale = _unit(placed, mpp)
    matched = match(counts_file, placed, in_order=bool(in_order))
    others = placed.others.iloc[matched.rows].reset_index(drop=True)
    z = None if placed.z is None else placed.z[matched.rows]
    at = placed.xy[matched.rows]
    frame = choose_frame(_typed(others), at, where=positions_file.name, z=z, names=matched.names, region=region)
    um = at[frame.rows] * (placed.unit_um or scale)
    footprint = cell_footprint(um)
    genes = matched.genes
    return assemble(
        platform=PlatformInfo(name=NAME, technology="sequencing", resolution_um=footprint.size_um),
        counts=matched.counts[frame.rows],
        names=[matched.names[i] for i in frame.rows],
        genes=pd.DataFrame({"id": genes, "name": genes, "type": control_types(genes, _CONTROLS)}, dtype=object),
        xy_px=at[frame.rows] if placed.unit_um is None else um / scale,
        mpp=scale,
        footprint=footprint,
        where=counts_file.name,
        inputs={"matrix": counts_file, "positions": positions_file},
        warnings=[*placed.warnings, *matched.warnings, *frame.warnings],
        obs=_in_tissue(others.iloc[frame.rows].reset_index(drop=True)),
        image=None if image is None else images.check_image(image),
    )


def _files(path: Path, counts: str | None, positions: str | None) -> tuple[Path, Path]:
    """The two files that are named, relative to the folder of the data or as separate paths."""
    folder = path if path.is_dir() else path.parent
    if counts is None and path.is_file():
        counts = path.name
    there = ", ".join(tables_in(folder)[:8]) or "none"
    found = []
    for option, name in (("--counts", counts), ("--positions", positions)):
        if name is None:
            raise UsageError(
                f"{path}: which table holds the {option[2:]} is not stated (tables there: {there})",
                hint=f"name it with {option} FILE; where one table holds counts and positions: --platform merfish",
            )
        file = folder / name if (folder / name).exists() else Path(name)
        if not file.is_file():
            raise MissingResourceError(f"{option} {name}: no such file in {folder}", hint=f"tables there: {there}")
        found.append(file)
    if found[0].resolve() == found[1].resolve():
        raise UsageError(
            f"--counts and --positions are the same file {found[0].name}",
            hint="a table that holds both is read with --platform merfish",
        )
    return found[0], found[1]


def _unit(placed: PlacedTable, mpp: float | None) -> float:
    """µm per full-resolution pixel; a pixel is one µm where positions are in µm or mm and nothing else is stated."""
    if mpp is not None:
        return float(mpp)
    if placed.unit_um is not None:
        return 1.0
    raise MissingResourceError(
        f"{placed.path}: the unit of {placed.pair.x!r} and {placed.pair.y!r} is unknown",
        hint="pass --mpp, the µm per unit (1 where they are µm), or name the columns x_um, y_um",
    )


def _typed(others: pd.DataFrame) -> pd.DataFrame:
    """Columns of numbers as numbers."""
    columns = {}
    for i, name in enumerate(others.columns):
        values = others.iloc[:, i]
        numbers = pd.to_numeric(values, errors="coerce")
        columns[name] = numbers if numbers.notna().all() else values
    return pd.DataFrame(columns, index=others.index)


def _in_tissue(others: pd.DataFrame) -> pd.DataFrame:
    """The column ``in_tissue`` of 0 and 1, where there is one."""
    table = pd.DataFrame(index=others.index)
    name = next((c for c in others.columns if re.fullmatch(r"in[_. ]?tissue", c, re.IGNORECASE)), None)
    if name is None:
        return table
    values = pd.to_numeric(others[name], errors="coerce")
    if not values.isin([0, 1]).all():
        raise BadInputError(f"the column {name!r} holds other values than 0 and 1", hint="1 is on tissue, 0 is not")
    return table.assign(**{keys.IN_TISSUE: values.to_numpy(np.int64)})
