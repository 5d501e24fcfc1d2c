"""Which matrix of an AnnData is taken for the counts of a sample, and what is said of the others."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.platforms import read

RNG = np.random.default_rng(3)
COUNTS = RNG.poisson(2.0, (80, 30)).astype(np.float32)
THINNED = RNG.binomial(COUNTS.astype(int), 0.6).astype(np.float32)
SHARE = 1e4 * COUNTS / COUNTS.sum(axis=1, keepdims=True)
LOGGED = np.log1p(SHARE).astype(np.float32)


def write(path, x, raw=None, **layers):
    adata = anndata.AnnData(sparse.csr_matrix(COUNTS))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(80)], [f"Gene{j}" for j in range(30)]
    adata.obsm["spatial"] = 12.0 * np.column_stack(np.divmod(np.arange(80), 9))
    if raw is not None:
        adata.X = sparse.csr_matrix(raw)
        adata.raw = adata.copy()
    adata.X = x if x is None else sparse.csr_matrix(x)
    adata.layers.update({name: sparse.csr_matrix(values) for name, values in layers.items()})
    (adata.write_zarr if path.suffix == ".zarr" else adata.write_h5ad)(path)
    return path


NO_COUNTS = {
    "log-normalised": (LOGGED, "log-normalised"),
    "normalised and rounded": (np.rint(SHARE), "rounded"),
    "multiples": (10 * COUNTS, "multiples of 10"),
    "scaled": (LOGGED - LOGGED.mean(axis=0), "negative"),
    "NaN": (np.where(COUNTS > 3, np.nan, COUNTS), "NaN"),
}


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize("name", NO_COUNTS)
def test_a_layer_of_counts_that_holds_none_gives_way_to_x_and_it_is_stated(tmp_path, name, ending):
    values, word = NO_COUNTS[name]
    sample = read(write(tmp_path / f"a.{ending}", COUNTS, counts=values), mpp=0.5)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    (said,) = [w for w in sample.warnings if "counts are taken from" in w]
    assert f"a.{ending} X: a.{ending} layers['counts'] holds none" in said and word in said


def test_it_gives_way_to_raw_as_well(tmp_path):
    sample = read(write(tmp_path / "a.h5ad", LOGGED, raw=COUNTS, counts=np.rint(SHARE)), mpp=0.5)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    assert sum("counts are taken from a.h5ad raw.X" in w for w in sample.warnings) == 2


def test_without_any_counts_the_reason_of_each_matrix_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"layers\['counts'\]: .*rounded.*; a.h5ad X: .*log-normalised"):
        read(write(tmp_path / "a.h5ad", LOGGED, counts=np.rint(SHARE)), mpp=0.5)


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize(
    ("x", "said"),
    [(THINNED, True), (COUNTS, False), (LOGGED, False), (COUNTS.astype(np.int32), False), (None, False)],
    ids=["other counts", "the same", "log-normalised", "another type", "nothing"],
)
def test_other_counts_in_x_are_stated(tmp_path, x, said, ending):
    sample = read(write(tmp_path / f"a.{ending}", x, counts=COUNTS), mpp=0.5)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    assert any("X holds other whole numbers" in w for w in sample.warnings) == said
