"""Location of the workflow's files: next to the package in a checkout, within it when installed."""

from __future__ import annotations

from pathlib import Path

import focus_cli
from focus_cli.core.errors import MissingResourceError


def _homes() -> tuple[Path, Path]:
    package = Path(focus_cli.__file__).resolve().parent
    return package.parent, package / "workflow" / "shipped"


def home() -> Path:
    """Folder with ``workflows/``, ``rules/`` and ``config/``.

    Raises
    ------
    MissingResourceError
        If the package was installed without them.
    """
    for path in _homes():
        if (path / "workflows" / "Snakefile").is_file():
            return path
    raise MissingResourceError(
        "the workflow's Snakefile is not installed", hint="pip install --force-reinstall focus-st"
    )


def snakefile(name: str = "Snakefile") -> Path:
    """The Snakefile of a workflow."""
    return home() / "workflows" / name


def shipped_config(name: str) -> Path:
    """A configuration that FOCUS ships."""
    return home() / "config" / name


def find_profile(name: str) -> Path:
    """A profile by its path, or a shipped profile by its name.

    Raises
    ------
    MissingResourceError
        If there is neither.
    """
    shipped = home() / "workflows" / "profiles"
    for path in (Path(name), shipped / name):
        if list(path.glob("config*.yaml")):
            return path
    names = ", ".join(sorted(p.name for p in shipped.iterdir() if p.is_dir()))
    raise MissingResourceError(f"no such profile: {name}", hint=f"give a folder, or one of: {names}")
