"""No name in a file or on the command line becomes a path outside the output."""

from __future__ import annotations

import string
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_words import ESCAPE, tricks
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import FocusError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.core.storage.sample import check_sample_id
from focus_cli.model.checkpoints import shipped_model
from focus_cli.model.priors import read_prior
from focus_cli.platforms.preprocessing import preprocess
from focus_cli.workflow.config.models import SampleRow

# Pieces of names that mean something to a file system, a shell, or a string, besides any text at all.
PIECES = st.sampled_from(["..", "/", "\\", ".", "~", "\x00", "\n", "$HOME", "C:", "a", "B-1", "_", " ", "é", "\u202e"])
NAMES = st.one_of(
    st.text(max_size=120),
    st.lists(PIECES, max_size=8).map("".join),
    st.sampled_from(tricks(Path("/tmp"))),
    st.text(alphabet=string.ascii_letters + string.digits + "._-/", max_size=110),
)
# What an .h5ad file can hold.
STORABLE = st.one_of(NAMES, st.text(alphabet="./~\\abé\n", max_size=20)).map(lambda n: n.replace("\x00", "")[:900])
FILES = {keys.SAMPLE_JSON, keys.COUNTS_H5AD}
SIDE, GENES = 6, 5
QUICK = settings(max_examples=200, deadline=None)
WRITING = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def written(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def section(path: Path, barcodes: list[str], genes: list[str]) -> None:
    """An .h5ad of a small square section."""
    n = len(barcodes)
    counts = np.random.default_rng(0).poisson(3.0, (n, len(genes))).astype(np.float32)
    rows, columns = np.divmod(np.arange(n), SIDE)
    adata = anndata.AnnData(
        sparse.csr_matrix(counts), obs=pd.DataFrame(index=barcodes), var=pd.DataFrame(index=list(genes))
    )
    adata.obsm["spatial"] = np.column_stack([columns, rows]) * 100.0
    adata.write_h5ad(path)


@QUICK
@given(NAMES)
def test_a_sample_id_is_one_plain_name(name):
    root = Path("/somewhere/samples")
    try:
        given_back = check_sample_id(name)
    except UsageError as error:
        assert error.message.isprintable()
        return
    assert given_back == name
    inside = root / name
    assert inside.resolve().parent == root and inside.name == name
    assert name.isascii() and name.isprintable() and not name.startswith((".", "-"))


@QUICK
@given(NAMES)
def test_the_samples_sheet_takes_the_same_ids(name):
    def accepted(check) -> bool:
        try:
            check()
        except (ValueError, UsageError):
            return False
        return True

    assert accepted(lambda: SampleRow(sample=name, path="raw")) == accepted(lambda: check_sample_id(name))


@WRITING
@given(name=NAMES)
def test_a_sample_id_names_nothing_outside(name, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("ids")
    (place / "work").mkdir()
    monkeypatch.chdir(place / "work")
    section(place / "S.h5ad", [f"b{i}" for i in range(SIDE**2)], [f"g{i}" for i in range(GENES)])
    try:
        preprocess(place / "S.h5ad", place / "a" / "out", name, mpp=1.0)
    except UsageError:
        assert written(place) == {"S.h5ad"}
    else:
        assert written(place) == {"S.h5ad", *(f"a/out/{file}" for file in FILES)}


@WRITING
@given(
    barcodes=st.lists(STORABLE, min_size=SIDE**2, max_size=SIDE**2, unique=True),
    genes=st.lists(STORABLE, min_size=GENES, max_size=GENES, unique=True),
)
def test_barcodes_and_genes_are_text_and_nothing_else(barcodes, genes, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("names")
    (place / "work").mkdir()
    monkeypatch.chdir(place / "work")
    section(place / "S.h5ad", barcodes, genes)
    try:
        stored = preprocess(place / "S.h5ad", place / "a" / "out", "S1", mpp=1.0)
    except FocusError as error:
        assert error.message.isprintable() and written(place) == {"S.h5ad"}
        return
    assert written(place) == {"S.h5ad", *(f"a/out/{file}" for file in FILES)}
    assert set(stored.read().obs_names) <= set(barcodes)


@pytest.fixture(scope="module")
def tricky(tmp_path_factory) -> Path:
    """A stored sample whose barcodes are tricks, and half of its genes."""
    place = tmp_path_factory.mktemp("tricky")
    names = [name.replace("\x00", "?") for name in tricks(place) if len(name) < 1000]
    genes = read_prior(shipped_model()).genes[: len(names)]
    section(place / "S.h5ad", [f"{name}{i}" for i in range(2) for name in names], [*names, *genes])
    return preprocess(place / "S.h5ad", place / "S1", "S1", mpp=1.0).path


def test_no_later_step_follows_a_name(tricky, tmp_path, monkeypatch):
    """Enhancement, hold-out and report of a section with such names write their output and nothing else."""
    from focus_cli.enhancement import enhance
    from focus_cli.evaluation import hold_out

    out, work = tmp_path / "a" / "b", tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = written(tricky.parent)
    enhance(tricky, out / "enhanced.h5ad")
    hold_out(tricky, "denoise", out / "visible", out / "truth.h5ad")
    assert {name.split("/")[0] for name in written(out)} == {"enhanced.h5ad", "visible", "truth.h5ad"}
    assert {name.split("/")[0] for name in written(tmp_path)} == {"a"} and not list(work.iterdir())
    assert written(tricky.parent) == before
    assert not any(ESCAPE in name for name in written(tmp_path))
    seen = anndata.read_h5ad(out / "enhanced.h5ad")
    assert set(seen.obs_names) == set(open_sample(tricky).read().obs_names)
