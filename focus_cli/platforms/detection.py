"""Which platform wrote a path, and the one way to read it."""

from __future__ import annotations

import importlib
import inspect
import shlex
import warnings
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.core.platform_names import EXTENDS, GENERAL, PLATFORMS
from focus_cli.platforms.sample import Detection, RawSample

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
_MOST_INNER = 20  # folders of a folder that are looked at


def _reader(platform: str) -> ModuleType:
    return importlib.import_module(f"focus_cli.platforms.readers.{platform}")


def detect(path: Path) -> Detection:
    """Recognise the platform of a raw folder or file, without reading its data.

    Every reader is consulted. A vendor's own files take precedence over general formats (`platform_names.GENERAL`),
    a layout over the one that it extends, and all over weak signs, which never decide.

    Raises
    ------
    MissingResourceError
        If the path does not exist.
    UsageError
        If two platforms fit, or what is there is too weak a sign of any.
    BadInputError
        If no reader recognises it; the message states what each looks for.
    """
    path = Path(path)
    _refuse_archive(path)
    found = [_reader(p).detect(path) for p in PLATFORMS if path.exists() or p == "legacy_st"]  # DATASET/SECTION
    found = [detection for detection in found if detection is not None]
    if not found and not path.exists():
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    if not found:
        raise _unknown(path)
    extended = {EXTENDS.get(detection.platform) for detection in found}
    strong = [detection for detection in found if not detection.weak and detection.platform not in extended]
    fitting = [detection for detection in strong if detection.platform not in GENERAL] or strong
    if len(fitting) == 1:
        return fitting[0]
    raise _choice(path, fitting or found)


def _refuse_archive(path: Path) -> None:
    """Refuse a folder that was packed; a zipped table alone is read as it is."""
    if not path.is_file():
        return
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                packed = sum(not member.is_dir() for member in archive.infolist()) > 1
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
            return
        tool = "unzip"
    else:
        packed = path.name.lower().endswith(_TAR)
        tool = "tar -xf" if ".tar" in path.name.lower() or path.suffix == ".tgz" else "7z x"
    if packed:
        raise BadInputError(
            f"{path} is an archive of several files",
            hint=f"unpack it ({tool} {shlex.quote(path.name)}), give the folder",
        )


def _raw_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder that a platform wrote, of the first few."""
    found = []
    for inner in [p for p in sorted(folder.iterdir()) if p.is_dir()][:_MOST_INNER] if folder.is_dir() else []:
        for platform in PLATFORMS:
            try:
                detection = _reader(platform).detect(inner)
            except (FocusError, OSError):
                continue
            if detection is not None and not detection.weak:
                found.append(inner.name)
                break
    return found


def _choice(path: Path, found: list[Detection]) -> UsageError:
    """The refusal of a path that several platforms fit, or that fits one by its names alone."""
    fits = "; ".join(f"{d.platform} by {', '.join(d.evidence) or d.problems[0]}" for d in found)
    words = "several platforms fit" if len(found) > 1 else "a weak sign of one platform alone"
    return UsageError(
        f"{path}: {words} ({fits})",
        hint="choose: " + " or ".join(f"--platform {d.platform}" for d in found),
    )


def _unknown(path: Path) -> BadInputError:
    """The refusal of a path that no reader recognises."""
    wanted = "; ".join(_reader(platform).LOOKS_FOR for platform in PLATFORMS)
    files = sorted(p.name for p in path.iterdir() if p.suffix in (".h5ad", ".zarr")) if path.is_dir() else []
    if len(files) > 1:
        listed = ", ".join(files[:6]) + (", …" if len(files) > 6 else "")
        return BadInputError(
            f"{path}: no known platform wrote this folder of {len(files)} AnnData files or stores ({listed})",
            hint=f"give one of them, for instance {path / files[0]}",
        )
    if inner := _raw_folders(path):
        listed = ", ".join(inner[:6]) + (", …" if len(inner) > 6 else "")
        return BadInputError(
            f"{path} is no raw folder itself, and holds {len(inner)} ({listed})",
            hint=f"give one of them, for instance {path / inner[0]}",
        )
    tables = _reader("tables").tables_in(path)
    if len(tables) > 1:
        listed = ", ".join(tables[:6]) + (", …" if len(tables) > 6 else "")
        return BadInputError(
            f"{path}: no known platform wrote this",
            hint=f"it holds tables ({listed}): name those of counts and positions with --platform tables --counts FILE "
            f"--positions FILE; else give {wanted}",
        )
    return BadInputError(f"{path}: no known platform wrote this", hint=f"give {wanted}")


def read(path: Path, platform: str = "auto", **options: Any) -> RawSample:
    """Read one raw sample of any platform.

    Parameters
    ----------
    path
        What the instrument's software wrote.
    platform
        One of `PLATFORMS`, or ``"auto"``.
    options
        Keyword parameters of the platform's ``read``: ``image`` (the H&E, where it does not lie beside the
        data), ``mpp`` (µm per full-resolution pixel, where the vendor's files do not state it), ``bin_um`` (side of
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
        if not takers:
            raise UsageError(
                f"no platform has an option {name!r}", hint=f"{platform} has {', '.join(sorted(understood))}"
            )
        raise UsageError(f"{flag} is for {', '.join(takers)}, this is {platform}", hint=f"leave {flag} out")
    # What libraries warn of is how old or odd a file is to them; what matters to the user is in the sample's warnings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _reader(platform).read(path, **given)


def reader_options(platform: str) -> frozenset[str]:
    """The keyword parameters that the reader of a platform takes."""
    parameters = inspect.signature(_reader(platform).read).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
