"""A reference is read in blocks: the same cells however the file is laid out, however small the blocks are."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import cells
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.genes.reference import build_reference, matrix
from focus_cli.genes.reference.cells import load_cells
from focus_cli.genes.reference.matrix import MatrixOnDisk


def layouts() -> dict[str, anndata.AnnData]:
    """The same cells: sparse by rows, by columns, dense, wide numbers, in a layer beside something else."""
    made = {}
    for name, change in (
        ("rows", sparse.csr_matrix),
        ("columns", sparse.csc_matrix),
        ("dense", lambda x: x.toarray()),
        ("wide", lambda x: x.astype(np.float64)),
    ):
        made[name] = cells()
        made[name].X = change(sparse.csr_matrix(made[name].X))
    made["layer"] = cells()
    made["layer"].layers["counts"] = sparse.csc_matrix(made["layer"].X)
    made["layer"].X = made["layer"].X.toarray() - 0.5
    return made


@pytest.fixture(params=["one block", "small blocks"])
def blocks(request, monkeypatch):
    if request.param == "small blocks":
        monkeypatch.setattr(matrix, "BLOCK", 97)
        monkeypatch.setattr(matrix, "_GAP", 5)


@pytest.mark.parametrize("layout", list(layouts()))
def test_every_layout_gives_the_same_cells(tmp_path, blocks, layout):
    layouts()[layout].write_h5ad(tmp_path / "cells.h5ad")
    read, info = load_cells(tmp_path / "cells.h5ad", max_cells=30, seed=2)
    kept = np.sort(np.random.default_rng(2).choice(120, 30, replace=False))
    original = cells()
    assert read.obs_names.tolist() == original.obs_names[kept].tolist()
    assert read.obs["cell_type"].tolist() == original.obs["cell_type"].iloc[kept].tolist()
    assert read.X.dtype == np.float32 and (original.X[kept] != read.X).nnz == 0
    assert info["n_cells"] == 120 and info["scale"] == "counts"


def test_the_reference_of_a_file_in_blocks_has_the_same_bytes(tmp_path, monkeypatch):
    adata = cells()
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(120) % 9 > 0)[:, None])
    adata.write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
    files = []
    for name, block in (("whole", 2**23), ("blocks", 50)):
        monkeypatch.setattr(matrix, "BLOCK", block)
        built = build_reference(tmp_path / "cells.h5ad", tmp_path / name, n_states=4, max_cells=60, seed=1)
        files.append([(built.path / f).read_bytes() for f in ("cells.h5ad", "prototypes.h5ad", "reference.json")])
    assert files[0] == files[1]


@pytest.mark.parametrize("layout", ["rows", "columns", "dense"])
def test_no_more_than_a_block_is_read_at_a_time(tmp_path, monkeypatch, layout):
    layouts()[layout].write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(matrix, "BLOCK", 300)
    most, original = [], h5py.Dataset.__getitem__

    def watched(dataset, part, *more):
        value = original(dataset, part, *more)
        if any(dataset.name.endswith(name) for name in ("X", "data", "indices")):
            most.append(np.size(value))
        return value

    with monkeypatch.context() as patched, h5py.File(tmp_path / "cells.h5ad") as file:
        patched.setattr(h5py.Dataset, "__getitem__", watched)
        on_disk = MatrixOnDisk(file["X"])
        on_disk.survey(), on_disk.filled(np.arange(44) % 2 == 0), on_disk.take(np.arange(0, 120, 7))
    assert len(most) > 20 and max(most) <= 300


@pytest.mark.parametrize("layout", ["rows", "columns", "dense"])
def test_cells_are_filled_where_the_genes_asked_for_are(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(matrix, "BLOCK", 61)
    rng = np.random.default_rng(0)
    x = sparse.csr_matrix((rng.random((30, 12)) < 0.1) * rng.integers(1, 5, (30, 12)))
    x = {"rows": x, "columns": x.tocsc(), "dense": x.toarray()}[layout]
    anndata.AnnData(x).write_h5ad(tmp_path / "x.h5ad")
    genes = np.arange(12) < 4
    with h5py.File(tmp_path / "x.h5ad") as file:
        on_disk = MatrixOnDisk(file["X"])
        dense = x if layout == "dense" else x.toarray()
        np.testing.assert_array_equal(on_disk.filled(genes), (dense[:, :4] > 0).any(axis=1))
        np.testing.assert_array_equal(on_disk.survey().filled, (dense > 0).any(axis=1))


def test_categories_of_any_kind_name_the_cells(tmp_path):
    for name, column in (
        ("text", pd.Series(["a", "b", "b"] * 40)),
        ("numbers", pd.Series([0, 1, 1] * 40)),
        ("missing", pd.Series(pd.Categorical(["a", None, "b"] * 40))),
    ):
        adata = cells()
        adata.obs["cell_type"] = column.to_numpy() if name != "missing" else column.array
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        read, info = load_cells(tmp_path / f"{name}.h5ad")
        expected = anndata.read_h5ad(tmp_path / f"{name}.h5ad").obs["cell_type"].dropna().astype(str)
        assert read.obs["cell_type"].tolist() == expected.tolist()
        assert info["cell_types"] == {k: int(v) for k, v in expected.value_counts().sort_index().items()}


def test_a_matrix_of_another_kind_is_refused(tmp_path):
    cells().write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        file["X"].attrs["encoding-type"] = "something"
    with pytest.raises(BadInputError, match=r"cells\.h5ad.*something"):
        load_cells(tmp_path / "cells.h5ad")
