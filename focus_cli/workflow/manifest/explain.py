"""Description of a results folder and of a run manifest for ``focus explain``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from focus_cli.core.provenance import describe_path
from focus_cli.reporting import result
from focus_cli.workflow.manifest.jobs import read_manifest
from focus_cli.workflow.manifest.nodes import RUNS

_KINDS = ("samples", "models", "enhanced", "refined", "folds", "reports")
_SHOWN_RUNS = 20


def explain_run(path: Path, *, verify: bool = False) -> dict[str, Any] | None:
    """Describe a results folder or a manifest in it; None for anything else.

    Parameters
    ----------
    path
        The output folder of ``focus run``, or a file of its ``runs/``.
    verify
        Read the outputs that a manifest lists and compare their hashes.

    Returns
    -------
    dict
        As `focus_cli.reporting.explanation` returns it. ``upstream`` holds a manifest's files: configuration, sheet
        and, with `verify`, the outputs.
    """
    path = Path(path)
    if path.is_dir():
        manifests = sorted((path / RUNS).glob("*.json"))
        runs = [run for run in map(read_manifest, manifests) if run]
        return _results(path, runs) if runs else None
    run = read_manifest(path) if path.suffix == ".json" and path.parent.name == RUNS else {}
    return _manifest(path, run, verify) if run else None


def _results(path: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for kind in _KINDS:
        if (path / kind).is_dir():
            facts[kind] = sum(1 for p in (path / kind).iterdir() if not p.name.startswith("."))
    fields = [{"name": f"{RUNS}/{run['run']}.json", "meaning": _run_words(run)} for run in runs[-_SHOWN_RUNS:]]
    return result(
        path,
        "results",
        f"the results of focus run; {len(runs)} runs wrote into it",
        facts=facts | {"runs": len(runs)},
        fields=fields,
        use=[
            "Use focus explain RUN for a run, and focus explain FILE for the provenance of a file.",
            "Runs are listed from the oldest to the latest.",
        ],
    )


def _run_words(run: dict[str, Any]) -> str:
    counts = Counter(str(job["status"]) for job in run["jobs"])
    jobs = ", ".join(f"{n} {status}" for status, n in sorted(counts.items())) or "no jobs"
    took = f", {run['seconds']:.0f} s" if "seconds" in run else ""
    return f"{run['status']}, started {run['started']}{took}, on {run.get('host', '?')}: {jobs}"


def _manifest(path: Path, run: dict[str, Any], verify: bool) -> dict[str, Any]:
    keys = (
        "status",
        "started",
        "ended",
        "seconds",
        "command",
        "folder",
        "host",
        "allocation",
        "profile",
        "executor",
        "platform",
    )
    facts = {key: run[key] for key in keys if run.get(key) not in (None, "")}
    facts["software"] = ", ".join(run.get("software") or ()) or "the environment of Snakemake"
    facts["config_sha256"] = run.get("config_sha256", "")
    facts["jobs"] = dict(Counter(str(job["status"]) for job in run["jobs"]))
    facts["outputs"] = len(run.get("outputs") or {})
    folder = Path(run["folder"])
    files = [{"role": "config", **one} for one in run.get("configfiles") or () if one]
    files += [{"role": role, **run[role]} for role in ("sheet", "profile") if run.get(role)]
    if verify:
        files += [{"role": "output", "path": name, **one} for name, one in (run.get("outputs") or {}).items()]
    failed = [job for job in run["jobs"] if job["status"] == "failed"]
    warnings = [f"{job['name']} failed; its log: {', '.join(job.get('log') or ()) or 'none'}" for job in failed]
    made_by = {"command": "run", "focus_version": _version(run), "settings": run.get("config", {})}
    return result(
        path,
        "run",
        "the manifest of one run of the workflow",
        facts=facts,
        made_by=made_by | {"versions": run.get("versions", {})},
        jobs=[job | {"run": run["run"], "host": run.get("host")} for job in run["jobs"]],
        upstream=[_compared(one, folder) for one in files],
        warnings=warnings,
    )


def _version(run: dict[str, Any]) -> str:
    return str((run.get("versions") or {}).get("focus-st", "?"))


def _compared(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / entry["path"]
    listed = {"name": Path(entry["path"]).name, **entry, "path": str(path)}
    if not path.exists():
        return listed | {"path": None, "state": "not found"}
    if not entry.get("sha256"):
        return listed | {"state": "not recorded"}
    now = describe_path(path)
    return listed | {"state": "agrees" if now["sha256"] == entry["sha256"] else "differs"}
