"""The command as a whole: help, quick start-up, exit codes, errors in one line."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from focus_cli.cli import main as cli_module
from focus_cli.cli.main import VERBS, cli
from focus_cli.core import errors

MAIN = "from focus_cli.cli.main import main; main()"
HEAVY = ("torch", "scanpy", "anndata", "numpy", "pandas", "scipy", "skimage", "snakemake", "pydantic")


def focus(*options: str, code: str = MAIN) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_summary_and_an_example(verb):
    shown = CliRunner().invoke(cli, [verb, "--help"], prog_name="focus")
    assert shown.exit_code == 0, shown.output
    text = cli.get_command(None, verb).help or ""
    assert text.strip().splitlines()[0].endswith("."), "the first line is the summary"
    assert f"focus {verb} " in text, "an example of the verb"


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does(verb):
    command = cli.get_command(None, verb)
    silent = [p.opts[0] for p in command.params if p.param_type_name == "option" and not getattr(p, "help", None)]
    assert not silent, f"{verb}: no help for {silent}"


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("inspect", "--json"),
        ("preprocess", "--out --sample --platform --image --mpp --bin-um --step-um --overwrite"),
        ("reference", "--out --cell-type"),
        ("train", "--out --reference --preset --config --max-steps --device --seed --resume"),
        (
            "enhance",
            "--out --model --reference --genes --resolution-um --refined --histology-only --samples --seed --device",
        ),
        (
            "holdout",
            "--task --out --truth --seed --fraction --n-genes --truth-bin-um --reference --test-fraction",
        ),
        ("evaluate", "--truth --out --observed --reference --training --seed"),
        ("report", "--out --scores"),
        ("simulate", "--platform --seed"),
        ("run", "--configfile --profile"),
        ("doctor", "--json"),
    ],
)
def test_the_options_that_others_build_on_exist(verb, options):
    found = {opt for param in cli.get_command(None, verb).params for opt in param.opts}
    assert set(options.split()) <= found


def test_help_is_quick_and_imports_no_science():
    tell = f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    code = f"import atexit, sys; atexit.register(lambda: {tell}); {MAIN}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = focus("--help", code=code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
    # Processor time, since a busy machine stretches the clock: 0.4 s where this was written.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.8
    for verb in VERBS:
        assert verb in done.stdout


def test_the_version_is_printed():
    done = focus("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"focus, version {cli_module.__version__}")


def test_an_unknown_verb_is_a_usage_error():
    done = focus("enhnace")
    assert done.returncode == errors.EXIT_USAGE
    assert "No such command" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_a_usage_error():
    done = focus("doctor", "--jsno")
    assert done.returncode == errors.EXIT_USAGE
    assert "--jsno" in done.stderr


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("UsageError('bad option', hint='try this')", 2),
        ("BadInputError('bad file', hint='try this')", 3),
        ("MissingResourceError('no file', hint='try this')", 4),
        ("OutputExistsError('there', hint='try this')", 5),
        ("FocusError('defect', hint='try this')", 70),
    ],
)
def test_a_refusal_is_one_line_a_hint_and_its_own_exit_code(raised, code):
    program = (
        "from focus_cli.cli import main as cli\nfrom focus_cli.core import errors\n"
        f"def refuse(**kwargs): raise errors.{raised}\n"
        "cli.cli.main = refuse\n"
        "cli.main()"
    )
    done = focus(code=program)
    assert done.returncode == code
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("focus: error: ")
    assert lines[1] == "  hint: try this"


@pytest.mark.parametrize("kind", ["MemoryError", "type('OutOfMemoryError', (RuntimeError,), {})"])
def test_out_of_memory_says_what_to_lower(kind):
    raising = f"def burst(**kwargs): raise {kind}()\n"
    program = f"from focus_cli.cli import main as cli\n{raising}cli.cli.main = burst\ncli.main()"
    done = focus(code=program)
    assert done.returncode == errors.EXIT_INTERNAL
    first, second = done.stderr.splitlines()
    assert first == "focus: error: out of memory" and "batch_points" in second


def test_an_interrupt_is_not_a_traceback():
    program = (
        "from focus_cli.cli import main as cli\n"
        "def interrupt(**kwargs): raise KeyboardInterrupt\n"
        "cli.cli.main = interrupt\n"
        "cli.main()"
    )
    done = focus(code=program)
    assert done.returncode == errors.EXIT_INTERRUPTED
    assert done.stderr.strip() == "focus: interrupted"


@pytest.mark.parametrize(
    "options",
    [
        ("preprocess", "absent", "--out", "out", "--sample", "S1"),
        ("reference", "absent.h5ad", "--out", "out"),
        ("train", "absent", "--out", "out"),
        ("enhance", "absent", "--out", "out.h5ad"),
        ("holdout", "absent", "--task", "denoise", "--out", "out", "--truth", "t.h5ad"),
        ("evaluate", "absent.h5ad", "--truth", "absent2.h5ad", "--out", "out"),
        ("report", "absent.h5ad", "--out", "out.html"),
        ("inspect", "absent"),
        ("explain", "absent.h5ad"),
        ("run", "--configfile", "absent.yaml"),
    ],
    ids=lambda options: options[0],
)
def test_a_missing_input_is_named_and_nothing_is_written(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, list(options))
    assert isinstance(done.exception, errors.MissingResourceError), done.exception
    assert "absent" in done.exception.message
    assert "\n" not in done.exception.message
    assert list(tmp_path.iterdir()) == []
