"""The report of a cohort: every sample has a row, whatever became of it, and it says where and why it stopped."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from focus_cli.cli.workflow_steps import steps
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.reporting.cohort import write_cohort
from focus_cli.reporting.cohort.facts import facts_of_enhanced, scores_of
from focus_cli.reporting.cohort.jobs import Job, as_json, from_json, last_words
from focus_cli.reporting.cohort.status import statuses
from focus_cli.workflow.cohort import begin_cohort, cohort_jobs, record_cohort, report_cohort
from focus_cli.workflow.config import SampleRow, check_config
from focus_cli.workflow.plan import Plan

FOLDS = {"folds": [{"task": "denoise"}]}


def plan(names="S1 S2 S3", out="results", scope="all", tests=(), **config) -> Plan:
    rows = [
        SampleRow(sample=name, path="raw", group=name, split="test" if name in tests else "train", organ="<b>lung</b>")
        for name in names.split()
    ]
    return Plan(check_config({"output": str(out), "train": {"scope": scope}, **config}), rows)


def make(out: Path, job: Job, *, seconds: float = 2.0) -> None:
    """Let a job have run."""
    log = job.log(out)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("training: 10/10\n")
    measured = out / "benchmarks" / job.rule / f"{job.name}.tsv"
    measured.parent.mkdir(parents=True, exist_ok=True)
    measured.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:02\t1500.5\n")
    for path in job.outputs:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).touch() if Path(path).suffix else (out / path).mkdir(exist_ok=True)


def fail(out: Path, job: Job, said: str) -> None:
    """Let a job have failed."""
    job.log(out).parent.mkdir(parents=True, exist_ok=True)
    job.log(out).write_text(said)


def finish(out: Path, cohort, *names: str) -> None:
    """Let all jobs of these samples and of their models have run."""
    for sample in cohort.samples:
        if sample.sample in names:
            make(out, cohort.models[sample.model])
            for job in sample.jobs:
                make(out, job)


def job_of(cohort, sample: str, rule: str) -> Job:
    return next(job for s in cohort.samples if s.sample == sample for job in s.jobs if job.rule == rule)


def write_enhanced(path: Path, n: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        obs, var = file.create_group("obs"), file.create_group("var")
        obs.attrs["_index"] = var.attrs["_index"] = "_index"
        obs["_index"], var["_index"] = np.arange(n), np.arange(6)
        obs[keys.TOTAL_COUNTS] = np.arange(n, dtype=np.float32)
        obs[keys.OBS_RELIABILITY] = np.linspace(0.2, 0.8, n)
        obs[keys.ABSTAIN] = np.arange(n) < 1
        var[keys.MEASURED] = np.arange(6) < 4
        file[f"uns/{keys.UNS}/warnings"] = json.dumps(["the H&E is blurred"])


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "cohort.tsv", newline="", encoding="utf-8") as stream:
        return {row["sample"]: row for row in csv.DictReader(stream, delimiter="\t")}


# --- how far a sample is -------------------------------------------------------------------------------


def test_a_sample_is_done_once_everything_of_its_own_is_there(tmp_path):
    cohort = cohort_jobs(plan(out=tmp_path, evaluate=FOLDS))
    assert {s.word for s in statuses(cohort, tmp_path, running=False).values()} == {"not started"}
    finish(tmp_path, cohort, "S1", "S2")
    (tmp_path / "samples" / "S3").mkdir()
    words = [s.word for s in statuses(cohort, tmp_path, running=False).values()]
    assert words == ["done", "done", "unfinished"]
    (tmp_path / "folds" / "S1.denoise" / "scores").rmdir()
    assert statuses(cohort, tmp_path, running=False)["S1"].word == "failed", "it has a log and no result"


def test_a_failed_sample_says_at_which_rule_and_why(tmp_path):
    cohort = cohort_jobs(plan(out=tmp_path, evaluate=FOLDS))
    finish(tmp_path, cohort, "S1", "S3")
    said = "reading\nfocus: error: raw: no count matrix\n  hint: give another folder\nfocus: exit code 4\n"
    fail(tmp_path, job_of(cohort, "S2", "preprocess"), said)
    status = statuses(cohort, tmp_path, running=False)["S2"]
    assert (status.word, status.rule, status.log) == ("failed", "preprocess", "logs/preprocess/S2.log")
    assert status.message == "error: raw: no count matrix"


def test_samples_wait_for_the_model_that_waits_for_a_failed_sample(tmp_path):
    cohort = cohort_jobs(plan(out=tmp_path))
    make(tmp_path, job_of(cohort, "S1", "preprocess"))
    fail(tmp_path, job_of(cohort, "S2", "preprocess"), "focus: error: x\n")
    status = statuses(cohort, tmp_path, running=False)
    assert [s.word for s in status.values()] == ["waiting", "failed", "waiting"]
    assert status["S1"].message == "its model waits for S2: failed at preprocess"


def test_a_failed_test_sample_holds_up_nobody(tmp_path):
    cohort = cohort_jobs(plan(out=tmp_path, tests=["S2"]))
    fail(tmp_path, job_of(cohort, "S2", "preprocess"), "focus: error: x\n")
    assert [s.word for s in statuses(cohort, tmp_path, running=False).values()] == [
        "not started",
        "failed",
        "not started",
    ]


def test_a_failed_model_is_told_by_all_of_its_samples_and_by_no_other(tmp_path):
    cohort = cohort_jobs(plan(out=tmp_path, scope="group"))
    fail(tmp_path, cohort.models["S1"], "focus: error: the loss is not a number\n")
    status = statuses(cohort, tmp_path, running=False)
    assert (status["S1"].word, status["S1"].rule) == ("failed", "train")
    assert status["S2"].word == "not started"


def test_while_a_run_is_at_work_a_log_without_an_error_is_no_failure(tmp_path):
    cohort = cohort_jobs(plan(out=tmp_path))
    fail(tmp_path, job_of(cohort, "S1", "preprocess"), "tiles: 40/100 (40 %)\n")
    fail(tmp_path, job_of(cohort, "S2", "preprocess"), "focus: error: x\n")
    assert [s.word for s in statuses(cohort, tmp_path, running=True).values()][:2] == ["running", "failed"]
    assert statuses(cohort, tmp_path, running=False)["S1"].word == "failed"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("a\nfocus: error: one\nfocus: error: two\n  hint: three\nfocus: exit code 3\n", "error: two"),
        ("a\nRuntimeError: CUDA gone\nb\n", "RuntimeError: CUDA gone"),
        ("step 1\rstep 2\r\n\n", "step 2"),
        ("", ""),
        ("x" * 100_000 + "\nslurmstepd: error: JOB 7 CANCELLED\n", "slurmstepd: error: JOB 7 CANCELLED"),
    ],
)  # fmt: skip
def test_the_last_words_of_a_log_are_those_that_say_why(tmp_path, log, said):
    (tmp_path / "x.log").write_text(log)
    assert last_words(tmp_path / "x.log") == said
    assert last_words(tmp_path / "absent.log") == ""


def test_a_record_comes_back_as_it_was():
    cohort = cohort_jobs(plan(evaluate=FOLDS, tests=["S3"]))
    assert from_json(json.loads(json.dumps(as_json(cohort)))) == cohort


# --- what is told of it --------------------------------------------------------------------------------


def test_the_table_tells_size_trust_scores_and_cost(tmp_path):
    made = plan(out=tmp_path, evaluate=FOLDS, tests=["S3"])
    cohort = cohort_jobs(made)
    finish(tmp_path, cohort, "S1", "S2", "S3")
    write_enhanced(tmp_path / "enhanced" / "S1.h5ad")
    (tmp_path / "folds" / "S1.denoise" / "scores" / "scores.tsv").write_text(
        "method\tgenes\tpcc_mean\nfocus\tall\t0.5\nfocus_raw\tall\t0.9\nridge\tall\t0.25\nknn\tall\t0.375\nnone\tall\t\n"
        "focus\tmarkers\t0.1\nridge\tmarkers\t0.8\n"
    )
    (tmp_path / "enhanced" / "S2.h5ad").write_text("cut off")
    report_cohort(made)
    rows = rows_of(tmp_path)
    first = rows["S1"]
    assert (first["locations"], first["genes"], first["median_counts"]) == ("10", "4", "4.5")
    assert (first["median_reliability"], first["abstained"], first["warnings"]) == ("0.5", "0.1", "the H&E is blurred")
    assert (first["denoise.focus"], first["denoise.best"], first["denoise.method"]) == ("0.5", "0.375", "knn")
    own = next(s for s in cohort.samples if s.sample == "S1").jobs
    assert float(first["seconds"]) == 2.0 * len(own)
    assert float(first["memory_mb"]) == pytest.approx(1500.5 * 2**20 / 1e6, rel=1e-5)  # Snakemake counts MiB
    assert (first["report"], first["enhanced"]) == ("reports/S1.html", "enhanced/S1.h5ad")
    assert (rows["S3"]["split"], rows["S2"]["split"], rows["S2"]["status"]) == ("test", "train", "done")
    assert "cannot be read" in rows["S2"]["warnings"]


def test_the_page_holds_every_sample_and_takes_names_for_text(tmp_path):
    made = plan(out=tmp_path)
    cohort = cohort_jobs(made)
    finish(tmp_path, cohort, "S1", "S3")
    fail(tmp_path, job_of(cohort, "S2", "preprocess"), "focus: error: <script>alert(1)</script>\n")
    report_cohort(made)
    page = (tmp_path / "cohort.html").read_text()
    assert page.count('<tr data-status="done">') == 2 and page.count('<tr data-status="failed">') == 1
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page and "<b>lung</b>" not in page
    assert 'href="reports/S1.html"' in page and 'href="logs/preprocess/S2.log"' in page
    assert not any(word in page for word in ("http://", "https://", "@import"))


def test_five_hundred_rows_stay_light(tmp_path):
    made = plan(" ".join(f"S{i:03d}" for i in range(500)), out=tmp_path)
    report_cohort(made)
    assert len(rows_of(tmp_path)) == 500
    assert (tmp_path / "cohort.html").stat().st_size < 800_000


def test_facts_and_scores_of_what_is_not_there_are_empty(tmp_path):
    assert facts_of_enhanced(tmp_path / "no.h5ad") == {}
    assert scores_of(tmp_path, "S1", ["scores/S1.truth"]) == []


# --- the command and the end of a run ------------------------------------------------------------------


def test_the_command_tells_how_far_a_run_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = plan()
    record_cohort(made)
    fail(Path("results"), job_of(cohort_jobs(made), "S1", "preprocess"), "tiles: 1/2\n")
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    assert CliRunner().invoke(steps, ["cohort", "results"]).exit_code == 0
    assert rows_of(tmp_path / "results")["S1"]["status"] == "failed"
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    write_cohort(Path("results"))
    assert rows_of(tmp_path / "results")["S1"]["status"] == "running"


def test_a_folder_without_a_run_or_with_a_damaged_record_is_refused(tmp_path):
    with pytest.raises(MissingResourceError, match="no run was started in"):
        write_cohort(tmp_path)
    (tmp_path / "cohort.json").write_text('{"samples": [{}]}')
    with pytest.raises(BadInputError, match=r"cohort\.json is damaged"):
        write_cohort(tmp_path)


def test_a_page_that_cannot_be_written_stops_no_run(tmp_path, capsys):
    (tmp_path / "results").write_text("a file where the folder should be")
    made = plan(out=tmp_path / "results")
    begin_cohort(made)
    report_cohort(made)
    assert "could not be written" in capsys.readouterr().err


def test_a_run_with_failures_ends_with_a_row_for_each_sample(tmp_path, repo):
    (tmp_path / "raw").mkdir()
    (tmp_path / "samples.tsv").write_text("sample\tpath\tplatform\nS1\traw\tvisium\nS2\traw\tvisium\n")
    (tmp_path / "config.yaml").write_text("samples: samples.tsv\n")
    command = [str(Path(sys.executable).parent / "snakemake"), "-s", str(repo / "workflows" / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "2", "--keep-going", "--quiet", "all"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "results/cohort.html says where and why" in done.stdout + done.stderr
    rows = rows_of(tmp_path / "results")
    assert {name: (row["status"], row["rule"]) for name, row in rows.items()} == {
        "S1": ("failed", "preprocess"),
        "S2": ("failed", "preprocess"),
    }
    assert "no count matrix" in rows["S1"]["message"]
