"""Optional libraries: imported when needed; where one is missing, the error names how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from focus_cli.core.errors import MissingResourceError

EXTRA = "pip install 'focus-st[encoders]'"


def require(module: str, purpose: str, hint: str = EXTRA) -> ModuleType:
    """Import an optional library.

    Parameters
    ----------
    module
        Name to import.
    purpose
        What needs it, for the message.
    hint
        How to get it.

    Raises
    ------
    MissingResourceError
        If it, or something that it imports, is missing or does not work here.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        through = "" if missing == module.partition(".")[0] else f" (imported by {module})"
        raise MissingResourceError(f"{purpose} needs the package {missing}{through}", hint=hint) from error
    except (
        Exception
    ) as error:  # a torchvision built for another torch fails with a RuntimeError, and others with theirs
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingResourceError(
            f"{purpose} needs {module}, which cannot be imported here: {reason}",
            hint="torch, torchvision and timm must be builds that belong together",
        ) from error


def is_installed(module: str) -> bool:
    """Whether a library is there, without importing it."""
    import importlib.util

    return importlib.util.find_spec(module) is not None
