"""The whole benchmark, small: `focus benchmark --quick` makes its data, runs every kind of case and reports."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_quick_benchmark_runs_from_nothing_and_again_does_nothing(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from focus_cli.cli.main import main; main()",
        "benchmark",
        "--quick",
        "--cores",
        "2",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    out = tmp_path / "results" / "benchmark-quick"
    report = (out / "report.md").read_text()
    for part in ("## Targets", "## Effect of each signal", "## T7", "### T1.S1", "### T5.S1"):
        assert part in report
    assert {path.name for path in (out / "figures").iterdir()} == {"T1.png", "T2.png", "T3.png", "T5.png"}
    before = (out / "report.md").stat().st_mtime_ns
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and (out / "report.md").stat().st_mtime_ns == before
