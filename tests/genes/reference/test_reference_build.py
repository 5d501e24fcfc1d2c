"""``focus reference``: what a file holds is recognised, and what cannot be used is refused."""

from __future__ import annotations

import hashlib
import json

import anndata
import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import cells, write_cells
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage import scratch_folder
from focus_cli.genes.reference import build_reference, is_reference, open_reference
from focus_cli.genes.reference.cells import load_cells
from focus_cli.genes.reference.prototypes import log_normalise, variable_genes


def sha256(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(path, adata):
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    source = write_cells(folder / "cells.h5ad")
    before = sha256(source)
    reference = build_reference(source, folder / "out", n_states=6)
    return source, before, reference


def test_the_file_is_not_changed(built):
    source, before, _ = built
    assert sha256(source) == before


def test_cells_are_kept_with_their_types_and_counts(built):
    source, _, reference = built
    original = anndata.read_h5ad(source)
    assert sparse.isspmatrix_csr(reference.cells.X)
    assert (reference.cells.X != original.X).nnz == 0
    assert reference.cells.obs["cell_type"].tolist() == original.obs["cell_type"].tolist()
    assert reference.info["scale"] == "counts"
    assert reference.info["cell_types"] == {"A": 40, "B": 40, "C": 40}


def test_states_are_means_of_pure_clusters(built):
    _, _, reference = built
    states = reference.prototypes
    np.testing.assert_allclose(states.X.sum(axis=1), 1, atol=1e-5)
    assert states.obs["n_cells"].sum() == reference.cells.n_obs
    assert set(states.obs["cell_type"]) == {"A", "B", "C"}
    assert (states.obs["purity"] == 1).all()  # the three types are far apart
    # The mean of a type over its states is its mean proportion.
    own = reference.cells[reference.cells.obs["cell_type"] == "B"].X.toarray()
    of_type = (states.obs["cell_type"] == "B").to_numpy()
    weight = states.obs["n_cells"].to_numpy()[of_type]
    np.testing.assert_allclose(
        np.average(states.X[of_type], axis=0, weights=weight),
        (own / own.sum(axis=1, keepdims=True)).mean(axis=0),
        atol=1e-5,
    )


def test_the_same_seed_gives_the_same_arrays(built, tmp_path):
    source, _, reference = built
    again = build_reference(source, tmp_path / "again", n_states=6)
    assert again.prototypes.X.tobytes() == reference.prototypes.X.tobytes()
    assert again.prototypes.obs.equals(reference.prototypes.obs)
    assert again.cells.X.data.tobytes() == reference.cells.X.data.tobytes()
    assert again.info == reference.info


def test_no_more_cells_are_kept_than_asked_for(built, tmp_path):
    source = built[0]
    drawn = build_reference(source, tmp_path / "a", n_states=4, max_cells=50, seed=1)
    same = build_reference(source, tmp_path / "b", n_states=4, max_cells=50, seed=1)
    other = build_reference(source, tmp_path / "c", n_states=4, max_cells=50, seed=2)
    assert drawn.cells.n_obs == 50 and drawn.info["n_cells"] == 120
    assert drawn.cells.obs_names.equals(same.cells.obs_names)
    assert not drawn.cells.obs_names.equals(other.cells.obs_names)


def test_log_values_are_recognised_and_turned_back(tmp_path):
    logged = cells()
    logged.X = log_normalise(logged.X)
    read, info = load_cells(save(tmp_path / "log.h5ad", logged))
    assert info["scale"] == "log1p"
    np.testing.assert_allclose(np.asarray(read.X.sum(axis=1)).ravel(), 10_000, rtol=1e-4)


def test_normalised_values_that_were_not_logged_are_left_alone(tmp_path):
    linear = cells()
    linear.X = sparse.csr_matrix(linear.X.multiply(37.3 / linear.X.sum(axis=1)) * 10)
    read, info = load_cells(save(tmp_path / "linear.h5ad", linear))
    assert info["scale"] == "linear"
    np.testing.assert_allclose(read.X.toarray(), linear.X.toarray(), rtol=1e-5)


def test_counts_are_found_in_a_layer_or_in_raw(tmp_path):
    layered, raw = cells(), cells()
    truth = layered.X.toarray()
    layered.layers["counts"], layered.X = layered.X.copy(), log_normalise(layered.X)
    raw.raw = raw.copy()
    raw = raw[:, :10].copy()
    raw.X = log_normalise(raw.X)
    for name, adata, source in (("layer", layered, "layers['counts']"), ("raw", raw, "raw")):
        read, info = load_cells(save(tmp_path / f"{name}.h5ad", adata))
        assert (info["scale"], info["source"]) == ("counts", source)
        np.testing.assert_array_equal(read.X.toarray(), truth)


def test_a_scaled_x_does_no_harm_beside_a_layer_of_counts(tmp_path):
    adata = cells()
    truth = adata.X.toarray()
    adata.layers["counts"] = adata.X.copy()
    adata.X = (truth - truth.mean(axis=0)) / truth.std(axis=0).clip(1)
    read, info = load_cells(save(tmp_path / "scaled.h5ad", adata))
    assert info["source"] == "layers['counts']"
    np.testing.assert_array_equal(read.X.toarray(), truth)


def test_the_type_column_is_guessed_or_named(tmp_path):
    adata = cells()
    adata.obs["my_types"] = adata.obs["cell_type"].str.lower()
    path = save(tmp_path / "cells.h5ad", adata)
    assert load_cells(path)[1]["cell_type_key"] == "cell_type"
    assert set(load_cells(path, "my_types")[0].obs["cell_type"]) == {"a", "b", "c"}
    untyped = cells()
    untyped.obs = pd.DataFrame(index=untyped.obs_names)
    assert load_cells(save(tmp_path / "untyped.h5ad", untyped))[1]["cell_types"] == {"cell": 120}


def test_an_unknown_type_column_names_the_nearest(tmp_path):
    path = write_cells(tmp_path / "cells.h5ad")
    with pytest.raises(UsageError, match="celltypes") as refused:
        build_reference(path, tmp_path / "out", "celltypes")
    assert "'cell_type'" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_colliding_names_are_reported(tmp_path):
    adata = cells()
    adata.var["gene_symbols"] = ["G001", *adata.var_names[1:]]
    _, info = load_cells(save(tmp_path / "twice.h5ad", adata))
    assert info["gene_collisions"] == ["G001"]


def test_empty_cells_are_dropped_and_counted(tmp_path):
    adata = cells()
    adata.X = sparse.csr_matrix(adata.X.toarray() * ~np.isin(np.arange(120), [5, 6, 7])[:, None])
    read, info = load_cells(save(tmp_path / "holes.h5ad", adata))
    assert read.n_obs == 117 and info["n_empty_cells_dropped"] == 3


def spoiled(value: float):
    adata = cells()
    adata.X.data[3] = value
    return adata


@pytest.mark.parametrize(
    ("adata", "word"),
    [
        (spoiled(-1.0), "negative"),
        (spoiled(np.nan), "NaN"),
        (spoiled(np.inf), "NaN or infinite"),
        (cells(n=19), "too few"),
        (anndata.AnnData(sparse.csr_matrix((30, 5), dtype=np.float32)), "empty"),
        (anndata.AnnData(obs=pd.DataFrame(index=[str(i) for i in range(30)])), "no expression matrix"),
    ],
    ids=["negative", "nan", "infinite", "few", "empty", "no-matrix"],
)
def test_values_that_cannot_be_used_are_refused(tmp_path, adata, word):
    path = save(tmp_path / "bad.h5ad", adata)
    with pytest.raises(BadInputError, match=word) as refused:
        build_reference(path, tmp_path / "out")
    assert "bad.h5ad" in str(refused.value) and refused.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["bad.h5ad"]


def test_cells_without_molecules_do_not_count_towards_the_minimum(tmp_path):
    adata = cells(n=30)
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(30) < 2)[:, None])
    with pytest.raises(BadInputError, match="too few"):
        build_reference(save(tmp_path / "bad.h5ad", adata), tmp_path / "out")


