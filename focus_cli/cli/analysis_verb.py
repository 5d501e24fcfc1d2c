"""A verb made of a function: one enhanced file in, one analysis result out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import PATH, overwrite_option

_TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str}
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


def analysis_verb(name: str, analyse: Callable[..., dict[str, Any]]) -> click.Command:
    """Make the command of an analysis that needs no more than an enhanced file.

    Parameters
    ----------
    name
        Of the verb; also the kind of the analysis result.
    analyse
        Takes the open `SpatialFile` and returns keywords of `write_analysis_result`. Its keyword-only parameters, with
        defaults of the types bool, int, float or str, become options; their help is read from the docstring.

    Raises
    ------
    TypeError
        If a parameter has no default, another type or no description.
    """
    text = inspect.getdoc(analyse) or ""
    described = _parameters(text)
    summary = text[: found.start()].strip() if (found := _SECTION.search(text)) else text
    options = [
        _option(name, parameter, described.get(parameter.name))
        for parameter in inspect.signature(analyse).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]

    def run(enhanced: Path, out: Path, overwrite: bool, **settings: Any) -> None:
        from focus_cli.core.h5ad.analysis_stage import run_analysis

        run_analysis(name, analyse, enhanced, out, settings=settings, overwrite=overwrite)
        click.echo(str(out))

    run.__doc__ = f"{summary}\n\n\b\n    focus {name} enhanced.h5ad --out {name}.h5ad"
    for decorate in (
        overwrite_option,
        *reversed(options),
        click.option("--out", type=PATH, required=True, help="Analysis result to write (.h5ad)."),
        click.argument("enhanced", metavar="ENHANCED.h5ad", type=PATH),
    ):
        run = decorate(run)
    return click.command(name)(run)


def _option(verb: str, parameter: inspect.Parameter, text: str | None) -> Callable:
    kind = getattr(parameter.annotation, "__name__", parameter.annotation)
    if kind not in _TYPES or parameter.default is parameter.empty or not text:
        raise TypeError(f"{verb}: {parameter.name} needs a default, a type ({', '.join(_TYPES)}) and a description")
    flag = "--" + parameter.name.replace("_", "-")
    if kind == "bool":
        return click.option(f"{flag}/--no-{flag[2:]}", default=parameter.default, show_default=True, help=text)
    return click.option(flag, type=_TYPES[kind], default=parameter.default, show_default=True, help=text)


def _parameters(text: str) -> dict[str, str]:
    """Names and descriptions in the section "Parameters" of a NumPy docstring."""
    parts = _SECTION.split(text)
    sections = dict(zip((part.strip() for part in parts[1::2]), parts[2::2]))
    found: dict[str, str] = {}
    names: list[str] = []
    for line in sections.get("Parameters", "").splitlines():
        if line and not line[0].isspace():
            names = [name.strip() for name in line.partition(":")[0].split(",")]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found
