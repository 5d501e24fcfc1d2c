"""Tests of spatial patterns: how often they are right where nothing is true, and what they find where something is.

    python benchmarks/patterns.py --work /tmp/patterns            # about 20 minutes on one core
    python benchmarks/patterns.py --work /tmp/patterns --quick    # one small section

Sections are simulated (`null_studies.py`): half of the panel's genes have a constant share of the observed. A model
is trained after that, on the other section or (`own`) on this one too, and the section enhanced. Power is the share
of the genes that mark a cell type or follow a state that are found at a false discovery rate of 5 %. Every test is
given the same genes, those with at least 20 observed.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
from null_studies import NullStudy, interval, make_null_study

from focus_cli.analysis.patterns.autocorrelation import autocorrelation
from focus_cli.analysis.patterns.state_test import state_test
from focus_cli.analysis.significance.counts import read_observed_counts
from focus_cli.analysis.significance.pvalues import cauchy_combination, q_values
from focus_cli.analysis.significance.states import HiddenGeneStates, MadeOf, infer_hidden
from focus_cli.core.h5ad.spatial_file import SpatialFile

TESTS = {
    "counts": "FOCUS, counts alone",
    "state": "FOCUS, counts against the state estimated without the gene",
    "both": "FOCUS, both (`p` where the model was not trained on the sample)",
    "seen": "the same state, but the gene was shown",
    "moran_counts": "squidpy, Moran's I on log-normalised counts",
    "moran_x": "squidpy, Moran's I on the estimates (treated as data)",
}


def p_values(study: NullStudy) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """p-values of every test, and which genes are null and which vary."""
    with SpatialFile(study.enhanced) as file:
        observed = read_observed_counts(file, "patterns")
        names, locations = file.var.index.to_numpy(str), file.obs.index.to_numpy(str)[observed.rows]
        latent, x = file.obsm("focus_latent"), file.matrix(None)[:]
    genes = np.flatnonzero(observed.gene_totals >= 20)
    hidden = infer_hidden(MadeOf(study.sample, study.model, study.reference).open(), locations, names, folds=4)
    seen = HiddenGeneStates(np.zeros(len(names), np.int64), latent[None, observed.rows])
    counts = cauchy_combination(autocorrelation(observed, genes).p)
    state = state_test(observed, genes, hidden).p
    dense = np.asarray(observed.counts[:, genes].todense())
    p = {
        "counts": counts,
        "state": state,
        "both": cauchy_combination(np.column_stack([counts, state])),
        "seen": state_test(observed, genes, seen).p,
        "moran_counts": _moran(np.log1p(1e4 * dense / observed.totals[:, None]), observed.xy_um),
        "moran_x": _moran(x[observed.rows][:, genes], observed.xy_um),
    }
    return p, np.isin(names[genes], study.null), np.isin(names[genes], study.varying)


def _moran(values: np.ndarray, xy_um: np.ndarray) -> np.ndarray:
    import squidpy

    adata = ad.AnnData(values.astype(np.float64), obsm={"spatial": xy_um})
    squidpy.gr.spatial_neighbors(adata, n_neighs=6, coord_type="generic")
    squidpy.gr.spatial_autocorr(adata, mode="moran", genes=adata.var_names, n_perms=None, show_progress_bar=False)
    return adata.uns["moranI"].loc[adata.var_names, "pval_norm"].to_numpy()


def main() -> None:
    """Print one table for each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default="other:1,other:0.2,own:1", help="training:share of the molecules, by comma")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    size = {"size_um": 1500, "n_genes": 120, "steps": 60} if options.quick else {}
    seeds = [1] if options.quick else [int(s) for s in options.seeds.split(",")]
    for arm in options.arms.split(",")[: 1 if options.quick else None]:
        trained_on, depth = arm.split(":")
        p: dict[str, list[np.ndarray]] = {name: [] for name in TESTS}
        null, power = [], {name: [] for name in TESTS}
        for seed in seeds:
            study = make_null_study(options.work, seed=seed, depth=float(depth), trained_on=trained_on, **size)
            found, is_null, varies = p_values(study)
            null.append(is_null)
            for name, values in found.items():
                p[name].append(values)
                power[name].append(q_values(values)[varies] < 0.05)
        flat = np.concatenate(null)
        print(f"\nTrained on: {trained_on}; share of the molecules: {depth}; seeds {seeds}; ", end="")
        print(f"{flat.sum()} null genes, {sum(map(len, power['counts']))} that vary\n")
        print("| test | false positives at 5 % | at 1 % | p at its 1 % quantile | power at FDR 5 % |")
        print("|---|---|---|---|---|")
        for name, words in TESTS.items():
            values = np.concatenate(p[name])[flat]
            found = np.concatenate(power[name])
            row = [
                interval(values < 0.05),
                interval(values < 0.01),
                f"{np.quantile(values, 0.01):.2g}",
                interval(found),
            ]
            print(f"| {words} | " + " | ".join(row) + " |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
