"""Cell types against truth: osmFISH cells with the authors' labels, and the simulator.

    python benchmarks/celltypes.py --work results/celltypes --peer flashdeconv=PYTHON --peer tangram=PYTHON

- ``osmfish-spots``: cells of the osmFISH section (31 types, 33 genes) summed into touching discs of 55 µm. The section
  is cut into blocks of 250 µm like a chessboard: cells of one colour make the spots, cells of the other the reference,
  and the other way round (two folds, pooled).
- ``osmfish-cells``: the same folds, each cell a location of its own.
- ``visium``: simulated, 3 mm, seed 21. ``visium_hd``: simulated, bins of 8 µm, 0.8 mm, seed 22. The method was settled
  on other seeds. Files are enhanced with the installed model.

Shares are of cells. Intervals in brackets: 95 %, bootstrap over blocks of 250 µm. Prints a Markdown table per case.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.analysis.celltypes.mixture import fractions, least_squares, mixtures, no_gains, platform_gains
from focus_cli.analysis.celltypes.profiles import type_profiles
from focus_cli.analysis.celltypes.stage import CellTypeOptions, celltypes
from focus_cli.core.statistics.pseudospots import assign_spots, hexagonal_grid, sum_by
from focus_cli.genes.reference import build_reference, open_reference

sys.path.insert(0, str(Path(__file__).parent))
from osmfish import FILE, convert

FOCUS = Path(sys.executable).with_name("focus")
BLOCK_UM, SPOT_UM = 250.0, 55.0
BOOTSTRAPS = 200


def osmfish_folds(data: Path, work: Path, cells_only: bool):
    """Yield (file, reference, truth, block of each location, options) of both folds."""
    whole = convert(data / FILE)
    whole.obs["cell_type"] = whole.obs["cell_type"].astype(str)
    block = np.floor(whole.obsm["spatial_um"] / BLOCK_UM).astype(int)
    colour = block.sum(axis=1) % 2
    for fold in (0, 1):
        folder = work / f"fold{fold}"
        here, there = whole[colour == fold].copy(), whole[colour != fold].copy()
        types = sorted(there.obs["cell_type"].unique())
        if cells_only:
            sample, truth, at = here, pd.get_dummies(here.obs["cell_type"]), block[colour == fold]
        else:
            centres, _, _ = hexagonal_grid(whole.obsm["spatial_um"], SPOT_UM)
            spot = assign_spots(here.obsm["spatial_um"], centres, SPOT_UM)
            held = np.floor(centres / BLOCK_UM).astype(int).sum(axis=1) % 2 == fold
            spot = np.where(held[spot] & (spot >= 0), spot, -1)
            filled = np.unique(spot[spot >= 0])
            sample = ad.AnnData(sum_by(sparse.csr_matrix(here.X), spot, len(centres))[filled], var=here.var)
            sample.obs_names = [f"spot{i}" for i in filled]
            sample.obsm["spatial"] = sample.obsm["spatial_um"] = centres[filled]
            count = pd.crosstab(spot[spot >= 0], here.obs["cell_type"].to_numpy()[spot >= 0])
            truth = count.div(count.sum(axis=1), axis=0).set_axis(sample.obs_names, axis=0)
            at = np.floor(centres[filled] / BLOCK_UM).astype(int)
        sample.uns["focus"] = {"kind": "enhanced", "mpp": 1.0, "footprint_um": SPOT_UM, "footprint_shape": "circle"}
        sample.layers["counts"] = sample.X
        truth = truth.reindex(columns=types).fillna(0).astype(float).set_axis(sample.obs_names, axis=0)
        yield _stored(folder, sample, there, truth, at)


def _stored(folder: Path, sample: ad.AnnData, cells: ad.AnnData, truth, at):
    folder.mkdir(parents=True, exist_ok=True)
    sample.write_h5ad(folder / "sample.h5ad")
    cells.write_h5ad(folder / "cells.h5ad")
    build_reference(folder / "cells.h5ad", folder / "reference", "cell_type", overwrite=True)
    return folder / "sample.h5ad", folder / "reference", truth, np.unique(at, axis=0, return_inverse=True)[1].ravel()


def simulated(work: Path, platform: str, size_um: int, seed: int, bin_um: int | None):
    """A simulated section, enhanced with the installed model, and its truth."""
    study = work / "study"
    run = [str(FOCUS)]
    if not study.exists():
        command = ["simulate", study, "--platform", platform, "--size-um", size_um, "--sections", 1, "--seed", seed]
        subprocess.run(run + [str(c) for c in command], check=True, capture_output=True)
    if not (work / "reference").exists():
        build_reference(study / "reference.h5ad", work / "reference", "cell_type")
    if not (work / "enhanced.h5ad").exists():
        command = ["enhance", study / "sections" / "S1", "--reference", work / "reference", "--genes", "measured"]
        command += ["--out", work / "enhanced.h5ad"] + (["--bin-um", bin_um] if bin_um else [])
        subprocess.run(run + [str(c) for c in command], check=True, capture_output=True)
    sample = ad.read_h5ad(work / "enhanced.h5ad")
    truth = ad.read_h5ad(study / "truth" / "S1.h5ad")[sample.obs_names].obsm["cell_type_proportions"]
    at = np.floor(sample.obsm["spatial_um"] / BLOCK_UM).astype(int)
    return work / "enhanced.h5ad", work / "reference", truth, np.unique(at, axis=0, return_inverse=True)[1].ravel()


def plain_methods(path: Path, reference: Path, types: list[str]) -> dict[str, np.ndarray]:
    """Least squares and the bare mixture on raw counts, least squares on the estimate, the model's attention."""
    opened, sample = open_reference(reference), ad.read_h5ad(path)
    measured = sample.var["measured"].to_numpy(bool) if "measured" in sample.var else np.ones(sample.n_vars, bool)
    profiles = type_profiles(opened, sample.var, measured, 1000)
    order = [profiles.types.index(name) for name in types]
    counts = sparse.csr_matrix(sample.layers["counts"])[:, profiles.genes].astype(float)
    gains = platform_gains(counts, profiles.share) if "mean_counts" in sample.layers else no_gains(counts.shape[1])
    out = {
        "NNLS, raw counts": fractions(least_squares(counts, profiles.share), profiles.rna),
        "mixture alone, raw counts": fractions(mixtures(counts, profiles.share, gains)[0], profiles.rna),
    }
    if "mean_counts" in sample.layers:
        estimate = sparse.csr_matrix(np.asarray(sample.layers["mean_counts"])[:, profiles.genes].astype(float))
        out["NNLS, enhanced"] = fractions(least_squares(estimate, profiles.share), profiles.rna)
        out["mixture alone, enhanced"] = fractions(mixtures(estimate, profiles.share, gains)[0], profiles.rna)
    out = {name: share[:, order] for name, share in out.items()}
    if "focus_state_attention" in sample.obsm:
        states = opened.prototypes.obs["cell_type"].astype(str).to_numpy()
        of_type = (states[:, None] == np.array(types)).astype(float)
        out["`focus_state_attention` by type"] = np.asarray(sample.obsm["focus_state_attention"]) @ of_type
    return out


