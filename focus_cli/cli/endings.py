"""How a failed command ends: the one-line error that an exception stands for."""

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
# Texts of other exceptions that libraries raise where memory, or address space for a thread, is not available.
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
    """The error that an exception stands for; None if it is a defect.

    Libraries raise many kinds of exceptions where a file cannot be written or memory is not available.
    """
    from focus_cli.core.storage.faults import fault_of  # imported here: its package loads NumPy, which --help must not

    if (fault := fault_of(error)) is not None:
        return fault
    if isinstance(error, FocusError):
        return error
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return MissingResourceError("the current folder no longer exists", hint="cd into a folder that exists")
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
        # PyTorch has its own RuntimeError for a full GPU, and is not imported here.
        if isinstance(one, MemoryError) or type(one).__name__ == "OutOfMemoryError":
            return True
        if isinstance(one, (OSError, RuntimeError, ImportError, SystemError)):
            text = str(one).lower()
            if any(phrase in text for phrase in _NO_MEMORY):
                return True
    return False


def quiet_hooks() -> None:
    """Print no traceback for exceptions that cannot be raised and that follow from a fault or a signal.

    A file that could not be closed for lack of space is recorded, so that it is not accepted as complete.
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

    def unraisable(event: Any) -> None:
        if not expected(event.exc_value):
            before(event)

    def in_thread(event: Any) -> None:
        if not expected(event.exc_value):
            before_thread(event)

    def uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        # Extension modules such as HDF5's print through it what they cannot raise when an object is closed.
        if not expected(error):
            before_any(kind, error, trace)

    sys.unraisablehook, threading.excepthook, sys.excepthook = unraisable, in_thread, uncaught


def remove_temporaries() -> None:
    """Remove the unfinished outputs of this process; called last."""
    if (temporaries := sys.modules.get("focus_cli.core.storage.temporaries")) is not None:
        temporaries.remove_held()


def leave(code: int) -> NoReturn:
    """End the process with an exit code.

    After a failed write or a lack of memory, the exit handlers of libraries are skipped: HDF5 would try to write its
    buffers again and crash.
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
