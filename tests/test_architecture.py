"""The import law of docs/architecture.md, held against the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def test_packages_import_by_the_law(monkeypatch, capsys):
    cli = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(REPO)
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_the_page_shows_the_imports_of_the_code(monkeypatch):
    pytest.importorskip("grimp")
    monkeypatch.syspath_prepend(REPO / "docs" / "hooks")
    import import_graph

    found = import_graph.arrows()
    page = import_graph.PAGE.read_text(encoding="utf-8")
    assert import_graph.page_with(page, import_graph.table(found, import_graph.levels(found))) == page, (
        "make import-graph"
    )
    assert len(found) <= 60 and len(import_graph.levels(found)) <= 8


def test_every_name_of_a_face_is_there_whatever_was_imported_before():
    faces = sorted(path.parent.relative_to(REPO) for path in (REPO / "focus_cli").rglob("__init__.pyi"))
    code = (
        "import importlib, pkgutil, sys\n"
        "for name in sys.argv[1:]:\n"
        "    face = importlib.import_module(name)\n"
        "    objects = {key: getattr(face, key) for key in face.__all__}\n"
        "    for module in pkgutil.iter_modules(face.__path__):\n"
        "        importlib.import_module(f'{name}.{module.name}')\n"
        "    wrong = [key for key, value in objects.items() if getattr(face, key) is not value]\n"
        "    assert not wrong, (name, wrong)\n"
    )
    names = [".".join(path.parts) for path in faces]
    run = subprocess.run([sys.executable, "-c", code, *names], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
