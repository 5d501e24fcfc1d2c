"""Values and names that no reader expects, for the damage done in tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# Where a path trick would lead to, if a name ever became a path.
ESCAPE = "escaped"
NUMBERS = ("", "nan", "NaN", "inf", "-inf", "-1", "1e400", "1e38", "9" * 40, "2147483648", "3.7", "0x10", "1,5", "1_0")
WORDS = ("True", "None", "#REF!", "é", "\ufeff", "'", '"', '"unclosed', "\t", " ", "=1+1", "𝕏" * 3)


def tricks(outside: Path) -> tuple[str, ...]:
    """Names that would leave a folder, end a string, break a line or fill a path."""
    return (
        f"../../{ESCAPE}",
        f"../{ESCAPE}",
        f"..\\..\\{ESCAPE}",
        f"{outside}/{ESCAPE}",
        f"file://{outside}/{ESCAPE}",
        f"~/{ESCAPE}",
        f"$(touch {ESCAPE})",
        "..",
        ".",
        "/",
        "a/b",
        "nul\x00nul",
        "new\nline",
        "carriage\rreturn",
        "\x1b[31mred\x07",
        "\u202eright to left",
        "ä" * 300,
        "x" * 100_000,
        "__categories",
        "%s%n{0}",
    )


def pick(rng: np.random.Generator, options):
    """One of `options`."""
    return options[int(rng.integers(len(options)))]
