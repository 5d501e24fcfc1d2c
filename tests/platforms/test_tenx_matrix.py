"""10x matrices as other software writes them: the same counts, or a refusal that names what is wrong."""

import gzip

import h5py
import numpy as np
import pytest
from raw_folders import write_matrix_folder, write_matrix_h5, write_visium
from scipy import io, sparse

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.mtx import read_mtx

COUNTS = np.random.default_rng(0).poisson(1.0, (9, 5)).astype(np.int32)
BARCODES = [f"{'ACGT'[i % 4] * (2 + i // 4)}AAACCC-1" for i in range(9)]
IDS, SYMBOLS = [f"ENSG{j:011d}" for j in range(5)], [f"Gene{j}" for j in range(5)]


def text(head="%%MatrixMarket matrix coordinate integer general", size=None, entries=None):
    matrix = sparse.coo_matrix(COUNTS.T)
    size = size or f"{matrix.shape[0]} {matrix.shape[1]} {matrix.nnz}"
    entries = entries or [f"{r + 1} {c + 1} {v}" for r, c, v in zip(matrix.row, matrix.col, matrix.data)]
    return "\n".join([head, size, *entries]) + "\n"


FORMS = {
    "integer": text(),
    "unsigned": text("%%MatrixMarket matrix coordinate unsigned-integer general"),
    "real": text("%%MatrixMarket matrix coordinate real general"),
    "double": text("%%MatrixMarket matrix coordinate double general"),
    "capitals": text("%%MATRIXMARKET MATRIX COORDINATE INTEGER GENERAL"),
    "points": text().replace(" 1\n", " 1.0\n").replace(" 2\n", " 2.000000000000000e+00\n"),
    "comments": text().replace("general\n", "general\n%metadata_json: {}\n%\n\n"),
    "CRLF": text().replace("\n", "\r\n"),
    "tabs and blanks": text().replace(" ", "\t ").replace("%%MatrixMarket\t ", "%%MatrixMarket "),
    "byte order mark": "\ufeff" + text(),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_headers_and_forms(tmp_path, form, packed):
    content = FORMS[form].encode()
    (tmp_path / "matrix.mtx").write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_mtx(tmp_path / "matrix.mtx").toarray(), COUNTS.T)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int64, np.float32])
def test_what_scipy_writes(tmp_path, dtype):
    io.mmwrite(tmp_path / "matrix.mtx", sparse.coo_matrix(COUNTS.T.astype(dtype)))
    np.testing.assert_array_equal(read_mtx(tmp_path / "matrix.mtx").toarray(), COUNTS.T)


