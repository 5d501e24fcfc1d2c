"""The verbs ``report`` and ``explain`` from the outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from focus_cli.core.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OUTPUT_EXISTS, EXIT_USAGE


def focus(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from focus_cli.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_report_and_explain_run(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    ran = focus("report", study / "S1.h5ad", "--out", out, "--scores", study / "lost", "--genes", "GENE3, HIDDEN1")
    assert ran.returncode == 0, ran.stderr
    assert "<h4>GENE3</h4>" in out.read_text() and "<h4>HIDDEN1</h4>" in out.read_text()
    again = focus("report", study / "S1.h5ad", "--out", out)
    assert again.returncode == EXIT_OUTPUT_EXISTS and "hint: " in again.stderr
    told = focus("explain", study / "S1.h5ad", "--json")
    assert json.loads(told.stdout)["kind"] == "enhanced"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["report", "--out", "r.html"], EXIT_USAGE),
        (["report", "{study}/S1.h5ad", "--out", "{tmp}/r.html", "--genes", "NOSUCH"], EXIT_USAGE),
        (["report", "{tmp}/none.h5ad", "--out", "{tmp}/r.html"], EXIT_MISSING),
        (["report", "{study}", "--out", "{tmp}/r.html"], EXIT_BAD_INPUT),
        (["explain", "{tmp}"], EXIT_BAD_INPUT),
        (["explain", "{tmp}/none"], EXIT_MISSING),
    ],
)
def test_refusals_have_their_exit_code_and_no_traceback(
    study: Path, tmp_path: Path, arguments: list[str], code: int
) -> None:
    ran = focus(*(a.format(study=study, tmp=tmp_path) for a in arguments))
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr and len(ran.stderr.strip().splitlines()) <= 3
    assert not list(tmp_path.iterdir())


def test_importing_the_verbs_loads_no_science() -> None:
    code = (
        "import sys, focus_cli.cli.report, focus_cli.cli.explain;"
        "print([m for m in ('numpy', 'h5py', 'matplotlib', 'anndata', 'torch') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
