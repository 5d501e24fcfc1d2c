"""Events of the jobs of a run, as lines of JSON: written by the head process, merged into one entry per job.

Snakemake reports its jobs to a logger; a handler of ours listens beside the one that prints. A line is appended for
every event, so that a head process that is killed leaves all events up to then.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from focus_cli.core.errors import FocusError
from focus_cli.core.progress import print_message
from focus_cli.core.storage.regular import read_bounded

_LARGEST = 1 << 30  # bytes of a record
# Resources of Snakemake itself, and those with a separate entry.
_NO_RESOURCE = ("_cores", "_nodes", "tmpdir")
_KEPT = ("rule", "wildcards", "input", "output", "log", "benchmark", "threads", "resources")


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_name(rule: str, wildcards: dict[str, Any]) -> str:
    """Name of a job in all records: ``enhance:sample=S1``."""
    return f"{rule}:{','.join(f'{key}={value}' for key, value in sorted(wildcards.items()))}"


class JobRecorder(logging.Handler):
    """Appends one line per event of a job to a file; a disk that is full ends the record, never the run."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self.path = Path(path)
        self._broken = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the event down, if the record is one of a job."""
        event = getattr(getattr(record, "event", None), "value", None)
        line = _line(str(event), record.__dict__) if event else None
        if line is None or self._broken:
            return
        try:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, default=str) + "\n")
        except OSError as error:
            self._broken = True
            print_message(f"warning: the run's manifest cannot be written: {error.strerror}")


def _line(event: str, record: dict[str, Any]) -> dict[str, Any] | None:
    if event == "job_info":
        return {
            "event": "submitted",
            "time": now(),
            "job": record["jobid"],
            "rule": record["rule_name"],
            "wildcards": dict(record["wildcards"] or {}),
            "input": [str(p) for p in record["input"]],
            "output": [str(p) for p in record["output"]],
            "log": [str(p) for p in record["log"]],
            "benchmark": record["benchmark"],
            "threads": record["threads"],
            "resources": _resources(record["resources"]),
        }
    if event == "job_finished":
        return {"event": "done", "time": now(), "job": record["job_id"]}
    if event == "job_error":
        # aux: values added by the executor, such as the scheduler's job id.
        aux = {key: str(value) for key, value in (record.get("aux") or {}).items()}
        message = " ".join(str(record.get("rule_msg") or "").split())
        return {"event": "failed", "time": now(), "job": record["jobid"], "message": message, **aux}
    return None


def _resources(resources: Any) -> dict[str, Any]:
    items = dict(resources.items()) if hasattr(resources, "items") else {}
    return {k: v for k, v in items.items() if k not in _NO_RESOURCE and isinstance(v, (int, float, str))}


def read_events(path: Path) -> list[dict[str, Any]]:
    """The lines of a record, without a truncated last line and lines in another format."""
    events = []
    try:
        lines = read_bounded(Path(path), _LARGEST).decode("utf-8", "replace").splitlines()
    except FocusError:
        return []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and "event" in event and "job" in event:
            events.append(event)
    return events


def fold(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per job from its events.

    Returns
    -------
    list
        In the order of first submission: ``job`` (Snakemake's number), ``name``, ``rule``, ``wildcards``, ``input``,
        ``output``, ``log``, ``benchmark``, ``threads``, ``resources`` (of the last attempt), ``attempts``,
        ``submitted`` (of the first), ``ended``, ``status`` (``running``, ``done`` or ``failed``) and, after a
        failure, ``message``.
    """
    jobs: dict[Any, dict[str, Any]] = {}
    for event in events:
        number = event["job"]
        if event["event"] == "submitted":
            known = jobs.setdefault(number, {"job": number, "attempts": 0, "submitted": event.get("time")})
            known |= {key: event.get(key) for key in _KEPT}
            known["name"] = job_name(str(event.get("rule")), event.get("wildcards") or {})
            known["attempts"] += 1
            known["status"] = "running"
        elif number in jobs:
            jobs[number] |= {"status": event["event"], "ended": event.get("time")}
            if event.get("message"):
                jobs[number]["message"] = event["message"]
            if event.get("external_jobid"):
                jobs[number]["external"] = event["external_jobid"]
    return list(jobs.values())