REFUSED = {
    "pattern": ("%%MatrixMarket matrix coordinate pattern general", "not how many"),
    "complex": ("%%MatrixMarket matrix coordinate complex general", "complex numbers"),
    "symmetric": ("%%MatrixMarket matrix coordinate integer symmetric", "symmetric matrix"),
    "skew": ("%%MatrixMarket matrix coordinate real skew-symmetric", "skew-symmetric matrix"),
    "dense": ("%%MatrixMarket matrix array integer general", "dense matrix"),
    "vector": ("%%MatrixMarket vector coordinate integer general", "not a Matrix Market file"),
    "no header": ("5 9 3", "not a Matrix Market file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_kinds_are_refused_by_their_own_reason(tmp_path, case):
    head, words = REFUSED[case]
    (tmp_path / "matrix.mtx").write_text(text(head))
    with pytest.raises(BadInputError) as refusal:
        read_mtx(tmp_path / "matrix.mtx")
    assert words in refusal.value.message and "\n" not in refusal.value.message and refusal.value.hint


def check(adata):
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    assert list(adata.obs_names) == BARCODES and list(adata.var["gene_ids"]) == IDS
    assert list(adata.var_names) == SYMBOLS


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        write_matrix_folder(tmp_path / "m", COUNTS, BARCODES, IDS, SYMBOLS, gz=False)
        return tmp_path / "m"

    def test_barcodes_by_genes_is_transposed_with_a_note(self, folder):
        io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(COUNTS))
        adata, _, notes = read_matrix(folder)
        check(adata)
        assert any("transposed" in note for note in notes)

    @pytest.mark.parametrize(
        "change", ["quotes", "CRLF", "byte order mark", "header of barcodes", "header of features"]
    )
    def test_lists_that_were_saved_again(self, folder, change):
        barcodes, features = folder / "barcodes.tsv", folder / "features.tsv"
        if change == "quotes":
            for path in (barcodes, features):
                lines = path.read_text().splitlines()
                path.write_text("".join("\t".join(f'"{w}"' for w in line.split("\t")) + "\n" for line in lines))
        elif change == "CRLF":
            for path in (barcodes, features):
                path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        elif change == "byte order mark":
            for path in (barcodes, features):
                path.write_text("\ufeff" + path.read_text())
        elif change == "header of barcodes":
            barcodes.write_text("x\n" + barcodes.read_text())
        else:
            features.write_text("gene_id\tname\ttype\n" + features.read_text())
        check(read_matrix(folder)[0])

    def test_a_line_too_many_that_is_no_header(self, folder):
        path = folder / "barcodes.tsv"
        path.write_text("CCCCCCC-1\n" + path.read_text())
        with pytest.raises(BadInputError, match="10 barcodes"):
            read_matrix(folder)


class TestH5:
    @pytest.fixture
    def file(self, tmp_path):
        write_matrix_h5(tmp_path / "m.h5", COUNTS, BARCODES, IDS, SYMBOLS)
        return tmp_path / "m.h5"

    @pytest.mark.parametrize(
        ("name", "length", "words"),
        [
            ("features/name", 3, "columns of unequal length (5 of features/id, 3 of features/name"),
            ("features/feature_type", 7, "columns of unequal length"),
            ("features/id", 4, "columns of unequal length"),
            ("barcodes", 8, "with 8 barcodes"),
            ("indptr", 5, "truncated or damaged"),
            ("indices", 3, "truncated or damaged"),
            ("data", 3, "truncated or damaged"),
            ("shape", 1, "truncated or damaged"),
            ("features/id", 0, "columns of unequal length"),
            ("barcodes", 0, "with 0 barcodes"),
        ],
    )
    def test_tables_of_unequal_length(self, file, name, length, words):
        with h5py.File(file, "r+") as h5:
            values = h5["matrix"][name][:]
            del h5["matrix"][name]
            h5["matrix"][name] = np.resize(values, length)
        with pytest.raises(BadInputError) as refusal:
            read_matrix(file)
        assert words in refusal.value.message and "\n" not in refusal.value.message and refusal.value.hint

    def test_two_genomes_keep_their_names(self, file):
        ids = [f"GRCh38_{i}" for i in IDS[:3]] + [f"mm10___{i}" for i in IDS[3:]]
        symbols = ["GRCh38_TP53", "GRCh38_ACTB", "GRCh38_GAPDH", "mm10___Gapdh", "mm10___Actb"]
        write_matrix_h5(file, COUNTS, BARCODES, ids, symbols)
        adata, _, _ = read_matrix(file)
        assert list(adata.var["gene_ids"]) == ids and list(adata.var["gene_symbols"]) == symbols


def _as_csv(text):
    return text.replace("\t", ",")


def _numbered(text):
    return "".join(f"{i}\t{line}\n" for i, line in enumerate(text.splitlines(), start=1))


def _of_genes(text):
    return text.replace("Gene Expression", "Gene")


@pytest.mark.parametrize(
    ("name", "change"),
    [("features.tsv", _as_csv), ("features.tsv", _numbered), ("features.tsv", _of_genes), ("barcodes.tsv", _numbered)],
)
def test_lists_that_were_saved_again(tmp_path, name, change):
    raw = write_visium(tmp_path / "raw", matrix="mtx", image=None)
    file = raw.path / "filtered_feature_bc_matrix" / name
    file.write_text(change(file.read_text()))
    adata, _, _ = read_matrix(raw.path / "filtered_feature_bc_matrix")
    assert adata.obs_names.tolist() == raw.positions.index.tolist()
    assert adata.var["gene_ids"].tolist() == raw.gene_ids and adata.var_names.tolist() == raw.symbols
    np.testing.assert_array_equal(adata.X.toarray(), raw.counts)


def test_lists_that_were_exchanged(tmp_path):
    raw = write_visium(tmp_path / "raw", matrix="mtx", image=None)
    folder = raw.path / "filtered_feature_bc_matrix"
    features, barcodes = (folder / "features.tsv").read_text(), (folder / "barcodes.tsv").read_text()
    (folder / "features.tsv").write_text(barcodes)
    (folder / "barcodes.tsv").write_text(features)
    with pytest.raises(BadInputError, match="holds barcodes") as refused:
        read_matrix(folder)
    assert "exchange" in refused.value.hint
