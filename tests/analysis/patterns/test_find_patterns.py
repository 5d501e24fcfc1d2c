"""``focus patterns``: what it finds, what it refuses, and what an estimate may not do."""

from __future__ import annotations

import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from focus_cli.analysis.patterns.niches import find_niches
from focus_cli.analysis.patterns.stage import PatternOptions, find_patterns
from focus_cli.analysis.patterns.state_test import state_test
from focus_cli.analysis.significance.counts import ObservedCounts, read_observed_counts
from focus_cli.analysis.significance.states import HiddenGeneStates, MadeOf, deal, infer_hidden
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, OutputExistsError, UsageError
from focus_cli.core.h5ad.spatial_file import SpatialFile


@pytest.fixture(scope="module")
def answer(enhanced_study, tmp_path_factory) -> Path:
    """Patterns of the simulated section, with its model."""
    out = tmp_path_factory.mktemp("patterns") / "S1.h5ad"
    find_patterns(
        enhanced_study.enhanced["S1"],
        out,
        sample=enhanced_study.samples["S1"],
        model=enhanced_study.model,
        reference=enhanced_study.reference,
    )
    return out


def test_the_answer_lies_on_the_same_locations(answer: Path, enhanced_study) -> None:
    found, enhanced = ad.read_h5ad(answer), ad.read_h5ad(enhanced_study.enhanced["S1"])
    assert found.uns["focus"]["kind"] == "patterns"
    assert list(found.obs_names) == list(enhanced.obs_names)
    assert set(found.var_names) <= set(enhanced.var_names[enhanced.var["measured"]])
    for p in ("p", "q", "p_counts", "q_counts", "p_estimates", "q_estimates"):
        assert found.var[p].between(0, 1).all()
    assert found.obs["niche"].notna().all()


def test_markers_are_found_rather_than_housekeeping_genes(answer: Path, enhanced_study) -> None:
    found = ad.read_h5ad(answer).var
    program = ad.read_h5ad(enhanced_study.study.truth("S1")).var["program"].astype(str).reindex(found.index)
    for column in ("q_counts", "q_estimates"):
        hit = found[column] < 0.05
        assert hit[program != "housekeeping"].mean() > 0.25
        assert hit[program != "housekeeping"].mean() > 2 * hit[program == "housekeeping"].mean()


def test_a_model_that_met_the_sample_does_not_decide(answer: Path) -> None:
    found = ad.read_h5ad(answer)
    assert found.uns["focus"]["model_trained_on_sample"]
    assert "trained on this sample" in found.uns["focus"]["warnings"]
    assert found.var["p"].equals(found.var["p_counts"].rename("p"))


def test_states_do_not_see_the_genes_that_are_hidden(enhanced_study, tmp_path: Path) -> None:
    enhanced = ad.read_h5ad(enhanced_study.enhanced["S1"], backed="r")
    names, locations = enhanced.var_names.to_numpy(str), enhanced.obs_names.to_numpy(str)

    def states(sample: Path) -> HiddenGeneStates:
        return infer_hidden(MadeOf(sample, enhanced_study.model).open(), locations, names, folds=2, device="cpu")

    plain = states(enhanced_study.samples["S1"])
    changed = tmp_path / "changed"
    shutil.copytree(enhanced_study.samples["S1"], changed)
    adata = ad.read_h5ad(changed / "counts.h5ad")
    mine = np.flatnonzero(deal(adata.var_names.to_numpy(str), 2, 0) == 0)
    dense = adata.X.toarray()
    # Shuffled within the fold: its own totals stay, and so does what the sample expects of each gene.
    dense[:, mine] = dense[:, mine][np.random.default_rng(0).permutation(len(dense))]
    adata.X = sparse.csr_matrix(dense)
    adata.write_h5ad(changed / "counts.h5ad")
    other = states(changed)
    assert np.allclose(plain.states[0], other.states[0], atol=1e-5)
    assert not np.allclose(plain.states[1], other.states[1], atol=1e-2)
    assert plain.trained_on


def test_molecules_that_know_nothing_of_the_state_raise_few_alarms(enhanced_study) -> None:
    with SpatialFile(enhanced_study.enhanced["S1"]) as file:
        observed = read_observed_counts(file, "patterns")
        latent = file.obsm("focus_latent")[observed.rows]
    rng, n = np.random.default_rng(0), 1500
    mean = 400 * observed.totals / observed.totals.sum()
    genes = rng.poisson(mean[:, None] * rng.standard_gamma(20, (len(mean), n)) / 20)
    rest = rng.poisson(50 * 400 / 20 * mean)[:, None]
    counts = sparse.csc_matrix(np.hstack([genes, rest]).astype(np.float32))
    null = ObservedCounts(counts, observed.rows, observed.xy_um)
    p = state_test(null, np.arange(n), HiddenGeneStates(np.zeros(n + 1, np.int64), latent[None])).p
    assert 0.03 < (p < 0.05).mean() < 0.07
    assert (p < 0.01).mean() < 0.02


