"""The documentation becomes a site without a warning, and no page is left out of its contents."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from focus_cli import __version__

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "docs"


def configuration() -> dict:
    return yaml.safe_load((REPO / "mkdocs.yml").read_text())


def listed(entries) -> list[str]:
    found = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += listed(value) if isinstance(value, list) else [value]
    return found


def test_every_page_is_in_the_contents_once():
    pages = listed(configuration()["nav"])
    assert len(pages) == len(set(pages))
    assert set(pages) == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_links_out_of_the_docs_lead_to_the_repository():
    spec = importlib.util.spec_from_file_location("links", DOCS / "hooks" / "links.py")
    links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(links)

    page = SimpleNamespace(file=SimpleNamespace(src_uri="tutorials/laptop.md"))
    text = "[a](../output.md#fields) [b](../../config/README.md#keys) [c](https://x.org/y.md)"
    told = links.on_page_markdown(text, page)
    assert told == f"[a](../output.md#fields) [b]({links.REPOSITORY}config/README.md#keys) [c](https://x.org/y.md)"


def test_an_included_file_has_links_that_lead_from_the_page():
    spec = importlib.util.spec_from_file_location("include", DOCS / "hooks" / "include.py")
    include = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(include)
    for name, source in (("contributing", "CONTRIBUTING.md"), ("releases", "CHANGELOG.md")):
        page = SimpleNamespace(file=SimpleNamespace(src_uri=f"{name}.md"))
        text = include.on_page_markdown((DOCS / f"{name}.md").read_text(), page)
        assert text.splitlines()[0] == (REPO / source).read_text().splitlines()[0]
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
            assert (DOCS / target).exists(), f"{source}: {target}"


def test_the_release_notes_have_one_section_per_version_and_one_for_this_version():
    versions = re.findall(r"^## (\S+)", (REPO / "CHANGELOG.md").read_text(), re.M)
    assert len(versions) == len(set(versions))
    assert versions[0] == __version__


def test_links_to_files_of_the_repository_exist():
    for page in sorted(DOCS.rglob("*.md")):
        for target in re.findall(r"\]\((\.\.?/[^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(REPO)}: {target}"


def test_the_site_is_built_without_a_warning(tmp_path):
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: pip install 'focus-st[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "site" / "index.html").read_text()
    assert "One section on a laptop" in home
    fetched = re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', home)
    assert not fetched, f"fetched from elsewhere: {fetched}"
