"""Names that a spreadsheet has made of symbols: 1-Mar, 2-Sep, 2021-03-01, 2.31E+13."""

from __future__ import annotations

import re

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
_MANGLED = re.compile(
    rf"(?P<day>\d{{1,2}})[-/ ](?P<month>{_MONTHS})([-/ ]\d{{2,4}})?"  # 1-Mar, 01-Mar-21
    rf"|(?P<month2>{_MONTHS})[-/ ](?P<day2>\d{{1,2}})"  # Mar-01
    r"|\d{4}-\d{2}-\d{2}( 00:00:00)?"  # 2021-03-01
    r"|\d{1,2}/\d{1,2}/\d{2,4}"  # 3/1/2021
    r"|\d(\.\d+)?[Ee]\+?\d{2}",  # 2.31E+13, once 2310009E13Rik
    re.IGNORECASE,
)
# Symbols that spreadsheets take for a day of the month, before they were renamed.
_STEMS = {"mar": ("MARCH", "MARC"), "sep": ("SEPT",), "sept": ("SEPT",), "dec": ("DEC",), "oct": ("OCT",)}


def mangled_names(names: list[str]) -> dict[str, list[str]]:
    """Names that a spreadsheet has made of symbols → the symbols that they may have been, as written then.

    The list is empty where the symbol cannot be determined. None of them is ever matched: 1-Mar was MARCH1 or MARC1.
    """
    found = {}
    for name in names:
        match = _MANGLED.fullmatch(name)
        if match:
            month = (match["month"] or match["month2"] or "").lower()
            day = int(match["day"] or match["day2"] or 0)
            found[name] = [f"{stem}{day}" for stem in _STEMS.get(month, ())] if day else []
    return found


def is_mangled(name: str) -> bool:
    """Whether a name looks like a date or a number that was a symbol once."""
    return _MANGLED.fullmatch(name) is not None