def peer(name: str, python: str, path: Path, reference: Path, types: list[str], work: Path) -> np.ndarray:
    """Run a peer on the genes that the reference shares."""
    sample, cells = ad.read_h5ad(path), open_reference(reference).cells
    genes = [g for g in sample.var_names if g in cells.var_names]
    spots = ad.AnnData(sparse.csr_matrix(sample[:, genes].layers["counts"]), var=pd.DataFrame(index=genes))
    spots.obs_names, spots.obsm["spatial"] = sample.obs_names, np.asarray(sample.obsm["spatial"])
    spots.write_h5ad(work / "peer_spots.h5ad")
    plain = ad.AnnData(sparse.csr_matrix(cells[:, genes].X), obs=cells.obs[["cell_type"]], var=spots.var)
    plain.write_h5ad(work / "peer_cells.h5ad")
    script = Path(__file__).parent / "peers" / "peer_celltypes.py"
    files = [str(work / n) for n in ("peer_spots.h5ad", "peer_cells.h5ad", "peer.tsv")]
    subprocess.run([python, str(script), name, *files], check=True, capture_output=True)
    return pd.read_csv(work / "peer.tsv", sep="\t", index_col=0).reindex(columns=types).fillna(0).to_numpy()


def scores(share: np.ndarray, truth: np.ndarray, low=None, high=None) -> dict[str, float]:
    """PCC (mean over types), RMSE, JSD (base 2, square root), largest type; coverage and width of intervals."""
    seen = (truth.std(axis=0) > 0) & (share.std(axis=0) > 0)
    pcc = [np.corrcoef(share[:, k], truth[:, k])[0, 1] for k in np.flatnonzero(seen)]
    pcc += [0.0] * int(((truth.std(axis=0) > 0) & ~seen).sum())
    middle = (share + truth) / 2

    def kl(p):
        return np.where(p > 0, p * np.log2(np.maximum(p, 1e-12) / np.maximum(middle, 1e-12)), 0).sum(axis=1)

    out = {
        "PCC": float(np.mean(pcc)),
        "RMSE": float(np.sqrt(np.mean((share - truth) ** 2))),
        "JSD": float(np.mean(np.sqrt(np.maximum((kl(share) + kl(truth)) / 2, 0)))),
        "largest": float(np.mean(share.argmax(axis=1) == truth.argmax(axis=1))),
    }
    if low is not None:
        inside = (low - 1e-6 <= truth) & (truth <= high + 1e-6)
        there = truth > 0.02
        out |= {"coverage": float(inside.mean()), "where present": float(inside[there].mean())}
        out |= {"width": float((high - low).mean())}
    return out


