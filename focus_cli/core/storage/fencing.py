"""A job that outlived its run gives up before its output gets a name.

Every run of a folder has a token, written into the folder and given to its jobs in their environment (a fencing token:
Kleppmann, *Designing Data-Intensive Applications*, ch. 8). Where a head process was killed, its jobs may continue, on a
node that no one can reach; once another run has taken the folder over, the token there is no longer theirs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from focus_cli.core.errors import FocusError

FOLDER_VARIABLE = "FOCUS_RUN"
TOKEN_VARIABLE = "FOCUS_RUN_TOKEN"
RECORD = Path(".snakemake") / "focus-run.json"


def refuse_superseded(path: Path) -> None:
    """Refuse to give `path` its content if this process is a job of a run that another one has replaced.

    Raises
    ------
    FocusError
        If the run's folder is in the hands of another run by now.
    """
    folder, token = os.environ.get(FOLDER_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    if not folder or not token:
        return
    try:
        current = json.loads((Path(folder) / RECORD).read_text()).get("token")
    except (OSError, ValueError, AttributeError):
        # No record: the run is over, or was never there. Its jobs are ended by the next one, if one comes.
        return
    if current not in (None, token):
        raise FocusError(
            f"{path} is not written: the run that this job belongs to was replaced by another",
            hint="nothing is to be done: the other run makes it",
        )
