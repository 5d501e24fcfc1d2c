"""The wheel and the source distribution hold what they must; a wheel's workflow is found where it is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import focus_cli

pytestmark = pytest.mark.full

REPO = Path(__file__).resolve().parents[1]
pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)], cwd=REPO, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return out


def _tracked(*folders: str) -> set[str]:
    """Files of the source tree below these folders, as they are in the repository."""
    skipped = ("__pycache__", ".ruff_cache")
    found = (p for folder in folders for p in (REPO / folder).rglob("*") if p.is_file())
    return {p.relative_to(REPO).as_posix() for p in found if not set(skipped) & set(p.parts)}


def test_the_wheel_holds_the_package_its_data_and_the_workflow(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert _tracked("focus_cli") <= names
    assert {f"focus_cli/workflow/shipped/{name}" for name in _tracked("workflows", "rules", "config")} <= names
    assert not [n for n in names if n.startswith(("tests/", "docs/", "share/"))]


def test_the_source_distribution_is_complete(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert _tracked("focus_cli", "workflows", "rules", "config") <= names
    assert {n for n in _tracked("tests", "docs") if n.endswith((".py", ".md", ".svg"))} <= names
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile", "pyproject.toml"} <= names


def test_an_installed_wheel_finds_its_workflow(built, tmp_path):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    code = "from focus_cli.workflow import locate; print(locate.snakefile(), locate.shipped_config('config.yaml'))"
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}
    )
    paths = [Path(p) for p in run.stdout.split()]
    assert len(paths) == 2 and all(p.is_file() and tmp_path in p.parents for p in paths), run.stderr


def test_one_version(built):
    assert f"focus_st-{focus_cli.__version__}" in next(built.glob("*.whl")).name
    assert f"version: {focus_cli.__version__}\n" in (REPO / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {focus_cli.__version__}" in (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
