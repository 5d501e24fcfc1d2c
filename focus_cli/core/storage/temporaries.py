"""Names of temporary files and folders, which state whose they are, so that those of a killed process can be removed.

A name holds the machine (with its boot and the process's namespace), the process and its start: a temporary is removed
by another process only if it was made on this machine by a process that is gone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import time
import uuid
from functools import cache
from pathlib import Path

_OWNER = r"(?P<machine>[0-9a-f]{8})-(?P<boot>[0-9a-f]{8})-(?P<pid>[0-9a-z]+)-(?P<start>[0-9a-z]+)-[0-9a-f]{4}"
_NAMED = re.compile(rf"(?P<before>.*)\.{_OWNER}\.tmp(?P<suffix>\.[^.]*)?", re.DOTALL)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME_BYTES = 255  # of one name, on a file system that does not state it
_OWNER_BYTES, _SUFFIX_BYTES, _MARK = 60, 20, 8
_ATTEMPTS, _PAUSE_S = 20, 0.05

_held: dict[Path, int] = {}
_unfinished: set[Path] = set()  # removed before they were given a name


def owner() -> str:
    """What stands for this process in a name; another one at each call."""
    machine, boot = _machine()
    return f"{machine}-{boot}-{_base36(os.getpid())}-{_base36(_start_of(os.getpid()) or 0)}-{uuid.uuid4().hex[:4]}"


def temporary_sibling(path: Path) -> Path:
    """A path beside `path` that is free, with the same suffix: writers choose their format by it.

    A long name is cut, so that the temporary one is not too long for the file system.
    """
    return path.with_name(f"{_before(path)}.{owner()}.tmp{_suffix(path)}")


def _suffix(path: Path) -> str:
    return path.suffix if len(os.fsencode(path.suffix)) <= _SUFFIX_BYTES else ""  # a longer one names no format


def _before(path: Path) -> str:
    """The beginning of temporary names, the same in every process."""
    room = max(_MARK + 1, name_bytes(path.parent) - _OWNER_BYTES - _SUFFIX_BYTES)
    stem = os.fsencode(path.stem)
    if len(stem) < room:
        return "." + path.stem
    mark = hashlib.sha256(stem).hexdigest()[:_MARK]
    return "." + stem[: room - _MARK - 1].decode("utf-8", "ignore") + mark


def name_bytes(folder: Path) -> int:
    """How many bytes a name may have in `folder`, or where `folder` will be made."""
    try:
        return os.pathconf(next(p for p in (folder, *folder.absolute().parents) if p.exists()), "PC_NAME_MAX")
    except (OSError, ValueError, StopIteration):
        return _NAME_BYTES


def sweep_siblings(path: Path) -> int:
    """Remove what killed processes of this machine left beside `path` of their work on it; how many there were."""
    before = _before(path)
    removed = 0
    try:
        names = os.listdir(path.parent)
    except OSError:
        return 0
    for name in names:
        found = _NAMED.fullmatch(name)
        if found and found["before"] == before and (found["suffix"] or "") == _suffix(path) and _is_dead(found):
            remove(path.parent / name)
            removed += 1
    return removed


def sweep_folder(folder: Path, before: str) -> None:
    """Remove what killed processes of this machine and this user left in `folder` under names that begin so."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        found = _NAMED.fullmatch(entry.name)
        if found and found["before"] == before and _is_dead(found):
            try:
                mine = entry.stat(follow_symlinks=False).st_uid == os.getuid()
            except OSError:
                continue
            if mine:
                remove(Path(entry.path))


def hold(path: Path) -> None:
    """Note that this process is writing a temporary file or folder."""
    _held[path] = os.getpid()


def let_go(path: Path) -> None:
    """Remove a temporary file or folder that is done with, or was given its name."""
    if _held.pop(path, None) == os.getpid():  # a forked process leaves alone what is its parent's
        if os.path.lexists(path):
            _unfinished.add(path)
        _remove_whole(path)


def remove_held() -> None:
    """Remove all temporaries that this process is writing: the last thing that it does."""
    for path in list(_held):
        let_go(path)
    for path in _unfinished:  # a thread may have written into a folder again
        _remove_whole(path)


def _remove_whole(path: Path) -> None:
    """Remove a temporary, again where a thread of this process still writes into it."""
    for _ in range(_ATTEMPTS):
        remove(path)
        if not os.path.lexists(path):
            return
        time.sleep(_PAUSE_S)


def remove(path: Path) -> None:
    """Remove a file or a folder, whichever it is; what cannot be removed stays."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass


def _is_dead(found: re.Match[str]) -> bool:
    machine, boot = _machine()
    if found["machine"] != machine:
        return False  # nothing is known of processes elsewhere
    if found["boot"] != boot:
        return True
    pid = int(found["pid"], 36)
    if not _exists(pid):
        return True
    start = _start_of(pid)
    return start is not None and start != int(found["start"], 36)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@cache
def _machine() -> tuple[str, str]:
    """Eight digits for the machine and its namespace of processes, eight for its boot."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        boot = ""
    machine, started = (hashlib.sha256(t.encode()).hexdigest()[:8] for t in (f"{platform.node()}\n{namespace}", boot))
    return machine, started


def _start_of(pid: int) -> int | None:
    """When a process was started, in ticks since the boot; None where that is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
