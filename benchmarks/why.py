"""What ``focus why`` is worth: conservation, known truth, what is lost without a signal, and random weights.

    python benchmarks/why.py                                             # simulated study, one section of two held out
    python benchmarks/why.py --quick
    python benchmarks/why.py --sample C2 --model MODEL [--reference R]   # a section of one's own: no truth, the rest

Prints Markdown. On the simulated study the model is trained on S2 and S3 and explains S1, which it never saw.

*Truth*: genes of the simulated study follow a cell type, or a state of cells: `activity` shapes nuclei and can be seen,
`axis` is a gradient over the section that cannot. Correlations are Pearson's, of a part with the log of the known
expression over locations, mean over genes.

*What is lost*: the image, or the neighbours, are taken from other places (``focus enhance --ablate``, with everything
fitted anew), and the correlation with the truth falls, gene by gene. An attribution that is true to the model ranks
genes as that fall does.

*Random weights* (Adebayo et al. 2018, arXiv:1810.03292): Spearman's correlation over locations of a part with the same
part under shuffled weights, mean over genes; and, as what unrelated smooth maps show by chance, the mean of its size.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from focus_cli.core.storage import open_sample
from focus_cli.enhancement.attribution.details import Within
from focus_cli.enhancement.attribution.estimate import Estimate
from focus_cli.enhancement.attribution.game import PARTS, SIGNALS, shapley
from focus_cli.enhancement.inference import EnhanceOptions, Inference
from focus_cli.genes.reference import build_reference, open_reference
from focus_cli.model.training import load_model

KINDS = ("marker", "state: activity", "state: niche", "state: axis", "housekeeping")


class Unfitted(Inference):
    """Inference with nothing fitted to the section: what the network says."""

    def _holdout_calibration(self):
        return None


def parts_of(kind, stored, model, reference, genes: str) -> tuple[Estimate, np.ndarray, dict[str, np.ndarray]]:
    """Estimate, whole and parts of all genes that are asked about."""
    estimate = Estimate(kind(stored, model, reference, EnhanceOptions(genes=genes, device="cpu")))
    values = estimate.values(np.arange(len(estimate.data.xy_um)))
    return estimate, values[-1], shapley(values)


def shuffled(model, seed: int, *, vectors: bool):
    """The model with the entries of every weight tensor, and the genes' vectors, in another order."""
    net, generator = copy.deepcopy(model.net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in net.parameters():
            order = torch.randperm(weights.numel(), generator=generator)
            weights.copy_(weights.flatten()[order].view(weights.shape))
    prior = model.prior
    if vectors:
        order = np.random.default_rng(seed).permutation(len(prior.loadings))
        prior = replace(prior, loadings=prior.loadings[order])
    return replace(model, net=net, prior=prior)


def per_gene(first: np.ndarray, second: np.ndarray, method) -> np.ndarray:
    """Correlation of two maps, gene by gene; genes that do not vary are left out."""
    varies = (first.std(axis=0) > 1e-7) & (second.std(axis=0) > 1e-7)
    return np.array([method(first[:, g], second[:, g]) for g in np.flatnonzero(varies)])


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def table(head: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def print_sizes(parts: dict[str, np.ndarray], groups: dict[str, np.ndarray]) -> None:
    print("Mean size of the parts, share of all, and mean absolute value of the whole (log2):\n")
    rows = []
    for name, genes in groups.items():
        size = {part: float(np.abs(parts[part][:, genes]).mean()) for part in PARTS}
        whole = float(np.abs(sum(parts.values())[:, genes]).mean())
        rows.append(
            [f"{name} ({genes.sum()})", *(f"{size[p] / sum(size.values()):.0%}" for p in PARTS), f"{whole:.2f}"]
        )
    table(["genes", *PARTS, "whole"], rows)


def print_random(stored, model, reference, genes: str, real, seeds: int) -> None:
    print("Random weights, real against shuffled: mean Spearman correlation (mean size of it):\n")
    rows = []
    whole = {Inference: real, Unfitted: parts_of(Unfitted, stored, model, reference, genes)[2]}
    cases = (
        ("network alone, its weights and gene vectors shuffled", Unfitted, True),
        ("network alone, its weights shuffled", Unfitted, False),
        ("all that the file holds, weights and gene vectors shuffled", Inference, True),
    )
    for name, kind, vectors in cases:
        found = {signal: [] for signal in SIGNALS}
        for seed in range(seeds):
            other = parts_of(kind, stored, shuffled(model, seed, vectors=vectors), reference, genes)[2]
            for signal in SIGNALS:
                found[signal].append(per_gene(whole[kind][signal], other[signal], spearman))
        cells = []
        for signal in SIGNALS:
            told = np.concatenate(found[signal])
            cells.append(f"{told.mean():.2f} ({np.abs(told).mean():.2f})" if len(told) else "–")
        rows.append([name, *cells])
    table(["", *SIGNALS], rows)


def print_conservation(estimate: Estimate, whole: np.ndarray, parts: dict[str, np.ndarray], n: int) -> None:
    missed = float(np.abs(sum(parts.values()) - whole).max())
    rng = np.random.default_rng(0)
    rows, errors, clock = rng.integers(len(whole), size=n), [], time.perf_counter()
    for row in rows:
        gene = int(rng.integers(whole.shape[1]))
        errors.append(Within(estimate, int(row)).parts(gene, {p: float(parts[p][row, gene]) for p in PARTS}).error)
    seconds = (time.perf_counter() - clock) / n
    print(
        f"Conservation: the parts miss the whole by {missed:.1e} at most; within a signal the sum in place of the "
        f"integral misses {np.median(errors):.1e} (median), {max(errors):.1e} (largest of {n} locations and genes), "
        f"log2; {seconds:.2f} s each.\n"
    )


def simulated(folder: Path, quick: bool) -> tuple[Path, Path, Path, Path]:
    """A study on disk: S1 stored, a model of the others, the reference, the truth of S1."""
    from focus_cli.model.training.stage import train
    from focus_cli.platforms.preprocessing import preprocess
    from focus_cli.simulation import simulate

    size, n_genes, steps = (1500.0, 120, 80) if quick else (3000.0, 400, 600)
    study = simulate(folder / "study", n_sections=3, size_um=size, n_genes=n_genes, mpp=2.0 if quick else 1.0, seed=0)
    study = Path(study)
    for name in ("S1", "S2", "S3"):
        preprocess(study / "sections" / name, folder / name, name)
    build_reference(study / "reference.h5ad", folder / "reference", seed=0)
    others = [folder / "S2", folder / "S3"]
    train(others, folder / "model", reference=folder / "reference", max_steps=steps, device="cpu", seed=0)
    return folder / "S1", folder / "model", folder / "reference", study / "truth" / "S1.h5ad"


def print_truth(estimate: Estimate, whole, parts, truth, groups: dict[str, np.ndarray]) -> None:
    print("Correlation of a part with the log of the known expression, mean over genes:\n")
    rows = []
    for name, genes in groups.items():
        cells = []
        for part in ("whole", *SIGNALS):
            values = (whole if part == "whole" else parts[part])[:, genes]
            told = per_gene(values, truth[:, genes], pearson)
            cells.append(f"{told.mean():.2f}" if len(told) else "–")
        rows.append([f"{name} ({genes.sum()})", *cells])
    table(["genes", "whole", *SIGNALS], rows)


def print_loss(stored, model, reference, whole, parts, truth, measured: np.ndarray) -> None:
    print("What is lost, gene by gene, against the part (Spearman over measured genes):\n")
    rows = []
    size = {part: np.abs(parts[part]).mean(axis=0) for part in PARTS}
    of_all = {part: size[part] / sum(size.values()) for part in PARTS}
    before = np.array([pearson(whole[:, g], truth[:, g]) for g in range(whole.shape[1])])
    for signal, ablation in (("image", "image=shuffle"), ("neighbours", "spatial=shuffle")):
        options = EnhanceOptions(genes="all", device="cpu", ablate=(ablation,))
        run = Inference(stored, model, reference, options)
        share = run.decoder.share(run.latents.mean)
        for start in range(0, len(share), 2048):
            rows_of = slice(start, start + 2048)
            sd = torch.zeros_like(share[rows_of])
            block = share[rows_of].clone()
            if run.pooler is not None:
                run.pooler.around(run.data.xy_um[rows_of]).update(block, sd, slice(0, share.shape[1]))
            share[rows_of] = block
        after = np.log2(np.maximum(share.numpy(), 1e-12))
        kept = measured & np.isfinite(before)
        fall = before - np.array([pearson(after[:, g], truth[:, g]) for g in range(after.shape[1])])
        rows.append(
            [
                f"{signal} ({ablation})",
                f"{before[kept].mean():.3f}",
                f"{(before - fall)[kept].mean():.3f}",
                f"{spearman(of_all[signal][kept], fall[kept]):.2f}",
                f"{spearman(size[signal][kept], fall[kept]):.2f}",
            ]
        )
    table(
        ["signal", "PCC with truth", "without", "its share of all parts, and the fall", "its size, and the fall"], rows
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true")
    options.add_argument("--sample", type=Path)
    options.add_argument("--model", type=Path)
    options.add_argument("--reference", type=Path)
    options.add_argument("--genes", default="all", help="all, measured, or a file of names")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--keep", type=Path, help="folder for the simulated study; reused where it is there")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if asked.sample is not None:
            sample, model, reference, truth = asked.sample, asked.model, asked.reference, None
        elif asked.keep is not None and (asked.keep / "model").is_dir():
            sample, model, reference = (asked.keep / name for name in ("S1", "model", "reference"))
            truth = asked.keep / "study" / "truth" / "S1.h5ad"
        else:
            sample, model, reference, truth = simulated(asked.keep or Path(scratch), asked.quick)
        stored, trained = open_sample(sample), load_model(model)
        opened = open_reference(reference) if reference is not None else None
        clock = time.perf_counter()
        estimate, whole, parts = parts_of(Inference, stored, trained, opened, asked.genes)
        seconds = time.perf_counter() - clock
        measured = estimate.run.genes.measured
        print(f"## {sample.name}: {whole.shape[0]:,} locations × {whole.shape[1]:,} genes, {seconds:.0f} s\n")
        print_conservation(estimate, whole, parts, 10 if asked.quick else 40)
        groups = {"measured": measured, "not measured": ~measured}
        if truth is not None:
            import anndata

            known = anndata.read_h5ad(truth)[estimate.data.obs_names, estimate.run.genes.names]
            program = known.var["program"].astype(str).to_numpy()
            kinds = {kind: np.char.startswith(program.astype(str), kind) for kind in KINDS}
            groups = {f"{kind}, measured": mask & measured for kind, mask in kinds.items()}
            groups |= {f"{kind}, not measured": mask & ~measured for kind, mask in kinds.items()}
            expression = np.asarray(known.X, np.float64)
            log_truth = np.log2(expression / expression.sum(axis=1, keepdims=True) + 1e-9)
        groups = {name: mask for name, mask in groups.items() if mask.any()}
        print_sizes(parts, groups)
        if truth is not None:
            print_truth(estimate, whole, parts, log_truth, groups)
            print_loss(stored, trained, opened, whole, parts, log_truth, measured)
        print_random(stored, trained, opened, asked.genes, parts, asked.seeds)


if __name__ == "__main__":
    sys.exit(main())
