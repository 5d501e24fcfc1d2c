"""Visium HD: bins are read or merged exactly; counts are conserved, positions are means of the fine ones."""

import numpy as np
import pytest
from raw_folders import write_visium_hd

from focus_cli.core.errors import UsageError
from focus_cli.platforms import detect, read
from focus_cli.platforms.readers.visium_hd import choose_bin


def dense_by_square(sample):
    """{(row, col): counts} of a sample."""
    obs = sample.adata.obs
    return {key: values for key, values in zip(zip(obs["array_row"], obs["array_col"]), sample.adata.X.toarray())}


@pytest.mark.parametrize("bin_um", [2, 4, 6, 16, 48])
def test_merging_conserves_every_gene(tmp_path, bin_um):
    raw = write_visium_hd(tmp_path / "S", sizes=(2,))
    sample = read(raw.path, bin_um=bin_um)
    np.testing.assert_array_equal(np.asarray(sample.adata.X.sum(axis=0)).ravel(), raw.counts.sum(axis=0))
    assert sample.footprint.size_um == sample.footprint.pitch_um == bin_um
    assert sample.adata.X.format == "csr"


def test_merged_bins_equal_a_plain_loop(tmp_path):
    raw = write_visium_hd(tmp_path / "S", sizes=(2,))
    sample = read(raw.path, bin_um=6)
    expected: dict = {}
    for (_, spot), counts in zip(raw.positions.iterrows(), raw.counts):
        key = (int(spot["array_row"]) // 3, int(spot["array_col"]) // 3)
        expected[key] = expected.get(key, 0) + counts
    found = dense_by_square(sample)
    assert found.keys() == expected.keys()
    for key, counts in expected.items():
        np.testing.assert_array_equal(found[key], counts)


def test_merged_bins_are_those_on_disk(tmp_path):
    raw = write_visium_hd(tmp_path / "S", sizes=(2, 8))
    merged_raw = write_visium_hd(tmp_path / "T", sizes=(2,))
    disk, merged = read(raw.path, bin_um=8), read(merged_raw.path, bin_um=8)
    assert list(disk.adata.obs_names) == list(merged.adata.obs_names)
    np.testing.assert_array_equal(disk.adata.X.toarray(), merged.adata.X.toarray())
    np.testing.assert_allclose(disk.adata.obsm["spatial_um"], merged.adata.obsm["spatial_um"])
    assert merged.adata.obs_names[0].startswith("s_008um_")


def test_default_is_eight_and_a_square_folder_means_itself(tmp_path):
    raw = write_visium_hd(tmp_path / "S", sizes=(2, 8))
    assert read(raw.path).footprint.size_um == 8
    assert read(raw.path / "binned_outputs").footprint.size_um == 8
    assert read(raw.path / "binned_outputs" / "square_002um").footprint.size_um == 2
    assert detect(raw.path).platform == "visium_hd"
    assert read(raw.path).platform.version == "3.0.1"


def test_choice_of_bins():
    on_disk = {2: None, 8: None, 16: None}
    assert choose_bin(on_disk, None, "x") == (8, 1)
    assert choose_bin(on_disk, 16, "x") == (16, 1)
    assert choose_bin(on_disk, 24, "x") == (8, 3)
    assert choose_bin(on_disk, 6, "x") == (2, 3)
    assert choose_bin({2: None}, None, "x") == (2, 4)
    assert choose_bin({16: None}, None, "x") == (16, 1)


@pytest.mark.parametrize("bin_um", [7, 1, 8.5])
def test_a_size_that_cannot_be_made_is_refused(bin_um):
    with pytest.raises(UsageError, match="cannot be made"):
        choose_bin({2: None, 8: None}, bin_um, "x")


def test_positions_lie_one_bin_apart(tmp_path):
    raw = write_visium_hd(tmp_path / "S", sizes=(2,))
    sample = read(raw.path, bin_um=8)
    table = sample.adata.obs.assign(x=sample.adata.obsm["spatial_um"][:, 0], y=sample.adata.obsm["spatial_um"][:, 1])
    by_col = table[table["array_row"] == 1].sort_values("array_col")
    assert np.diff(by_col["x"]) == pytest.approx(-8.0)
    by_row = table[table["array_col"] == 1].sort_values("array_row")
    assert np.diff(by_row["y"]) == pytest.approx(8.0)
