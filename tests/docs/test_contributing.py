"""The worked examples of CONTRIBUTING.md, applied to a copy of the package and run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy.spatial import cKDTree
from test_tutorials import Block, blocks, run

from focus_cli.core import keys
from focus_cli.core.storage import open_sample

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "CONTRIBUTING.md"
SIDE, PITCH_UM = 6, 100.0


def example(heading: str) -> list[Block]:
    """Blocks below a heading of the second level."""
    text = PAGE.read_text(encoding="utf-8")
    starts = {m[1]: text.count("\n", 0, m.start()) + 1 for m in re.finditer(r"^## (.+)$", text, re.M)}
    first = starts[heading]
    last = min((line for line in starts.values() if line > first), default=len(text))
    return [block for block in blocks(PAGE) if first < block.line < last]


def registered(block: Block) -> tuple[str, str]:
    """The line of a diff block after which something is added, and what is added."""
    context, *added = block.text.splitlines(keepends=True)
    assert context[0] == " " and added and all(line[0] == "+" for line in added), block.text
    return context[1:], "".join(line[1:] for line in added)


def apply(block: Block, top: Path) -> None:
    path = top / block.title
    if block.language == "python":
        assert not path.exists(), block.title
        path.write_text(block.text, encoding="utf-8")
        return
    context, added = registered(block)
    source = path.read_text(encoding="utf-8")
    assert source.count(context) == 1, f"{block.title}: {context!r}"
    path.write_text(source.replace(context, context + added), encoding="utf-8")


def follow(heading: str, top: Path, folder: Path) -> list[str]:
    """Apply and run the blocks of an example; the standard output of those that ran."""
    printed = []
    for block in example(heading):
        if block.title is not None:
            apply(block, top)
        elif block.runs:
            done = run(block, folder)
            assert done.returncode == 0, f"line {block.line}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            printed.append(done.stdout)
    return printed


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a copy of the package, which processes import in place of the installed one."""
    ignored = shutil.ignore_patterns("__pycache__", "focus-nano")
    shutil.copytree(REPO / "focus_cli", tmp_path / "package" / "focus_cli", ignore=ignored)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "package"))
    (tmp_path / "work").mkdir()
    return tmp_path / "package"


@pytest.fixture
def work(package: Path) -> Path:
    return package.parent / "work"


def write_enhanced(path: Path) -> np.ndarray:
    """A minimal enhanced file of a square grid; its positions in µm."""
    row, col = np.divmod(np.arange(SIDE * SIDE), SIDE)
    um = np.stack([col, row], axis=1) * PITCH_UM
    counts = np.random.default_rng(0).poisson(3, (len(um), 4)).astype(np.float32)
    adata = anndata.AnnData(np.log1p(counts), layers={keys.COUNTS: counts})
    adata.obs_names = [f"spot{i}" for i in range(len(um))]
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = um / 0.5, um
    adata.uns[keys.UNS] = {"kind": "enhanced", "sample_id": "S1", "mpp": 0.5}
    adata.write_h5ad(path)
    return um


@pytest.mark.parametrize("heading", ["Add a platform", "Add an analysis"])
def test_a_platform_and_an_analysis_take_one_file_and_one_line(heading):
    titled = [block for block in example(heading) if block.title is not None]
    assert [block.language for block in titled] == ["python", "diff"]
    assert registered(titled[1])[1].count("\n") == 1


def test_every_block_is_applied_run_or_only_shown():
    found = blocks(PAGE)
    assert len(found) * 2 == len(re.findall(r"^```", PAGE.read_text(encoding="utf-8"), re.M))
    assert {block.language for block in found if block.title} == {"python", "diff"}
    assert {block.language for block in found if not block.title} == {"python", "bash", "shell"}


def test_a_platform_is_recognised_and_read(package, work):
    inspected, *_ = [text for text in follow("Add a platform", package, work) if text]
    assert "GridSeq" in inspected or "gridseq" in inspected
    sample = open_sample(work / "G1")
    adata = sample.read()
    assert (sample.info.platform.name, adata.shape) == ("gridseq", (100, 20))
    assert list(adata.obs_names[:2]) == ["spot0", "spot1"]
    assert np.allclose(np.asarray(adata.obsm[keys.SPATIAL_UM])[11], [50, 50])


def test_a_baseline_is_run_with_the_others(package, work):
    follow("Add a baseline", package, work)


def test_an_encoder_preset_is_listed(package, work):
    (listed,) = follow("Add an encoder preset", package, work)
    assert re.search(r"^tissue-vit-s +0\.5 +224 +384 +Apache-2\.0 +open +timm", listed, re.M), listed


def test_an_analysis_is_a_command_whose_result_is_opened_explained_and_shown(package, work):
    um = write_enhanced(work / "enhanced.h5ad")
    (printed,) = follow("Add an analysis", package, work)
    assert "locations within the radius" in printed
    result = anndata.read_h5ad(work / "density.h5ad")
    expected = [len(near) - 1 for near in cKDTree(um).query_ball_point(um, 120.0)]
    assert list(result.obs["neighbours"]) == expected
    assert result.uns[keys.UNS]["kind"] == "density"
    assert np.array_equal(result.obsm[keys.SPATIAL_UM], um)
    assert "Density" in (work / "report.html").read_text(encoding="utf-8")
