"""Counts and positions as two tables: joined by names, read by the names of columns, refused where nothing says it."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
from mutations import mutate
from PIL import Image
from scipy import io, sparse

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read

CELLS = [f"cell_{i}" for i in range(12)]
GENES = ["Actb", "Gad1", "Sst", "Vip", "Pvalb"]
X = np.arange(12) * 10.0 + 5
Y = (np.arange(12) % 5) * 20.0 + 1
COUNTS = pd.DataFrame(np.random.default_rng(3).poisson(3.0, (12, 5)) + 1, index=CELLS, columns=GENES)


def positions(**columns) -> pd.DataFrame:
    return pd.DataFrame({"cell_ID": CELLS, **(columns or {"x": X, "y": Y})})


def write(folder, counts=COUNTS, where=None, *, sep=",", header=True, crlf=False, bom=False):
    folder.mkdir(exist_ok=True)
    where = positions() if where is None else where
    text = where.to_csv(sep=sep, index=False, header=header)
    text = text.replace("\n", "\r\n") if crlf else text
    (folder / "locs.csv").write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    table = counts.to_csv(sep=sep)
    table = table.replace("\n", "\r\n") if crlf else table
    (folder / "expr.csv").write_bytes((b"\xef\xbb\xbf" if bom else b"") + table.encode())
    return folder


def load(folder, **options):
    given = {"counts": "expr.csv", "positions": "locs.csv", "mpp": 0.5} | options
    return read(folder, "tables", **{k: v for k, v in given.items() if v is not None})


def check(sample, mpp=0.5, at=None):
    rows = [CELLS.index(name) for name in sample.adata.obs_names]
    assert len(rows) == 12
    columns = list(sample.adata.var_names)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[columns].to_numpy()[rows])
    at = np.column_stack([X, Y]) if at is None else at
    np.testing.assert_allclose(sample.adata.obsm["spatial"], at[rows])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], at[rows] * mpp)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("sep", [",", "\t", ";", " "])
@pytest.mark.parametrize("resaved", [False, True])
def test_every_form_and_both_ways_round(transposed, sep, resaved, tmp_path):
    shuffled = positions().sample(frac=1, random_state=0)
    counts = COUNTS.T if transposed else COUNTS
    sample = load(write(tmp_path / "d", counts, shuffled, sep=sep, crlf=resaved, bom=resaved))
    check(sample)
    ways = "rows" if transposed else "columns"
    assert any(f"genes are its {ways}" in w for w in sample.warnings)
    assert any("matched by the column 'cell_ID'" in w for w in sample.warnings)


def test_packed_tables_and_files_elsewhere(tmp_path):
    folder = write(tmp_path / "d")
    (folder / "expr.tsv.gz").write_bytes(gzip.compress((folder / "expr.csv").read_bytes()))
    check(load(folder, counts="expr.tsv.gz"))
    with zipfile.ZipFile(folder / "expr.zip", "w") as archive:
        archive.write(folder / "expr.csv", "expr.csv")
    check(load(folder, counts="expr.zip"))
    check(load(folder / "expr.csv", counts=None))
    other = tmp_path / "places.csv"
    (folder / "locs.csv").rename(other)
    check(load(folder, positions=str(other)))
    positions().to_parquet(folder / "locs.parquet")
    COUNTS.reset_index(names="cell").to_parquet(folder / "expr.parquet")
    check(load(folder, counts="expr.parquet", positions="locs.parquet"))


def test_a_table_of_r_without_a_name_for_its_rows(tmp_path):
    folder = write(tmp_path / "d")
    header, *lines = COUNTS.T.to_csv(sep=" ").splitlines()
    (folder / "expr.csv").write_text("\n".join([header.strip(), *lines]) + "\n")
    header, *lines = positions().to_csv(sep=" ", index=False).splitlines()
    (folder / "locs.csv").write_text("\n".join(["x y", *lines]) + "\n")
    check(load(folder))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        *[("x", "y"), ("X", "Y"), ("imagecol", "imagerow"), ("pxl_col_in_fullres", "pxl_row_in_fullres")],
        *[("sdimx", "sdimy"), ("x_centroid", "y_centroid"), ("center_x", "center_y"), ("pixel_x", "pixel_y")],
    ],
)
@pytest.mark.parametrize("y_first", [False, True])
def test_columns_are_read_by_name_whatever_their_order(x, y, y_first, tmp_path):
    where = positions(**({y: Y, x: X} if y_first else {x: X, y: Y}))
    check(load(write(tmp_path / "d", where=where)))


def test_decimal_commas(tmp_path):
    folder = write(tmp_path / "d")
    lines = [f"{name};{x:.2f};{y:.2f}".replace(".", ",") for name, x, y in zip(CELLS, X, Y)]
    (folder / "locs.csv").write_text("\n".join(["cell_ID;x;y", *lines]) + "\n")
    check(load(folder))


def test_units_in_names(tmp_path):
    folder = write(tmp_path / "d", where=positions(x_um=X, y_um=Y))
    check(load(folder, mpp=None), mpp=1.0)
    sample = load(folder, mpp=0.5)  # 0.5 µm per pixel of a picture
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"][:, 0], X)
    np.testing.assert_allclose(sample.adata.obsm["spatial"][:, 0], 2 * X)
    folder = write(tmp_path / "e", where=positions(x_mm=X / 1000, y_mm=Y / 1000))
    check(load(folder, mpp=None), mpp=1.0)
    with pytest.raises(MissingResourceError, match="unit of 'x' and 'y' is unknown"):
        load(write(tmp_path / "f"), mpp=None)


def test_y_that_points_up_is_turned_over_and_stated(tmp_path):
    sample = load(write(tmp_path / "d", where=positions(sdimx=X, sdimy=-Y)))
    check(sample)
    assert any("turned over" in w for w in sample.warnings)


def test_a_header_is_needed_or_the_numbers_of_the_columns(tmp_path):
    folder = write(tmp_path / "d", where=pd.DataFrame({"a": Y, "b": X}), header=False)
    with pytest.raises(BadInputError, match="is no header"):
        load(folder)
    with pytest.raises(UsageError, match="no column holds the names of the locations"):
        load(folder, xy="2,1")
    sample = load(folder, xy="2,1", in_order=True)
    check(sample)
    assert any("--in-order" in w for w in sample.warnings)
    named = write(tmp_path / "e", where=pd.DataFrame({"a": CELLS, "b": X, "c": Y}), header=False)
    with pytest.raises(BadInputError, match="is no header"):
        load(named)
    check(load(named, xy="2,3"))


def test_columns_that_the_user_names(tmp_path):
    folder = write(tmp_path / "d", where=positions(array_col=X, array_row=Y))
    with pytest.raises(BadInputError, match="no two columns are named as x and y"):
        load(folder)
    check(load(folder, xy="array_col,array_row"))
    for wrong in ("array_col", "array_col,", "array_col,array_col", "a,b"):
        with pytest.raises(UsageError):
            load(folder, xy=wrong)
    folder = write(tmp_path / "e", where=positions(a_x=X, a_y=Y, b_x=Y, b_y=X))
    with pytest.raises(UsageError, match="x and y could be a_x,a_y or b_x,b_y"):
        load(folder)


def test_names_that_programs_changed(tmp_path):
    barcodes = [f"{'ACGT'[i % 4]}{'ACGT'[i // 4]}GATTACA-1" for i in range(12)]
    counts = COUNTS.set_axis([b.removesuffix("-1") for b in barcodes], axis=0)
    sample = load(write(tmp_path / "d", counts, positions().assign(cell_ID=barcodes)))
    np.testing.assert_allclose(sample.adata.obsm["spatial"][:, 0], X)
    assert any("match but for their endings" in w for w in sample.warnings)


def test_locations_without_a_position_are_left_out_and_counted(tmp_path):
    where = positions()
    where.loc[3, "x"] = np.nan
    sample = load(write(tmp_path / "d", where=where.drop(5)))
    assert sample.adata.n_obs == 10
    assert any("2 of 12 locations have no position" in w for w in sample.warnings)


def test_planes_are_chosen_and_depth_is_stated(tmp_path):
    n = 40
    cells = [f"c{i}" for i in range(2 * n)]
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(rng.poisson(3, (2 * n, 5)) + 1, index=cells, columns=GENES)
    where = pd.DataFrame({"cell_ID": cells, "x": rng.random(2 * n) * 500, "y": rng.random(2 * n) * 500})
    folder = write(tmp_path / "d", counts, where.assign(z=np.repeat([0, 1], n)))
    with pytest.raises(UsageError, match=r"2 regions in one frame, by z \(z=0, z=1\)"):
        load(folder)
    assert load(folder, region="z=1").adata.n_obs == n
    deep = write(tmp_path / "e", counts, where.assign(z=rng.random(2 * n) * 90))
    assert any("third coordinate" in w for w in load(deep).warnings)


def test_what_is_not_named_is_asked_for(tmp_path):
    folder = write(tmp_path / "d")
    with pytest.raises(UsageError, match=r"tables there: expr\.csv, locs\.csv"):
        load(folder, counts=None)
    with pytest.raises(UsageError, match="positions is not stated"):
        load(folder, positions=None)
    with pytest.raises(MissingResourceError, match="--counts nothing: no such file"):
        load(folder, counts="nothing")
    with pytest.raises(UsageError, match="the same file"):
        load(folder, positions="expr.csv")
    with pytest.raises(BadInputError) as caught:
        detect(folder)
    assert "expr.csv, locs.csv" in caught.value.hint and "--platform tables" in caught.value.hint


@pytest.mark.parametrize("seed", range(25))
def test_damaged_tables_end_in_a_sample_or_in_one_line(seed, tmp_path):
    folder = write(tmp_path / "d")
    (tmp_path / "outside").mkdir()
    done = mutate(folder, np.random.default_rng(seed), tmp_path / "outside")
    try:
        load(folder)
    except FocusError as error:
        assert "\n" not in error.message, done


def test_columns_that_come_twice_do_not_matter_unless_they_are_needed(tmp_path):
    folder = write(tmp_path / "d")
    lines = (folder / "locs.csv").read_text().splitlines()
    (folder / "locs.csv").write_text("\n".join(["cell_ID,x,y,note,note", *(f"{line},1,2" for line in lines[1:])]))
    check(load(folder))
    (folder / "locs.csv").write_text("\n".join(["cell_ID,x,y,x", *(f"{line},1" for line in lines[1:])]))
    with pytest.raises(FocusError):
        load(folder)


def test_what_does_not_belong_together_is_refused(tmp_path):
    other = positions().assign(cell_ID=[f"other{i}" for i in range(12)])
    with pytest.raises(BadInputError, match="positions do not match the counts"):
        load(write(tmp_path / "d", where=other))
    with pytest.raises(BadInputError, match="cannot be in one order"):
        load(write(tmp_path / "e", where=pd.DataFrame({"x": X[:7], "y": Y[:7]})), in_order=True)
    square = COUNTS.iloc[:5]
    with pytest.raises(UsageError, match="which are the locations is not clear"):
        load(write(tmp_path / "f", square, pd.DataFrame({"x": X[:5], "y": Y[:5]})), in_order=True)


def test_values_that_are_no_counts(tmp_path):
    with pytest.raises(BadInputError, match="not whole numbers"):
        load(write(tmp_path / "d", COUNTS / 7.0))
    bright = load(write(tmp_path / "e", COUNTS * 1000))
    assert any("are these rescaled intensities" in w for w in bright.warnings)


def test_no_picture_is_taken_for_the_image(tmp_path):
    folder = write(tmp_path / "d")
    Image.new("RGB", (60, 60), "pink").save(folder / "tissue_image.png")
    assert load(folder).image_path is None
    assert load(folder, image=folder / "tissue_image.png").image_path == folder / "tissue_image.png"


def test_a_column_that_comes_twice_is_read_once(tmp_path):
    folder = write(tmp_path / "d")
    lines = [line + "," + line.split(",")[0] for line in (folder / "locs.csv").read_text().splitlines()]
    (folder / "locs.csv").write_text("\n".join(lines) + "\n")
    check(load(folder))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("ending", [".mtx", ".mtx.gz"])
@pytest.mark.parametrize("lists", ["tsv", "R"])
def test_counts_as_matrix_market_with_lists_beside_it(tmp_path, turned, ending, lists):
    folder = write(tmp_path / "a")
    (folder / "expr.csv").unlink()
    plain = folder / "plain.mtx"  # older SciPy adds no suffix
    io.mmwrite(plain, sparse.coo_matrix(COUNTS.to_numpy() if turned else COUNTS.to_numpy().T))
    text = (folder / "plain.mtx").read_bytes()
    (folder / "plain.mtx").unlink()
    (folder / f"counts{ending}").write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    for name, words in (("barcodes", CELLS), ("genes", GENES)):
        if lists == "tsv":
            (folder / f"{name}.tsv").write_text("\n".join(words) + "\n")
        else:
            pd.Series(words, index=range(1, len(words) + 1), name="x").to_csv(folder / f"{name}.csv")
    check(load(folder, counts=f"counts{ending}"))


@pytest.mark.parametrize("present", [[], ["barcodes.tsv"], ["barcodes.tsv", "cells.csv", "genes.tsv"]])
def test_a_matrix_without_its_lists_is_named(tmp_path, present):
    folder = write(tmp_path / "a")
    io.mmwrite(folder / "counts.mtx", sparse.coo_matrix(COUNTS.to_numpy().T))
    for name in present:
        (folder / name).write_text("\n".join(GENES if "gene" in name else CELLS) + "\n")
    words = "no lists of the names of its features" if len(present) == 1 else "lists of the names of its barcodes"
    with pytest.raises(MissingResourceError, match=words) as caught:
        load(folder, counts="counts.mtx")
    assert ".tsv" in caught.value.hint
