"""Tests of ligands and receptors: false alarms where pairs have nothing to do with each other, and power.

    python benchmarks/interactions.py --work /tmp/patterns            # about 20 minutes on one core
    python benchmarks/interactions.py --work /tmp/patterns --quick    # one small section
    python benchmarks/interactions.py --work /tmp/patterns --kidney   # a real section, one half beside the other

Three nulls. *flat*: the ligand has a constant share, the receptor any pattern. *foreign*: ligand and receptor follow
two different simulated tissues, one laid over the other: both have patterns, and they have nothing to do with each
other. *kidney*: ligands are counted in one half of a real section and receptors in the other, shifted over it. Pairs
of one section share its few patches, so false alarms come in clusters: errors are standard errors over sections. Power,
with its binomial interval: pairs of genes of one tissue whose expected expression, less what the depth explains,
correlates above 0.3.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
from null_studies import NullStudy, interval, make_null_study
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.analysis.interactions.colocalisation import counted_together, explained_together, neighbourhood
from focus_cli.analysis.interactions.pairs import read_pairs
from focus_cli.analysis.significance.counts import ObservedCounts, read_observed_counts
from focus_cli.analysis.significance.distances import distance_classes, pairs_within, spacing
from focus_cli.analysis.significance.pvalues import cauchy_combination, q_values
from focus_cli.analysis.significance.states import MadeOf, infer_hidden
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.simulation import simulate

TESTS = {
    "counts": "FOCUS, counts alone",
    "state": "FOCUS, what the state estimated without either gene explains",
    "both": "FOCUS, both (`p` where the model was not trained on the sample)",
    "shuffled_counts": "counts, shuffled locations",
    "shuffled_x": "estimates treated as data, shuffled locations",
    "ligrec_x": "squidpy `gr.ligrec` on the estimates, domains as clusters",
}
_DRAWS = 199
_PAIRS = 4000


class Section:
    """One section with all that its pairs are tested with."""

    def __init__(self, observed: ObservedCounts, names: np.ndarray) -> None:
        self.observed = observed
        size = spacing(observed.xy_um)
        self.around = neighbourhood(pairs_within(observed.xy_um, size))
        self.classes = distance_classes(observed.xy_um, names, size)

    def counted(self, pairs: np.ndarray) -> np.ndarray:
        """p of FOCUS on counts."""
        return counted_together(self.observed, pairs[:, 0], pairs[:, 1], self.around, self.classes).p

    def shuffled(self, values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """p of the same statistic where locations are shuffled, as if they were exchangeable."""
        values = values - values.mean(axis=0)
        near, rng = self.around @ values, np.random.default_rng(1)
        genes, (left, right) = np.unique(pairs[:, 0]), (pairs[:, 0], pairs[:, 1])
        row = np.searchsorted(genes, left)
        seen = (near[:, genes].T @ values)[row, right]
        above = np.ones(len(pairs))
        for _ in range(_DRAWS):
            above += (near[:, genes].T @ values[rng.permutation(len(values))])[row, right] >= seen
        return above / (_DRAWS + 1)


def some_pairs(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most `_PAIRS` pairs of two different genes."""
    pairs = np.array([(i, j) for i in first for j in second if i != j])
    return pairs[np.sort(rng.permutation(len(pairs))[:_PAIRS])]


