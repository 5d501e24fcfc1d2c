"""``focus interactions``: tables, tests, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.ndimage import gaussian_filter

from focus_cli.analysis.interactions.colocalisation import counted_together, explained_together, neighbourhood
from focus_cli.analysis.interactions.pairs import read_pairs, subunits
from focus_cli.analysis.interactions.stage import InteractionOptions, find_interactions
from focus_cli.analysis.significance.counts import ObservedCounts
from focus_cli.analysis.significance.distances import distance_classes, pairs_within, spacing
from focus_cli.analysis.significance.states import HiddenGeneStates
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError

SIDE = 36


def section(rates: np.ndarray, seed: int) -> ObservedCounts:
    """Counts on a square array at a smooth depth; a last gene holds most of the counts."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    depth = np.exp(0.3 * np.sin(column / 6) + rng.normal(0, 0.2, SIDE**2))[:, None]
    counts = np.hstack([rng.poisson(depth * rates), rng.poisson(100 * rates.shape[1] * depth)])
    return ObservedCounts(
        sparse.csc_matrix(counts.astype(np.float32)), np.arange(SIDE**2), 100.0 * np.column_stack([column, row])
    )


def patterns(n: int, width: float, seed: int) -> np.ndarray:
    """Smooth rates around 1, locations × genes."""
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.standard_normal((SIDE, SIDE)), width).ravel() for _ in range(n)], axis=1)
    return np.exp(0.7 * (fields - fields.mean(axis=0)) / fields.std(axis=0))


def tools(observed: ObservedCounts):
    size = spacing(observed.xy_um)
    names = np.arange(len(observed.xy_um)).astype(str)
    return neighbourhood(pairs_within(observed.xy_um, size)), distance_classes(observed.xy_um, names, size)


def test_unrelated_patterns_raise_as_many_alarms_as_stated() -> None:
    # Every gene in one pair: pairs that share a gene raise their alarms together.
    observed = section(patterns(800, 3.0, seed=0) ** 0.5, seed=1)
    p = counted_together(observed, np.arange(400), np.arange(400, 800), *tools(observed)).p
    assert 0.02 < (p < 0.05).mean() < 0.1
    assert (p < 0.01).mean() < 0.03


def test_genes_without_a_pattern_raise_as_many_alarms_as_stated() -> None:
    rates = np.hstack([np.ones((SIDE**2, 40)), patterns(40, 3.0, seed=2)])
    observed = section(rates, seed=3)
    pairs = np.array([(i, j) for i in range(40) for j in range(80) if i != j])
    around, classes = tools(observed)
    counts = counted_together(observed, pairs[:, 0], pairs[:, 1], around, classes).p
    assert 0.03 < (counts < 0.05).mean() < 0.07
    # The state is that of other genes: what it explains of a gene without a pattern is error, and is known to be.
    state = HiddenGeneStates(np.zeros(81, np.int64), patterns(8, 3.0, seed=4)[None].astype(np.float32))
    assert (explained_together(observed, pairs[:, 0], pairs[:, 1], around, classes, state).p < 0.05).mean() < 0.07


def test_a_pair_of_one_pattern_is_found_and_the_state_helps_where_molecules_are_few() -> None:
    pattern = patterns(3, 2.0, seed=5)
    rates = np.hstack([0.1 * np.repeat(pattern[:, :1], 20, axis=1), 0.1 * np.repeat(pattern[:, 1:2], 20, axis=1)])
    observed = section(rates, seed=6)
    around, classes = tools(observed)
    same = np.array([(i, j) for i in range(10) for j in range(10, 20)])
    state = HiddenGeneStates(np.zeros(41, np.int64), np.log(pattern)[None].astype(np.float32))
    counts = counted_together(observed, same[:, 0], same[:, 1], around, classes).p
    explained = explained_together(observed, same[:, 0], same[:, 1], around, classes, state).p
    assert (counts < 0.05).mean() > 0.4
    assert np.median(explained) < np.median(counts)


def test_the_statistic_is_a_correlation_of_neighbours() -> None:
    observed = section(patterns(4, 2.0, seed=7), seed=8)
    around, classes = tools(observed)
    found = counted_together(observed, np.array([0, 2]), np.array([1, 3]), around, classes)
    e = observed.residuals(np.arange(4))
    near = around @ e
    for k, (i, j) in enumerate(((0, 1), (2, 3))):
        expected = near[:, i] @ e[:, j] / np.linalg.norm(near[:, i]) / np.linalg.norm(e[:, j])
        assert found.r[k] == pytest.approx(expected, rel=1e-4)


def test_tables_of_every_layout(tmp_path: Path) -> None:
    packaged, own = tmp_path / "chat.csv", tmp_path / "own.tsv"
    packaged.write_text(",0,1,2,3\n0,TGFB1,TGFBR1_TGFBR2,TGFb,Secreted Signaling\n1,A,B,nan,\n2,A,B,nan,\n3,,B,x,\n")
    own.write_text("Receptor\tLigand\nB\tA\n")
    found = read_pairs(packaged)
    assert list(found.index) == ["A^B", "TGFB1^TGFBR1_TGFBR2"]
    assert list(found["pathway"]) == ["", "TGFb"]
    assert list(read_pairs(own).index) == ["A^B"]
    genes = pd.Index(["TGFBR1", "TGFBR2", "HLA_A"])
    assert subunits("TGFBR1_TGFBR2", genes) == ["TGFBR1", "TGFBR2"]
    assert subunits("HLA_A", genes) == ["HLA_A"]


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    with pytest.raises(MissingResourceError, match="no such file"):
        read_pairs(path)
    path.write_text("")
    with pytest.raises(BadInputError, match="cannot read"):
        read_pairs(path)
    path.write_text("gene,other\nA,B\n")
    with pytest.raises(BadInputError, match="no columns ligand and receptor"):
        read_pairs(path)
    path.write_text("ligand,receptor\n,\n")
    with pytest.raises(BadInputError, match="holds no pair"):
        read_pairs(path)


