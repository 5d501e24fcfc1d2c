"""Vendors' tables that other programs saved again: marks, line ends, separators and packing change nothing."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from focus_cli.platforms import detect, read
from focus_cli.simulation import simulate

PLATFORMS = ("legacy_st", "cosmx", "merscope", "seqfish", "starmap", "merfish", "slideseq", "dbit")
TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
# Lists and transforms are no tables: their separators have one meaning.
NO_TABLES = ("position.txt", "micron_to_mosaic_pixel_transform.csv")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    made: dict[str, Path] = {}

    def get(platform: str) -> Path:
        if platform not in made:
            out = tmp_path_factory.mktemp("resaved") / "study"
            simulate(out, platform=platform, n_sections=1, size_um=600.0, n_genes=40, mpp=2.0, seed=1)
            made[platform] = out / "sections" / "S1"
        return made[platform]

    return get


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()


def mark_and_line_ends(path: Path) -> None:
    write(path, b"\xef\xbb\xbf" + text_of(path).replace("\r\n", "\n").replace("\n", "\r\n").encode())


def semicolons(path: Path) -> None:
    if path.name in NO_TABLES:
        return
    text = text_of(path)
    first = text.splitlines()[0]
    sep = max(",\t", key=first.count)
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerows(csv.reader(io.StringIO(text), delimiter=sep))
    write(path, out.getvalue().encode())


def quotes(path: Path) -> None:
    if path.name in NO_TABLES:
        return
    text = text_of(path)
    sep = max(",\t", key=text.splitlines()[0].count)
    out = io.StringIO()
    rows = csv.reader(io.StringIO(text), delimiter=sep)
    csv.writer(out, delimiter=sep, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    write(path, out.getvalue().encode())


def packed(path: Path) -> None:
    if path.suffix != ".gz" and path.name not in NO_TABLES:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def unpacked(path: Path) -> None:
    if path.suffix == ".gz":
        path.with_name(path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def packed_semicolons(path: Path) -> None:
    semicolons(path)
    packed(path)


def unpacked_quotes(path: Path) -> None:
    quotes(path)
    unpacked(path)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("change", [mark_and_line_ends, packed_semicolons, unpacked_quotes])
def test_the_same_sample_comes_back(change, platform, raw, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(raw(platform), folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name.endswith(TEXT):
            change(path)
    assert detect(folder).platform == platform
    expected, sample = read(raw(platform)), read(folder)
    assert list(sample.adata.obs_names) == list(expected.adata.obs_names)
    assert list(sample.adata.var_names) == list(expected.adata.var_names)
    np.testing.assert_array_equal(sample.adata.X.toarray(), expected.adata.X.toarray())
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], expected.adata.obsm["spatial_um"])
