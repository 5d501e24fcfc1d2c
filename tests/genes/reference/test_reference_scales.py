"""Which matrix of a reference is used, on which scale its values are, and how logarithms are undone."""

from __future__ import annotations

import math

import anndata
import h5py
import numpy as np
import pytest
from model.training.tiny_cohort import cells
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.core.scales import stated_log_base, undo_log
from focus_cli.genes.reference import build_reference, matrix
from focus_cli.genes.reference.cells import load_cells

COUNTS = cells().X.toarray().astype(np.float64)
SHARE = 1e4 * COUNTS / COUNTS.sum(axis=1, keepdims=True)
SCALED = (COUNTS - COUNTS.mean(axis=0)) / COUNTS.std(axis=0).clip(0.1)
LAYOUTS = {"rows": sparse.csr_matrix, "columns": sparse.csc_matrix, "dense": np.asarray}


def logged(base: float, share=SHARE) -> np.ndarray:
    return np.log1p(share) / math.log(base)


def write(path, x, layout="rows", uns=None, raw=None, **layers):
    adata = cells()
    if raw is not None:
        adata.X = sparse.csr_matrix(raw)
        adata.raw = adata.copy()
    adata.X = LAYOUTS[layout](np.asarray(x, np.float32))
    adata.layers.update({name: sparse.csr_matrix(values.astype(np.float32)) for name, values in layers.items()})
    adata.uns.update(uns or {})
    adata.write_h5ad(path)
    return path


