"""DBiT-seq: crossings by name or barcode, on the picture of the region that the channels cover."""

import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sequencing import drawn, places, written

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.platforms.formats.text_matrix import read_text_matrix


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return written("dbit", tmp_path_factory)


def write_chip(folder, names=("1x1", "2x1", "1x50"), counts=((1, 0), (0, 2), (3, 4)), **kwargs):
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(counts, index=names, columns=["A1", "B2"])
    table.to_csv(folder / "chip.tsv", sep="\t", index_label="X", **kwargs)
    return folder


def test_simulated_folder_comes_back(study):
    found = detect(study.raw)
    assert (found.platform, found.problems) == ("dbit", ())
    width = study.section.locations.size_um
    sample = read(study.raw, bin_um=width)
    counts = drawn(study.section)
    assert set(sample.adata.obs_names) == set(counts.index)
    np.testing.assert_array_equal(sample.adata.X.toarray(), counts.loc[sample.adata.obs_names])
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], places(study.section).loc[sample.adata.obs_names])
    # The scale is that of the picture, which the channels fill.
    assert sample.mpp == pytest.approx(study.section.mpp)
    assert sample.warnings == []
    assert (sample.footprint.shape, sample.footprint.size_um) == ("square", width)
    assert sample.footprint.pitch_um == 2 * width


def test_a_is_the_column_and_b_the_row(tmp_path):
    sample = read(write_chip(tmp_path / "c"), "dbit", bin_um=25)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], [[12.5, 12.5], [62.5, 12.5], [12.5, 2462.5]])
    assert list(sample.adata.obs["array_col"]) == [1, 2, 1]
    assert list(sample.adata.obs["array_row"]) == [1, 1, 50]


def test_an_assumed_width_is_said(tmp_path):
    sample = read(write_chip(tmp_path / "c"), "dbit")
    assert sample.footprint.size_um == 50.0
    assert any("50 µm is assumed (pass --bin-um)" in w for w in sample.warnings)


@pytest.mark.parametrize("text", [",1x1,2x1", "1x1\n2x1\n", '"1x1","2x1"'])
def test_positions_say_what_is_tissue(tmp_path, text):
    folder = write_chip(tmp_path / "c")
    (folder / "position.txt").write_text(text)
    assert list(read(folder).adata.obs["in_tissue"]) == [1, 1, 0]


def test_without_positions_all_is_tissue(tmp_path):
    sample = read(write_chip(tmp_path / "c"), "dbit")
    assert sample.adata.obs["in_tissue"].all()
    assert any("position.txt" in w for w in sample.warnings)


@pytest.mark.parametrize("form", ["pairs", "channels"])
def test_rows_named_by_barcode(tmp_path, form):
    a, b = ["AAAAAAAA", "CCCCCCCC"], ["GGGGGGGG", "TTTTTTTT"]
    folder = write_chip(tmp_path / "c", names=[b[0] + a[0], b[0] + a[1], b[1] + a[0]])
    if form == "pairs":
        text = "".join(f"{b[j]}{a[i]}\t{i + 1}\t{j + 1}\n" for i in (0, 1) for j in (0, 1))
    else:
        text = "".join(f"{end}{i + 1}\t{code[i]}\n" for end, code in (("A", a), ("B", b)) for i in (0, 1))
    (folder / "spatial_barcodes.txt").write_text(text)
    assert detect(folder).platform == "dbit"
    assert list(read(folder).adata.obs_names) == ["1x1", "2x1", "1x2"]


def test_a_chip_of_96(tmp_path):
    folder = write_chip(tmp_path / "c", names=["1x1", "96x1", "51x96"])
    Image.new("RGB", (955, 955), (200, 150, 200)).save(folder / "tissue_HE.png")
    assert read(folder, "dbit", bin_um=10).mpp == pytest.approx(191 * 10 / 955)


