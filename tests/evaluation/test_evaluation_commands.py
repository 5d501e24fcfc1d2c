"""The two verbs: one way from a sample to a table, refusals with their exit codes."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import numpy as np
import pytest
import tiny_sections as tiny

from focus_cli.cli.main import main
from focus_cli.core.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OUTPUT_EXISTS, EXIT_USAGE
from focus_cli.evaluation.truth import read_truth


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def focus(*words):
    """Run the command's own entry point, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["focus", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
    return Done(left.value.code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def held(spots, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    done = focus(
        *("holdout", spots.path, "--task", "histology", "--region", "0,0,900,950", "--n-genes", 12),
        *("--out", folder / "seen", "--truth", folder / "truth.h5ad", "--seed", 2),
    )
    assert done.returncode == 0, done.stderr
    assert "12 genes are scored" in done.stderr
    truth = read_truth(folder / "truth.h5ad")
    values = np.zeros((truth.n, 12), dtype=np.float32)
    tiny.write_estimate(folder / "zero.h5ad", values, truth.names, truth.genes)
    return folder


def test_the_table_is_printed_with_what_could_not_run(held, tmp_path):
    done = focus(
        *("evaluate", held / "zero.h5ad", "--truth", held / "truth.h5ad", "--observed", held / "seen"),
        *("--out", tmp_path / "scores"),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    methods = [line.split()[2] for line in lines if line.split()[:1] == ["histology"]]
    # Best first; a prediction of zeros has nothing to be proud of.
    assert {"focus", "nearest", "inverse_distance", "ridge", "gene_mean"} <= set(methods)
    assert methods.index("nearest") < methods.index("focus")
    assert any(line.startswith("not run: cohort_ridge: ") for line in lines)
    assert (tmp_path / "scores" / "scores.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--region", "1,2,3"], EXIT_USAGE),
        (["--region", "a,b,c,d"], EXIT_USAGE),
        (["--crop", "9,9,1,1"], EXIT_USAGE),
        (["--fraction", "1.5"], EXIT_USAGE),
        (["--genes-file", "absent.txt"], EXIT_MISSING),
    ],
)
def test_holdout_refuses_with_one_line_and_a_code(spots, tmp_path, words, code):
    done = focus(
        *("holdout", spots.path, "--task", "histology", *words),
        *("--out", tmp_path / "seen", "--truth", tmp_path / "truth.h5ad"),
    )
    assert done.returncode == code and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_evaluate_refuses_with_a_hint_and_a_code(held, tmp_path):
    out = tmp_path / "scores"
    for words, code in [
        ([held / "absent.h5ad", "--truth", held / "truth.h5ad"], EXIT_MISSING),
        ([held / "zero.h5ad", "--truth", held / "zero.h5ad"], EXIT_BAD_INPUT),
        ([held / "zero.h5ad", "--truth", held / "truth.h5ad", "--layer", "none"], EXIT_USAGE),
    ]:
        done = focus("evaluate", *words, "--out", out)
        assert done.returncode == code and "hint:" in done.stderr and "Traceback" not in done.stderr
        assert not out.exists()
    out.mkdir()
    done = focus("evaluate", held / "zero.h5ad", "--truth", held / "truth.h5ad", "--out", out)
    assert done.returncode == EXIT_OUTPUT_EXISTS


@pytest.mark.parametrize("verb", ["holdout", "evaluate"])
def test_every_option_of_the_verb_is_a_parameter_of_its_stage(verb):
    import importlib
    import inspect

    from focus_cli import evaluation

    command = importlib.import_module(f"focus_cli.cli.{verb}").command
    options = {p.name for p in command.params} - {"help"}
    stage = {"holdout": evaluation.hold_out, "evaluate": evaluation.evaluate}[verb]
    renamed = {"evaluate": {"enhanced": "file"}}.get(verb, {})
    assert options == {renamed.get(name, name) for name in inspect.signature(stage).parameters}


def test_the_verbs_modules_import_no_science():
    code = (
        "import sys, focus_cli.cli.holdout, focus_cli.cli.evaluate;"
        "print([m for m in ('numpy', 'scipy', 'anndata', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_scoring_does_not_import_pytorch():
    code = "import sys, focus_cli.evaluation.stage; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