def enhanced_section(study: NullStudy) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """p of every test on an enhanced section, over its null pairs and over pairs of one tissue (with what is true)."""
    with SpatialFile(study.enhanced) as file:
        observed = read_observed_counts(file, "interactions")
        names, locations = file.var.index.to_numpy(str), file.obs.index.to_numpy(str)[observed.rows]
        x = file.matrix(None)[:][observed.rows].astype(np.float64)
    section = Section(observed, locations)
    counted = np.flatnonzero(observed.gene_totals >= 20)
    varying, foreign = (
        np.intersect1d(counted, np.flatnonzero(np.isin(names, g))) for g in (study.varying, study.foreign)
    )
    rng = np.random.default_rng(0)
    if len(study.null):
        flat = np.intersect1d(counted, np.flatnonzero(np.isin(names, study.null)))
        null = np.vstack([some_pairs(flat, flat, rng), some_pairs(flat, varying, rng)])
    else:
        own, other = np.setdiff1d(varying, foreign), np.intersect1d(varying, foreign)
        null = np.vstack([some_pairs(own, other, rng), some_pairs(other, own, rng)])
    own = np.setdiff1d(varying, np.concatenate([foreign]))
    real = some_pairs(own, own, rng)
    hidden = infer_hidden(MadeOf(study.sample, study.model, study.reference).open(), locations, names, folds=4)
    domain = ad.read_h5ad(study.truth, backed="r").obs["domain"].reindex(locations)
    out = []
    for pairs in (null, real):
        counts = section.counted(pairs)
        state = explained_together(observed, pairs[:, 0], pairs[:, 1], section.around, section.classes, hidden).p
        out.append(
            {
                "counts": counts,
                "state": state,
                "both": cauchy_combination(np.column_stack([counts, state])),
                "shuffled_counts": section.shuffled(observed.residuals(np.arange(len(names))), pairs),
                "shuffled_x": section.shuffled(x, pairs),
                "ligrec_x": ligrec(x, names, domain, pairs),
            }
        )
    out[1]["true"] = _truth(study, observed, section, names, locations, real) > 0.3
    return out[0], out[1]


def ligrec(x: np.ndarray, names: np.ndarray, domain, pairs: np.ndarray) -> np.ndarray:
    """squidpy's permutation test: the smallest p over pairs of clusters, Bonferroni-corrected for their number."""
    import pandas as pd
    import squidpy

    labels = pd.Categorical(domain.astype(str).to_numpy())
    adata = ad.AnnData(x, var=pd.DataFrame(index=names), obs=pd.DataFrame({"domain": labels}))
    table = pd.DataFrame({"source": names[pairs[:, 0]], "target": names[pairs[:, 1]]})
    found = squidpy.gr.ligrec(
        adata,
        "domain",
        interactions=table,
        use_raw=False,
        copy=True,
        n_perms=999,
        seed=0,
        threshold=0,
        show_progress_bar=False,
        n_jobs=1,
    )["pvalues"]
    found.index = [f"{a}^{b}" for a, b in found.index]
    p = np.nanmin(found.astype(float).to_numpy(), axis=1) * found.shape[1]
    return pd.Series(np.minimum(p, 1), index=found.index).reindex(table["source"] + "^" + table["target"]).to_numpy()


def _truth(study, observed, section, names, locations, pairs) -> np.ndarray:
    """Correlation of the expected expression of receptors with that of ligands within reach."""
    truth = ad.read_h5ad(study.truth)[locations]
    genes = truth.var_names.get_indexer(names)
    panel = np.asarray(truth.X[:, genes], np.float64)
    share = panel / panel.sum(axis=1, keepdims=True)
    e = np.sqrt(observed.totals)[:, None] * share / share.mean(axis=0)
    e -= observed.basis @ (observed.basis.T @ e)
    near = section.around @ e
    norm = np.linalg.norm(near, axis=0)[pairs[:, 0]] * np.linalg.norm(e, axis=0)[pairs[:, 1]]
    return np.einsum("ij,ij->j", near[:, pairs[:, 0]], e[:, pairs[:, 1]]) / norm


