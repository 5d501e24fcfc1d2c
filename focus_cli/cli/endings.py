"""How a command ends that did not end well: what its exception means for the user, in one line."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import Any, NoReturn

from focus_cli.core.errors import EXIT_FILE_SYSTEM, EXIT_INTERNAL, FocusError, MissingResourceError
from focus_cli.core.interrupts import noted_signal

_LESS_MEMORY = (
    "train: lower batch_points, view_locations or genes_per_view (--config), or a smaller --preset; "
    "enhance: fewer --genes; preprocess: coarser --bin-um"
)
# What libraries say in exceptions of other kinds where memory, or the address space for a thread, is not to be had.
_NO_MEMORY = (
    "allocate memory",
    "memory allocation",
    "unable to allocate",
    "out of memory",
    "failed to map segment",
    "start new thread",
    "std::bad_alloc",
    "could not create a primitive",  # oneDNN
)


def refusal_of(error: BaseException) -> FocusError | None:
    """The refusal that an exception stands for; None where it is a defect.

    Files that cannot be written and memory that is not there come out of libraries as all kinds of exceptions.
    """
    from focus_cli.core.storage.faults import fault_of  # at need: its package loads NumPy, and --help shall not

    if (fault := fault_of(error)) is not None:
        return fault
    if isinstance(error, FocusError):
        return error
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return MissingResourceError("the folder that this was started in is gone", hint="cd into one that exists")
    return FocusError("out of memory", hint=_LESS_MEMORY) if _out_of_memory(error) else None


def _has_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _out_of_memory(error: BaseException) -> bool:
    from focus_cli.core.storage.faults import chain_of

    for one in chain_of(error):
        # PyTorch has a RuntimeError of its own for a full GPU, and is not imported here.
        if isinstance(one, MemoryError) or type(one).__name__ == "OutOfMemoryError":
            return True
        if isinstance(one, (OSError, RuntimeError, ImportError, SystemError)):
            said = str(one).lower()
            if any(words in said for words in _NO_MEMORY):
                return True
    return False


def quiet_hooks() -> None:
    """Let no exception that cannot be raised print a traceback where it follows from a fault or a signal.

    A file that could not be closed for want of space is remembered: what was written to it is not taken for whole.
    """
    before, before_thread, before_any = sys.unraisablehook, threading.excepthook, sys.excepthook

    def expected(error: BaseException | None) -> bool:
        from focus_cli.core.storage.faults import fault_of, note_fault

        if error is None:
            return False
        if (fault := fault_of(error)) is not None:
            note_fault(fault)
            return True
        return isinstance(error, KeyboardInterrupt) or noted_signal() is not None or _out_of_memory(error)

    def unraisable(told: Any) -> None:
        if not expected(told.exc_value):
            before(told)

    def in_thread(told: Any) -> None:
        if not expected(told.exc_value):
            before_thread(told)

    def uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        # Extension modules print through it what they cannot raise, as HDF5's do where an object is closed.
        if not expected(error):
            before_any(kind, error, trace)

    sys.unraisablehook, threading.excepthook, sys.excepthook = unraisable, in_thread, uncaught


def remove_temporaries() -> None:
    """Remove what this process is at work on: the last thing that it does."""
    if (temporaries := sys.modules.get("focus_cli.core.storage.temporaries")) is not None:
        temporaries.remove_held()


def leave(code: int) -> NoReturn:
    """End the process with an exit code.

    Where a file could not be written or memory was short, libraries are not given another chance to fail at exit: HDF5
    would try again to write what it still holds, and crash.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if code not in (EXIT_FILE_SYSTEM, EXIT_INTERNAL) and noted_signal() is None:
        sys.exit(code)
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    remove_temporaries()
    os._exit(code)
