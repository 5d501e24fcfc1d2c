"""From the samples sheet to checked rows, with every problem named at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.progress import print_message
from focus_cli.core.storage.user_tables import read_user_table
from focus_cli.workflow.config.models import SampleRow
from focus_cli.workflow.config.variables import check_input_path, expand, in_words

COLUMNS = tuple(SampleRow.model_fields)
_TABLE_COLUMNS = ("counts", "positions")
_PATH_COLUMNS = ("path", "image", "align", "landmarks", "reference", "truth", "truth_fine")
_HINT = "the columns are described in the sheet that focus init writes, and in config/README.md of the repository"


def load_samples(sheet: Path | str, *, check_paths: bool = False) -> list[SampleRow]:
    """Read the samples sheet: a header, ``#`` for comments, an empty cell for "not given".

    Parameters
    ----------
    sheet
        The file, its cells divided by tabs, commas or semicolons; relative paths are relative to its folder.
    check_paths
        Also look whether the files that it names are there, and state which samples name the same raw data.

    Returns
    -------
    list of SampleRow
        In the order of the sheet, with paths expanded.

    Raises
    ------
    MissingResourceError
        If the sheet is not there.
    BadInputError
        With every problem of the sheet at once, each with its line number.
    """
    sheet = Path(sheet)
    if not sheet.exists():
        raise MissingResourceError(f"no such samples sheet: {sheet}", hint="focus init DIR makes one")
    table = read_user_table(sheet, COLUMNS)
    header = table.header
    if not header:
        raise BadInputError(f"{sheet} is empty", hint=_HINT)
    problems = [f"line {table.header_line}: {problem}" for problem in _header_problems(header)]
    rows: dict[int, SampleRow] = {}
    if not problems:
        if not table.rows:
            problems.append(f"line {table.header_line}: no samples after the header")
        first_seen: dict[str, int] = {}
        for number, cells in table.rows:
            found, row = _check_row(header, cells, sheet.parent, check_paths)
            problems += [f"line {number}: {problem}" for problem in found]
            name = dict(zip(header, cells)).get("sample", "")
            if name in first_seen:
                problems.append(f"line {number}: sample {name} is on line {first_seen[name]} already")
            elif name:
                first_seen[name] = number
            if row is not None:
                rows[number] = row
        problems += _donors_on_both_sides(rows)
    if problems:
        counted = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise BadInputError(
            f"{sheet}: {counted}: " + "; ".join(problems),
            hint=_HINT,
        )
    if check_paths:
        for shared in _same_raw_data(rows):
            print_message(f"{sheet}: {shared}")
    return list(rows.values())


def _header_problems(header: list[str]) -> list[str]:
    if len(header) == 1 and " " in header[0]:
        return ["columns must be separated by tabs, commas or semicolons"]
    problems = []
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            problems.append(f"unknown column {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    problems += [f"column {name} appears twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    problems += [f"column {name} is missing" for name in ("sample", "path") if name not in header]
    return problems


def _check_row(
    header: list[str], cells: list[str], folder: Path, check_paths: bool
) -> tuple[list[str], SampleRow | None]:
    if len(cells) > len(header):
        return [f"{len(cells)} cells under {len(header)} columns"], None
    values: dict[str, str] = {name: cell for name, cell in zip(header, cells) if cell}
    problems = []
    for name in _PATH_COLUMNS:
        if name not in values:
            continue
        try:
            values[name] = check_input_path(os.path.normpath(folder / expand(values[name])))
        except FocusError as error:
            problems.append(f"{name}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            continue
        if check_paths and not os.path.exists(values[name]):
            problems.append(f"{name}: no such file or folder: {values[name]}")
    for name in _TABLE_COLUMNS:
        if name in values and "path" in values:
            values[name], found = _table_file(name, values[name], values["path"], folder, check_paths)
            problems += found
    try:
        return problems, SampleRow.model_validate(values)
    except ValidationError as invalid:
        found = [in_words(error, str(error["loc"][0])) for error in invalid.errors()]
        return problems + found, None


def _table_file(column: str, text: str, raw: str, folder: Path, check_paths: bool) -> tuple[str, list[str]]:
    """A table of counts or positions: its name in the raw folder as it is, else a path relative to the sheet."""
    try:
        text = expand(text)
        inside = os.path.join(raw_folder(raw), text)
        path = check_input_path(inside if os.path.exists(inside) else os.path.normpath(folder / text))
    except FocusError as error:
        return text, [f"{column}: {error.message}" + (f" ({error.hint})" if error.hint else "")]
    if path == inside:
        return text, []
    if os.path.exists(path):
        return path, []
    missing = f"{column}: no such file: {text} (neither in {raw_folder(raw)} nor next to the sheet)"
    return text, [missing] if check_paths else []


def raw_folder(path: str) -> str:
    """Folder in which names of tables are searched: the raw data, or the folder of its file."""
    return path if os.path.isdir(path) else os.path.dirname(path)


def table_files(row: SampleRow) -> list[str]:
    """Paths of the tables of counts and positions that a row names: in its folder, else anywhere."""
    named = [(os.path.join(raw_folder(row.path), name), name) for name in (row.counts, row.positions) if name]
    return [name if os.path.exists(name) and not os.path.exists(inside) else inside for inside, name in named]


def _donors_on_both_sides(rows: Mapping[int, SampleRow]) -> list[str]:
    """Donors with samples in both training and test, whose scores would measure memorisation."""
    lines: dict[str, dict[str, list[int]]] = {}
    for number, row in rows.items():
        if row.donor:
            lines.setdefault(row.donor, {}).setdefault(row.split, []).append(number)
    return [
        f"donor {donor} is on both sides of split: train on {_lines(sides['train'])}, test on {_lines(sides['test'])}"
        for donor, sides in lines.items()
        if len(sides) > 1
    ]


def _same_raw_data(rows: Mapping[int, SampleRow]) -> list[str]:
    """Samples that are the same data under two names; sections of one file and bins of other sizes are not."""
    lines: dict[tuple, list[int]] = {}
    for number, row in rows.items():
        lines.setdefault(_raw_data(row), []).append(number)
    return [f"{_lines(numbers)} name the same raw data" for numbers in lines.values() if len(numbers) > 1]


def _raw_data(row: SampleRow) -> tuple:
    """Key that distinguishes the raw data of two samples."""
    return (os.path.realpath(row.path), row.region, row.table, row.bin_um, row.counts, row.positions)


def _lines(numbers: list[int]) -> str:
    return ("lines " if len(numbers) > 1 else "line ") + ", ".join(map(str, numbers))
