"""`focus inspect --json` on every layout: which platform, what is there, what is missing, what is suspicious."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from focus_cli.cli.inspect import command
from focus_cli.core.errors import EXIT_BAD_INPUT, EXIT_MISSING
from focus_cli.simulation import simulate
from focus_cli.simulation.arrays import PLATFORMS

NO_IMAGE = "no H&E image was found"
HD = "binned_outputs/square_008um/spatial"
# A file that the platform can do without, and the words that must stand in the notes once it is gone.
OPTIONAL = {
    "visium": ("spatial/scalefactors_json.json", "spatial/scalefactors_json.json is missing"),
    "visium_hd": (f"{HD}/scalefactors_json.json", "square_008um/spatial/scalefactors_json.json is missing"),
    "legacy_st": ("ST-imgs/S/S1/S1_HE.tif", NO_IMAGE),
    "xenium": ("experiment.xenium", "experiment.xenium is missing"),
    "cosmx": ("S1_fov_positions_file.csv", "fov_positions_file.csv is missing"),
    "merscope": ("images/micron_to_mosaic_pixel_transform.csv", "micron_to_mosaic_pixel_transform.csv is missing"),
    "stereoseq": ("outs/image/S1_HE_regist.tif", NO_IMAGE),
    "dbit": ("S1_HE.tif", NO_IMAGE),
    "anndata": ("tissue_image.tif", NO_IMAGE),
    **{name: ("S1_HE.tif", NO_IMAGE) for name in ("slideseq", "openst", "seqfish", "osmfish", "starmap", "merfish")},
}
# A file without which there is no sample, the exit code, and the words that name it.
REQUIRED = {
    "visium": ("spatial/tissue_positions.csv", EXIT_MISSING, "tissue_positions.csv"),
    "visium_hd": (f"{HD}/tissue_positions.parquet", EXIT_MISSING, "tissue_positions.parquet"),
    "legacy_st": ("ST-spotfiles/S1_selection.tsv", EXIT_MISSING, "S1_selection.tsv"),
    "xenium": ("cell_feature_matrix.h5", EXIT_MISSING, "cell_feature_matrix.h5"),
    "cosmx": ("S1_metadata_file.csv", EXIT_MISSING, "metadata_file.csv"),
    "merscope": ("cell_metadata.csv", EXIT_MISSING, "cell_metadata.csv"),
    "slideseq": ("S1_bead_locations.csv", EXIT_MISSING, "bead_locations.csv"),
    "seqfish": ("S1_CellCoordinates.csv", EXIT_MISSING, "CellCoordinates"),
    "starmap": ("S1_spatial.csv", EXIT_MISSING, "spatial.csv"),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """``raw(platform)``: the folder of a small section; tests must not write into it."""
    made: dict[str, Path] = {}

    def get(platform: str) -> Path:
        if platform not in made:
            out = tmp_path_factory.mktemp("inspected") / "study"
            simulate(out, platform=platform, n_sections=1, size_um=600.0, n_genes=40, mpp=2.0, seed=1)
            made[platform] = out / "sections" / "S1"
        return made[platform]

    return get


def inspect(path: Path) -> tuple[int, dict]:
    done = CliRunner().invoke(command, [str(path), "--json"], catch_exceptions=False)
    return done.exit_code, json.loads(done.stdout)


def without(source: Path, folder: Path, name: str) -> Path:
    shutil.copytree(source, folder)
    (folder / name).unlink()
    return folder


@pytest.mark.parametrize("platform", PLATFORMS)
def test_names_the_platform_and_what_is_there(platform, raw):
    code, report = inspect(raw(platform))
    assert (code, report["problems"], report["platform"]) == (0, [], platform)
    assert report["locations"] > 0 and report["genes"] == 40 and report["counts"] > 0 and report["mpp"] > 0
    there = {p.name for p in raw(platform).rglob("*")}
    assert report["evidence"] and Path(report["evidence"][0]).name in there
    assert not any("is missing" in note for note in report["warnings"])


def test_every_layout_has_something_it_can_do_without():
    assert set(OPTIONAL) == set(PLATFORMS) - {"spatialdata"}


@pytest.mark.parametrize("platform", OPTIONAL)
def test_says_which_optional_file_is_missing(platform, raw, tmp_path):
    name, words = OPTIONAL[platform]
    assert not any(words in note for note in inspect(raw(platform))[1]["warnings"])
    code, report = inspect(without(raw(platform), tmp_path / "raw", name))
    assert (code, report["problems"], report["platform"]) == (0, [], platform)
    assert any(words in note for note in report["warnings"]), report["warnings"]


@pytest.mark.parametrize("platform", REQUIRED)
def test_says_which_required_file_is_missing(platform, raw, tmp_path):
    name, exit_code, words = REQUIRED[platform]
    code, report = inspect(without(raw(platform), tmp_path / "raw", name))
    assert (code, report["platform"]) == (exit_code, platform)
    assert words in report["problems"][0]["message"] and report["problems"][0]["hint"]
    assert "locations" not in report


def test_says_what_is_suspicious(raw, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(raw("visium_hd"), folder)
    factors = json.loads((folder / HD / "scalefactors_json.json").read_text())
    factors["microns_per_pixel"] *= 2
    (folder / HD / "scalefactors_json.json").write_text(json.dumps(factors))
    code, report = inspect(folder)
    assert code == 0 and any("the vendor's file states 4, the array pitch 2" in note for note in report["warnings"])


def test_says_what_cannot_be(raw, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(raw("visium"), folder)
    positions = folder / "spatial" / "tissue_positions.csv"
    positions.write_text(positions.read_text().replace("-1,", "-2,"))  # another sample's barcodes
    code, report = inspect(folder)
    assert code == EXIT_BAD_INPUT and "positions do not match the matrix" in report["problems"][0]["message"]
