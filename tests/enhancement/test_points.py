"""Points of the user's, such as nuclei, as places of a refined file."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.enhancement import enhance
from focus_cli.enhancement.queries import read_points
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.model.conditioning import load_sample_data


@pytest.fixture(scope="module")
def data(cohort):
    return load_sample_data(open_sample(cohort.sample))


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(60, 900, (40, 2)), columns=["x_um", "y_um"])
    table["area_um2"] = rng.uniform(40, 120, 40)
    return table.set_index(pd.Index([f"n{i}" for i in range(40)], name="nucleus"))


def test_every_cell_is_estimated_where_it_lies(cohort, cells, tmp_path):
    cells.to_parquet(tmp_path / "cells.parquet")
    options = EnhanceOptions(points=str(tmp_path / "cells.parquet"), genes="measured")
    enhance(cohort.sample, tmp_path / "a.h5ad", model=cohort.model, refined=tmp_path / "cells.h5ad", options=options)
    refined = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert refined.obs_names.tolist() == cells.index.tolist()
    np.testing.assert_allclose(refined.obsm[keys.SPATIAL_UM], cells[["x_um", "y_um"]])
    # A cell twice as large holds twice the molecules of the same place.
    assert np.isfinite(refined.X).all()
    assert np.corrcoef(refined.obs[keys.EXPOSURE], cells["area_um2"])[0, 1] > 0.7


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_of_every_kind_say_the_same(cells, data, tmp_path, suffix):
    path = tmp_path / f"cells{suffix}"
    cells.to_parquet(path) if suffix == ".parquet" else cells.to_csv(path, sep="," if suffix == ".csv" else "\t")
    found = read_points(path, data)
    assert found.names.tolist() == cells.index.tolist()
    np.testing.assert_allclose(found.xy_um, cells[["x_um", "y_um"]])


def test_points_beyond_the_section_are_left_out(cells, data, tmp_path):
    cells.iloc[:5, :2] += 5000
    cells.to_csv(tmp_path / "cells.csv")
    assert read_points(tmp_path / "cells.csv", data).names.tolist() == cells.index[5:].tolist()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.drop(columns="y_um"), "no column y_um"),
        (lambda t: t.assign(x_um=np.nan), "finite"),
        (lambda t: t.assign(area_um2=-1.0), "finite"),
        (lambda t: t.assign(x_um="far"), "numbers"),
        (lambda t: t.set_index(pd.Index(["a"] * len(t), name="id")), "twice"),
        (lambda t: t.assign(x_um=1e6), "none of the 40"),
        (lambda t: t.iloc[:0], "none of the 0"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(cells, data, tmp_path, change, match):
    change(cells).to_csv(tmp_path / "cells.csv")
    with pytest.raises(BadInputError, match=match):
        read_points(tmp_path / "cells.csv", data)


def test_a_missing_or_foreign_file(data, tmp_path):
    with pytest.raises(MissingResourceError, match="no such table of points"):
        read_points(tmp_path / "none.csv", data)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(BadInputError, match="no table of points"):
        read_points(tmp_path / "a.txt", data)
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(BadInputError, match="cannot read"):
        read_points(tmp_path / "a.parquet", data)


def test_points_and_a_grid_contradict_each_other(cohort, tmp_path):
    options = EnhanceOptions(points="cells.csv", resolution_um=20.0)
    with pytest.raises(UsageError, match="contradict"):
        enhance(cohort.sample, tmp_path / "a.h5ad", model=cohort.model, refined=tmp_path / "b.h5ad", options=options)
    with pytest.raises(UsageError, match="--refined goes with"):
        enhance(cohort.sample, tmp_path / "a.h5ad", model=cohort.model, options=EnhanceOptions(points="cells.csv"))