def test_estimates_taken_for_data_fail_where_nothing_is_true(enhanced_study, tmp_path: Path) -> None:
    # Every gene gets a constant share; the file is enhanced after that. Counts say so, the estimates do not.
    from scipy.stats import norm

    from focus_cli.analysis.patterns.autocorrelation import autocorrelation
    from focus_cli.analysis.significance.distances import pairs_within, spacing
    from focus_cli.analysis.significance.pvalues import cauchy_combination
    from focus_cli.enhancement import enhance
    from focus_cli.enhancement.stage import EnhanceOptions

    sample = tmp_path / "S1"
    shutil.copytree(enhanced_study.samples["S1"], sample)
    adata = ad.read_h5ad(sample / "counts.h5ad")
    dense, rng = adata.X.toarray(), np.random.default_rng(0)
    mean = np.outer(dense.sum(axis=1), dense.sum(axis=0)) / dense.sum()
    adata.X = sparse.csr_matrix(rng.poisson(mean).astype(np.float32))
    adata.write_h5ad(sample / "counts.h5ad")
    out = tmp_path / "enhanced.h5ad"
    options = EnhanceOptions(genes="measured", layers=(), device="cpu")
    enhance(sample, out, model=enhanced_study.model, reference=enhanced_study.reference, options=options)
    with SpatialFile(out) as file:
        observed = read_observed_counts(file, "patterns")
        x = file.matrix(None)[:][observed.rows].astype(float)
    genes = np.flatnonzero(observed.gene_totals >= 20)
    p = cauchy_combination(autocorrelation(observed, genes).p)
    assert (p < 0.05).mean() < 0.12
    graph = pairs_within(observed.xy_um, spacing(observed.xy_um))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    moran = (z * (graph @ z)).sum(axis=0) / np.sqrt(2 * graph.nnz)
    assert (norm.sf(moran) < 0.05).mean() > 0.8


def test_same_seed_same_bytes(enhanced_study, tmp_path: Path) -> None:
    for name in "ab":
        find_patterns(enhanced_study.enhanced["S2"], tmp_path / f"{name}.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


def test_niches_follow_what_lies_around() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (600, 2))
    side = (xy[:, 0] > 600).astype(int)
    shares = np.where(rng.random((600, 1)) < 0.8, np.eye(2)[side], np.eye(2)[1 - side])
    table = pd.DataFrame(shares, columns=["A", "B"], index=[f"l{i:03d}" for i in range(600)])
    found = find_niches(table, xy, 100.0)
    assert list(found.composition.index) == ["N1", "N2"]
    assert (np.asarray(found.label) == np.where(side == 0, "N1", "N2")).mean() > 0.9
    order = rng.permutation(600)
    again = find_niches(table.iloc[order], xy[order][:, ::-1], 100.0)
    assert (np.asarray(again.label) == np.asarray(found.label)[order]).all()
    assert len(find_niches(table, xy, 100.0, n_niches=4).composition) == 4


def test_one_kind_of_surroundings_is_one_niche() -> None:
    table = pd.DataFrame(np.ones((60, 1)), columns=["A"], index=[f"l{i}" for i in range(60)])
    found = find_niches(table, np.random.default_rng(0).uniform(0, 100, (60, 2)), 20.0)
    assert list(found.label.categories) == ["N1"]


def test_refusals(enhanced_study, tmp_path: Path) -> None:
    enhanced, out = enhanced_study.enhanced["S1"], tmp_path / "out.h5ad"
    with pytest.raises(UsageError, match="go together"):
        find_patterns(enhanced, out, model=enhanced_study.model)
    with pytest.raises(BadInputError, match="no gene of"):
        find_patterns(enhanced, out, options=PatternOptions(min_counts=10**9))
    with pytest.raises(BadInputError, match="lacks"):
        find_patterns(
            _renamed(enhanced, tmp_path / "other.h5ad"),
            out,
            sample=enhanced_study.samples["S1"],
            model=enhanced_study.model,
        )
    with pytest.raises(BadInputError, match="cell_type_proportions"):
        find_patterns(enhanced, out, celltypes=enhanced)
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        find_patterns(enhanced, out)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_latent_states_that_are_no_numbers_are_refused(enhanced_study, tmp_path: Path, value: float) -> None:
    changed = tmp_path / "changed.h5ad"
    shutil.copy(enhanced_study.enhanced["S1"], changed)
    with h5py.File(changed, "r+") as file:
        latent = file[f"obsm/{keys.LATENT}"]
        latent[1, 0] = value
    with pytest.raises(BadInputError, match="no finite numbers"):
        find_patterns(changed, tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()


def _renamed(path: Path, out: Path) -> Path:
    adata = ad.read_h5ad(path)
    adata.obs_names = "other-" + adata.obs_names
    adata.write_h5ad(out)
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda counts: 0 * counts, "0 locations with counts"),
        (lambda counts: 0.5 * counts, "no whole numbers"),
        (lambda counts: -counts, "negative"),
    ],
)
def test_what_was_not_counted_is_not_tested(enhanced_study, tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "changed.h5ad"
    shutil.copy(enhanced_study.enhanced["S1"], path)
    with h5py.File(path, "r+") as file:
        file["layers/counts/data"][:] = change(file["layers/counts/data"][:])
    with pytest.raises(BadInputError, match=message):
        find_patterns(path, tmp_path / "out.h5ad")
    with h5py.File(path, "r+") as file:
        del file["layers/counts"]
    with pytest.raises(BadInputError, match="tests counts"):
        find_patterns(path, tmp_path / "out.h5ad")


def test_the_command(enhanced_study, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from focus_cli.cli.main import cli

    out = tmp_path / "patterns.h5ad"
    done = CliRunner().invoke(
        cli, ["patterns", str(enhanced_study.enhanced["S1"]), "--out", str(out), "--n-niches", "3"]
    )
    assert done.exit_code == 0, done.output
    assert ad.read_h5ad(out).obs["niche"].nunique() == 3
