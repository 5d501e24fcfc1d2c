"""Positions tables as R, pandas and spreadsheets save them: every form gives the same sample, or is refused."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest
from raw_folders import COLUMNS, write_visium

from focus_cli.core.errors import BadInputError
from focus_cli.platforms import read

NAME = "tissue_positions.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_visium(tmp_path_factory.mktemp("raw") / "S", n_rows=12, n_cols=10, image=None)


@pytest.fixture
def raw(made, tmp_path):
    """A copy that may be changed, and its positions table as it was written."""
    import shutil

    folder = tmp_path / "S"
    shutil.copytree(made.path, folder)
    table = pd.read_csv(folder / "spatial" / NAME)
    (folder / "spatial" / NAME).unlink()
    return folder, table


def csv(table, **options):
    return table.to_csv(**{"index": False} | options)


def quoted(table):
    return csv(table, quoting=2)


def r_write_csv(table):
    text = table.copy()
    text["in_tissue"] = np.where(text["in_tissue"] == 1, "TRUE", "FALSE")
    return text.set_axis(range(1, len(text) + 1)).to_csv(index=True, quoting=2, index_label="")


def r_write_table(table):
    """``write.table``: the header has one name less than there are columns."""
    lines = table.set_axis(range(1, len(table) + 1)).to_csv(index=True, sep="\t").splitlines()
    return "\n".join([lines[0].lstrip("\t"), *lines[1:]]) + "\n"


def r_without_names(table):
    """``write.csv`` of a table read with ``header = FALSE``."""
    return table.set_axis([f"V{i}" for i in range(1, 7)], axis=1).to_csv(index=True, quoting=2, index_label="")


def seurat(table):
    names = {"in_tissue": "tissue", "array_row": "row", "array_col": "col"}
    names |= {"pxl_row_in_fullres": "imagerow", "pxl_col_in_fullres": "imagecol"}
    return table.set_index("barcode").rename(columns=names).to_csv(quoting=2, index_label="")


FORMS = {
    "byte order mark": lambda t: csv(t).encode("utf-8-sig"),
    "CRLF and byte order mark": lambda t: csv(t, lineterminator="\r\n").encode("utf-8-sig"),
    "carriage returns alone": lambda t: csv(t, lineterminator="\r").encode(),
    "UTF-16": lambda t: csv(t, sep="\t", lineterminator="\r\n").encode("utf-16"),
    "semicolons": lambda t: csv(t, sep=";").encode(),
    "semicolons and decimal commas": lambda t: csv(t, sep=";", decimal=",").encode(),
    "tabs": lambda t: csv(t, sep="\t").encode(),
    "tabs and decimal commas": lambda t: csv(t, sep="\t", decimal=",").encode(),
    "quotes": lambda t: quoted(t).encode(),
    "blanks": lambda t: csv(t).replace(",", ", ").encode(),
    "gzipped": lambda t: gzip.compress(csv(t).encode()),
    "other order": lambda t: csv(t[COLUMNS[::-1]]).encode(),
    "other columns beside": lambda t: csv(t.assign(x=1, cluster="a, b", row=3)).encode(),
    "index of pandas": lambda t: t.to_csv().encode(),
    "barcodes as the index of pandas": lambda t: t.set_index("barcode").to_csv(index_label="").encode(),
    "capitals": lambda t: csv(t.rename(columns=str.upper)).encode(),
    "write.csv": lambda t: r_write_csv(t).encode(),
    "write.table": lambda t: r_write_table(t).encode(),
    "write.csv without names": lambda t: r_without_names(t).encode(),
    "pandas without names": lambda t: t.set_axis(range(6), axis=1).to_csv().encode(),
    "no header": lambda t: csv(t, header=False).encode(),
    "no header, byte order mark, CRLF": lambda t: csv(t, header=False, lineterminator="\r\n").encode("utf-8-sig"),
    "no header, semicolons": lambda t: csv(t, header=False, sep=";", decimal=",").encode(),
    "no header, row names": lambda t: t.to_csv(header=False).encode(),
    "Seurat's names": lambda t: seurat(t).encode(),
    "comments before the header": lambda t: f"# Space Ranger 2\n# S1, left\n{csv(t)}".encode(),
    "comments and no header": lambda t: f"# Space Ranger 1\n\n{csv(t, header=False)}".encode(),
    "a header that is a comment": lambda t: ("# of S1\n#" + csv(t)).encode(),
    "comments at the end": lambda t: (csv(t) + "# end of table\n\n").encode(),
    "a comment between rows": lambda t: csv(t).replace("\n", "\n# rows\n", 3).encode(),
    "a blank first line": lambda t: ("\n" + csv(t)).encode(),
    "blank lines, CRLF, byte order mark": lambda t: ("\r\n \r\n" + csv(t, lineterminator="\r\n")).encode("utf-8-sig"),
    "blank lines at the end": lambda t: (csv(t) + "\n\n\n").encode(),
    "empty rows of a spreadsheet": lambda t: (csv(t) + ",,,,,\n,,,,,\n").encode(),
    "an empty first row of a spreadsheet": lambda t: (",,,,,\n" + csv(t)).encode(),
    "the separator of a spreadsheet": lambda t: ("sep=;\r\n" + csv(t, sep=";", lineterminator="\r\n")).encode(),
    "a comma at the end": lambda t: csv(t).replace("\n", ",\n").encode(),
    "a comma at the end of rows": lambda t: csv(t).replace("\n", ",\n").replace(",\n", "\n", 1).encode(),
    "a comma at the end of the header": lambda t: csv(t).replace("\n", ",\n", 1).encode(),
    "a comma at the end, no header": lambda t: csv(t, header=False).replace("\n", ",\n").encode(),
    "tabs at the end, CRLF": lambda t: csv(t, sep="\t").replace("\n", "\t\r\n").encode(),
    "an empty last column, quoted": lambda t: quoted(t.assign(**{"": ""})).encode(),
    "Windows-1252 in a header": lambda t: csv(t.assign(**{"x_µm": 1})).encode("cp1252"),
    "Windows-1252 in a column": lambda t: csv(t.assign(lab="Zürich – Süd")).encode("cp1252"),
    "Windows-1252, gzipped": lambda t: gzip.compress(csv(t.assign(lab="Århus")).encode("cp1252")),
    "UTF-8 in a column": lambda t: csv(t.assign(lab="Zürich – 東京")).encode(),
    "single quotes": lambda t: csv(t, quoting=2, quotechar="'").encode(),
    "single quotes around names": lambda t: csv(t, quoting=2, quotechar="'").encode(),
    "single quotes around barcodes": lambda t: csv(t.assign(barcode="'" + t["barcode"] + "'")).encode(),
    "quoted twice": lambda t: csv(t.assign(barcode='"' + t["barcode"] + '"')).encode(),
    "lower case": lambda t: csv(t.assign(barcode=t["barcode"].str.lower())).encode(),
    "lower case without ends": lambda t: csv(t.assign(barcode=t["barcode"].str.lower().str[:-2])).encode(),
}
OTHER_NAMES = ("write.csv without names", "pandas without names", "Seurat's names", "barcodes as the index of pandas")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_sample(raw, made, form):
    folder, table = raw
    (folder / "spatial" / NAME).write_bytes(FORMS[form](table))
    sample = read(folder)
    np.testing.assert_array_equal(sample.adata.X.toarray(), made.counts)
    expected = made.positions
    assert list(sample.adata.obs_names) == list(expected.index)
    xy = expected[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sample.adata.obsm["spatial"], xy, rtol=1e-12)
    for key in ("in_tissue", "array_row", "array_col"):
        np.testing.assert_array_equal(sample.adata.obs[key], expected[key])
    assert sample.mpp == pytest.approx(made.mpp, rel=1e-9)
    assert any("differ" in note for note in sample.warnings) == form.startswith("lower case")
    stated = [note for note in sample.warnings if note.startswith(NAME)]
    assert bool(stated) is (form in OTHER_NAMES)


@pytest.mark.parametrize("name", ["tissue_positions.csv.gz", "tissue_positions_list.csv.gz", "tissue_positions.tsv"])
def test_other_endings_are_found(raw, name):
    folder, table = raw
    content = csv(table, sep="\t" if name.endswith("tsv") else ",").encode()
    (folder / "spatial" / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read(folder).inputs["positions"].name == name


def test_parquet_with_row_names_and_another_order(raw, made):
    folder, table = raw
    shuffled = table[COLUMNS[::-1]].set_index("barcode").sample(frac=1, random_state=0)
    shuffled.to_parquet(folder / "spatial" / "tissue_positions.parquet")
    sample = read(folder)
    xy = made.positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sample.adata.obsm["spatial"], xy)


@pytest.mark.parametrize("bom", [True, False])
def test_scale_factors_gzipped_or_with_a_byte_order_mark(raw, bom):
    folder, table = raw
    (folder / "spatial" / NAME).write_text(csv(table))
    path = folder / "spatial" / "scalefactors_json.json"
    text = path.read_text()
    path.unlink()
    content = text.encode("utf-8-sig" if bom else "utf-8")
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    factors = next(iter(read(folder).adata.uns["spatial"].values()))["scalefactors"]
    assert factors["spot_diameter_fullres"] == 65.0 / 2.0


def thousands(table):
    """Whole pixels whose thousands are set apart: 1,234 may be either."""
    values = table.assign(pxl_row_in_fullres=[f"{1 + i % 9},{100 + i}" for i in range(len(table))])
    return csv(values, sep="\t")


REFUSED = {
    "thousands": (thousands, "decimal comma or a thousands separator"),
    "a word": (lambda t: csv(t.assign(pxl_row_in_fullres="left")), "'pxl_row_in_fullres' is not numeric"),
    "empty in_tissue": (lambda t: csv(t.assign(in_tissue=np.nan)), "column 'in_tissue' is empty"),
    "in_tissue missing once": (lambda t: csv(t.assign(in_tissue=[None, *t["in_tissue"][1:]])), "no value in row 1"),
    "in_tissue of 2": (lambda t: csv(t.assign(in_tissue=2)), "'in_tissue' has 2 in row 1, not 0 or 1"),
    "half a row": (lambda t: csv(t.assign(array_row=0.5)), "'array_row' has 0.5 in row 1, not a whole number"),
    "no pixel": (lambda t: csv(t.drop(columns="pxl_col_in_fullres")), "'pxl_col_in_fullres' is missing"),
    "no tissue": (lambda t: csv(t.drop(columns="in_tissue")), "'in_tissue' is missing"),
    "five columns": (lambda t: csv(t.iloc[:, :5], header=False), "5 columns where Space Ranger writes 6"),
    "names with x and y": (
        lambda t: csv(t[["barcode", *COLUMNS[4:]]], header=False),
        "as of another instrument",
    ),
    "a header alone": (lambda t: csv(t.iloc[:0]), "holds no position"),
    "swapped columns without names": (
        lambda t: csv(t[["barcode", "array_row", "in_tissue", "array_col", *COLUMNS[4:]]], header=False),
        "'in_tissue' has",
    ),
}


UNREADABLE = {
    "no encoding": (lambda t: csv(t.assign(lab="x")).encode().replace(b"x\n", b"\x81\n", 1), "byte 0x81 in line 2"),
    "two encodings": (
        lambda t: csv(t.assign(lab=["é", *["x"] * (len(t) - 1)])).encode().replace(b"x\n", b"\xe9\n", 1),
        "byte 0xe9 in line 3",
    ),
    "binary": (lambda t: csv(t).encode() + bytes(range(128, 256)) * 40, "is not UTF-8 text"),
}


@pytest.mark.parametrize("form", UNREADABLE)
def test_what_is_no_text_or_no_table_is_refused_with_the_cause(raw, form):
    folder, table = raw
    write, words = UNREADABLE[form]
    (folder / "spatial" / NAME).write_bytes(write(table))
    with pytest.raises(BadInputError) as refusal:
        read(folder)
    assert words in refusal.value.message and NAME in refusal.value.message and refusal.value.hint


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_positions_is_refused_in_one_line(raw, form):
    folder, table = raw
    write, words = REFUSED[form]
    (folder / "spatial" / NAME).write_text(write(table))
    with pytest.raises(BadInputError) as refusal:
        read(folder)
    assert words in refusal.value.message and "\n" not in refusal.value.message and refusal.value.hint


def test_rounded_names_are_the_cause_that_is_named(raw):
    folder, table = raw
    names = [f"1.23E+{i + 10:02d}" for i in range(len(table))]
    (folder / "spatial" / NAME).write_text(csv(table.assign(barcode=names)))
    with pytest.raises(BadInputError, match="positions do not match") as refusal:
        read(folder)
    assert "were rounded" in refusal.value.hint


def test_numbers_of_the_table_survive_digit_for_digit(raw):
    folder, table = raw
    odd = table.assign(pxl_row_in_fullres=table["pxl_row_in_fullres"] + 1 / 3)
    stream = io.StringIO()
    odd.to_csv(stream, index=False, sep=";", decimal=",")
    (folder / "spatial" / NAME).write_text(stream.getvalue())
    sample = read(folder)
    again = odd.set_index("barcode").loc[sample.adata.obs_names, "pxl_row_in_fullres"]
    np.testing.assert_allclose(sample.adata.obsm["spatial"][:, 1], again, rtol=1e-13)
