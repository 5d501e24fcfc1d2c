"""Every bad input is one line that names what is wrong, with its own exit code, and nothing is written."""

import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from raw_folders import write_legacy, write_matrix_folder, write_matrix_h5, write_positions, write_visium

from focus_cli.cli.preprocess import command
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.platforms import detect, read

MATRIX = "filtered_feature_bc_matrix.h5"


def rewrite(raw, counts=None, barcodes=None, ids=None, symbols=None, types=None):
    write_matrix_h5(
        raw.path / MATRIX,
        raw.counts if counts is None else counts,
        raw.positions.index if barcodes is None else barcodes,
        raw.gene_ids if ids is None else ids,
        raw.symbols if symbols is None else symbols,
        types,
    )


def truncate(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def with_value(raw, value):
    counts = raw.counts.astype(np.float64)
    counts[0, 0] = value
    rewrite(raw, counts)


def log_normalised(raw):
    rewrite(raw, np.log1p(raw.counts / raw.counts.sum(axis=1, keepdims=True) * 1e4))


def strangers(raw):
    rewrite(raw, barcodes=[f"s_008um_{i:05d}_00000-1" for i in range(len(raw.positions))])


def no_column(raw):
    path = raw.path / "spatial" / "tissue_positions.csv"
    pd.read_csv(path).drop(columns="pxl_col_in_fullres").to_csv(path, index=False)


def words_for_numbers(raw):
    path = raw.path / "spatial" / "tissue_positions.csv"
    pd.read_csv(path).assign(array_row="top").to_csv(path, index=False)


def lost_position(raw):
    path = raw.path / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path)
    table.loc[3, "pxl_row_in_fullres"] = np.nan
    table.to_csv(path, index=False)


def repeated_position(raw):
    path = raw.path / "spatial" / "tissue_positions.csv"
    table = pd.read_csv(path)
    pd.concat([table, table.iloc[:1]]).to_csv(path, index=False)


def headless_but_short(raw):
    spatial = raw.path / "spatial"
    (spatial / "tissue_positions.csv").unlink()
    (spatial / "tissue_positions_list.csv").write_text("AAAC-1,1,0\n")


def bad_json(raw):
    (raw.path / "spatial" / "scalefactors_json.json").write_text("{not json")


def bad_factor(raw):
    (raw.path / "spatial" / "scalefactors_json.json").write_text(json.dumps({"tissue_hires_scalef": -1}))


def mtx_instead(raw, *, cut=None, drop=None, wrong_features=False):
    (raw.path / MATRIX).unlink()
    folder = raw.path / "filtered_feature_bc_matrix"
    symbols = raw.symbols[:-1] if wrong_features else raw.symbols
    write_matrix_folder(folder, raw.counts, raw.positions.index, raw.gene_ids, symbols, gz=True)
    if cut:
        truncate(folder / cut)
    if drop:
        (folder / drop).unlink()