def same_composition(read) -> None:
    x = read.X.toarray()
    np.testing.assert_allclose(x / x.sum(axis=1, keepdims=True), SHARE / 1e4, atol=1e-5)


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("base", [math.e, 2, 10])
def test_the_logarithm_is_undone_with_its_own_base(tmp_path, base, stated, layout, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK", 400)
    uns = {"log1p": {} if base == math.e else {"base": base}} if stated else None
    read, info = load_cells(write(tmp_path / "x.h5ad", logged(base), layout, uns))
    assert info["scale"] == "log1p" and info["log_base"] == pytest.approx(base)
    same_composition(read)


@pytest.mark.parametrize(
    "stored", [2, 2.0, "2", np.array(2), np.array([2.0]), np.int64(2), np.array(["2"], dtype=object)], ids=repr
)
def test_the_base_is_read_however_it_is_stored(tmp_path, stored):
    some = SHARE[:, :30]  # genes were left out after normalising: cells have no equal sums
    adata = cells()[:, :30].copy()
    adata.X = sparse.csr_matrix(logged(2, some).astype(np.float32))
    adata.uns["log1p"] = {"base": stored}
    adata.write_h5ad(tmp_path / "x.h5ad")
    read, info = load_cells(tmp_path / "x.h5ad")
    assert info["log_base"] == 2
    np.testing.assert_allclose(read.X.toarray(), some, rtol=1e-4, atol=1e-3)


def test_an_entry_without_a_base_is_the_natural_logarithm():
    for entry in ({}, {"base": None}, {"base": "None"}, {"base": math.nan}, {"base": np.array([])}, np.array([1.0])):
        assert stated_log_base({"log1p": entry}, "x") == math.e
    assert stated_log_base({}, "x") is None and stated_log_base({"X_name": "logcounts"}, "x") == 2
    np.testing.assert_allclose(undo_log(np.log2([1, 3, 9]), 2), [0, 2, 8], atol=1e-12)


@pytest.mark.parametrize("base", [0, 1, -2, math.inf, "seven"])
def test_what_is_no_base_is_refused(tmp_path, base):
    with pytest.raises(BadInputError, match="no base of a logarithm"):
        load_cells(write(tmp_path / "x.h5ad", logged(2), uns={"log1p": {"base": base}}))


@pytest.mark.parametrize(
    ("x", "base", "word"),
    [(logged(2), 10, "equal sums"), (SHARE, 2, "equal sums"), (COUNTS[:, :] * 37.21, 2, "go up to")],
)
def test_values_that_contradict_the_stated_base_are_refused(tmp_path, x, base, word):
    with pytest.raises(BadInputError, match=word) as refused:
        load_cells(write(tmp_path / "x.h5ad", x, uns={"log1p": {"base": base}}))
    assert "uns['log1p']" in refused.value.hint


def test_a_scaled_x_over_logged_raw_gives_way_to_raw_and_it_is_stated(tmp_path, capsys):
    built = build_reference(write(tmp_path / "x.h5ad", SCALED, raw=logged(math.e)), tmp_path / "out", n_states=4)
    assert (built.info["source"], built.info["scale"]) == ("raw", "log1p")
    same_composition(built.cells)
    assert "X holds negative values" in capsys.readouterr().err


def test_a_scaled_x_over_scaled_raw_or_alone_is_refused_with_its_cause(tmp_path):
    for raw in (None, SCALED):
        with pytest.raises(BadInputError, match="X holds negative values: it was scaled") as refused:
            load_cells(write(tmp_path / "x.h5ad", SCALED, raw=raw))
        assert "scaling cannot be undone" in refused.value.hint


def test_counts_in_the_layer_are_preferred_to_log_values(tmp_path):
    path = write(tmp_path / "x.h5ad", logged(2), uns={"log1p": {"base": 2}}, raw=logged(2), counts=COUNTS)
    read, info = load_cells(path)
    assert info["source"] == "layers['counts']"
    np.testing.assert_array_equal(read.X.toarray(), COUNTS)


def test_a_layer_called_counts_that_holds_none_is_stated(tmp_path):
    info = load_cells(write(tmp_path / "x.h5ad", logged(math.e), counts=logged(math.e)))[1]
    assert info["source"] == "X" and info["passed_over"] == ["layers['counts'] holds log1p values, not counts"]


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.vstack([first[:60], second[60:]])


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize(
    "x",
    [
        joined(COUNTS, logged(math.e)),
        joined(logged(2), COUNTS),
        joined(SHARE, logged(math.e)),
        joined(logged(math.e), logged(2)),
        joined(COUNTS, SHARE),
        np.vstack([COUNTS[:110], logged(math.e)[110:]]),
    ],
    ids=["counts+ln", "log2+counts", "linear+ln", "ln+log2", "counts+linear", "few"],
)
def test_cells_on_different_scales_are_refused(tmp_path, x, layout):
    with pytest.raises(BadInputError, match="different scales") as refused:
        load_cells(write(tmp_path / "x.h5ad", x, layout))
    assert "raw counts" in refused.value.hint


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_counts_joined_with_values_that_were_scaled_and_rounded_are_refused(tmp_path, layout):
    counts = np.random.default_rng(0).poisson(1.5, (60, 400)).astype(np.float32)
    joined = np.vstack([counts[:40], np.rint(counts[40:] * 16.7)])
    for name, x in (("counts", counts), ("joined", joined)):
        adata = anndata.AnnData(LAYOUTS[layout](x))
        adata.var_names = [f"G{i}" for i in range(400)]
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    assert load_cells(tmp_path / "counts.h5ad")[1]["scale"] == "counts"
    with pytest.raises(BadInputError, match="20 cells hold no value below 5"):
        load_cells(tmp_path / "joined.h5ad")


def test_every_value_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK", 200)
    last = COUNTS.copy()
    last[-40:] += 0.37
    with pytest.raises(BadInputError, match="different scales"):
        load_cells(write(tmp_path / "x.h5ad", last))


def test_expected_counts_with_fractions_here_and_there_are_no_mixture(tmp_path):
    x = COUNTS.copy()
    rng = np.random.default_rng(0)
    x[(rng.random(x.shape) < 0.02) & (x > 0)] += 0.4
    assert load_cells(write(tmp_path / "x.h5ad", x))[1]["scale"] == "linear"


def test_two_targets_of_normalisation_are_one_scale(tmp_path):
    read, info = load_cells(write(tmp_path / "x.h5ad", joined(logged(math.e), logged(math.e, SHARE / 7))))
    assert info["scale"] == "log1p" and info["log_base"] == math.e
    same_composition(read)


def test_nullable_text_of_the_newest_anndata_is_read(tmp_path):
    adata = cells()
    adata.obs.index, adata.var.index = adata.obs.index.astype("string"), adata.var.index.astype("string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        adata.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad") as file:
        kind = file["obs/_index"].attrs["encoding-type"]
    read = load_cells(tmp_path / "x.h5ad")[0]
    assert read.obs_names.tolist() == [f"cell{i}" for i in range(120)] and kind in ("nullable-string-array",)


@pytest.mark.parametrize("name", ["x.h5ad.gz", "x.rds", "x.loom"])
def test_other_forms_are_refused_with_the_way_to_an_h5ad(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(BadInputError, match=r"no \.h5ad file") as refused:
        load_cells(tmp_path / name)
    assert refused.value.hint


def test_a_store_or_a_matrix_folder_is_refused_with_the_way_to_an_h5ad(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    (tmp_path / "outs").mkdir()
    (tmp_path / "outs" / "matrix.mtx.gz").write_bytes(b"")
    for name, way in (("a.zarr", "read_zarr"), ("outs", "read_10x_mtx")):
        with pytest.raises(BadInputError) as refused:
            load_cells(tmp_path / name)
        assert way in refused.value.hint


def test_a_10x_matrix_file_is_refused_with_the_way_to_an_h5ad(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["matrix/data"] = np.arange(3)
    with pytest.raises(BadInputError, match="10x matrix file") as refused:
        load_cells(tmp_path / "m.h5")
    assert "read_10x_h5" in refused.value.hint


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_counts_with_errors_of_rounding_become_whole(tmp_path, layout):
    read, info = load_cells(write(tmp_path / "x.h5ad", COUNTS * (1 + 3e-7), layout))
    assert info["scale"] == "counts"
    np.testing.assert_array_equal(read.X.toarray(), COUNTS)


def test_a_value_that_is_no_number_of_molecules(tmp_path):
    counts = COUNTS.copy()
    counts[3, 2] = 2.0**40
    with pytest.raises(BadInputError, match="not a valid count"):
        load_cells(write(tmp_path / "x.h5ad", counts))


def test_presence_and_absence_is_stated(tmp_path, capsys):
    build_reference(write(tmp_path / "x.h5ad", COUNTS > 0), tmp_path / "out", n_states=4)
    assert "zeros and ones alone" in capsys.readouterr().err


def test_genes_by_cells(tmp_path):
    symbols = ["TP53", "GAPDH", "ACTB", "EPCAM", "PTPRC", "CD3E", "CD19", "KRT8", "VIM", "FN1"]
    symbols += ["MBP", "GFAP", "SST", "GAD1", "GAD2", "PLP1", "AQP4", "MKI67", "ALB", "INS", "GCG"]
    counts = np.random.default_rng(0).poisson(2.0, (len(symbols), 60)).astype(np.float32)
    table = anndata.AnnData(sparse.csr_matrix(counts))
    table.obs_names, table.var_names = symbols, [f"cell_{i}" for i in range(60)]
    table.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(BadInputError, match="transposed") as refused:
        load_cells(tmp_path / "x.h5ad")
    assert "adata.T" in refused.value.hint
