"""Which column of obs is taken for cell types, what is no type, and what is stated of it."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import cells

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.genes.reference import build_reference
from focus_cli.genes.reference.cells import load_cells

N = 120
TYPES = np.array(["T cell", "B/plasma", "Luminal (ER+/PR+)"])[np.arange(N) % 3]


def write(path, **columns) -> anndata.AnnData:
    adata = cells()
    adata.obs = pd.DataFrame({k: v for k, v in columns.items()}, index=adata.obs_names)
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize(
    "column",
    [
        "cell_type",
        "celltype",
        "CellType",
        "cell_types",
        "Cell_Type",
        "Cell Type",
        "cell.type",
        "annotation",
        "subclass",
        "cell_ontology_class",
        "author_cell_type",
        "predicted.celltype.l2",
        "cell_type_marker_argmax",
        "majority_voting",
        "Annotations",
        "seurat_clusters",
        "louvain",
        "celltype_major",
    ],
)
def test_a_column_is_found_by_its_name_and_stated(tmp_path, column, capsys):
    others = {"donor": ["d1", "d2"] * 60, "cell_type_score": np.linspace(0, 1, N), "n_genes": np.arange(N)}
    built = build_reference(write(tmp_path / "x.h5ad", **others, **{column: TYPES}), tmp_path / "out", n_states=4)
    assert built.info["cell_type_key"] == column
    assert built.info["cell_types"] == {name: 40 for name in sorted(TYPES[:3])}
    assert f"3 cell types from obs['{column}']" in capsys.readouterr().err


@pytest.mark.parametrize("poor", [["unknown"] * N, [np.nan] * N, ["x"] * N, [f"c{i}" for i in range(N)]])
def test_a_column_of_one_value_or_none_loses_against_types(tmp_path, poor):
    read, info = load_cells(write(tmp_path / "x.h5ad", cell_type=poor, celltype=TYPES))
    assert info["cell_type_key"] == "celltype" and read.obs["cell_type"].tolist() == TYPES.tolist()


def test_types_come_before_ontology_terms_scores_and_clusters(tmp_path):
    path = write(
        tmp_path / "x.h5ad",
        leiden=pd.Categorical([str(i % 5) for i in range(N)]),
        cell_type_ontology_term_id=["CL:1", "CL:2", "CL:3"] * 40,
        my_cell_type_v2=TYPES,
    )
    assert load_cells(path)[1]["cell_type_key"] == "my_cell_type_v2"


def test_without_a_known_column_none_is_taken_and_the_columns_are_named(tmp_path, capsys):
    path = write(tmp_path / "x.h5ad", donor=["d1", "d2"] * 60, tissue_site=TYPES, barcode=[f"b{i}" for i in range(N)])
    built = build_reference(path, tmp_path / "out", n_states=4)
    assert built.info["cell_type_key"] is None and built.info["cell_types"] == {"cell": N}
    said = capsys.readouterr().err
    assert "no cell types" in said and "donor (2), tissue_site (3)" in said and "barcode" not in said
    assert "--cell-type" in said


MISSING = [np.nan, None, "NA", "", " ", "nan", "None", "unknown", "Unknown", "UNASSIGNED", "not assigned", "<NA>"]
MISSING += ["N/A", "unannotated", "Unlabelled", "null", "-", "?"]


@pytest.mark.parametrize("kind", ["text", "category", "nullable"])
@pytest.mark.parametrize("word", MISSING, ids=repr)
def test_missing_types_are_left_out_counted_and_never_a_type(tmp_path, word, kind):
    values = np.where(np.arange(N) % 4 == 0, None, TYPES).astype(object)
    values[values == None] = word  # noqa: E711
    column = {
        "text": lambda: pd.Series(values),
        "category": lambda: pd.Series(pd.Categorical(values)),
        "nullable": lambda: pd.Series(values).astype("string"),
    }[kind]()
    with anndata.settings.override(allow_write_nullable_strings=True):
        path = write(tmp_path / "x.h5ad", cell_type=column.array)
    read, info = load_cells(path)
    assert sorted(info["cell_types"]) == sorted(set(TYPES)) and read.n_obs == 90
    assert info["n_cells_without_type"] == 30 and "30 of 120 cells without a type left out" in info["cell_types_stated"]
    assert read.obs_names.tolist() == [f"cell{i}" for i in range(N) if i % 4]


def test_no_type_at_all_is_refused_where_the_column_was_named(tmp_path):
    path = write(tmp_path / "x.h5ad", cell_type=["NA", "unknown"] * 60, donor=["a"] * N)
    with pytest.raises(BadInputError, match="no cell has a type") as refused:
        build_reference(path, tmp_path / "out", "cell_type")
    assert "donor" in refused.value.hint and not (tmp_path / "out").exists()
    assert load_cells(path)[1]["cell_type_key"] is None


def test_too_few_cells_with_a_type_are_refused(tmp_path):
    path = write(tmp_path / "x.h5ad", cell_type=np.where(np.arange(N) < 12, TYPES, "unknown"))
    with pytest.raises(BadInputError, match=r"12 cells .*type"):
        load_cells(path)


def test_a_column_of_names_of_cells_is_refused(tmp_path):
    path = write(tmp_path / "x.h5ad", barcode=[f"b{i}" for i in range(N)], kind=TYPES)
    with pytest.raises(UsageError, match="120 different values") as refused:
        load_cells(path, "barcode")
    assert "kind (3)" in refused.value.hint


NUMBERS = np.arange(N) % 3


@pytest.mark.parametrize(
    "values",
    [
        NUMBERS,
        NUMBERS.astype(float),
        NUMBERS.astype(np.int8),
        pd.Categorical(NUMBERS),
        pd.Categorical(NUMBERS.astype(float)),
        NUMBERS.astype(str),
        [f"{v}.0" for v in NUMBERS],
        pd.array(NUMBERS, dtype="Int64"),
    ],
)
def test_numbers_of_clusters_read_the_same_however_they_are_stored(tmp_path, values):
    read, info = load_cells(write(tmp_path / "x.h5ad", cluster=values))
    assert info["cell_types"] == {"0": 40, "1": 40, "2": 40}
    assert read.obs["cell_type"].tolist() == NUMBERS.astype(str).tolist()


def test_numbers_with_gaps_read_the_same(tmp_path):
    values = np.where(np.arange(N) % 6 == 0, np.nan, NUMBERS)
    assert load_cells(write(tmp_path / "x.h5ad", cluster=values))[1]["cell_types"] == {"0": 20, "1": 40, "2": 40}


@pytest.mark.parametrize("word", ["Doublet", "doublets", "Low_Quality", "low quality", "debris", "Unspecified", "unk"])
def test_what_was_put_aside_is_no_type(tmp_path, word):
    values = np.where(np.arange(N) % 10 == 0, word, TYPES)
    read, info = load_cells(write(tmp_path / "x.h5ad", cell_type=values))
    assert word not in info["cell_types"] and info["n_cells_without_type"] == 12
    assert read.n_obs == N - 12