CASES = {
    "duplicate barcodes": (
        lambda r: rewrite(r, barcodes=[r.positions.index[0], *r.positions.index[:-1]]),
        BadInputError,
        "duplicate barcodes",
    ),
    "duplicate gene ids": (
        lambda r: rewrite(r, ids=[r.gene_ids[1], *r.gene_ids[1:]]),
        BadInputError,
        "duplicate gene ids",
    ),
    "NaN": (lambda r: with_value(r, np.nan), BadInputError, "NaN"),
    "infinite": (lambda r: with_value(r, np.inf), BadInputError, "infinite"),
    "negative": (lambda r: with_value(r, -2), BadInputError, "negative"),
    "log-normalised": (log_normalised, BadInputError, "log-normalised"),
    "scaled": (lambda r: rewrite(r, r.counts * 37.7), BadInputError, "not whole numbers"),
    "empty panel": (
        lambda r: rewrite(r, r.counts[:, :0], ids=[], symbols=[]),
        BadInputError,
        "panel is empty",
    ),
    "no gene expression": (
        lambda r: rewrite(r, types=["Antibody Capture"] * 30),
        BadInputError,
        "panel is empty",
    ),
    "no location": (lambda r: rewrite(r, r.counts[:0], barcodes=[]), BadInputError, "matrix is empty"),
    "no counts": (lambda r: rewrite(r, r.counts * 0), BadInputError, "no counts"),
    "other barcodes": (strangers, BadInputError, "positions do not match the matrix: 0 of"),
    "truncated h5": (lambda r: truncate(r.path / MATRIX), BadInputError, MATRIX),
    "h5 cut at its end": (lambda r: truncate(r.path / MATRIX, 0.95), BadInputError, MATRIX),
    "not an h5": (lambda r: (r.path / MATRIX).write_text("hello"), BadInputError, MATRIX),
    "truncated mtx": (lambda r: mtx_instead(r, cut="matrix.mtx.gz"), BadInputError, "matrix.mtx.gz"),
    "truncated barcodes": (lambda r: mtx_instead(r, cut="barcodes.tsv.gz"), BadInputError, "barcodes.tsv.gz"),
    "features of another run": (
        lambda r: mtx_instead(r, wrong_features=True),
        BadInputError,
        "29 features",
    ),
    "mtx without features": (
        lambda r: mtx_instead(r, drop="features.tsv.gz"),
        MissingResourceError,
        "features.tsv",
    ),
    "no matrix": (lambda r: (r.path / MATRIX).unlink(), MissingResourceError, "filtered_feature_bc_matrix"),
    "no positions": (
        lambda r: (r.path / "spatial" / "tissue_positions.csv").unlink(),
        MissingResourceError,
        "tissue_positions.csv",
    ),
    "missing column": (no_column, BadInputError, "pxl_col_in_fullres"),
    "words for numbers": (words_for_numbers, BadInputError, "not numeric"),
    "lost position": (lost_position, BadInputError, "NaN"),
    "repeated position": (repeated_position, BadInputError, "duplicate barcodes"),
    "short list": (headless_but_short, BadInputError, "3 columns"),
    "scale factors not JSON": (bad_json, BadInputError, "scalefactors_json.json"),
    "negative scale factor": (bad_factor, BadInputError, "tissue_hires_scalef"),
    "truncated thumbnail": (
        lambda r: truncate(r.path / "spatial" / "tissue_hires_image.png"),
        BadInputError,
        "tissue_hires_image.png",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_line_before_anything_is_written(tmp_path, case):
    spoil, kind, words = CASES[case]
    raw = write_visium(tmp_path / "S", n_rows=12, n_cols=10)
    spoil(raw)
    with pytest.raises(FocusError) as refusal:
        read(raw.path)
    assert type(refusal.value) is kind
    assert words in refusal.value.message
    assert "\n" not in refusal.value.message and refusal.value.hint
    result = CliRunner().invoke(command, [str(raw.path), "--out", str(tmp_path / "out"), "--sample", "S"])
    assert isinstance(result.exception, kind)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["S"]


def test_parquet_cut_short(tmp_path):
    raw = write_visium(tmp_path / "S", positions="parquet", n_rows=12, n_cols=10)
    truncate(raw.path / "spatial" / "tissue_positions.parquet")
    with pytest.raises(BadInputError, match=r"tissue_positions\.parquet"):
        read(raw.path)


def test_hd_matrix_beside_visium_positions(tmp_path):
    raw = write_visium(tmp_path / "S", n_rows=12, n_cols=10)
    names = [f"s_002um_{i:05d}_00000-1" for i in range(len(raw.positions))]
    write_positions(raw.path / "spatial", raw.positions.set_axis(names, axis=0), "2")
    with pytest.raises(BadInputError, match=r"the matrix has '[ACGT]+-1', the table 's_002um_00000_00000-1'"):
        read(raw.path)


class TestWrongFolder:
    def test_says_what_is_looked_for(self, tmp_path):
        with pytest.raises(BadInputError) as refusal:
            detect(tmp_path)
        for name in ("binned_outputs", "tissue_positions.csv", "ST-cnts", ".h5ad"):
            assert name in refusal.value.hint

    def test_no_such_path(self, tmp_path):
        with pytest.raises(MissingResourceError, match="nowhere"):
            detect(tmp_path / "nowhere")
        with pytest.raises(MissingResourceError, match="nowhere"):
            read(tmp_path / "nowhere", "visium")

    def test_a_file_of_another_kind(self, tmp_path):
        (tmp_path / "he.tif").write_bytes(b"II*\0")
        with pytest.raises(BadInputError, match="no known platform"):
            detect(tmp_path / "he.tif")


class TestOptions:
    def test_unknown_platform(self, tmp_path):
        with pytest.raises(UsageError, match="visum"):
            read(tmp_path, "visum")

    def test_bins_of_a_platform_without_bins(self, tmp_path):
        raw = write_visium(tmp_path / "S", n_rows=12, n_cols=10)
        with pytest.raises(UsageError, match="--bin-um"):
            read(raw.path, bin_um=16)

    @pytest.mark.parametrize("mpp", [0, -1, float("nan"), 1e9])
    def test_impossible_scale(self, tmp_path, mpp):
        with pytest.raises(UsageError, match="--mpp"):
            read(tmp_path, mpp=mpp)


class TestLegacy:
    def spoil(self, tmp_path, edit):
        write_legacy(tmp_path / "D")
        path = tmp_path / "D" / "ST-cnts" / "A1.tsv.gz"
        text = gzip.decompress(path.read_bytes()).decode()
        path.write_bytes(gzip.compress(edit(text).encode()))
        return tmp_path / "D"

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda t: t.replace("Gene3", "Gene2", 1), "duplicate gene ids"),
            (lambda t: t + t.splitlines()[1] + "\n", "duplicate barcodes"),
            (lambda t: t.splitlines()[0] + "\n", "empty"),
            (lambda t: t.replace("\t2\t", "\ttwo\t", 1), "truncated or damaged"),
            (lambda t: t.replace("\t2\t", "\t-2\t", 1), "negative"),
            (lambda t: t.replace("\t2\t", "\t\t", 1), "'' is no number"),
            (lambda t: t.replace("\t2\t", "\t2.5\t", 1), "not whole numbers: 1 of"),
            (lambda t: t.replace("x", "y"), "positions do not match"),
            (lambda t: re.sub(r"\t.*", "", t), "A1.tsv.gz is empty"),
        ],
    )
    def test_counts(self, tmp_path, edit, words):
        with pytest.raises(BadInputError, match=words):
            read(self.spoil(tmp_path, edit))

    @pytest.mark.parametrize("name", ["nan", "NA", ""])
    def test_a_gene_without_a_name_is_left_out(self, tmp_path, name):
        write_legacy(tmp_path / "D")
        whole = read(tmp_path / "D").adata
        sample = read(self.spoil(tmp_path, lambda t: t.replace("Gene3", name, 1)))
        kept = [g for g in whole.var_names if g != "Gene3"]
        np.testing.assert_array_equal(sample.adata.X.toarray(), whole[:, kept].X.toarray())
        assert any("1 features have neither id nor symbol" in w for w in sample.warnings)

    def test_truncated_gzip(self, tmp_path):
        write_legacy(tmp_path / "D")
        truncate(tmp_path / "D" / "ST-cnts" / "A1.tsv.gz")
        with pytest.raises(BadInputError, match=r"A1\.tsv\.gz: truncated"):
            read(tmp_path / "D")

    def test_spot_file_without_pixels(self, tmp_path):
        write_legacy(tmp_path / "D")
        path = tmp_path / "D" / "ST-spotfiles" / "A1_selection.tsv"
        pd.read_csv(path, sep="\t").drop(columns="pixel_x").to_csv(path, sep="\t", index=False)
        with pytest.raises(BadInputError, match="pixel_x"):
            read(tmp_path / "D")
