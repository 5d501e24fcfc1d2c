"""Legacy ST: counts and spot file joined by ``XxY``, scale from the printed array, sections by path."""

import numpy as np
import pytest
from PIL import Image
from raw_folders import write_legacy

from focus_cli.errors import MissingResourceError, UsageError
from focus_cli.platforms import detect, read


def test_counts_and_positions_are_joined_by_name(tmp_path):
    raw = write_legacy(tmp_path / "D")
    sample = read(tmp_path / "D" / "ST-cnts" / "A1.tsv.gz")
    adata = sample.adata
    assert sample.platform.name == "legacy_st"
    order = raw.positions.index.get_indexer(adata.obs_names)
    np.testing.assert_array_equal(adata.X.toarray(), raw.counts[order])
    np.testing.assert_allclose(adata.obsm["spatial"], raw.positions[["pixel_x", "pixel_y"]].to_numpy()[order])
    assert sample.mpp == pytest.approx(0.7, rel=1e-6)
    assert (sample.footprint.size_um, sample.footprint.pitch_um) == (100.0, 200.0)
    assert sample.image_path is None and any("no H&E" in w for w in sample.warnings)


def test_a_section_is_named_by_its_id(tmp_path):
    write_legacy(tmp_path / "D", "A1")
    write_legacy(tmp_path / "D", "B2", seed=1)
    assert detect(tmp_path / "D" / "B2").platform == "legacy_st"
    assert read(tmp_path / "D" / "B2").adata.X.sum() != read(tmp_path / "D" / "A1").adata.X.sum()
    with pytest.raises(UsageError, match="A1, B2"):
        read(tmp_path / "D")
    with pytest.raises(MissingResourceError, match="C3"):
        read(tmp_path / "D" / "C3")


def test_a_lone_section_needs_no_name(tmp_path):
    raw = write_legacy(tmp_path / "D")
    assert read(tmp_path / "D").adata.n_obs == len(raw.positions)


def test_image_of_the_section_is_found(tmp_path):
    write_legacy(tmp_path / "D")
    folder = tmp_path / "D" / "ST-imgs" / "A" / "A1"
    folder.mkdir(parents=True)
    Image.new("RGB", (50, 50), "pink").save(folder / "any_name.jpg")
    assert read(tmp_path / "D").image_path == folder / "any_name.jpg"


def test_missing_spot_file_is_named(tmp_path):
    write_legacy(tmp_path / "D")
    (tmp_path / "D" / "ST-spotfiles" / "A1_selection.tsv").unlink()
    with pytest.raises(MissingResourceError, match=r"A1_selection\.tsv"):
        read(tmp_path / "D")