def test_a_missing_file_is_a_missing_resource(tmp_path):
    with pytest.raises(MissingResourceError, match="nowhere"):
        build_reference(tmp_path / "nowhere.h5ad", tmp_path / "out")


def test_a_truncated_file_is_bad_input(tmp_path):
    path = write_cells(tmp_path / "cells.h5ad")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadInputError, match=r"cells\.h5ad"):
        build_reference(path, tmp_path / "out")
    (tmp_path / "text.h5ad").write_text("no hdf5")
    with pytest.raises(BadInputError, match=r"text\.h5ad"):
        build_reference(tmp_path / "text.h5ad", tmp_path / "out")


def test_an_existing_output_is_refused_before_the_input_is_looked_at(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputExistsError):
        build_reference(tmp_path / "nowhere.h5ad", tmp_path / "out")


def test_a_folder_that_is_no_reference_or_a_damaged_one_is_refused(built, tmp_path):
    _, _, reference = built
    assert is_reference(reference.path) and not is_reference(tmp_path)
    with pytest.raises(MissingResourceError, match=r"reference\.json"):
        open_reference(tmp_path)
    for name in (keys.CELLS_H5AD, keys.PROTOTYPES_H5AD):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / keys.REFERENCE_JSON).write_text("{")
    with pytest.raises(BadInputError, match=r"damaged|not JSON"):
        open_reference(tmp_path)
    (tmp_path / keys.REFERENCE_JSON).write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(BadInputError, match="99"):
        open_reference(tmp_path)


def test_variable_genes_stand_out_among_genes_of_equal_mean():
    rng = np.random.default_rng(0)
    flat = rng.poisson(rng.uniform(1, 5, 300), size=(200, 300)).astype(np.float32)
    flat[:, [17, 203]] = np.where(np.arange(200)[:, None] < 100, 0, 6)
    chosen = variable_genes(sparse.csr_matrix(flat), 10)
    assert {17, 203} <= set(chosen.tolist())
    assert (np.diff(chosen) > 0).all() and len(chosen) == 10


def test_a_reference_for_the_time_of_another_command_names_the_file(tmp_path, capsys):
    from focus_cli.enhancement.stage import _reference

    path = write_cells(tmp_path / "cells.h5ad")
    with scratch_folder(names={"reference": path}) as scratch:
        assert _reference(path, scratch, 0, None) == scratch / "reference"
    said = capsys.readouterr().err
    assert f"cell states of {path}" in said and str(scratch) not in said and "→" not in said


def test_a_spatial_file_that_focus_wrote_is_refused(tmp_path):
    adata = cells()
    adata.uns["focus"] = {"provenance": "{}", "kind": "domains"}
    adata.write_h5ad(tmp_path / "enhanced.h5ad")
    with pytest.raises(BadInputError, match="spatial file that FOCUS wrote"):
        build_reference(tmp_path / "enhanced.h5ad", tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


@pytest.mark.parametrize("entry", [1.5, {"lens": "50 mm"}])
def test_another_entry_of_that_name_does_no_harm(tmp_path, entry):
    adata = cells()
    adata.uns["focus"] = entry
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert build_reference(tmp_path / "cells.h5ad", tmp_path / "reference", n_states=4).info["n_states"] == 4
