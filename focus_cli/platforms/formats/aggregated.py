"""Outputs of ``spaceranger aggr``: one matrix of several libraries, whose barcodes end in -1, -2, …"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms.formats.outs import File, Files, find_files
from focus_cli.platforms.formats.tables import read_table, table_columns

AGGR_POSITIONS = "aggr_tissue_positions.csv"
_SHEETS = ("aggregation.csv", "aggregation_csv.csv")
_LIBRARY = ("library_id", "sample_id", "library")
_SUFFIX = re.compile(r"[-.](\d+)$")


@dataclass(frozen=True)
class Library:
    """One library of an aggregated run: the number its barcodes end in, and the files of its ``spatial`` folder."""

    name: str
    suffix: int | None
    files: Files


def is_aggregated(outs: Path) -> bool:
    """Whether a folder was written by ``spaceranger aggr``: no positions of one sample, but those of libraries."""
    if find_files(outs).get("", Files(outs)).positions is not None:
        return False
    return _with_gz(outs, AGGR_POSITIONS) is not None or bool(_library_folders(outs))


def aggregated_evidence(outs: Path) -> list[str]:
    """The files by which an aggregated run is recognised."""
    found = [path.name for name in (AGGR_POSITIONS, *_SHEETS) if (path := _with_gz(outs, name)) is not None]
    return found + [f"{File.SPATIAL}/{folder.name}" for folder in _library_folders(outs).values()]


def _with_gz(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _library_folders(outs: Path) -> dict[str, Path]:
    spatial = outs / File.SPATIAL
    if not spatial.is_dir():
        return {}
    folders = {path.name: path for path in sorted(spatial.iterdir()) if path.is_dir()}
    return {name: path for name, path in folders.items() if find_files(path)}


def find_libraries(outs: Path) -> dict[str, Library]:
    """The libraries of an aggregated run, by name, in the order of their numbers where these are known.

    The number that a library's barcodes end in is taken from ``aggr_tissue_positions.csv``, else from the order of
    ``aggregation.csv``, else from the library's own positions where these differ.

    Raises
    ------
    BadInputError
        If a table is damaged, or the tables contradict each other.
    """
    folders = _library_folders(outs)
    in_sheet = _numbers_by_sheet(outs)
    in_table = _numbers_by_positions(outs)
    for name, number in in_table.items():
        if in_sheet.get(name, number) != number:
            raise BadInputError(
                f"{outs}: barcodes of library {name!r} end in -{number} in {AGGR_POSITIONS}, "
                f"but it is number {in_sheet[name]} of {_SHEETS[0]}",
                hint="restore both files as spaceranger aggr wrote them",
            )
    numbers = in_sheet | in_table
    found = {}
    for name in [*numbers, *(name for name in folders if name not in numbers)]:
        files = find_files(folders[name]).get("", Files(folders[name])) if name in folders else Files(outs)
        found[name] = Library(name, numbers.get(name), files)
    return found


def _numbers_by_sheet(outs: Path) -> dict[str, int]:
    sheet = next((path for name in _SHEETS if (path := _with_gz(outs, name)) is not None), None)
    if sheet is None:
        return {}
    header = table_columns(sheet)
    column = next((name for name in header if name.strip().lower() in _LIBRARY), header[0])
    names = read_table(sheet, [column], text=[column])[column]
    return {str(name).strip(): i for i, name in enumerate(names, start=1)}


def _numbers_by_positions(outs: Path) -> dict[str, int]:
    table = library_column(outs)
    if table is None:
        return {}
    barcode, library = table
    numbers = {}
    for name, group in barcode.groupby(library, sort=False):
        ends = suffixes(group)
        if len(ends) != 1 or None in ends:
            raise BadInputError(
                f"{outs / AGGR_POSITIONS}: barcodes of library {name!r} end in several numbers",
                hint="restore the file as spaceranger aggr wrote it",
            )
        numbers[str(name)] = next(iter(ends))
    return dict(sorted(numbers.items(), key=lambda pair: pair[1]))


def library_column(outs: Path) -> tuple[pd.Series, pd.Series] | None:
    """Barcodes and libraries of the joint positions table; None where it is not there or names no library."""
    path = _with_gz(outs, AGGR_POSITIONS)
    if path is None:
        return None
    header = {name.strip().lower(): name for name in table_columns(path)}
    column = next((header[name] for name in _LIBRARY if name in header), None)
    if column is None or "barcode" not in header:
        return None
    table = read_table(path, [header["barcode"], column], text=[header["barcode"], column])
    return table[header["barcode"]], table[column].str.strip()


def joint_positions(outs: Path) -> Path | None:
    """The table with the positions of all libraries."""
    return _with_gz(outs, AGGR_POSITIONS)


def suffixes(barcodes: Iterable[str]) -> set[int | None]:
    """The numbers that barcodes end in; None stands for those without one."""
    found = (_SUFFIX.search(str(name)) for name in barcodes)
    return {int(match.group(1)) if match else None for match in found}


def of_library(barcodes: pd.Index, suffix: int) -> np.ndarray:
    """Which barcodes end in the number of a library, bool (n,)."""
    return np.asarray(barcodes.str.endswith((f"-{suffix}", f".{suffix}")), dtype=bool)


def choose_library(outs: Path, region: str | None) -> Library:
    """The library that is meant.

    Raises
    ------
    UsageError
        If none, or an unknown one, is chosen.
    BadInputError
        If nothing states which barcodes are its own.
    """
    libraries = find_libraries(outs)
    listed = ", ".join(list(libraries)[:8]) + (", …" if len(libraries) > 8 else "")
    if region is None and len(libraries) != 1:
        raise UsageError(
            f"{outs} is the output of spaceranger aggr, with {len(libraries)} libraries ({listed})",
            hint="choose one with --region, or give the outs folder of that library's own run",
        )
    if region is not None and region not in libraries:
        raise UsageError(f"{outs}: no library {region!r}", hint=f"--region is one of {listed}")
    chosen = libraries[region] if region is not None else next(iter(libraries.values()))
    if chosen.suffix is None:
        raise BadInputError(
            f"{outs}: nothing states which barcodes are of library {chosen.name!r} ({_SHEETS[0]} is missing)",
            hint=f"restore {_SHEETS[0]}, or give the outs folder of that library's own run",
        )
    return chosen
