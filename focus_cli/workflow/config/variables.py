"""Variables in paths, and messages for problems, shared by the readers of configuration and sheet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from focus_cli.core.errors import MissingResourceError, UsageError

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>[^{}]*)\}|(?P<bare>\w+))")
_PAIR_OF_BRACES = re.compile(r"\{[^{}]*\}")


def expand(text: str) -> str:
    """Replace ``${VARIABLE}``, ``$VARIABLE`` and a leading ``~``; ``$$`` is a dollar sign.

    The values of variables are taken as they are: what looks like a variable in them is not replaced.

    Raises
    ------
    MissingResourceError
        If a variable is not set.
    """

    def value(match: re.Match) -> str:
        if match["dollar"]:
            return "$"
        name = match["bare"] if match["braced"] is None else match["braced"]
        if name not in os.environ:
            raise MissingResourceError(
                f"environment variable {name} is not set (in {text})", hint=f"export {name}=…, or $$ for a dollar sign"
            )
        return os.environ[name]

    return _VARIABLE.sub(value, os.path.expanduser(text))


def input_path(text: str) -> str:
    """A path that a rule reads, such that Snakemake and the shell take it as it is written.

    Parameters
    ----------
    text
        As configuration or sheet hold it; variables are replaced.

    Returns
    -------
    str
        Absolute where it would begin with a dash, which programs take for an option.

    Raises
    ------
    MissingResourceError
        If a variable is not set.
    UsageError
        If it holds a pair of braces. Snakemake replaces them in every input, and there is no way to escape them.
    """
    return check_input_path(expand(text))


def check_input_path(path: str) -> str:
    """As `input_path`, for a path whose variables have been replaced."""
    if pair := _PAIR_OF_BRACES.search(path):
        raise UsageError(
            f"{path}: Snakemake takes {pair[0]} for a wildcard",
            hint="rename it, or name a link without braces: ln -s OLD NEW",
        )
    return os.path.abspath(path) if path.startswith("-") else path


def output_path(text: str) -> str:
    """A folder that rules write to; without a slash at its end.

    Raises
    ------
    MissingResourceError
        If a variable is not set.
    UsageError
        If it holds a brace: names of outputs are patterns to Snakemake.
    """
    path = expand(text)
    if "{" in path or "}" in path:
        raise UsageError(f"{path}: Snakemake takes braces for wildcards", hint="choose a name without braces")
    path = path.rstrip("/") or "/"
    return os.path.abspath(path) if path.startswith("-") else path


def in_words(error: Mapping[str, Any], where: str) -> str:
    """Message for a problem found by pydantic, in terms of the config file."""
    problem = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if error["type"] in ("value_error", "missing"):
        return f"{where}: {problem}"
    if error["type"] == "string_pattern_mismatch":
        problem = "must be letters, digits, '.', '_' and '-', starting with a letter or digit"
    elif error["type"] == "string_too_short":
        problem = "must not be empty"
    return f"{where}: {problem}, got {error['input']!r}"
