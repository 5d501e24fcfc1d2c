"""What the readers of configuration and sheet share: variables in paths, problems in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from focus_cli.errors import MissingResourceError


def expand(text: str) -> str:
    """Replace ``${VARIABLE}``, ``$VARIABLE`` and a leading ``~``.

    Raises
    ------
    MissingResourceError
        If a variable is not set.
    """
    done = os.path.expandvars(os.path.expanduser(text))
    if unset := re.search(r"\$\{?(\w+)\}?", done):
        raise MissingResourceError(
            f"environment variable {unset[1]} is not set (in {text})", hint=f"export {unset[1]}=…"
        )
    return done


def in_words(error: Mapping[str, Any], where: str) -> str:
    """One problem that pydantic found, in the words of someone who wrote a config file."""
    said = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if error["type"] in ("value_error", "missing"):
        return f"{where}: {said}"
    if error["type"] == "string_pattern_mismatch":
        said = "must be letters, digits, '.', '_' and '-', starting with a letter or digit"
    elif error["type"] == "string_too_short":
        said = "must not be empty"
    return f"{where}: {said}, got {error['input']!r}"
