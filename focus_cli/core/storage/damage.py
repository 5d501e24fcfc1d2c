"""What a truncated or damaged file raises, and its refusal in one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from focus_cli.core.errors import BadInputError, FocusError

# By the library that meets it. MemoryError: a damaged header asks for more than there is.
DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    struct.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
_LONGEST = 160  # characters of a library's text that are repeated


def raised_by_hdf5(error: BaseException) -> bool:
    """Whether an exception comes from h5py itself, so that it is about the file that is read."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and "h5py" in trace.tb_frame.f_code.co_filename


def damaged(path: Path | str, error: Exception, hint: str = "copy or download the file again") -> FocusError:
    """The refusal of a file that cannot be read to its end; a refusal is passed on as it is."""
    if isinstance(error, FocusError):
        return error
    reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
    return BadInputError(f"cannot read {path}: truncated or damaged ({reason})", hint=hint)
