"""On one machine jobs are selected when a job ends, not every second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from focus_cli.workflow.polling import select_on_events_alone

SNAKEFILE = """
from focus_cli.workflow.polling import select_on_events_alone

rule all:
    input: "1.txt", "2.txt", "3.txt"

rule wait:
    output: "{n}.txt"
    shell: "sleep 2 && touch {output}"

onstart:
    select_on_events_alone(workflow)
"""


def test_a_run_selects_jobs_when_one_ends(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--verbose"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    # Three jobs and the target: a selection for each, one after the last start of each, and none in between.
    assert done.stderr.count("Resources before job selection") <= 6


def workflow_of(max_jobs: int, timespan: float, *, local: bool) -> SimpleNamespace:
    limiter = SimpleNamespace(max_jobs=max_jobs, timespan=timespan)
    return SimpleNamespace(scheduler=SimpleNamespace(job_rate_limiter=limiter), local_exec=local)


@pytest.mark.parametrize(
    ("workflow", "limited"),
    [
        (workflow_of(100, 1, local=True), False),
        (workflow_of(100, 1, local=False), True),
        (workflow_of(5, 60, local=True), True),
    ],
)
def test_clusters_and_stated_limits_are_left_alone(workflow: SimpleNamespace, limited: bool) -> None:
    select_on_events_alone(workflow)
    assert (workflow.scheduler.job_rate_limiter is not None) is limited


def test_an_unknown_snakemake_is_a_warning(capsys: pytest.CaptureFixture) -> None:
    select_on_events_alone(SimpleNamespace())
    assert capsys.readouterr().err.startswith("warning: jobs are selected every second")
