"""Why a run of several processes ended: the first to refuse writes it down, and who started them says it, once."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from focus_cli.core.errors import FocusError

# Set for processes that FOCUS started: the file to write, in a folder that all nodes see.
VARIABLE = "FOCUS_VERDICT"


def leave_verdict(error: FocusError) -> bool:
    """Write a refusal down where this process was started to do so; whether it was.

    The first to write stays: what the others met after it are consequences.
    """
    place = os.environ.get(VARIABLE)
    if not place:
        return False
    said = {"exit_code": error.exit_code, "message": error.message, "hint": error.hint}
    written = Path(f"{place}.{uuid.uuid4().hex[:8]}")
    try:
        written.write_text(json.dumps(said))
        os.link(written, place)
    except FileExistsError:
        pass
    except OSError:
        return False  # nobody would hear of it
    finally:
        written.unlink(missing_ok=True)
    return True


def read_verdict(place: Path) -> FocusError | None:
    """The refusal that was written, of its kind; None if there is none."""
    try:
        said = json.loads(Path(place).read_text())
    except FileNotFoundError:
        return None
    kinds = {kind.exit_code: kind for kind in (FocusError, *FocusError.__subclasses__())}
    return kinds[said["exit_code"]](said["message"], said["hint"])