def test_a_picture_that_is_not_the_region_is_said(tmp_path):
    folder = write_chip(tmp_path / "c")
    Image.new("RGB", (900, 500), (200, 150, 200)).save(folder / "tissue_HE.png")
    sample = read(folder, "dbit", bin_um=20)
    assert sample.mpp == 1.0
    assert any("900 × 500 px, not square" in w for w in sample.warnings)
    assert any("crop it to them" in w for w in read(folder, "dbit", bin_um=20, mpp=1.0).warnings)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda f: write_chip(f, names=["1x1", "0x2", "1x3"]), BadInputError, "'0x2' is not the name of a crossing"),
        (lambda f: write_chip(f, names=["1x1", "2x900", "1x3"]), BadInputError, "on no known chip"),
        (lambda f: write_chip(f, names=["1x1", "01x1", "1x3"]), BadInputError, "duplicate locations"),
        (lambda f: write_chip(f, counts=((1, 0), (0, -2), (3, 4))), BadInputError, "negative"),
        (lambda f: write_chip(f, names=["1x1", "there", "1x3"]), BadInputError, "'there' is not the name"),
        (lambda f: (f / "position.txt").write_text(""), BadInputError, "it is empty"),
        (lambda f: (f / "position.txt").write_text("1x1,left"), BadInputError, "'left' is no crossing"),
        (lambda f: (f / "position.txt").write_text("7x7"), BadInputError, "none of its 1 crossings"),
        (lambda f: (f / "barcodes.txt").write_text("A1\tAC\nGT\n"), BadInputError, "line 2 is no barcode"),
        (lambda f: shutil.copy(f / "chip.tsv", f / "other.tsv"), UsageError, "several tables of counts"),
        (lambda f: (f / "chip.tsv").write_bytes(b"X\tA\n1x1\t\x00\xff\n"), BadInputError, "damaged"),
    ],
)
def test_bad_files(tmp_path, change, error, says):
    folder = write_chip(tmp_path / "c")
    change(folder)
    with pytest.raises(error, match=says) as caught:
        read(folder, "dbit")
    assert "\n" not in caught.value.message


def test_rows_named_by_place_alone_are_no_sign_of_it(tmp_path):
    folder = write_chip(tmp_path / "c")
    with pytest.raises(UsageError, match=r"legacy_st by chip\.tsv; dbit by chip\.tsv") as caught:
        read(folder)
    assert caught.value.hint == "choose: --platform legacy_st or --platform dbit"
    (folder / "position.txt").write_text(",1x1,2x1")
    assert detect(folder).platform == "dbit"


def zipped(folder, members):
    (folder / "chip.tsv").unlink(missing_ok=True)
    (folder / "position.txt").write_text(",1x1,2x1")
    with zipfile.ZipFile(folder / "chip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return folder


def test_a_zipped_table_is_read(tmp_path):
    folder = write_chip(tmp_path / "c")
    expected = read(folder, "dbit", bin_um=25)
    table = (folder / "chip.tsv").read_bytes()
    zipped(folder, {"chip.tsv": table, "__MACOSX/._chip.tsv": b"", ".DS_Store": b""})
    sample = read(folder, bin_um=25)
    np.testing.assert_array_equal(sample.adata.X.toarray(), expected.adata.X.toarray())
    assert list(sample.adata.obs["in_tissue"]) == [1, 1, 0]


@pytest.mark.parametrize("by", ["folder", "file"])
def test_a_zip_of_several_files_is_refused_by_their_names(by, tmp_path):
    folder = zipped(write_chip(tmp_path / "c"), {"a.tsv": "X\tG\n1x1\t1\n", "b.tsv": "X\tG\n1x1\t2\n"})
    with pytest.raises(UsageError, match=r"holds 2 files \(a\.tsv, b\.tsv\)"):
        read(folder if by == "folder" else folder / "chip.zip", "dbit")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "empty archive"),
        ({"[Content_Types].xml": "", "xl/workbook.xml": ""}, "workbook"),
    ],
)
def test_what_is_no_zipped_table_is_refused(members, says, tmp_path):
    folder = zipped(write_chip(tmp_path / "c"), members)
    with pytest.raises(BadInputError):
        read(folder / "chip.zip", "dbit")
    if members:
        with pytest.raises(BadInputError, match=says):
            read_text_matrix(folder / "chip.zip")


def test_a_zip_that_unpacks_beyond_any_table_is_refused(tmp_path, monkeypatch):
    from focus_cli.platforms.formats import opening

    monkeypatch.setattr(opening, "_MOST_UNPACKED", 1 << 16)
    folder = zipped(write_chip(tmp_path / "c"), {"a.tsv": "X\tG\n1x1\t" + "0" * (1 << 20)})
    with pytest.raises(BadInputError, match="would unpack to"):
        read_text_matrix(folder / "chip.zip")


def test_a_grey_picture_of_the_channels_is_no_he(tmp_path):
    folder = write_chip(tmp_path / "c")
    Image.effect_noise((990, 990), 40).save(folder / "tissue_HE.png")
    sample = read(folder, "dbit", bin_um=25)
    assert sample.image_path is None
    assert any("tissue_HE.png: grey, no H&E" in w for w in sample.warnings)
    # 50 channels and 49 walls fill the picture.
    assert sample.mpp == pytest.approx(99 * 25 / 990)
    np.testing.assert_allclose(sample.adata.obsm["spatial"][1], [25.0, 5.0])


def test_legacy_st_is_not_taken_for_it(tmp_path):
    folder = tmp_path / "ST-cnts"
    write_chip(folder)
    assert detect(folder).platform == "legacy_st"
