"""Slide-seq 1 and 2 and Curio Seeker: beads by barcode, 0.65 µm per pixel, against what was written and real files."""

import csv
import gzip
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import io
from sequencing import drawn, places, written

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.platforms.readers.slideseq import bead_pitch


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return written("slideseq", tmp_path_factory, mpp=0.65)


def check(sample, section):
    counts = drawn(section)
    assert set(sample.adata.obs_names) == set(counts.index)
    np.testing.assert_array_equal(sample.adata.X.toarray(), counts.loc[sample.adata.obs_names, sample.adata.var_names])
    expected = places(section).loc[sample.adata.obs_names]
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], expected, atol=1e-6)
    assert (sample.footprint.shape, sample.footprint.size_um) == ("circle", 10.0)
    assert 10 <= sample.footprint.pitch_um < 16


def beads_of(section):
    px = section.locations.px
    return pd.DataFrame({"barcodes": section.locations.names, "xcoord": px[:, 0], "ycoord": px[:, 1]})


def write_counts(path, section):
    pd.DataFrame(section.counts.T.toarray(), index=section.symbols, columns=section.locations.names).to_csv(path)


def write_curio(folder, section, name="A"):
    folder.mkdir(exist_ok=True)
    io.mmwrite(folder / f"{name}_MoleculesPerMatchedBead.mtx", section.counts.T.tocoo())
    (folder / f"{name}_genes.tsv").write_text("\n".join(section.symbols) + "\n")
    (folder / f"{name}_barcodes.tsv").write_text("\n".join(section.locations.names) + "\n")
    table = beads_of(section).set_index("barcodes").set_axis(["x", "y"], axis=1).rename_axis(None)
    table.to_csv(folder / f"{name}_MatchedBeadLocation.csv")
    return folder


def test_simulated_folder_comes_back_at_the_vendor_scale(study):
    found = detect(study.raw)
    assert (found.platform, found.version, found.problems) == ("slideseq", "2", ())
    sample = read(study.raw)
    assert sample.mpp == 0.65
    check(sample, study.section)
    assert sample.warnings == [] and sample.image_path.name == "S1_HE.tif"


def test_either_file_means_the_puck(study):
    for name in ("S1_bead_locations.csv", "S1.digital_expression.txt.gz"):
        assert read(study.raw / name).adata.n_obs == len(study.section.locations)


def test_version_1(tmp_path, study):
    beads_of(study.section).to_csv(tmp_path / "BeadLocationsForR.csv", index=False)
    write_counts(tmp_path / "MappedDGEForR.csv", study.section)
    assert detect(tmp_path).version == "1"
    check(read(tmp_path), study.section)


def test_bead_tables_as_they_are_found(tmp_path, study):
    shutil.copy(study.raw / "S1.digital_expression.txt.gz", tmp_path)
    path = tmp_path / "S1_bead_locations.csv"
    table = beads_of(study.section)
    plain = table.to_csv(index=False)
    forms = {
        "no header": table.to_csv(index=False, header=False),
        "tabs": table.to_csv(index=False, sep="\t"),
        "header of tabs over commas": plain.replace("barcodes,xcoord,ycoord", "barcodes\txcoord\tycoord"),
        "row numbers": table.to_csv(),
        "row numbers and barcode last": table[["xcoord", "ycoord", "barcodes"]].to_csv(),
        "crlf": plain.replace("\n", "\r\n"),
        "as R writes row names": plain.replace("barcodes,", "", 1),
    }
    for form, text in forms.items():
        path.write_text(text, newline="")
        try:
            check(read(tmp_path), study.section)
        except BadInputError as error:
            raise AssertionError(form) from error


def test_curio_seeker(tmp_path, study):
    write_curio(tmp_path, study.section)
    assert detect(tmp_path).version == "Curio Seeker"
    check(read(tmp_path), study.section)
    (tmp_path / "A_genes.tsv").unlink()
    with pytest.raises(MissingResourceError, match=r"A_genes\.tsv is missing"):
        read(tmp_path)


def test_curio_h5ad(tmp_path, study):
    section = study.section
    adata = anndata.AnnData(
        section.counts.astype(np.float32),
        pd.DataFrame(index=section.locations.names),
        pd.DataFrame(index=section.symbols),
    )
    adata.obsm["spatial"] = adata.obsm["X_spatial"] = section.locations.px
    adata.raw = adata.copy()
    adata.X = adata.X.log1p()  # as the pipeline leaves it: the counts are in raw
    adata.write_h5ad(tmp_path / "A_anndata.h5ad")
    assert detect(tmp_path).version == "Curio Seeker"
    check(read(tmp_path), section)


def test_positions_in_um_are_noticed(study):
    row, column = np.mgrid[0:20, 0:20].reshape(2, -1)
    beads = np.stack([10.2 * (column + 0.5 * (row % 2)), 8.9 * row], axis=1)  # a dense layer, in µm
    assert bead_pitch(beads, "beads.csv") == (10.2, [])
    pitch, notes = bead_pitch(0.65 * beads, "beads.csv")
    assert pitch == 10.0 and "beads.csv: beads of 10 µm would lie 6.6 µm apart" in notes[0]
    assert read(study.raw, mpp=1.0).mpp == 1.0


