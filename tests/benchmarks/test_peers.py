"""The peer methods' runner: genes are matched, mistakes are one line, and every method does its work.

The methods themselves live in an environment of their own (benchmarks/peers/README.md): set FOCUS_PEERS to its Python.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

PEERS = Path(__file__).resolve().parents[2] / "benchmarks" / "peers"
sys.path.insert(0, str(PEERS))

import peer_data  # noqa: E402
import run as runner  # noqa: E402

METHODS = ("magic", "scvi", "gimvi", "tangram")
N_GENES, N_HIDDEN, N_TYPES = 160, 20, 3


def _table(rates: np.ndarray, depth: float, rng: np.random.Generator, prefix: str) -> anndata.AnnData:
    """Poisson counts of `rates`, whose rows sum to one, at about `depth` molecules."""
    depths = depth * rng.uniform(0.5, 1.5, len(rates))
    counts = rng.poisson(rates * depths[:, None]).astype(np.float32)
    ids = [f"ENSG{gene:011d}" for gene in range(rates.shape[1])]
    names = [f"GENE{gene}" for gene in range(rates.shape[1])]
    return anndata.AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"{prefix}{row}" for row in range(len(rates))]),
        var=pd.DataFrame({"gene_ids": ids, "gene_symbols": names}, index=names),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A sample whose three regions are three cell types, a reference of these, lists of genes, and the truth."""
    path, rng = tmp_path_factory.mktemp("peers"), np.random.default_rng(1)
    profiles = rng.gamma(0.4, size=(N_TYPES, N_GENES)) + 0.05
    profiles /= profiles.sum(axis=1, keepdims=True)
    region = np.repeat(np.arange(N_TYPES), 24)
    mixture = 0.85 * np.eye(N_TYPES)[region] + 0.05
    sample = _table(mixture @ profiles, 1500, rng, "spot")
    sample.obsm["spatial_um"] = np.column_stack([np.arange(72) % 8, np.arange(72) // 8]) * 100.0
    cell_type = np.repeat(np.arange(N_TYPES), 40)
    cells = _table(profiles[cell_type], 4000, rng, "cell")
    cells.obs["cell_type"] = [f"type{number}" for number in cell_type]
    for folder, table in {
        "whole/counts.h5ad": sample,
        "part/counts.h5ad": sample[:, N_HIDDEN:].copy(),
        "ref/cells.h5ad": cells,
    }.items():
        (path / folder).parent.mkdir()
        table.write_h5ad(path / folder)
    (path / "halves").mkdir()
    sample.X = sample.X * 0.5
    sample.write_h5ad(path / "halves" / "counts.h5ad")
    (path / "broken").mkdir()
    (path / "broken" / "counts.h5ad").write_text("no counts")
    (path / "empty.txt").write_text("\n")
    (path / "seen.txt").write_text("".join(f"GENE{gene}\n" for gene in range(40, 60)))
    (path / "hidden.txt").write_text("".join(f"GENE{gene}\n" for gene in range(N_HIDDEN)) + "NO_SUCH_GENE\n")
    truth = pd.DataFrame(np.log1p(1e4 * mixture @ profiles), index=sample.obs_names, columns=sample.var_names)
    truth.to_parquet(path / "truth.parquet")
    return path


def inputs(tiny: Path, method: str, out: Path) -> list[str]:
    impute = method in ("gimvi", "tangram")
    arguments = [
        method,
        *("--observed", tiny / ("part" if impute else "whole")),
        *(["--reference", tiny / "ref"] if impute else []),
        *("--genes", tiny / ("hidden.txt" if impute else "seen.txt")),
        *("--out", out),
    ]
    return [str(argument) for argument in arguments]


# --- genes and scales ----------------------------------------------------------------------------


def test_genes_are_found_by_name_symbol_and_id():
    var = pd.DataFrame(
        {"gene_symbols": ["A", "B", "C", ""], "gene_ids": ["ENSG1", "ENSG2.7", "", "ENSG4"]},
        index=["A", "ENSG2", "c1", "d"],
    )
    found = peer_data.locate(["A", "B", "ENSG2.1", "C", "ENSG4.2", "c1", "", "no"], var)
    assert found.tolist() == [0, 1, 1, 2, 3, 2, -1, -1]


def test_pairs_share_names_and_keep_their_values(tiny):
    sample, cells = peer_data.read_sample(tiny / "part"), peer_data.read_reference(tiny / "ref")
    sample.var_names = [f"other{n}" for n in range(sample.n_vars)]  # only the ids agree
    sample, cells = sample[:, ::-1].copy(), cells[:, 5:].copy()
    paired = peer_data.pair(sample, cells, ["GENE3", "GENE7", "GENE30", "other0"])
    assert paired.genes == ["GENE7", "GENE30", "other0"]
    assert list(paired.spots.var_names) == list(paired.cells.var_names[: paired.spots.n_vars])
    np.testing.assert_array_equal(paired.spots.X.toarray(), sample.X.toarray())
    for gene, column in zip(("GENE7", "GENE30", "GENE20"), paired.columns):
        np.testing.assert_array_equal(paired.cells.X[:, column].toarray(), cells[:, gene].X.toarray())
    np.testing.assert_array_equal(paired.cells.obs["total"], np.asarray(cells.X.sum(axis=1)).ravel())


def test_counts_are_found_again_behind_normalised_values():
    dense = np.random.default_rng(0).poisson(0.5, (30, 200))
    dense[4] = 0  # a cell without molecules
    counts = sparse.csr_matrix(dense, dtype=np.float32)
    totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    logged = sparse.csr_matrix(sparse.diags(1e4 / totals) @ counts, dtype=np.float32)
    logged.data = np.expm1(np.log1p(logged.data))
    assert (peer_data.as_counts(counts) != counts).nnz == 0
    assert (peer_data.as_counts(logged) != counts).nnz == 0
    logged.data *= np.random.default_rng(0).uniform(0.9, 1.1, logged.nnz).astype(np.float32)
    assert peer_data.as_counts(logged) is None


def test_locations_without_molecules_get_the_mean():
    filled = peer_data.silent_filled(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([True, False, True]))
    assert filled.tolist() == [[1, 2], [2, 3], [3, 4]]


def test_an_estimate_that_is_not_finite_is_refused():
    with pytest.raises(peer_data.PeerError):
        peer_data.log_cp10k(np.array([[0.1, np.nan]]))


# --- mistakes ------------------------------------------------------------------------------------

MISTAKES = {
    "no sample": ("magic --observed {tiny}/none", "no such sample folder"),
    "a folder that is no sample": ("magic --observed {tiny}", "no such file"),
    "a damaged sample": ("magic --observed {tiny}/broken", "cannot read"),
    "a sample without counts": ("magic --observed {tiny}/halves", "raw counts"),
    "no list of genes": ("magic --genes {tiny}/none.txt", "cannot read"),
    "an empty list of genes": ("magic --genes {tiny}/empty.txt", "names no gene"),
    "no reference": ("tangram", "needs --reference"),
    "a reference that is not there": ("gimvi --reference {tiny}/none", "no such reference folder"),
    "an unknown method": ("nosuch", "invalid choice"),
    "another kind of output": ("magic --out {tiny}/est.csv", ".h5ad"),
    "an output below a file": ("magic --out {tiny}/seen.txt/est.h5ad", "cannot write"),
    "a seed below zero": ("magic --seed -1", "--seed"),
    "a method that is not installed": ("magic", "not installed here"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(tiny, tmp_path, capsys, name):
    if "not installed" in name and importlib.util.find_spec("magic"):
        pytest.skip("MAGIC is installed here")
    changes, said = MISTAKES[name]
    method, *changes = changes.format(tiny=tiny).split()
    before = sorted(tiny.rglob("*"))
    _, *defaults = inputs(tiny, "magic", tmp_path / "deep" / "est.h5ad")
    with pytest.raises(SystemExit) as stopped:
        runner.main([method, *defaults, *changes])
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said in told
    assert len(told.splitlines()) == 1
    assert list(tmp_path.rglob("*.h5ad")) == []
    assert sorted(tiny.rglob("*")) == before


def test_an_output_is_not_replaced_unasked(tiny, tmp_path, capsys):
    out = tmp_path / "est.h5ad"
    out.write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        runner.main(inputs(tiny, "magic", out))
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_a_method_that_is_stopped_is_no_success(tiny, tmp_path, capsys, monkeypatch):
    def estimate(*_):
        raise SystemExit  # what Lightning makes of a termination

    monkeypatch.setitem(sys.modules, "peer_magic", types.SimpleNamespace(estimate=estimate))
    with pytest.raises(SystemExit, match="2"):
        runner.main(inputs(tiny, "magic", tmp_path / "est.h5ad"))
    assert "stopped" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- the methods ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of the peers' environment."""
    if not (place := os.environ.get("FOCUS_PEERS")):
        pytest.skip("FOCUS_PEERS is not set to the peers' environment (benchmarks/peers/README.md)")
    path = Path(place).expanduser()
    path = path / "bin" / "python" if path.is_dir() else path
    if not path.is_file():
        pytest.skip(f"FOCUS_PEERS: no Python at {path}")
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_finds_the_pattern_and_the_same_seed_gives_the_same(tiny, tmp_path, python, method):
    estimates = []
    # Another order of sets in each run: nothing may hang on it.
    for number, seed in enumerate((0, 0, 7)):
        out = tmp_path / f"{number}.h5ad"
        command = [python, str(PEERS / "run.py"), *inputs(tiny, method, out), "--seed", str(seed)]
        environment = os.environ | {"PYTHONHASHSEED": str(number), "MPLBACKEND": "Agg"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        estimates.append(anndata.read_h5ad(out))
    first, again, other = estimates
    truth = pd.read_parquet(tiny / "truth.parquet")
    genes = (tiny / ("hidden.txt" if method in ("gimvi", "tangram") else "seen.txt")).read_text().split()
    assert list(first.obs_names) == list(truth.index)
    assert list(first.var_names) == [gene for gene in genes if gene in truth]
    assert first.X.dtype == np.float32
    assert np.isfinite(first.X).all()
    assert (first.X >= 0).all()
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(first.obsm["spatial_um"][:, 0], np.arange(72) % 8 * 100.0)
    about, settings = first.uns["peer"], first.uns["peer"]["settings"]
    assert (about["method"], about["seed"]) == (method, 0)
    assert about["package"] and about["version"] and about["seconds"] > 0 and len(settings) > 3
    truth = truth[list(first.var_names)]
    for estimate in (first, other):
        pcc = [np.corrcoef(column, truth[gene])[0, 1] for gene, column in zip(first.var_names, estimate.X.T)]
        assert np.mean(pcc) > 0.5
        # The level is that of counts per 10,000, not only the pattern.
        assert abs(np.mean(estimate.X) - truth.to_numpy().mean()) < 0.4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.h5ad", "1.h5ad", "2.h5ad"]