def interval(rows: dict[str, np.ndarray], block: np.ndarray, key: str, rng: np.random.Generator) -> str:
    """95 % bootstrap interval of one score over blocks."""
    members = [np.flatnonzero(block == b) for b in np.unique(block)]
    drawn = []
    for _ in range(BOOTSTRAPS):
        take = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        drawn.append(scores(**{k: v[take] for k, v in rows.items()})[key])
    return f"[{np.quantile(drawn, 0.025):.3f}, {np.quantile(drawn, 0.975):.3f}]"


def run_case(case: str, folds, variants: dict[str, CellTypeOptions], peers: dict[str, str], work: Path) -> str:
    """All methods on all folds of a case, as a Markdown table."""
    gathered: dict[str, list[dict[str, np.ndarray]]] = {}
    blocks, seconds, sets = [], {}, []
    for number, (path, reference, truth, block) in enumerate(folds):
        types, t = list(truth.columns), truth.to_numpy(float)
        blocks.append(block + 100_000 * number)
        for name, share in plain_methods(path, reference, types).items():
            gathered.setdefault(name, []).append({"share": share, "truth": t})
        for name, python in peers.items():
            try:
                share = peer(name, python, path, reference, types, work)
                gathered.setdefault(name, []).append({"share": share, "truth": t})
            except subprocess.CalledProcessError as error:
                print(f"{name} failed: {error.stderr.decode().strip().splitlines()[-1]}", file=sys.stderr)
        for name, options in variants.items():
            started = time.perf_counter()
            celltypes(path, reference, work / "estimate.h5ad", options, overwrite=True)
            seconds[name] = seconds.get(name, 0) + time.perf_counter() - started
            read = ad.read_h5ad(work / "estimate.h5ad").obsm
            keys = {"share": "", "low": "_low", "high": "_high"}
            tables = {k: read[f"cell_type_proportions{end}"][types].to_numpy(float) for k, end in keys.items()}
            gathered.setdefault(name, []).append(tables | {"truth": t})
            if options.unit == "cells":
                own = tables["high"][np.arange(len(t)), t.argmax(axis=1)] > 0.5
                sets.append((name, own.mean(), (tables["high"] > 0.5).sum(axis=1).mean()))
    rng, block = np.random.default_rng(0), np.concatenate(blocks)
    lines = [f"**{case}**: {len(block):,} locations", ""]
    lines += ["| method | PCC | RMSE | JSD | largest type | coverage of 90 % | where present | width | s |"]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for name, parts in gathered.items():
        if len(parts) < len(blocks):
            continue
        rows = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        s = scores(**rows)
        cells = [f"{s[k]:.3f} {interval(rows, block, k, rng)}" for k in ("PCC", "RMSE")]
        cells += [f"{s['JSD']:.3f}", f"{s['largest']:.3f} {interval(rows, block, 'largest', rng)}"]
        cells += [f"{s[k]:.3f}" if k in s else "–" for k in ("coverage", "where present", "width")]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {seconds.get(name, 0):.0f} |")
    for name, inside, size in sets:
        lines += [
            "",
            f"{name}, one fold: the prediction set contains the correct type in {inside:.3f}, {size:.2f} types.",
        ]
    return "\n".join(lines)


