"""Expression from H&E alone on a slide of another patient: deviance explained, amplitude, and what each part gives.

    focus holdout SAMPLE --task histology --out HELD --truth TRUTH.h5ad
    focus train OTHERS --out MODEL --reference REF --max-steps 1000
    python benchmarks/slides_without_counts.py HELD TRUTH.h5ad MODEL --reference REF

Prints, for the network alone, its image map, the map with the strong penalty and what FOCUS combines them to: D²
(Poisson deviance explained beyond a constant gene at the true depth, the total of each gene set to the truth), pooled
over genes and as a mean over genes, and the slope of truth on estimate, which is 1 where the amplitude is right. The
genes are those that the truth scores.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from anndata import AnnData
from scipy import sparse

from focus_cli.core.storage import open_sample
from focus_cli.core.storage.hdf5 import read_anndata
from focus_cli.enhancement.inference import EnhanceOptions, Inference
from focus_cli.genes.reference import open_reference
from focus_cli.model.training import load_model


def deviance(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Poisson deviance of each gene, counts and expectations n × genes."""
    log = np.log(np.maximum(counts, 1e-12) / np.maximum(expected, 1e-12))
    return 2 * (np.where(counts > 0, counts * log, 0.0) - counts + expected).sum(axis=0)


def scores(counts: np.ndarray, depth: np.ndarray, share: np.ndarray) -> tuple[float, float, float]:
    """D² pooled and as a mean over genes, and the slope of truth on estimate."""
    level = counts.sum(axis=0) / depth.sum()
    constant = depth[:, None] * level
    expected = depth[:, None] * np.maximum(share, 1e-12)
    expected *= counts.sum(axis=0) / expected.sum(axis=0)
    found, least = deviance(counts, expected), deviance(counts, constant)
    change = expected - constant
    slope = (change * (counts - constant) / constant).sum() / max((change**2 / constant).sum(), 1e-12)
    return 1 - found.sum() / least.sum(), float(np.mean(1 - found / least)), float(slope)


def truth_of(truth: AnnData, names: np.ndarray, genes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of genes at locations, and total counts."""
    found = truth[names]
    counts = found[:, genes].X
    dense = counts.toarray() if sparse.issparse(counts) else np.asarray(counts)
    return dense.astype(np.float64), found.obs["exposure"].to_numpy(np.float64)


@click.command(help=__doc__)
@click.argument("held", type=Path)
@click.argument("truth", type=Path)
@click.argument("model", type=Path)
@click.option("--reference", type=Path)
@click.option("--seed", default=0)
def main(held: Path, truth: Path, model: Path, reference: Path | None, seed: int) -> None:
    known = read_anndata(truth)
    opened = open_reference(reference) if reference else None
    run = Inference(
        open_sample(held), load_model(model), opened, EnhanceOptions("measured", histology_only=True, seed=seed)
    )
    panel = {name: i for i, name in enumerate(run.genes.names)}
    scored = [str(name) for name in known.uns["focus_truth"]["genes"]]
    names = [name for name in scored if name in panel and run.prior.measured[run.genes.prior_rows[panel[name]]]]
    row = {name: i for i, name in enumerate(run.data.obs_names)}
    there = np.array([name for name in known.obs_names if name in row])
    counts, depth = truth_of(known, there, names)
    at, columns = np.array([row[name] for name in there]), torch.tensor([panel[name] for name in names])
    alone = run.section.infer(
        run.view, run.data.xy_um, "network alone", footprint=run.section.area, n_spread=0, image_maps=True
    )
    print(f"{len(names)} of {len(scored)} scored genes; {run.image_transfer.record()}")
    image_map, foreign_map = alone.image_maps
    parts = {"network": alone.mean, "image map": image_map, "foreign map": foreign_map, "combined": run.latents.mean}
    for name, latent in parts.items():
        share = run.decoder.share(latent[at], columns).numpy().astype(np.float64)
        print("{:12s} D² {:.3f}  mean over genes {:.3f}  slope {:.2f}".format(name, *scores(counts, depth, share)))


if __name__ == "__main__":
    main()
