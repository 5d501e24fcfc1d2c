"""Why a run of several processes ended: the first that fails writes an exit report, which the launcher raises once."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from focus_cli.core.errors import FocusError

# Set for processes that FOCUS started: the file to write, in a folder that all nodes see.
VARIABLE = "FOCUS_EXIT_REPORT"


def write_exit_report(error: FocusError) -> bool:
    """Write an error to the file that the launcher named in the environment; whether it named one.

    The first report stays: the errors of the other processes are consequences of it.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return False
    record = {"exit_code": error.exit_code, "message": error.message, "hint": error.hint}
    written = Path(f"{path}.{uuid.uuid4().hex[:8]}")
    try:
        written.write_text(json.dumps(record))
        os.link(written, path)
    except FileExistsError:
        pass
    except OSError:
        return False  # there is no reader
    finally:
        written.unlink(missing_ok=True)
    return True


def read_exit_report(path: Path) -> FocusError | None:
    """The error that was written, as its own class; None if there is none."""
    try:
        record = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return None
    kinds: list[type[FocusError]] = [FocusError, *FocusError.__subclasses__()]
    by_code = {kind.exit_code: kind for kind in kinds}
    return by_code[record["exit_code"]](record["message"], record["hint"])
