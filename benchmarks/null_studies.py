"""Simulated sections in which some genes depend on nothing: what tests after enhancement are judged on.

Made by ``focus simulate``, stored, and then changed: a share of the panel's genes is drawn anew, negative binomial with
the simulator's dispersion, at a constant share of each location's depth. Models are trained and samples enhanced
*after* that, so an estimate has every chance to make something of nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.core.statistics.thinning import thin
from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.genes.reference import build_reference
from focus_cli.model.training.stage import train
from focus_cli.platforms.preprocessing import preprocess
from focus_cli.simulation import simulate

DISPERSION = 0.05


@dataclass(frozen=True)
class NullStudy:
    """An enhanced section and what is true of its genes."""

    sample: Path
    model: Path
    reference: Path
    enhanced: Path
    truth: Path
    null: np.ndarray  # names of genes that depend on nothing
    foreign: np.ndarray  # names of genes that follow another tissue than the others
    varying: np.ndarray  # names of genes that mark a type or follow a state, in either tissue


def make_null_study(
    folder: Path,
    *,
    seed: int,
    depth: float = 1.0,
    trained_on: str = "other",
    nulls: str = "flat",
    size_um: float = 3000,
    n_genes: int = 400,
    steps: int = 300,
) -> NullStudy:
    """Simulate two sections, change half of the panel's genes, train, enhance the first; kept if it is there.

    Parameters
    ----------
    depth
        Share of the molecules that is kept.
    trained_on
        ``"other"``: the second section alone. ``"own"``: both, so that the model has met the very molecules.
    nulls
        ``"flat"``: the changed genes have a constant share. ``"foreign"``: they follow the tissue of the second
        section, laid over the first, so that they have patterns that have nothing to do with those of the other
        genes.
    """
    study = folder / f"s{seed}" / "study"
    if not study.exists():
        simulate(study, seed=seed, size_um=size_um, n_genes=n_genes, mpp=2.0)
    reference = folder / f"s{seed}" / "reference"
    if not reference.exists():
        build_reference(study / "reference.h5ad", reference, seed=0)
    truth = ad.read_h5ad(study / "truth" / "S1.h5ad", backed="r").var
    panel = truth[truth["measured"]]
    rng = np.random.default_rng([seed, 1])
    changed = np.sort(rng.choice(panel.index.to_numpy(str), len(panel) // 2, replace=False))
    program = panel["program"].astype(str)
    varying = panel.index[program != "housekeeping"].to_numpy(str)
    none = np.array([], str)
    place = folder / f"s{seed}" / f"{nulls}_d{depth:g}_{trained_on}"
    found = NullStudy(
        sample=place / "samples" / "S1",
        model=place / "model",
        reference=reference,
        enhanced=place / "enhanced" / "S1.h5ad",
        truth=study / "truth" / "S1.h5ad",
        null=changed if nulls == "flat" else none,
        foreign=changed if nulls == "foreign" else none,
        varying=np.setdiff1d(varying, changed) if nulls == "flat" else varying,
    )
    if found.enhanced.exists():
        return found
    for number in (1, 2):
        whole = folder / f"s{seed}" / "whole" / f"S{number}"
        if not whole.exists():
            preprocess(study / "sections" / f"S{number}", whole, f"S{number}")
        sample = place / "samples" / f"S{number}"
        shutil.rmtree(sample, ignore_errors=True)
        shutil.copytree(whole, sample)
        _change(
            sample / "counts.h5ad",
            changed,
            depth,
            study / "truth" / f"S{3 - number}.h5ad" if nulls == "foreign" else None,
            np.random.default_rng([seed, 2, number]),
        )
    samples = [place / "samples" / name for name in (("S1", "S2") if trained_on == "own" else ("S2",))]
    train(samples, found.model, reference=reference, max_steps=steps, device="cpu", overwrite=True)
    options = EnhanceOptions(device="cpu", genes="measured", layers=())
    enhance(found.sample, found.enhanced, model=found.model, reference=reference, options=options)
    return found


def _change(path: Path, changed: np.ndarray, depth: float, other: Path | None, rng: np.random.Generator) -> None:
    """Draw genes anew: at a constant share, or with the shares of another tissue at the same place of the frame."""
    adata = ad.read_h5ad(path)
    counts = sparse.csr_matrix(adata.X)
    if depth < 1:
        counts = thin(counts, depth, rng)[0]
    dense = counts.toarray()
    columns = np.flatnonzero(adata.var_names.isin(changed))
    kept = np.delete(dense, columns, axis=1).sum(axis=1)
    # What the places of the frame express elsewhere; beyond that tissue, its nearest location.
    shares = np.ones((len(dense), len(columns)))
    if other is not None:
        truth = ad.read_h5ad(other)
        nearest = cKDTree(truth.obsm["spatial_um"]).query(adata.obsm["spatial_um"])[1]
        there = truth[:, adata.var_names[columns]].X[nearest].astype(np.float64)
        shares = there / there.sum(axis=1, keepdims=True)
    for share, column in zip(shares.T, columns, strict=True):
        mean = dense[:, column].sum() * kept * share / (kept @ share)
        dense[:, column] = rng.poisson(mean * rng.standard_gamma(1 / DISPERSION, len(mean)) * DISPERSION)
    adata.X = sparse.csr_matrix(dense.astype(np.float32))
    adata.write_h5ad(path)


def interval(hits: np.ndarray) -> str:
    """A share in per cent with its binomial (Wilson) interval of 95 %."""
    from scipy.stats import binomtest

    tested = binomtest(int(np.sum(hits)), len(hits))
    low, high = tested.proportion_ci(method="wilson")
    return f"{100 * tested.statistic:.1f} ({100 * low:.1f}–{100 * high:.1f})"
