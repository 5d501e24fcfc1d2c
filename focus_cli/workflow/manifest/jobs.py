"""Jobs that made a file: from the manifests of its runs, else from Snakemake's records."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from focus_cli.core.errors import FocusError
from focus_cli.core.storage.documents import read_json_object
from focus_cli.reporting.cohort import read_benchmark
from focus_cli.workflow.manifest.events import fold, read_events
from focus_cli.workflow.manifest.nodes import RUNS, place, read_notes

_SNAKEMAKE = Path(".snakemake") / "metadata"
_UP = 6  # folders above a file in which a run is searched
_NAME_MAX = 254  # Snakemake splits the name of a record after so many characters
_PLAIN = ("job", "rule", "wildcards", "status", "submitted", "ended", "attempts")
_MEASURED = ("seconds", "max_memory_mb")


def jobs_of(path: Path | str) -> list[dict[str, Any]]:
    """Jobs that wrote `path` or its folder, the latest first; empty without a record.

    Returns
    -------
    list
        ``job`` (Snakemake's number), ``rule``, ``wildcards``, ``status``, ``submitted``, ``ended``, ``attempts``,
        ``input`` and ``log`` (absolute), ``allocations`` (scheduler, id, host, started), ``host`` (of the head
        process), ``run``, ``seconds`` and ``max_memory_mb`` (of Snakemake's benchmark). What is not recorded is absent.
    """
    path = Path(os.path.realpath(path))
    found = []
    for manifest in reversed(_manifests_above(path)):
        run, by_output = _by_output(manifest, _stamp(manifest))
        for written in (path, *list(path.parents)[:_UP]):
            found += [_entry(run, job) for job in by_output.get(str(written), ())]
    return found or _by_snakemake(path)


def _manifests_above(path: Path) -> list[Path]:
    for folder in (path, *list(path.parents)[:_UP]):
        if manifests := sorted((folder / RUNS).glob("*.json")):
            return manifests
    return []


def _stamp(manifest: Path) -> tuple[int, int]:
    """Key that changes when a manifest, or the record of its jobs, changes."""
    files = (manifest, manifest.with_suffix(".jobs.jsonl"))
    stats = [file.stat() for file in files if file.exists()]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


@lru_cache(maxsize=64)
def _by_output(manifest: Path, stamp: tuple[int, int]) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A manifest, and its jobs by the path that they wrote; read again when `stamp` changes."""
    run = read_manifest(manifest)
    jobs: dict[str, list[dict[str, Any]]] = {}
    real = lru_cache(maxsize=None)(os.path.realpath)  # a results folder may be a link
    for job in run.get("jobs", ()):
        for output in job.get("output") or ():
            folder, name = os.path.split(os.path.join(run["folder"], output))
            jobs.setdefault(os.path.join(real(folder), name), []).append(job)
    return run, jobs


def read_manifest(path: Path) -> dict[str, Any]:
    """One manifest; of a running or killed run with the jobs so far. Empty if it is not a manifest."""
    try:
        manifest = read_json_object(Path(path))
    except FocusError:
        return {}
    if not isinstance(manifest, dict) or "run" not in manifest or "folder" not in manifest:
        return {}
    if "jobs" not in manifest:
        manifest["jobs"] = fold(read_events(Path(path).with_suffix(".jobs.jsonl")))
        place(manifest["jobs"], read_notes(Path(path).parent.parent))
    return manifest


def _entry(run: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    folder = Path(run["folder"])
    entry = {key: job[key] for key in (*_PLAIN, *_MEASURED) if key in job}
    entry |= {key: job[key] for key in ("allocations", "message", "threads", "resources") if job.get(key)}
    entry |= {key: [str(folder / p) for p in job.get(key) or ()] for key in ("input", "log")}
    entry |= {"run": run["run"], "host": run.get("host")}
    if "seconds" not in entry and job.get("benchmark"):
        entry |= read_benchmark(folder / job["benchmark"])
    return entry


def _by_snakemake(path: Path) -> list[dict[str, Any]]:
    """From ``.snakemake/metadata`` of the folder that the run was started in, if it is above."""
    for output in (path, *list(path.parents)[:_UP]):
        for folder in list(output.parents)[:_UP]:
            if not (folder / _SNAKEMAKE).is_dir():
                continue
            for key in (str(output.relative_to(folder)), str(output)):
                if record := _read_record(folder / _SNAKEMAKE, key):
                    return [_plain(record, folder)]
    return []


def _read_record(metadata: Path, key: str) -> dict[str, Any]:
    name = urlsafe_b64encode(key.encode()).decode()
    pieces = [name[i : i + _NAME_MAX] for i in range(0, len(name), _NAME_MAX)]
    record = metadata.joinpath(*("@" + piece for piece in pieces[:-1]), pieces[-1])
    try:
        entry = read_json_object(record)
    except FocusError:
        return {}
    return entry if isinstance(entry, dict) and entry.get("rule") else {}


def _plain(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    logs = [folder / log for log in record.get("log") or ()]
    entry: dict[str, Any] = {
        "rule": record["rule"],
        "status": "unfinished" if record.get("incomplete") else "done",
        "input": [str(folder / p) for p in record.get("input") or ()],
        "log": [str(log) for log in logs],
    }
    for key, name in (("starttime", "submitted"), ("endtime", "ended")):
        if isinstance(record.get(key), (int, float)):
            time = datetime.fromtimestamp(record[key], UTC).isoformat(timespec="milliseconds")
            entry[name] = time.replace("+00:00", "Z")
    # The record does not name the benchmark file, whose path corresponds to that of the log.
    siblings = [Path(str(log).replace("/logs/", "/benchmarks/")).with_suffix(".tsv") for log in logs]
    return entry | (read_benchmark(siblings[0]) if siblings else {})