def many_tissues(work: Path, seed: int, n_sections: int = 6) -> list[dict[str, np.ndarray]]:
    """The foreign null over many pairs of tissues, on counts alone: p of each ordered pair of sections."""
    path = work / f"sections_{seed}"
    if not path.exists():
        simulate(path, seed=seed, n_sections=n_sections, size_um=3000, n_genes=200, mpp=2.0)
    truths = [ad.read_h5ad(path / "truth" / f"S{i + 1}.h5ad") for i in range(n_sections)]
    truths = [t[:, t.var["measured"].to_numpy()] for t in truths]
    varying = np.flatnonzero(truths[0].var["program"].astype(str) != "housekeeping")
    rng = np.random.default_rng(seed)
    pairs = np.vstack([some_pairs(varying[::2], varying[1::2], rng), some_pairs(varying[1::2], varying[::2], rng)])
    out = []
    for here in truths:
        for there in (t for t in truths if t is not here):
            nearest = cKDTree(there.obsm["spatial_um"]).query(here.obsm["spatial_um"])[1]
            mean = here.X * here.obs["efficiency"].to_numpy()[:, None]
            other = there.X[nearest][:, varying[1::2]]
            mean[:, varying[1::2]] = (
                other / other.sum(axis=1, keepdims=True) * mean[:, varying[::2]].sum(axis=1, keepdims=True)
            )
            counts = sparse.csc_matrix(rng.poisson(mean * rng.standard_gamma(20, mean.shape) / 20).astype(np.float32))
            xy = np.asarray(here.obsm["spatial_um"], np.float64)
            section = Section(ObservedCounts(counts, np.arange(len(xy)), xy), here.obs_names.to_numpy(str))
            residuals = section.observed.residuals(np.arange(counts.shape[1]))
            out.append({"counts": section.counted(pairs), "shuffled_counts": section.shuffled(residuals, pairs)})
    return out


def kidney(data: Path, side_um: float = 48.0) -> list[dict[str, np.ndarray]]:
    """Real pairs, ligands of one half of a section beside receptors of the other at the same place; both ways."""
    from focus_cli.platforms import read

    raw = read(data / "visium_hd_kidney", bin_um=8).adata
    xy = np.asarray(raw.obsm["spatial_um"] if "spatial_um" in raw.obsm else raw.obsm["spatial"] * 2.0056, np.float64)
    xy = xy - xy.min(axis=0)
    square = np.floor(xy / side_um).astype(int)
    width, height = square.max(axis=0) + 1
    bins = square[:, 1] * width + square[:, 0]
    joined = sparse.csr_matrix((np.ones(len(xy), np.float32), (bins, np.arange(len(xy)))), (width * height, len(xy)))
    counts = (joined @ sparse.csr_matrix(raw.X, dtype=np.float32)).tocsr()
    column, row = np.arange(width * height) % width, np.arange(width * height) // width
    half = width // 2
    left = np.flatnonzero(column < half)
    # Shifted by half the width: mirrored, the bins on either side of the middle would be neighbours.
    right = left + half
    table = read_pairs(data / "ligand_receptor" / "CellChatDB.ligrec.human.csv")
    table = table[~table["ligand"].str.contains("_") & ~table["receptor"].str.contains("_")]
    ends = [raw.var_names.get_indexer(table[c]) for c in ("ligand", "receptor")]
    out = []
    for first, second in ((left, right), (right, left)):
        depth = [np.asarray(counts[s].sum(axis=1)).ravel() for s in (first, second)]
        kept = np.flatnonzero((depth[0] > 200) & (depth[1] > 200))
        # One table: ligands of the one half, receptors of the other, each half closed by its remaining observed.
        for name, both in (("kidney", (first, second)), ("together", (first, first))):
            pairs = np.column_stack(ends)
            parts = [counts[s[kept]] for s in both]
            enough = (np.asarray(parts[0].sum(axis=0)).ravel() >= 20), (np.asarray(parts[1].sum(axis=0)).ravel() >= 20)
            pairs = pairs[(pairs >= 0).all(axis=1)]
            pairs = pairs[enough[0][pairs[:, 0]] & enough[1][pairs[:, 1]] & (pairs[:, 0] != pairs[:, 1])]
            places = np.column_stack([column[first[kept]], row[first[kept]]]) * side_um
            both_halves = [ObservedCounts(p.tocsc(), np.arange(len(kept)), places) for p in parts]
            section = Section(both_halves[0], np.arange(len(kept)).astype(str))
            genes = [np.unique(pairs[:, i]) for i in (0, 1)]
            e = np.hstack([m.residuals(g) for m, g in zip(both_halves, genes, strict=True)])
            at = np.column_stack(
                [np.searchsorted(genes[0], pairs[:, 0]), len(genes[0]) + np.searchsorted(genes[1], pairs[:, 1])]
            )
            out.append({"name": name, **_of_fields(section, e, at)})
    return out


