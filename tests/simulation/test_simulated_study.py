"""A study is whole or absent, and a function of its seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from focus_cli.cli.simulate import command
from focus_cli.core.errors import OutputExistsError, UsageError
from focus_cli.simulation import simulate, study

LISTS = ("samples.tsv", "study.json")  # of the sections
TINY = {"size_um": 700.0, "n_genes": 40}


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("platform", ["visium", "visium_hd", "legacy_st", "anndata"])
def test_same_seed_same_bytes(tmp_path, platform):
    first = simulate(tmp_path / "a", platform=platform, n_sections=1, seed=5, **TINY)
    second = simulate(tmp_path / "b", platform=platform, n_sections=1, seed=5, **TINY)
    assert _hashes(first) == _hashes(second)


def test_another_seed_gives_another_study_and_more_sections_change_none(tmp_path):
    one = _hashes(simulate(tmp_path / "a", n_sections=1, seed=5, **TINY))
    two = _hashes(simulate(tmp_path / "b", n_sections=2, seed=5, **TINY))
    other = _hashes(simulate(tmp_path / "c", n_sections=1, seed=6, **TINY))
    assert {k: v for k, v in two.items() if k in one and k not in LISTS} == {
        k: v for k, v in one.items() if k not in LISTS
    }
    image, matrix = "sections/S1/tissue_image.tif", "sections/S1/filtered_feature_bc_matrix.h5"
    for name in (image, matrix, "reference.h5ad", "truth/S1.h5ad", "truth/S1.fine.h5ad"):
        assert other[name] != one[name], name
    for name in (image, matrix):
        assert two[name] != two[name.replace("S1", "S2")]


def test_the_sheet_lists_every_section_with_paths_that_exist(tmp_path):
    out = simulate(tmp_path / "s", n_sections=2, platform="visium_hd", **TINY)
    sheet = pd.read_csv(out / "samples.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert list(sheet.columns) == [
        *("sample", "path", "platform", "image", "mpp", "bin_um", "donor", "organ", "species"),
        *("truth", "truth_fine"),
    ]
    assert list(sheet["sample"]) == ["S1", "S2"]
    assert list(sheet["bin_um"]) == ["8", "8"]
    assert sheet["donor"].is_unique
    for column in ("path", "image", "truth", "truth_fine"):
        assert all((out / cell).exists() for cell in sheet[column])
        assert not any(Path(cell).is_absolute() for cell in sheet[column])


def test_an_existing_output_is_kept_unless_overwriting(tmp_path):
    out = tmp_path / "s"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match="output exists"):
        simulate(out, n_sections=1, **TINY)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputExistsError, match="not a simulated study that FOCUS wrote"):
        simulate(out, n_sections=1, overwrite=True, **TINY)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]


def test_a_study_is_replaced_where_overwriting(tmp_path):
    out = simulate(tmp_path / "s", n_sections=2, **TINY)
    with pytest.raises(OutputExistsError, match="output exists"):
        simulate(out, n_sections=1, **TINY)
    simulate(out, n_sections=1, overwrite=True, **TINY)
    assert [p.name for p in (out / "sections").iterdir()] == ["S1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"platform": "imaginary"}, "imaginary"),
        ({"n_sections": 0}, "--sections 0"),
        ({"seed": -1}, "--seed -1"),
        ({"size_um": 100}, "--size-um 100"),
        ({"size_um": 9000}, "--size-um 9000"),
        ({"size_um": float("nan")}, "--size-um nan"),
        ({"n_genes": 3}, "--genes 3"),
        ({"mpp": 0.0}, "--mpp 0"),
    ],
)
def test_impossible_studies_are_refused_before_any_work(tmp_path, options, said):
    with pytest.raises(UsageError, match=said) as caught:
        simulate(tmp_path / "s", **options)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args):
        raise OSError("disk full")

    monkeypatch.setattr(study, "write_section", fail)
    with pytest.raises(OSError, match="disk full"):
        simulate(tmp_path / "s", n_sections=1, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_what_its_options_say(tmp_path):
    out = tmp_path / "s"
    words = [str(out), "--sections", "1", "--size-um", "700", "--genes", "40", "--platform", "legacy_st"]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "sections/S1/ST-cnts/S1.tsv.gz", sep="\t", index_col=0)
    assert table.shape[1] == 40
    assert len(table) >= 1
