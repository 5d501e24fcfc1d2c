"""The manifest of a run: ``OUT/runs/RUN.json``, settings, software, jobs and outputs of a run.

While a run is running, its manifest has the status ``running`` and the events of its jobs are appended to
``RUN.jobs.jsonl``; at its end both become one file. A run whose head process was killed is closed by the next one.
Nothing here ever stops a run: a manifest that cannot be written is a warning.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import socket
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import Any

from focus_cli.core.errors import FocusError
from focus_cli.core.progress import print_message, track
from focus_cli.core.provenance import bytes_of, describe_path, hash_file, hash_text, installed_versions
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.kinds import PART
from focus_cli.reporting.cohort import read_benchmark
from focus_cli.workflow.manifest.events import JobRecorder, fold, now, read_events
from focus_cli.workflow.manifest.nodes import RUNS, allocation, place, read_notes, write_note

SCHEMA_VERSION = 1
# Outputs beyond this size, in ascending order, are listed without a hash, which would delay the end of the run.
HASH_AT_MOST = 256 * 1024**3
_THREADS = 8
_current: tuple[Path, JobRecorder] | None = None


def _never_stops_a_run(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except Exception as error:
            # The manifest is about the run; whatever is wrong with it, the run itself is worth more.
            problem = " ".join(str(error).split())
            print_message(f"warning: the run's manifest could not be written: {type(error).__name__}: {problem}")

    return guarded


@_never_stops_a_run
def begin(out: Path | str, workflow: Any, config: dict[str, Any], sheet: Path | str | None) -> None:
    """Open the manifest of a run, close those of runs that were killed, and listen to Snakemake's jobs.

    Parameters
    ----------
    out
        The results folder.
    workflow
        Snakemake's workflow object.
    config
        The configuration as the rules see it.
    sheet
        The samples sheet.
    """
    global _current
    folder = Path(out) / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    _close_killed(folder)
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    manifest = folder / f"{run}.json"
    _write(manifest, _describe(run, workflow, config, sheet))
    recorder = JobRecorder(_events(manifest))
    _snakemake_logger().addHandler(recorder)
    _current = manifest, recorder


@_never_stops_a_run
def finish(status: str) -> None:
    """Close the manifest: ``"succeeded"`` or ``"failed"``, jobs, outputs with sizes and hashes.

    Does nothing where `begin` was not called.
    """
    global _current
    if _current is None:
        return
    (manifest, recorder), _current = _current, None
    _snakemake_logger().removeHandler(recorder)
    _close(manifest, status)


@_never_stops_a_run
def note_node(out: Path | str) -> None:
    """On a node of a cluster: write down which scheduler's job this is, and where (`manifest_nodes.write_note`)."""
    write_note(out)


def _snakemake_logger() -> Any:
    from snakemake.logging import logger

    return logger


def _events(manifest: Path) -> Path:
    return manifest.with_suffix(".jobs.jsonl")


def _write(path: Path, values: dict[str, Any]) -> None:
    with atomic_file(path, overwrite=True, kind=PART) as temporary:
        temporary.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n")


def _describe(run: str, workflow: Any, config: dict[str, Any], sheet: Path | str | None) -> dict[str, Any]:
    text = json.dumps(config, sort_keys=True, default=str)
    deployment = getattr(getattr(workflow, "deployment_settings", None), "deployment_method", ()) or ()
    plugins = {
        d.name: d.version for d in metadata.distributions() if (d.name or "").startswith("snakemake-executor-plugin-")
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "status": "running",
        "started": now(),
        "command": shlex.join(["snakemake", *sys.argv[1:]]),
        "folder": str(Path.cwd()),
        "host": socket.gethostname(),
        "allocation": allocation(os.environ),
        "pid": os.getpid(),
        "platform": platform.platform(),
        "profile": _profile(_option("--profile")),
        "executor": getattr(getattr(workflow, "_executor_plugin", None), "name", None),
        "software": sorted(str(method) for method in deployment),
        "config": json.loads(text),
        "config_sha256": hash_text(text),
        "configfiles": [_file(path) for path in getattr(workflow, "configfiles", ())],
        "sheet": _file(sheet) if sheet else None,
        "snakefile": _file(getattr(workflow, "main_snakefile", None)),
        "versions": installed_versions("focus-st", "snakemake") | plugins,
    }


def _file(path: Any) -> dict[str, Any] | None:
    path = Path(str(path)) if path else None
    if path is None or not path.is_file():
        return None
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": hash_file(path)}


def _profile(name: str | None) -> dict[str, Any] | None:
    """File of the profile, or its name if Snakemake looks it up by name."""
    if name is None:
        return None
    files = sorted(Path(name).glob("config*.yaml"))
    return _file(files[-1]) if files else {"path": name}


def _option(name: str) -> str | None:
    words = sys.argv[1:]
    for i, word in enumerate(words):
        if word == name and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _close_killed(folder: Path) -> None:
    for manifest in sorted(folder.glob("*.json")):
        try:
            status = read_json_object(manifest).get("status")
        except FocusError:
            continue
        if status == "running":
            _close(manifest, "killed")
    for path, _ in read_notes(folder.parent):
        path.unlink(missing_ok=True)


def _close(manifest: Path, status: str) -> None:
    values = read_json_object(manifest)
    events = read_events(_events(manifest))
    jobs = fold(events)
    notes = place(jobs, read_notes(manifest.parent.parent))
    if status == "killed":
        ended = max((str(e.get("time", "")) for e in events), default=values["started"])
    else:
        ended = now()
    for job in jobs:
        # Snakemake does not report a job that it cancels when it stops.
        job["status"] = "unfinished" if job["status"] == "running" else job["status"]
        if job["benchmark"] and job["status"] == "done":
            job |= read_benchmark(Path(values["folder"]) / job["benchmark"])
    values |= {
        "status": status,
        "ended": ended,
        "seconds": round((_time(ended) - _time(values["started"])).total_seconds(), 3),
        "jobs": jobs,
        "outputs": _outputs(jobs, Path(values["folder"]), hashed=status != "killed"),
    }
    _write(manifest, values)
    for path in (_events(manifest), *notes):
        path.unlink(missing_ok=True)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _outputs(jobs: list[dict[str, Any]], folder: Path, *, hashed: bool) -> dict[str, dict[str, Any]]:
    """Path in the rule → job, size and SHA-256 of the file."""
    made = {path: job["job"] for job in jobs if job["status"] == "done" for path in job["output"]}
    present = {path: job for path, job in made.items() if (folder / path).exists()}
    sizes = {path: bytes_of(folder / path) for path in present}
    wanted, total = [], 0
    for path in sorted(present, key=lambda p: (sizes[p], p)):
        total += sizes[path]
        if hashed and total <= HASH_AT_MOST:
            wanted.append(path)
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        digests = threads.map(lambda path: describe_path(folder / path)["sha256"], wanted)
        known = dict(zip(wanted, track(digests, "manifest: hashing outputs", total=len(wanted)))) if wanted else {}
    return {
        path: {"job": job, "bytes": sizes[path], "sha256": known.get(path)} for path, job in sorted(present.items())
    }