def logistic(folds) -> str:
    """Multinomial logistic regression on log counts of the reference's cells, the usual way to label cells."""
    from sklearn.linear_model import LogisticRegression

    right = []
    for path, reference, truth, _ in folds:
        sample, cells = ad.read_h5ad(path), open_reference(reference).cells
        model = LogisticRegression(max_iter=500).fit(np.log1p(cells.X.toarray()), cells.obs["cell_type"].astype(str))
        x = sparse.csr_matrix(sample.layers["counts"]).toarray()
        right.append(model.predict(np.log1p(x)) == truth.columns.to_numpy()[truth.to_numpy().argmax(axis=1)])
    return f"Logistic regression on log1p counts of the reference's cells: {np.concatenate(right).mean():.3f} correct."


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOCUS_DATA", "../shared/data")))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--case", action="append", choices=["osmfish-spots", "osmfish-cells", "visium", "visium_hd"])
    parser.add_argument("--quick", action="store_true", help="Calibrate on an eighth of the locations.")
    options = parser.parse_args()
    peers = dict(text.split("=", 1) for text in options.peer)
    n = {"calibration_locations": 2000} if options.quick else {}
    for case in options.case or ["osmfish-spots", "osmfish-cells", "visium", "visium_hd"]:
        work = options.work / case
        work.mkdir(parents=True, exist_ok=True)
        variants = {"FOCUS, --alone": CellTypeOptions(around=False, **n), "FOCUS": CellTypeOptions(**n)}
        if case == "osmfish-spots":
            folds = list(osmfish_folds(options.data, work, False))
            variants["FOCUS, --same-platform --alone"] = CellTypeOptions(around=False, gains=False, **n)
            for cells in (16.5, 4.3):
                told = CellTypeOptions(around=False, gains=False, cells=cells, **n)
                variants[f"FOCUS, the same, --cells-per-location {cells}"] = told
        elif case == "osmfish-cells":
            folds = list(osmfish_folds(options.data, work, True))
            variants = {
                "FOCUS, --unit cells": CellTypeOptions(unit="cells", **n),
                "FOCUS, the same, --same-platform --alone": CellTypeOptions(
                    unit="cells", gains=False, around=False, **n
                ),
            }
        elif case == "visium":
            folds = [simulated(work, "visium", 3000, 21, None)]
        else:
            folds = [simulated(work, "visium_hd", 800, 22, 8)]
        print(run_case(case, folds, variants, peers if case != "osmfish-cells" else {}, work), end="\n\n")
        if case == "osmfish-cells":
            print(logistic(folds), end="\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
