"""Progress of a run as a real Snakemake prints it: one line per rule, one per failed job, and a complete log file."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from focus_cli.core.errors import EXIT_CODE_LINE
from focus_cli.workflow.progress_lines import INTERVAL_S, VARIABLE, ProgressLines

SNAKEFILE = """
    from focus_cli.workflow import progress_lines

    progress_lines.prepare(workflow)

    rule all:
        input: "second.txt", "third.txt"

    rule first:
        output: "{name}.txt"
        wildcard_constraints: name="[ab]"
        log: "logs/first/{name}.log"
        shell: "touch {output} 2> {log}"

    rule second:
        input: "a.txt", "b.txt"
        output: "second.txt"
        log: "logs/second.log"
        shell: "if [ -e broken ]; then echo focus: no such gene: EPCAM > {log}; exit 3; fi; touch {output}"

    rule third:
        input: "a.txt"
        output: "third.txt"
        shell: "touch {output}"

    onstart:
        progress_lines.begin(workflow)
    onsuccess:
        progress_lines.finish(log)
    onerror:
        progress_lines.finish(log)
"""


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """Run the small workflow there with progress lines requested."""
    (folder / "Snakefile").write_text(textwrap.dedent(SNAKEFILE))
    profile = str(Path(__file__).parents[2] / "workflows" / "profiles" / "local")
    words = [sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "1", *options]
    environment = {**os.environ, VARIABLE: "1"}
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, timeout=600)


def own_lines(run: subprocess.CompletedProcess) -> list[str]:
    """What was printed after Snakemake named its profile."""
    return [line for line in run.stderr.splitlines() if not line.startswith("Using profile")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[subprocess.CompletedProcess]]:
    """A run whose job fails, the run that continues it, and a third that has nothing to do."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "broken").touch()
    failed = snakemake(folder)
    (folder / "broken").unlink()
    return folder, [failed, snakemake(folder), snakemake(folder)]


def test_a_run_prints_a_line_per_rule(runs):
    folder, (_, done, _) = runs
    assert done.returncode == 0, done.stderr
    lines = own_lines(done)
    assert len(lines) == 3, done.stderr
    assert lines[0] == "1 job of 1 rules"
    assert re.fullmatch(r"second +1 job +\d+ s  \[1/1\]", lines[1])
    log = re.fullmatch(r"1 of 1 job done in \d+ s; full log: (\.snakemake/log/\S+\.log)", lines[2])[1]
    assert (folder / log).is_file()


def test_a_failed_job_is_named_with_its_log_and_its_last_words(runs):
    _, (failed, _, _) = runs
    assert failed.returncode == 1
    lines = own_lines(failed)
    assert lines[0] == "4 jobs of 3 rules"
    assert "failed: second (logs/second.log): no such gene: EPCAM" in lines
    counts = {tuple(line.split()[:3]) for line in lines if line.startswith(("first", "third"))}
    assert counts == {("first", "2", "jobs"), ("third", "1", "job")}
    assert "3 of 4 jobs done" in lines[-1]
    assert ", 1 failed; full log: " in lines[-1]
    assert "Traceback" not in failed.stderr
    assert len(lines) == 5, failed.stderr


def test_the_log_file_is_complete(runs):
    _, (failed, _, _) = runs
    folder = runs[0]
    log = (folder / failed.stderr.rsplit("full log: ", 1)[1].strip()).read_text()
    for part in ("rule first:", "wildcards: name=a", "Finished jobid", "Error in rule second", "of 5 steps", "exit 3"):
        assert part in log, part


def test_nothing_to_do_is_stated(runs):
    assert "Nothing to be done" in runs[1][2].stderr


@pytest.mark.parametrize("options", [("--printshellcmds",), ("-nq", "rules")])
def test_stated_options_of_snakemake_keep_its_own_output(tmp_path, options):
    done = snakemake(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert "Job stats:" in done.stdout + done.stderr
    assert "full log: " not in done.stderr


# --- the handler alone -------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def emit(lines: ProgressLines, event: str, **values: object) -> None:
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", (), None)
    record.__dict__.update(event=SimpleNamespace(value=event), **values)
    lines.emit(record)


def submit(lines: ProgressLines, job: int, rule: str, **wildcards: str) -> None:
    emit(lines, "job_info", jobid=job, rule_name=rule, wildcards=wildcards)


def test_a_rule_of_many_jobs_gets_at_most_a_line_a_minute(clock, capsys):
    lines = ProgressLines(dict.fromkeys(range(1000), "enhance"), clock)
    for job in range(1000):
        submit(lines, job, "enhance", sample=f"S{job}")
        clock.now += 1
        emit(lines, "job_finished", job_id=job)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1000 // INTERVAL_S + 1
    assert printed[0].split() == ["enhance", "60/1000", "jobs", "60", "s", "[60/1000]"]
    assert printed[-1].split() == ["enhance", "1000", "jobs", "17", "min", "[1000/1000]"]


def test_a_job_that_is_tried_again_is_not_failed_at_the_end(clock, capsys, tmp_path):
    lines = ProgressLines({1: "enhance"}, clock)
    log = tmp_path / "S1.log"
    log.write_text("focus: no memory\n")
    submit(lines, 1, "enhance", sample="S1")
    emit(lines, "job_error", jobid=1, rule_name="enhance", log=[str(log)])
    submit(lines, 1, "enhance", sample="S1")
    emit(lines, "job_finished", job_id=1)
    assert capsys.readouterr().err.splitlines()[:2] == [f"failed: enhance S1 ({log}): no memory", "again: enhance S1"]
    assert lines.closing("") == "1 of 1 job done in 0 s"


def test_what_the_scheduler_states_of_a_job_is_printed_unless_the_job_failed_by_itself(clock, capsys, tmp_path):
    log = tmp_path / "S1.log"
    log.write_text("focus: reading\n")
    for message in (
        "SLURM sbatch failed. The error message was 'no such node'.\n    sbatch call:\n  sbatch --parsable",
        "SLURM-job '7' failed, SLURM status is: 'FAILED'. ",
        None,
    ):
        lines, values = ProgressLines({1: "enhance"}, clock), {"jobid": 1, "rule_name": "enhance", "log": [str(log)]}
        for _ in range(2):  # some versions of Snakemake log a failure twice
            emit(lines, "job_error", **values, rule_msg=message)
    refused, failed, local = capsys.readouterr().err.splitlines()
    assert refused == (f"failed: enhance ({log}): SLURM sbatch failed. The error message was 'no such node'.; reading")
    assert failed == local == f"failed: enhance ({log}): reading"


def test_of_a_group_the_failed_jobs_are_named(clock, capsys, tmp_path):
    jobs = []
    for number, text in enumerate(["all well\n", f"focus: disk full\n{EXIT_CODE_LINE} 74\n"], start=1):
        path = tmp_path / f"{number}.log"
        path.write_text(text)
        jobs.append({"jobid": number, "rule_name": f"rule{number}", "log": [str(path)]})
    emit(ProgressLines({1: "rule1", 2: "rule2"}, clock), "group_error", job_error_info=jobs)
    assert capsys.readouterr().err == f"failed: rule2 ({tmp_path / '2.log'}): disk full\n"


def test_a_record_of_an_unknown_form_ends_the_lines_and_raises_nothing(clock, capsys):
    lines = ProgressLines({1: "enhance"}, clock)
    emit(lines, "job_info", jobid=1)
    assert lines.broken
    emit(lines, "job_finished", job_id=1)
    assert capsys.readouterr().err == "warning: no progress lines any more: KeyError: 'rule_name'\n"