@pytest.fixture(scope="module")
def table(enhanced_study, tmp_path_factory) -> Path:
    """Pairs of markers of one type, a complex, a gene off the panel, one that is in no file."""
    var = ad.read_h5ad(enhanced_study.enhanced["S1"], backed="r").var
    panel, off = var.index[var["measured"]], var.index[~var["measured"]]
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    pairs = [(a, b) for a in panel[:12] for b in panel[:12] if a != b]
    pairs += [(f"{panel[0]}_{panel[1]}", panel[2]), (off[0], panel[0]), ("NOSUCH", panel[0]), (panel[0], panel[0])]
    pd.DataFrame(pairs, columns=["ligand", "receptor"]).to_csv(path, index=False)
    return path


def test_the_answer(enhanced_study, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "S1.h5ad"
    find_interactions(
        enhanced_study.enhanced["S1"],
        out,
        pairs=table,
        sample=enhanced_study.samples["S1"],
        model=enhanced_study.model,
        reference=enhanced_study.reference,
    )
    found = ad.read_h5ad(out)
    var = found.var
    assert found.uns["focus"]["kind"] == "interactions"
    assert found.uns["focus"]["n_not_in_file"] == 1
    assert len(var) == 12 * 11 + 3
    assert var["one_gene"].sum() == 1
    assert var.loc[var["one_gene"], "p"].isna().all()
    # A complex is no more certain than its weaker subunit.
    complex_ = var.index[var["ligand"].str.contains("_")][0]
    parts, receptor = complex_.split("^")[0].split("_"), complex_.split("^")[1]
    for column in ("p_counts", "p_estimates"):
        assert var.loc[complex_, column] == max(var.loc[f"{part}^{receptor}", column] for part in parts)
    # What was not counted is not tested, whatever its estimate says.
    off = var.index[~var["measured"]]
    assert len(off) == 1
    assert var.loc[off, ["p", "q", "p_counts", "p_estimates"]].isna().all(axis=None)
    # The model was trained on this sample: counts decide.
    assert var["p"].equals(var["p_counts"].rename("p"))
    scored = np.asarray((found.X != 0).sum(axis=0)).ravel() > 0
    assert (var["q"][scored] < 0.05).all()
    assert found.X.shape == (138, len(var))


def test_no_pair_is_found_twice_over_by_order(enhanced_study, table: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "shuffled.h5ad", (tmp_path / "a.h5ad", tmp_path / "b.h5ad")
    adata = ad.read_h5ad(enhanced_study.enhanced["S1"])
    rng = np.random.default_rng(0)
    other = adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()
    other.obsm["spatial_um"] = other.obsm["spatial_um"] @ np.array([[0.6, -0.8], [0.8, 0.6]])
    other.write_h5ad(path)
    first = find_interactions(enhanced_study.enhanced["S1"], out[0], pairs=table)
    second = find_interactions(path, out[1], pairs=table)
    assert list(first.index) == list(second.index)
    assert second["p"].to_numpy() == pytest.approx(first["p"].to_numpy(), rel=1e-3, nan_ok=True)


def test_refusals(enhanced_study, table: Path, tmp_path: Path) -> None:
    enhanced, out, strangers = enhanced_study.enhanced["S1"], tmp_path / "out.h5ad", tmp_path / "strangers.csv"
    strangers.write_text("ligand,receptor\nTgfb1,Tgfbr1\n")
    with pytest.raises(BadInputError, match="none of the 1 pairs"):
        find_interactions(enhanced, out, pairs=strangers)
    with pytest.raises(UsageError, match="go together"):
        find_interactions(enhanced, out, pairs=table, sample=enhanced_study.samples["S1"])
    with pytest.raises(UsageError, match="spans"):
        find_interactions(enhanced, out, pairs=table, options=InteractionOptions(reach_um=1e5))
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        find_interactions(enhanced, out, pairs=table)


def test_pairs_of_rare_genes_only(enhanced_study, table: Path, tmp_path: Path) -> None:
    options = InteractionOptions(min_counts=10**9)
    found = find_interactions(enhanced_study.enhanced["S1"], tmp_path / "out.h5ad", pairs=table, options=options)
    assert found["p"].isna().all()


def test_the_command(enhanced_study, table: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from focus_cli.cli.main import cli

    out = tmp_path / "interactions.h5ad"
    arguments = ["interactions", str(enhanced_study.enhanced["S1"]), "--pairs", str(table), "--out", str(out)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert ad.read_h5ad(out).uns["focus"]["reach_um"] == pytest.approx(100, rel=0.05)


@pytest.mark.realdata
def test_the_databases_are_read(focus_data: Path) -> None:
    for path in sorted((focus_data / "ligand_receptor").glob("*.csv")):
        found = read_pairs(path)
        assert len(found) > 1000
        assert found.index.is_unique
        assert (found[["ligand", "receptor"]] != "").all(axis=None)
