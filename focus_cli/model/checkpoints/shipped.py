"""Models that travel with the package."""

from __future__ import annotations

from pathlib import Path

from focus_cli.core.errors import MissingResourceError

NANO = "focus-nano"


def shipped_model(name: str = NANO) -> Path:
    """Folder of a model that is installed with FOCUS.

    Raises
    ------
    MissingResourceError
        If the package was installed without it.
    """
    path = Path(__file__).parent / name
    if not path.is_dir():
        raise MissingResourceError(f"the model {name} is not installed", hint="pip install --force-reinstall focus-st")
    return path
