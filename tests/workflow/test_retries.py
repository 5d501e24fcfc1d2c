"""Mistakes of the user end at once; faults of machines are tried again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from focus_cli.workflow.retries import worth_retrying

SNAKEFILE = """
from focus_cli.workflow.retries import look_before_retrying
look_before_retrying()

rule all:
    input: "a.done", "b.done"

rule one:
    output: "{name}.done"
    log: "{name}.log"
    shell: "echo x >> {wildcards.name}.tries; sh {wildcards.name}.sh > {log} 2>&1; touch {output}"
"""


@pytest.mark.parametrize(
    ("last", "retries"),
    [
        ("focus: exit code 2", 0),
        ("focus: exit code 3", 0),
        ("focus: exit code 4", 1),
        ("focus: exit code 5", 0),
        ("focus: exit code 70", 3),
        ("focus: exit code 74", 3),
        ("focus: exit code 75", 1003),
        ("focus: exit code x", 3),
        ("Killed", 3),
        ("", 3),
    ],
)
def test_only_the_users_mistakes_are_refusals(tmp_path, last, retries):
    log = tmp_path / "log"
    log.write_text(f"said before\nfocus: exit code 3\n{last}\n")
    assert worth_retrying([log], 3) == retries
    assert worth_retrying([log], 0) == 0
    assert worth_retrying([tmp_path / "no.log"], 3) == 3


@pytest.mark.parametrize("grouped", [False, True])
def test_snakemake_tries_a_fault_again_and_a_mistake_not(tmp_path, grouped):
    text = SNAKEFILE
    if grouped:
        text = text.replace('    shell: "echo', '    group: "both"\n    shell: "echo')
    (tmp_path / "Snakefile").write_text(text)
    # A fault: the file is late. A mistake: the verb itself refuses, with its own exit code.
    (tmp_path / "a.sh").write_text("test -e late || { touch late; exit 1; }\n")
    mistake = "focus: exit code 3"
    (tmp_path / "b.sh").write_text(f"echo 'focus: error: bad'; echo '{mistake}'; exit 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--retries", "3", "--keep-going"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "a.tries").read_text().count("x") == 2, done.stderr
    assert (tmp_path / "b.tries").read_text().count("x") == 1, done.stderr


CONTINUED = """
from focus_cli.workflow.retries import failures, look_before_retrying
look_before_retrying()

rule one:
    output: "done"
    log: "one.log"
    resources: mem_mb=lambda wildcards, attempt: 100 * failures("one.log", attempt)
    shell: "echo {resources.mem_mb} >> tries; sh one.sh > {log} 2>&1; touch {output}"
"""


def test_a_job_that_has_to_be_continued_uses_up_no_retries_and_asks_for_no_more(tmp_path):
    (tmp_path / "Snakefile").write_text(CONTINUED)
    # Four time limits, one fault, one more time limit, and the end: with a single retry.
    (tmp_path / "one.sh").write_text(
        "n=$(wc -l < tries)\ncase $n in 5) exit 1;; 7) exit 0;; *) echo 'focus: exit code 75'; exit 75;; esac\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--retries", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tries").read_text().split() == ["100"] * 5 + ["200"] * 2


def test_a_verb_ends_its_log_with_its_exit_code_within_the_workflow_alone(tmp_path):
    def last_line(**environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from focus_cli.cli.main import main; main()", "explain", tmp_path / "nothing.h5ad"],
            env={"PATH": "/usr/bin", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 4
        return done.stderr.splitlines()[-1]

    assert last_line(FOCUS_JOB="1") == "focus: exit code 4"
    assert not last_line().startswith("focus: exit code")


FULL = """
import sys
from pathlib import Path
import focus_cli.cli.explain as verb
from focus_cli.cli.main import main

def write(*arguments, **options):
    {write}

verb.command.callback = write
sys.argv = ["focus", "explain", "x"]
main()
"""


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ("open('/dev/full', 'w', buffering=1).write('x' * 8192 + chr(10))", "no space left on device"),
        (
            "raise OSError(\"Can't write data (file write failed: time = x, errno = 28, error message = 'No space')\")",
            "no space left on device",
        ),
        ("import errno; raise OSError(errno.ESTALE, 'Stale file handle', '/data/S1')", "the file system fails"),
    ],
)
def test_a_full_disk_is_told_in_one_line(tmp_path, write, said):
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(write=write)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 74, done.stderr
    assert said in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
