"""The manifest of a run, as real Snakemakes make it: complete, readable by explain, and never in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from focus_cli.cli.explain import command as explain_command
from focus_cli.core.provenance import describe_path
from focus_cli.reporting.explanation_text import job_words
from focus_cli.workflow.manifest import manifest
from focus_cli.workflow.manifest.events import fold, job_name, read_events
from focus_cli.workflow.manifest.explain import explain_run
from focus_cli.workflow.manifest.jobs import jobs_of, read_manifest
from focus_cli.workflow.manifest.nodes import allocation, targets

SNAKEFILE = """
    from focus_cli.workflow import manifest

    if not workflow.is_main_process:
        manifest.note_node("out")

    rule all:
        input: "out/b.txt", "out/folder"

    rule first:
        input: "raw.txt"
        output: "out/{name}.txt"
        log: "out/logs/first/{name}.log"
        benchmark: "out/benchmarks/first/{name}.tsv"
        shell: "cat {input} > {output} 2> {log}"

    rule second:
        input: "out/a.txt"
        output: directory("out/folder")
        log: "out/logs/second.log"
        shell: "mkdir {output} && cp {input} {output}/ > {log} 2>&1 && [ ! -e broken ]"

    onstart:
        manifest.begin("out", workflow, config, "sheet.tsv")
    onsuccess:
        manifest.finish("succeeded")
    onerror:
        manifest.finish("failed")
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small workflow failed once and then came to its end."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "Snakefile").write_text(textwrap.dedent(SNAKEFILE))
    (folder / "raw.txt").write_text("raw\n")
    (folder / "sheet.tsv").write_text("sample\nS1\n")
    (folder / "broken").touch()
    assert snakemake(folder).returncode != 0
    (folder / "broken").unlink()
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr
    return folder


