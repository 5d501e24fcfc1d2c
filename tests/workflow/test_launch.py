"""`focus run`, `focus init` as a user meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from focus_cli.core.errors import MissingResourceError, OutputExistsError
from focus_cli.workflow import locate
from focus_cli.workflow import new_study as newstudy
from focus_cli.workflow.config import load_config, load_samples
from focus_cli.workflow.new_study import write_study
from focus_cli.workflow.progress_lines import VARIABLE as PROGRESS_LINES
from focus_cli.workflow.starting import start_run

FOCUS = [sys.executable, "-c", "from focus_cli.cli.main import main; main()"]

N_LINES = len(newstudy._sheet().splitlines())  # of a sheet without samples


def focus(*options: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*FOCUS, *options], cwd=cwd, env=dict(os.environ), capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def study_folder(tmp_path):
    write_study(tmp_path / "study")
    (tmp_path / "study" / "raw").mkdir()
    return tmp_path / "study"


def add_sample(folder: Path, line: str) -> None:
    with open(folder / "samples.tsv", "a") as stream:
        stream.write(line + "\n")


def test_run_prints_the_command_and_passes_options_on(study_folder):
    add_sample(study_folder, "S1\traw")
    done = focus("run", "--dry-run", "--quiet", "rules", cwd=study_folder)
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("snakemake --configfile config.yaml --snakefile ")
    assert first.endswith("--dry-run --quiet rules")
    assert "report_sample" in done.stdout + done.stderr
    assert not (study_folder / "results").exists()


@pytest.mark.parametrize(
    ("break_it", "code", "said"),
    [
        (
            lambda f: (f / "config.yaml").write_text("trian: {}\n"),
            2,
            "unknown key trian; did you mean",
        ),
        (lambda f: add_sample(f, "S1\tabsent"), 3, f"line {N_LINES + 1}: path: no such file or folder"),
        (lambda f: (f / "config.yaml").unlink(), 4, "no configuration"),
        (
            lambda f: (
                add_sample(f, "S1\traw"),
                (f / "config.yaml").write_text("samples: samples.tsv\nreference: {path: absent.h5ad}\n"),
            ),
            4,
            "reference.path: no such file: absent.h5ad",
        ),
    ],
)
def test_run_refuses_before_snakemake_starts(study_folder, break_it, code, said):
    break_it(study_folder)
    done = focus("run", "--dry-run", cwd=study_folder)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (study_folder / ".snakemake").exists()


def test_run_names_the_profiles_it_has(study_folder):
    add_sample(study_folder, "S1\traw")
    done = focus("run", "--profile", "slrum", "--dry-run", cwd=study_folder)
    assert done.returncode == 4
    assert "no such profile: slrum" in done.stderr
    assert "local, lsf, sge, slurm, slurm-gres" in done.stderr


def test_init_writes_a_valid_study_once(tmp_path):
    written = write_study(tmp_path / "new")
    assert [path.name for path in written] == ["config.yaml", "samples.tsv", "README.md"]
    assert load_config(tmp_path / "new" / "config.yaml").samples == "samples.tsv"
    add_sample(tmp_path / "new", "S1\traw")
    assert [row.sample for row in load_samples(tmp_path / "new" / "samples.tsv")] == ["S1"]
    before = {path: path.read_bytes() for path in written}
    with pytest.raises(OutputExistsError):
        write_study(tmp_path / "new")
    assert {path: path.read_bytes() for path in written} == before


def test_the_workflow_is_found_beside_the_package_or_within_it(repo, tmp_path, monkeypatch):
    assert locate.snakefile() == repo / "workflows" / "Snakefile"
    package = tmp_path / "lib" / "focus_cli"
    installed = package / "workflow" / "shipped" / "workflows"
    installed.mkdir(parents=True)
    (installed / "Snakefile").touch()
    monkeypatch.setattr(locate.focus_cli, "__file__", str(package / "__init__.py"))
    assert locate.snakefile() == installed / "Snakefile"
    (installed / "Snakefile").unlink()
    with pytest.raises(MissingResourceError, match="Snakefile is not installed"):
        locate.snakefile()


@pytest.mark.parametrize(("options", "requested"), [((), True), (("--dry-run",), False), (("--unlock",), False)])
def test_progress_lines_are_requested_of_a_run_that_starts_jobs(study_folder, monkeypatch, options, requested):
    started = []
    monkeypatch.chdir(study_folder)
    monkeypatch.setattr(os, "execve", lambda *words: started.append(words))
    start_run([Path("config.yaml")], "local", options)
    ((_, command, environment),) = started
    assert (environment.get(PROGRESS_LINES) == "1") is requested
    assert environment["PYTHONSAFEPATH"] == "1"
    assert not {"--quiet", "-q"} & set(command)
