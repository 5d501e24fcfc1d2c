"""Which platform wrote a path, and the one way to read it."""

from __future__ import annotations

import importlib
import inspect
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from focus_cli.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platform_names import PLATFORMS
from focus_cli.platforms.sample import Detection, RawSample


def _reader(platform: str) -> ModuleType:
    return importlib.import_module(f"focus_cli.platforms.readers.{platform}")


def detect(path: Path) -> Detection:
    """Recognise the platform of a raw folder or file, without reading its data.

    Raises
    ------
    MissingResourceError
        If the path does not exist.
    BadInputError
        If no reader knows it; the message says what each looks for.
    """
    path = Path(path)
    for platform in PLATFORMS:
        if path.exists() or platform == "legacy_st":  # DATASET/SECTION is no path on disk
            found = _reader(platform).detect(path)
            if found is not None:
                return found
    if not path.exists():
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    wanted = "; ".join(_reader(platform).LOOKS_FOR for platform in PLATFORMS)
    raise BadInputError(f"{path}: no known platform wrote this", hint=f"give {wanted}")


def read(path: Path, platform: str = "auto", **options: Any) -> RawSample:
    """Read one raw sample of any platform.

    Parameters
    ----------
    path
        What the instrument's software wrote.
    platform
        One of `PLATFORMS`, or ``"auto"``.
    options
        Keyword parameters of the platform's own ``read``: ``image`` (the H&E, where it does not lie beside the
        data), ``mpp`` (µm per full-resolution pixel, where the vendor's files do not say), ``bin_um`` (side of
        a bin in µm), …; None means not given.

    Raises
    ------
    UsageError
        If the platform's name is unknown, or an option does not fit it.
    MissingResourceError, BadInputError
        If a file is not there or cannot be used.
    """
    path = Path(path)
    if platform != "auto" and platform not in PLATFORMS:
        raise UsageError(f"unknown platform {platform!r}", hint=f"choose auto, {', '.join(PLATFORMS)}")
    mpp = options.get("mpp")
    if mpp is not None and not (0 < mpp < 1e4):
        raise UsageError(f"--mpp {mpp} is not a length in µm", hint="most slides have 0.2 to 1 µm per pixel")
    if platform == "auto":
        platform = detect(path).platform
    elif not path.exists() and platform != "legacy_st":
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    given = {name: value for name, value in options.items() if value is not None}
    understood = reader_options(platform)
    for name in sorted(given.keys() - understood):
        flag = "--" + name.replace("_", "-")
        takers = [other for other in PLATFORMS if name in reader_options(other)]
        raise UsageError(f"{flag} is for {', '.join(takers)}, this is {platform}", hint=f"leave {flag} out")
    # What libraries warn of is how old or odd a file is to them; what matters to the user is in the sample's warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _reader(platform).read(path, **given)


def reader_options(platform: str) -> frozenset[str]:
    """The keyword parameters that the reader of a platform takes."""
    parameters = inspect.signature(_reader(platform).read).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
