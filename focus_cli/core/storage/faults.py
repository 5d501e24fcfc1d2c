"""A disk that is full, a file that may not grow, a file system that fails: recognised in what libraries raise of it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from focus_cli.core.errors import FileSystemError, FocusError, MissingResourceError
from focus_cli.core.storage.temporaries import remove, temporary_sibling

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNREACHABLE = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EROFS)
_NUMBER = re.compile(r"errno = (\d+)|\[[Ee]rrno (\d+)\]|os error (\d+)|code: (\d+), kind: StorageFull")
_WORDS = {number: os.strerror(number).lower() for number in _FULL}
_PROBE_BYTES = 1 << 20

_noted: list[FileSystemError] = []


def fault_of(error: BaseException) -> FileSystemError | None:
    """The fault of a file system behind an exception, whatever library raised it; None where there is none.

    HDF5, Arrow and safetensors hide the number in their text, and some wrap the error in another.
    """
    for one in chain_of(error):
        if isinstance(one, FileSystemError):
            return one
        number = one.errno if isinstance(one, OSError) else None
        text = " ".join(str(one).split())
        named = {int(n) for found in _NUMBER.findall(text) for n in found if n}
        for known in (*_FULL, *_UNREACHABLE):
            hidden = known in named or _WORDS.get(known, "\0") in text.lower()
            if number == known or (hidden and not isinstance(one, FocusError)):
                return _refusal(known, getattr(one, "filename", None))
    return None


def note_fault(fault: FileSystemError) -> None:
    """Note a fault that could not be raised, as of a file that was closed by the garbage collector."""
    _noted.append(fault)


def faults_noted() -> int:
    """How many faults were noted so far."""
    return len(_noted)


def raise_noted(before: int) -> None:
    """Raise the last fault that was noted since there were `before` of them; none: nothing happens."""
    if len(_noted) > before:
        raise _noted[-1]


@contextlib.contextmanager
def named_faults(temporary: Path) -> Iterator[None]:
    """Raise what fails while `temporary` (a file or folder) is written as a fault of the file system, where it is one.

    Raises
    ------
    FileSystemError
        In the place of whatever a library made of it.
    MissingResourceError
        If nothing may be written there.
    """
    before = faults_noted()
    try:
        yield
        raise_noted(before)
    except Exception as error:
        if isinstance(error, PermissionError) and str(temporary) in str(error):
            raise MissingResourceError(
                f"cannot write into {temporary.parent}: {os.strerror(error.errno or errno.EACCES).lower()}",
                hint="choose another --out",
            ) from error
        fault = fault_of(error) or (None if isinstance(error, FocusError) else _probe(temporary))
        if fault is None or fault is error:
            raise
        raise fault from error


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it came of, the last first."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def _probe(temporary: Path) -> FileSystemError | None:
    """Whether the disk is full or a file at its limit, where a library only reported that it could not write."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and _largest(temporary) >= limit // 2:
        return _refusal(errno.EFBIG, None)
    probe = temporary_sibling(temporary)
    try:
        with open(probe, "wb", buffering=0) as stream:
            stream.write(b"\0" * min(_PROBE_BYTES, max(limit // 2, 1) if limit > 0 else _PROBE_BYTES))
            os.fsync(stream.fileno())
    except OSError as error:
        if error.errno in (*_FULL, *_UNREACHABLE):
            return _refusal(error.errno, None)
    finally:
        remove(probe)
    return None


def _largest(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    sizes = []
    for file in files:
        with contextlib.suppress(OSError):
            sizes.append(file.stat().st_size)
    return max(sizes, default=0)


def _refusal(number: int, name: object) -> FileSystemError:
    where = f": {name}" if isinstance(name, (str, Path)) else ""
    reason = os.strerror(number).lower()
    if number == errno.EFBIG:
        return FileSystemError(
            f"{reason}{where}",
            hint="the limit on the size of a file (ulimit -f) is too low; nothing half-written is left",
        )
    if number in _FULL:
        return FileSystemError(f"{reason}{where}", hint="free space or write elsewhere; nothing half-written is left")
    return FileSystemError(f"the file system fails ({reason}){where}", hint="start again when it responds")