def test_beads_without_a_position_are_left_out(tmp_path, study):
    shutil.copy(study.raw / "S1.digital_expression.txt.gz", tmp_path)
    beads = beads_of(study.section)
    beads.iloc[5:].to_csv(tmp_path / "S1_bead_locations.csv", index=False)
    sample = read(tmp_path)
    assert sample.adata.n_obs == len(beads) - 5
    assert any("5 of" in w and "no position" in w for w in sample.warnings)
    beads.iloc[: len(beads) // 3].to_csv(tmp_path / "S1_bead_locations.csv", index=False)
    with pytest.raises(BadInputError, match="positions do not match the matrix"):
        read(tmp_path)


def test_missing_and_several(tmp_path, study):
    shutil.copy(study.raw / "S1_bead_locations.csv", tmp_path)
    assert detect(tmp_path).problems == ("*.digital_expression.txt.gz is missing",)
    with pytest.raises(MissingResourceError, match="digital_expression"):
        read(tmp_path)
    for puck in ("S1", "S2"):
        shutil.copy(study.raw / "S1.digital_expression.txt.gz", tmp_path / f"{puck}.digital_expression.txt.gz")
    with pytest.raises(UsageError, match="several pucks"):
        read(tmp_path)
    check(read(tmp_path / "S1_bead_locations.csv"), study.section)


DGE = b"GENE\tAAA\tCCC\tGGG\nG1\t1\t0\t3\nG2\t0\t12\t0\n"
BEADS = "barcodes,xcoord,ycoord\nAAA,0,0\nCCC,30,0\nGGG,0,40\n"


@pytest.mark.parametrize(
    ("counts", "beads", "says"),
    [
        (DGE[:-12], BEADS, "truncated or damaged"),
        (DGE.replace(b"12", b"1.5"), BEADS, "not whole|log-normalised"),
        (DGE.replace(b"12", b"nan"), BEADS, "NaN or infinite"),
        (DGE.replace(b"12", b"-2"), BEADS, "negative"),
        (DGE.replace(b"12", b"many"), BEADS, "line 3, column 3: 'many' is no number"),
        (DGE.replace(b"12", b"1_2"), BEADS, "is no number"),
        (DGE.replace(b"G2", b"G1"), BEADS, "duplicate genes"),
        (DGE.replace(b"CCC", b"AAA"), BEADS, "duplicate barcodes"),
        (b"", BEADS, "is empty"),
        (b"GENE\tAAA\n", BEADS, "no row of counts"),
        (bytes(range(256)) * 9, BEADS, "damaged|not text"),
        (DGE, BEADS.replace("30", "far"), "not numeric"),
        (DGE, BEADS.replace("30", "nan"), "NaN or infinite|not numeric"),
        (DGE, BEADS.replace("xcoord", "size"), "column 'xcoord' is missing"),
        (DGE, BEADS.replace("CCC", "AAA"), "duplicate barcodes"),
        (DGE, "", "is empty"),
        (DGE, BEADS.split("\n")[0], "no bead"),
        (DGE, BEADS.replace("30,0", "30"), "truncated or damaged|not numeric|NaN"),
    ],
)
def test_bad_files(tmp_path, counts, beads, says):
    (tmp_path / "P.digital_expression.txt.gz").write_bytes(gzip.compress(counts))
    (tmp_path / "P_bead_locations.csv").write_text(beads)
    with pytest.raises(BadInputError, match=says) as caught:
        read(tmp_path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("what", ["half", "text", "dense", "outside", "short", "seek"])
def test_damaged_mtx(tmp_path, study, what):
    path = write_curio(tmp_path / "c", study.section) / "A_MoleculesPerMatchedBead.mtx"
    text = path.read_text()
    lines = text.splitlines()
    path.write_text(
        {
            "half": text[: len(text) // 2],
            "text": text.replace(lines[5], "one two three"),
            "dense": text.replace("coordinate", "array"),
            "outside": text.replace(lines[5], "99999 1 1"),
            "short": "\n".join(lines[:-3]),
            "seek": "%%MatrixMarket matrix coordinate integer general\n",
        }[what]
    )
    with pytest.raises(BadInputError):
        read(path.parent)


@pytest.mark.realdata
def test_real_puck(focus_data):
    folder = focus_data / "native" / "slideseq"
    assert detect(folder).platform == "slideseq"
    sample = read(folder)
    with open(folder / "MappedDGEForR.csv", newline="") as stream:
        header, *rows = csv.reader(stream)
    with open(folder / "BeadLocationsForR.csv", newline="") as stream:
        places = {row["barcodes"]: (float(row["xcoord"]), float(row["ycoord"])) for row in csv.DictReader(stream)}
    assert list(sample.adata.obs_names) == header[1:]
    assert list(sample.adata.var_names) == [row[0] for row in rows]
    np.testing.assert_array_equal(sample.adata.X.toarray().T, np.array([row[1:] for row in rows], dtype=int))
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], [places[b] for b in header[1:]])
    assert {p.name for p in sample.inputs.values()} == {"MappedDGEForR.csv", "BeadLocationsForR.csv"}
    # In µm these beads would not fit a puck of 3 mm; in pixels of 0.65 µm they do, and the nearest two touch.
    spread = np.ptp(sample.adata.obsm["spatial"], axis=0).max()
    assert spread > 3000 > spread * sample.mpp
    apart = np.linalg.norm(sample.adata.obsm["spatial_um"][:, None] - sample.adata.obsm["spatial_um"], axis=2)
    assert apart[np.triu_indices(len(apart), 1)].min() == pytest.approx(10, abs=1)