def snakemake(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Snakemake there."""
    profile = str(Path(__file__).parents[2] / "workflows" / "profiles" / "local")
    words = [sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "1", "--config", "seed=3", *options]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})


def runs_of(out: Path) -> list[dict]:
    """The manifests of a results folder, the oldest first."""
    return [read_manifest(path) for path in sorted((out / "runs").glob("*.json"))]


def test_every_run_leaves_one_file_that_says_how_it_ended(study: Path) -> None:
    runs = runs_of(study / "out")
    assert [run["status"] for run in runs] == ["failed", "succeeded"]
    assert sorted(p.name for p in (study / "out" / "runs").iterdir()) == [f"{run['run']}.json" for run in runs]
    last = runs[1]
    assert last["config"] == {"seed": 3} and last["command"].startswith("snakemake --profile")
    assert last["sheet"] == {"path": "sheet.tsv", "bytes": 10, "sha256": describe_path(study / "sheet.tsv")["sha256"]}
    assert last["profile"]["path"].endswith("local/config.yaml") and len(last["profile"]["sha256"]) == 64
    assert last["versions"]["snakemake"] and last["executor"] == "local"


def test_jobs_have_their_state_and_outputs_their_hash(study: Path) -> None:
    failed, done = runs_of(study / "out")
    assert {job["name"]: job["status"] for job in failed["jobs"]}["second:"] == "failed"
    # What the first run made was not made again.
    again = {job["name"] for job in done["jobs"]}
    assert "second:" in again and "first:name=a" not in again
    made = failed["outputs"] | done["outputs"]
    assert made.keys() == {"out/a.txt", "out/b.txt", "out/folder"}
    for name, told in made.items():
        assert told["sha256"] == describe_path(study / name)["sha256"], name
    first = next(job for job in failed["jobs"] if job["name"] == "first:name=a")
    assert first["attempts"] == 1 and first["seconds"] >= 0 and first["log"] == ["out/logs/first/a.log"]


def test_the_jobs_of_a_file_and_of_a_file_inside_a_folder(study: Path) -> None:
    (job,) = jobs_of(study / "out" / "a.txt")
    assert job["rule"] == "first" and job["input"] == [str(study / "raw.txt")] and "seconds" in job
    inside = jobs_of(study / "out" / "folder" / "a.txt")
    assert [one["status"] for one in inside] == ["done", "failed"]  # the latest first
    assert jobs_of(study / "raw.txt") == []


def test_without_manifests_snakemakes_own_record_is_read(study: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", str(study), str(moved)], check=True)
    subprocess.run(["rm", "-r", str(moved / "out" / "runs")], check=True)
    (job,) = jobs_of(moved / "out" / "a.txt")
    assert job["rule"] == "first" and job["input"] == [str(moved / "raw.txt")] and job["status"] == "done"
    assert job["seconds"] >= 0 and job["submitted"] <= job["ended"]


def test_a_job_on_a_node_leaves_its_number_and_place(study: Path) -> None:
    done = snakemake(
        study,
        "--mode",
        "remote",
        "--target-jobs",
        "first:name=a",
        "--force",
        "--nolock",
        "--no-hooks",
        SLURM_JOB_ID="77",
    )
    assert done.returncode == 0, done.stderr
    note = json.loads((study / "out" / "runs" / "nodes" / "slurm-77.json").read_text())
    assert note["jobs"] == ["first:name=a"] and note["host"]


def test_events_of_a_killed_run_are_kept_and_closed_by_the_next(tmp_path: Path) -> None:
    runs = tmp_path / "out" / "runs"
    (runs / "nodes").mkdir(parents=True)
    told = {"run": "r1", "status": "running", "folder": str(tmp_path), "started": "2026-01-02T03:04:05.000Z"}
    (runs / "r1.json").write_text(json.dumps(told))
    info = {"event": "submitted", "time": "2026-01-02T03:04:06.000Z", "job": 4, "rule": "enhance", "output": ["out/S1"]}
    info |= {"wildcards": {"sample": "S1"}, "input": [], "log": [], "benchmark": None}
    (runs / "r1.jobs.jsonl").write_text(json.dumps(info) + "\n" + '{"event": "do')
    note = {
        "scheduler": "slurm",
        "id": "9",
        "host": "n1",
        "started": "2026-01-02T03:05:00Z",
        "jobs": ["enhance:sample=S1"],
    }
    (runs / "nodes" / "slurm-9.json").write_text(json.dumps(note))
    (job,) = jobs_of(tmp_path / "out" / "S1")
    assert job["status"] == "running" and job["allocations"][0]["host"] == "n1"
    assert "slurm job 9 on n1" in job_words(job)

    manifest._close_killed(runs)
    closed = read_manifest(runs / "r1.json")
    assert closed["status"] == "killed" and closed["seconds"] == 1.0
    assert closed["jobs"][0]["status"] == "unfinished" and closed["jobs"][0]["allocations"][0]["id"] == "9"
    assert [p.name for p in runs.rglob("*") if p.is_file()] == ["r1.json"]


def test_a_retried_job_counts_its_attempts() -> None:
    one = {"event": "submitted", "time": "t0", "job": 1, "rule": "train", "wildcards": {}}
    events = [one, {"event": "failed", "time": "t1", "job": 1, "message": "out of memory"}, one | {"time": "t2"}]
    (job,) = fold([*events, {"event": "done", "time": "t3", "job": 1}, {"event": "done", "time": "t4", "job": 99}])
    assert (job["attempts"], job["status"], job["submitted"], job["ended"]) == (2, "done", "t0", "t3")


def test_a_manifest_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    manifest.begin(tmp_path / "out", None, {}, None)
    manifest.finish("succeeded")
    assert "warning: the run's manifest could not be written" in capsys.readouterr().err


def test_a_cohort_of_many_samples_is_explained_in_seconds(tmp_path: Path) -> None:
    """Every sample upstream asks for its job: manifests are read once."""
    n = 2000
    jobs = [
        {"job": i, "name": f"p:{i}", "rule": "p", "output": [f"out/samples/S{i}"], "status": "done"} for i in range(n)
    ]
    (tmp_path / "out" / "runs").mkdir(parents=True)
    for run in ("r1", "r2"):
        told = {"run": run, "status": "succeeded", "folder": str(tmp_path), "started": "t", "jobs": jobs}
        (tmp_path / "out" / "runs" / f"{run}.json").write_text(json.dumps(told))
    start = time.process_time()
    assert all(len(jobs_of(tmp_path / "out" / "samples" / f"S{i}")) == 2 for i in range(n))
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "2"}, {"scheduler": "slurm", "id": "5", "restart": "2"}),
        ({"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "0"}, {"scheduler": "slurm", "id": "5"}),
        ({"LSB_JOBID": "6"}, {"scheduler": "lsf", "id": "6"}),
        ({"JOB_ID": "7"}, {"scheduler": "sge", "id": "7"}),
    ],
)
def test_schedulers_are_known_by_their_variables(environment: dict, told: dict | None) -> None:
    assert allocation(environment) == told


def test_a_condor_job_is_known_by_its_ad(tmp_path: Path) -> None:
    (tmp_path / "job.ad").write_text('Cmd = "x"\nProcId = 1\nClusterId = 34\n')
    assert allocation({"_CONDOR_JOB_AD": str(tmp_path / "job.ad")}) == {"scheduler": "htcondor", "id": "34.1"}


def test_targets_are_read_from_the_command_line() -> None:
    words = ["snakemake", "--target-jobs", "enhance:sample=S1", "gather_scores:", "--cores", "1"]
    assert targets(words) == ["enhance:sample=S1", "gather_scores:"]
    assert targets(["snakemake", "--cores", "1"]) == []
    assert job_name("x", {"b": 1, "a": 2}) == "x:a=2,b=1"


def test_damaged_records_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('nonsense\n[1]\n{"event": "done", "job": 1}\n')
    assert read_events(tmp_path / "x.jsonl") == [{"event": "done", "job": 1}]
    assert read_events(tmp_path / "absent") == []
    (tmp_path / "x.json").write_text("[]")
    assert read_manifest(tmp_path / "x.json") == {}


def test_explain_tells_of_the_results_and_of_a_run(study: Path) -> None:
    told = explain_run(study / "out")
    assert told["facts"]["runs"] == 2 and "failed, started" in told["fields"][0]["meaning"]
    (last,) = [run for run in runs_of(study / "out") if run["status"] == "succeeded"]
    path = study / "out" / "runs" / f"{last['run']}.json"
    ran = CliRunner().invoke(explain_command, [str(path), "--verify"])
    assert ran.exit_code == 0, ran.output
    assert "unchanged" in ran.output and "second" in ran.output
    assert explain_run(study) is None and explain_run(study / "raw.txt") is None
    (study / "sheet.tsv").write_text("changed\n")
    ran = CliRunner().invoke(explain_command, [str(path), "--verify"])
    assert ran.exit_code == 3 and "CHANGED" in ran.output
