"""What is refused of an output before any work is done for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from focus_cli.core.errors import MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage.kinds import Kind
from focus_cli.core.storage.temporaries import name_bytes, sweep_siblings

_PATH_BYTES = 4096
_INSIDE_BYTES = 200  # bytes reserved for the names inside a folder


def check_output(
    path: Path,
    kind: Kind,
    *,
    inputs: Iterable[object] = (),
    outputs: Iterable[Path | None] = (),
    overwrite: bool | None = False,
    option: str = "--out",
) -> Path:
    """Refuse an output that cannot be written, or that would take the place of something else.

    What killed processes left beside it of their work on the same output is removed.

    Parameters
    ----------
    path
        What is to be written.
    kind
        Of the output: one of `focus_cli.core.storage.kinds`.
    inputs
        What is read for it. Of these, paths that exist must neither be, hold nor lie in the output, nor the output in
        them; anything else (None, text that is no path) is passed over.
    outputs
        What else the same work writes, with the same rule.
    overwrite
        Whether an output of the same kind may be replaced; None: the caller has no such option.
    option
        How the user calls the output.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is false, or it is none that FOCUS wrote as `kind`, or holds more than that.
    UsageError
        If `path` is no name for an output, touches an input or another output, or a parent of it is a file.
    MissingResourceError
        If nothing may be written there.
    """
    path = Path(path)
    other = f"choose another {option}"
    _check_name(path, kind, option)
    _check_apart(path, inputs, outputs, option)
    if os.path.lexists(path):
        _check_replaceable(path, kind, overwrite, option)
    for parent in path.absolute().parents:
        if os.path.lexists(parent):
            if not parent.is_dir():
                raise UsageError(f"cannot write {path}: {parent} is no folder", hint=other)
            if not os.access(parent, os.W_OK | os.X_OK):
                raise MissingResourceError(f"cannot write {path}: no permission in {parent}", hint=other)
            break
    sweep_siblings(path)
    return path


def _check_name(path: Path, kind: Kind, option: str) -> None:
    """Refuse what cannot name a new file or folder."""
    text = str(path)
    what = "folder" if kind.folder else "file"
    if path.name in ("", "..") or text in ("", "."):
        raise UsageError(f"{option} {text or repr(text)} names no new {what}", hint=f"give the {what} a different name")
    if any(ord(c) < 32 or ord(c) == 127 for c in path.name) or "\0" in text:
        raise UsageError(f"{option} {text!r} holds a control character", hint="use letters, digits, '.', '_' and '-'")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise UsageError(f"{option} {text!r} is not UTF-8", hint="use letters, digits, '.', '_' and '-'")
    longest, most = max((len(os.fsencode(part)) for part in path.parts), default=0), name_bytes(path.parent)
    whole = len(os.fsencode(path.absolute())) + (_INSIDE_BYTES if kind.folder else 100)
    if longest > most or whole > _PATH_BYTES:
        size = f"{longest} bytes in one name" if longest > most else f"{whole} bytes in all"
        raise UsageError(f"{option} {text[:40]}…: the path is too long for a file system ({size})", hint="shorten it")


def _check_apart(path: Path, inputs: Iterable[object], outputs: Iterable[Path | None], option: str) -> None:
    """Refuse an output that is, holds or lies in an input or another output."""
    target = _real(path)
    for given, read in [*((p, True) for p in inputs), *((p, False) for p in outputs)]:
        if not isinstance(given, (str, Path)) or not str(given) or (read and not _exists(Path(given))):
            continue
        source = _real(Path(given))
        if target == source or _same_file(path, Path(given)):
            how = "is"
        elif source in target.parents:
            how = "lies in"
        elif target in source.parents:
            how = "holds"
        else:
            continue
        what = f"{given}, which is read" if read else f"{given}, which is written as well"
        raise UsageError(f"{option} {path} {how} {what}", hint=f"choose another {option}")


def _check_replaceable(path: Path, kind: Kind, overwrite: bool | None, option: str) -> None:
    """Refuse what lies at `path` unless it may be replaced."""
    other = f"choose another {option}"
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"cannot write {path}: it is neither a file nor a folder", hint=other)
    if path.is_dir() and not kind.folder:
        raise UsageError(f"cannot write {path}: it is a folder, and a file is to be written", hint=other)
    if not overwrite:
        again = "" if overwrite is None else ", or pass --overwrite"
        raise OutputExistsError(f"output exists: {path}", hint=other + again)
    if _is_empty(path, kind):
        return
    if not kind.carried_by(path):
        raise OutputExistsError(
            f"{path} is not replaced: it is not {kind.name} that FOCUS wrote", hint=f"{other}, or remove it yourself"
        )
    if kind.folder and (foreign := kind.foreign(path)) is not None:
        raise OutputExistsError(
            f"{path} is not replaced: it holds {foreign}, which FOCUS did not write",
            hint=f"move {foreign} elsewhere, or {other}",
        )


def _is_empty(path: Path, kind: Kind) -> bool:
    """Whether nothing is lost with `path`: an empty folder or file of the right form."""
    if path.is_symlink():
        return False
    if kind.folder:
        return path.is_dir() and not any(path.iterdir())
    return path.is_file() and path.stat().st_size == 0


def _real(path: Path) -> Path:
    """Absolute and without links, as far as the path exists."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path.absolute()


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one file under two names."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