def _of_fields(section: Section, e: np.ndarray, pairs: np.ndarray) -> dict[str, np.ndarray]:
    from focus_cli.analysis.significance.distances import chance_variance, correlation_tail

    near = section.around @ e
    auto, around = section.classes.autocovariance(e), section.classes.autocovariance(near)
    total = np.einsum("ij,ij->j", near[:, pairs[:, 0]], e[:, pairs[:, 1]])
    squares = len(e) * np.sqrt(around[0, pairs[:, 0]] * auto[0, pairs[:, 1]])
    chance = chance_variance(section.classes, around[:, pairs[:, 0]], auto[:, pairs[:, 1]])
    return {"counts": correlation_tail(total, squares, chance)[1], "shuffled_counts": section.shuffled(e, pairs)}


def over_sections(parts: list[np.ndarray], level: float) -> str:
    """Mean share of false alarms over sections with its standard error, in per cent."""
    shares = np.array([100 * np.mean(p[np.isfinite(p)] < level) for p in parts])
    error = shares.std(ddof=1) / len(shares) ** 0.5 if len(shares) > 1 else float("nan")
    return f"{shares.mean():.1f} ± {error:.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kidney", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOCUS_DATA", "../shared/data")))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    if options.kidney:
        found = kidney(options.data)
        print("| test | pairs of | at 5 % | at 1 % | found at FDR 5 % |\n|---|---|---|---|---|")
        for name, words in (("kidney", "two halves (null)"), ("together", "one half")):
            parts = [f for f in found if f["name"] == name]
            for test in ("counts", "shuffled_counts"):
                p = [f[test] for f in parts]
                q = np.mean([100 * np.mean(q_values(x) < 0.05) for x in p])
                shares = f"{over_sections(p, 0.05)} | {over_sections(p, 0.01)}"
                print(f"| {TESTS[test]} | {words}, {len(p[0])} | {shares} | {q:.1f} |")
        return
    size = {"size_um": 1500, "n_genes": 120, "steps": 60} if options.quick else {}
    seeds = [1] if options.quick else [int(s) for s in options.seeds.split(",")]
    for nulls in ("flat", "foreign"):
        null, real = zip(
            *(enhanced_section(make_null_study(options.work, seed=s, nulls=nulls, **size)) for s in seeds), strict=True
        )
        print(f"\nNull: {nulls}; seeds {seeds}; {sum(len(p['counts']) for p in null)} null pairs, ", end="")
        print(f"{sum(int(p['true'].sum()) for p in real)} true pairs\n")
        print("| test | false positives at 5 % | at 1 % | power at FDR 5 % |\n|---|---|---|---|")
        for name, words in TESTS.items():
            shares = [over_sections([p[name] for p in null], level) for level in (0.05, 0.01)]
            power = np.concatenate([q_values(p[name])[p["true"]] < 0.05 for p in real])
            print(f"| {words} | {shares[0]} | {shares[1]} | {interval(power)} |", flush=True)
    if not options.quick:
        found = many_tissues(options.work, 12)
        print(f"\nNull: foreign, {len(found)} ordered pairs of six tissues (seed 12), counts alone\n")
        print("| test | false positives at 5 % | at 1 % |\n|---|---|---|")
        for name in ("counts", "shuffled_counts"):
            print(
                f"| {TESTS[name]} | "
                + " | ".join(over_sections([p[name] for p in found], a) for a in (0.05, 0.01))
                + " |"
            )


if __name__ == "__main__":
    main()
