"""The streamed matrices: rounded as promised, readable by anyone."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.enhancement import writer as writing
from focus_cli.enhancement.writer import DenseWriter, round_bits


@given(st.floats(min_value=2.0**-100, max_value=2.0**100, width=32), st.sampled_from([-1.0, 1.0]))
def test_rounding_errs_by_less_than_a_2048th(value, sign):
    exact = np.float32(sign * value)
    rounded = round_bits(np.array([exact]))[0]
    assert abs(float(rounded) - float(exact)) < 2.0**-11 * abs(float(exact))


def test_rounding_keeps_eleven_significant_bits():
    rounded = round_bits(np.random.default_rng(0).lognormal(0, 4, 1000).astype(np.float32))
    assert (rounded.view(np.uint32) & 0x1FFF == 0).all()
    np.testing.assert_array_equal(round_bits(rounded), rounded)


def test_small_whole_numbers_and_zero_are_exact():
    whole = np.arange(-2048, 2049).astype(np.float32)
    np.testing.assert_array_equal(round_bits(whole), whole)


def test_rounding_is_to_the_nearest_and_not_biased():
    values = np.random.default_rng(1).uniform(1, 2, 100_000).astype(np.float32)
    error = round_bits(values) - values
    assert np.abs(error).max() <= 2.0**-11 and abs(error.mean()) < 1e-5


@pytest.mark.parametrize("shape", [(23, 11), (16, 8), (1, 1), (40, 3)])
def test_what_is_written_is_what_anndata_reads(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(writing, "CHUNK_ROWS", 16)
    monkeypatch.setattr(writing, "CHUNK_COLUMNS", 8)
    rng = np.random.default_rng(2)
    x, std = (rng.gamma(1, 2, shape).astype(np.float32) for _ in range(2))
    anndata.AnnData(shape=shape).write_h5ad(tmp_path / "a.h5ad")
    with DenseWriter(tmp_path / "a.h5ad", ["X", "std"], shape) as writer:
        for start in range(0, shape[0], writer.block_rows):
            rows = slice(start, start + writer.block_rows)
            writer.write(start, lambda genes, rows=rows: {"X": x[rows, genes], "std": std[rows, genes]})
    read = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(read.X, round_bits(x))
    np.testing.assert_array_equal(read.layers["std"], round_bits(std))
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    np.testing.assert_array_equal(backed[:, shape[1] - 1].X[:].ravel(), round_bits(x)[:, -1])
    backed.file.close()
    with h5py.File(tmp_path / "a.h5ad") as file:  # a reader that knows nothing of anndata
        assert file["X"].dtype == np.float32 and file["X"].compression == "gzip" and file["X"].shuffle
        np.testing.assert_array_equal(file["X"][:], round_bits(x))


def test_rounded_bits_make_the_file_smaller(tmp_path):
    values = np.random.default_rng(3).lognormal(0, 1, (1024, 256)).astype(np.float32)
    anndata.AnnData(shape=values.shape).write_h5ad(tmp_path / "a.h5ad")
    with DenseWriter(tmp_path / "a.h5ad", ["X"], values.shape) as writer:
        writer.write(0, lambda genes: {"X": values[:, genes]})
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["X"].id.get_storage_size() < 0.65 * values.nbytes
