"""Tables that the user gives: text with one header line, divided by tabs, commas or semicolons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.user_tables import read_user_table

SAMPLE, DONOR = "sample", "donor"


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table as text.

    Parameters
    ----------
    path
        ``.tsv``, ``.txt`` or ``.csv``; the separator is the one that divides the header into names.
    columns
        Columns that must be there.

    Returns
    -------
    pandas.DataFrame
        Every value as text without blanks around it; an empty field is "". Its index is the line in the file.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is not a table, is empty, lacks a column or has one twice.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint=f"a table with the columns {', '.join(columns)}")
    table = read_user_table(path, columns)
    header = table.header
    for name in columns:
        if name not in header:
            raise BadInputError(
                f"{path} has no column {name!r}; its columns are {', '.join(header) or '(none)'}",
                hint=f"it must have {', '.join(columns)}",
            )
    if len(set(header)) < len(header):
        raise BadInputError(f"{path} has two columns of one name", hint="give each column its own name")
    body = dict(table.rows)
    for line, row in body.items():
        if len(row) != len(header):
            raise BadInputError(f"{path}, line {line}: {len(row)} fields, the header has {len(header)}")
    if not body:
        raise BadInputError(f"{path} has no rows", hint="a header line, then one row for each entry")
    return pd.DataFrame(list(body.values()), columns=header, index=list(body), dtype=str)


def donor_of(table: pd.DataFrame) -> pd.Series:
    """The donor of each row: as the table states it, else the sample's name."""
    if DONOR not in table.columns:
        return table[SAMPLE]
    return table[DONOR].where(table[DONOR] != "", table[SAMPLE])


def one_donor_each(table: pd.DataFrame, path: Path) -> dict[str, str]:
    """Sample → donor.

    Raises
    ------
    BadInputError
        If a sample has two donors.
    """
    donors: dict[str, str] = {}
    for line, sample, donor in zip(table.index, table[SAMPLE], donor_of(table)):
        if donors.setdefault(sample, donor) != donor:
            raise BadInputError(f"{path}, line {line}: sample {sample} is of donor {donors[sample]} and of {donor}")
    return donors
