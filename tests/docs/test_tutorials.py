"""The tutorials do what they say: their commands are run in the order in which they stand.

Blocks of a page share one folder. ``bash`` blocks are run by bash, each from the top of the folder; ``python`` blocks
by Python; a block with a ``title`` is a file of that name. A comment above a block, ``<!-- test: … -->``, says "slow"
(run by the slow test alone) or "exit code 3" (must end with it). ``text`` and ``shell`` blocks are only shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted((REPO / "docs" / "tutorials").glob("*.md"))
FAST = ("platform",)
TIMEOUT_S = 900
_FENCE = re.compile(r"^(?:<!-- test: ([^>]*) -->\n)?```(\w*)([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    title: str | None
    slow: bool
    fails: int
    text: str

    @property
    def runs(self) -> bool:
        return self.title is None and self.language in ("bash", "python")


def blocks(page: Path) -> list[Block]:
    text, found = page.read_text(), []
    for fence in _FENCE.finditer(text):
        said = fence[1] or ""
        title, fails = re.search(r'title="([^"]+)"', fence[3]), re.search(r"exit code (\d+)", said)
        found.append(
            Block(
                text.count("\n", 0, fence.start()) + 1,
                fence[2],
                title[1] if title else None,
                "slow" in said,
                int(fails[1]) if fails else 0,
                fence[4],
            )
        )
    return found


def run(block: Block, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MPLBACKEND": "Agg"}
    command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    return subprocess.run(
        [*command, block.text], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def follow(page: Path, folder: Path, *, slow: bool) -> None:
    for block in blocks(page):
        if block.title is not None:
            path = folder / block.title
            assert path.resolve().is_relative_to(folder.resolve()), block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.runs and (slow or not block.slow):
            done = run(block, folder)
            place = f"{page.name}, line {block.line}"
            assert done.returncode == block.fails, f"{place}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, f"{place}\n{done.stderr}"


def test_there_is_a_tutorial_for_every_user():
    assert {page.stem for page in PAGES} == {"laptop", "cohort", "platform", "encoder", "training"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_run_or_plainly_only_shown(page):
    found = blocks(page)
    assert sum(block.runs for block in found) >= 3
    assert {block.language for block in found} <= {"bash", "python", "yaml", "text", "shell"}
    for block in found:
        if block.language == "yaml":
            assert block.title, f"{page.name}, line {block.line}: which file is this?"
        if block.language == "shell":
            assert "not run by the test" in page.read_text()
    # Every fence was understood.
    assert len(found) * 2 == len(re.findall(r"^```", page.read_text(), re.M))


@pytest.mark.full
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in FAST], ids=lambda page: page.stem)
def test_a_short_tutorial_works(page, tmp_path):
    follow(page, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in FAST], ids=lambda page: page.stem)
def test_a_long_tutorial_works(page, tmp_path):
    follow(page, tmp_path, slow=True)
