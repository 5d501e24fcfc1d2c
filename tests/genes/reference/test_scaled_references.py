"""Values that were scaled by gene are no expression: recognised without negative values, and never taken."""

from __future__ import annotations

import math

import anndata
import numpy as np
import pytest
from genes.reference.test_reference_scales import COUNTS, LAYOUTS, SHARE, logged, same_composition, write
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.genes.reference import build_reference, matrix
from focus_cli.genes.reference.cells import load_cells


def by_sd(x, ddof=1, top=None):
    return np.minimum(x / x.std(axis=0, ddof=ddof).clip(1e-9), np.inf if top is None else top)


LENGTHS = np.random.default_rng(0).uniform(0.3, 9, COUNTS.shape[1])
SCALED = {
    "log-normalised by the standard deviation": by_sd(logged(math.e)),
    "of the population": by_sd(logged(math.e), ddof=0),
    "log2": by_sd(logged(2)),
    "with a highest value": by_sd(logged(math.e), top=3),
    "counts by the standard deviation": by_sd(COUNTS),
    "shares by the standard deviation": by_sd(SHARE),
    "counts by the maximum": COUNTS / COUNTS.max(axis=0).clip(1),
    "log-normalised by the maximum": logged(math.e) / logged(math.e).max(axis=0),
    "counts by the length of the gene": COUNTS / LENGTHS,
    "part of the cells of scaled counts": by_sd(np.vstack([COUNTS, 3 * COUNTS[:40]]))[:120],
    "to a spread of two": 2 * by_sd(logged(math.e)),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("name", SCALED)
def test_scaling_without_centring_is_refused(tmp_path, name, layout):
    with pytest.raises(BadInputError, match="X was scaled") as refused:
        load_cells(write(tmp_path / "x.h5ad", SCALED[name], layout))
    assert "scaling cannot be undone" in refused.value.hint


def test_it_is_refused_where_a_base_is_stated(tmp_path):
    with pytest.raises(BadInputError, match="X was scaled"):
        load_cells(write(tmp_path / "x.h5ad", by_sd(logged(math.e)), uns={"log1p": {}}))


def test_the_blocks_of_a_large_file_are_taken_together(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK", 300)
    for layout in LAYOUTS:
        with pytest.raises(BadInputError, match="X was scaled"):
            load_cells(write(tmp_path / f"{layout}.h5ad", by_sd(logged(math.e)), layout))


def test_some_cells_of_a_scaled_file_are_told_by_the_stored_spread(tmp_path):
    adata = anndata.read_h5ad(write(tmp_path / "x.h5ad", by_sd(logged(math.e))))
    adata.var["mean"], adata.var["std"] = logged(math.e).mean(axis=0), logged(math.e).std(axis=0, ddof=1)
    adata[:70].write_h5ad(tmp_path / "part.h5ad")
    with pytest.raises(BadInputError, match=r"X was scaled: times var\['std'\]"):
        load_cells(tmp_path / "part.h5ad")


@pytest.mark.parametrize("raw", [COUNTS, logged(2)], ids=["counts", "log2"])
def test_raw_is_used_instead_and_it_is_stated(tmp_path, raw, capsys):
    built = build_reference(write(tmp_path / "x.h5ad", by_sd(logged(math.e)), raw=raw), tmp_path / "out", n_states=4)
    assert built.info["source"] == "raw"
    same_composition(built.cells)
    if raw is not COUNTS:
        assert "X was scaled" in capsys.readouterr().err


FINE = {
    "log-normalised": (logged(math.e), math.e),
    "log-normalised, some genes": (logged(math.e)[:, :20], math.e),
    "log2, some genes": (logged(2)[:, :20], 2.0),
    "log10, some genes": (logged(10)[:, :20], 10.0),
    "shares, some genes": (SHARE[:, :20], None),
    "counts by one number": (COUNTS / 3, None),
    "counts by a figure of each cell, below twenty": (COUNTS / np.linspace(5.3, 9.7, 120)[:, None], None),
}


@pytest.mark.parametrize("name", FINE)
def test_what_was_scaled_by_cell_alone_is_read_with_its_scale(tmp_path, name):
    x, base = FINE[name]
    adata = anndata.read_h5ad(write(tmp_path / "all.h5ad", COUNTS))[:, : x.shape[1]].copy()
    adata.X = sparse.csr_matrix(x.astype(np.float32))
    adata.write_h5ad(tmp_path / "x.h5ad")
    read, info = load_cells(tmp_path / "x.h5ad")
    assert (info["scale"], info["log_base"]) == ("linear" if base is None else "log1p", base)
    expected = COUNTS[:, : x.shape[1]] / COUNTS[:, : x.shape[1]].sum(axis=1, keepdims=True)
    got = read.X.toarray()
    np.testing.assert_allclose(got / got.sum(axis=1, keepdims=True), expected, atol=1e-5)


def test_whole_numbers_that_were_normalised_and_rounded_are_no_counts(tmp_path):
    path = write(tmp_path / "x.h5ad", np.rint(SHARE))
    info = load_cells(path)[1]
    assert info["scale"] == "linear" and "rounded" in info["scale_reason"]
    info = load_cells(write(tmp_path / "y.h5ad", 10 * COUNTS))[1]
    assert info["scale"] == "linear" and "multiples of 10" in info["scale_reason"]


def test_a_layer_of_rounded_values_gives_way_to_counts_and_it_is_stated(tmp_path):
    read, info = load_cells(write(tmp_path / "x.h5ad", COUNTS, counts=np.rint(SHARE)))
    assert info["source"] == "X" and info["passed_over"] == ["layers['counts'] holds linear values, not counts"]
    np.testing.assert_array_equal(read.X.toarray(), COUNTS)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_other_counts_in_x_are_stated(tmp_path, layout, capsys):
    thinned = np.random.default_rng(0).binomial(COUNTS.astype(int), 0.5)
    built = build_reference(write(tmp_path / "x.h5ad", thinned, layout, counts=COUNTS), tmp_path / "out", n_states=4)
    assert built.info["source"] == "layers['counts']"
    assert "X holds other whole numbers; layers['counts'] is used" in capsys.readouterr().err
    same = load_cells(write(tmp_path / "same.h5ad", COUNTS, layout, counts=COUNTS))[1]
    assert same["passed_over"] == []
