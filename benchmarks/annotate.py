"""Pathologists' labels carried to donors that no head saw: embeddings beside raw and enhanced expression.

    python benchmarks/annotate.py --embeddings DIR --enhanced DIR --labels labels.tsv [--quick] [--controls]

Prints the tables of docs/annotate.md in Markdown. DIR holds SAMPLE.h5ad of `focus embed` and of `focus enhance`; the
labels have the columns sample, location, label, donor. Each donor is left out in turn; whatever is fitted (genes,
principal axes, penalty, temperature, head) is fitted on the other donors. All rows have the same head.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from focus_cli.analysis.annotation.cross_validation import HeldOut, block_weights, calibration, few
from focus_cli.analysis.annotation.fitting import fit_head
from focus_cli.analysis.annotation.labels import blocks_of
from focus_cli.analysis.annotation.ranking import ranking_draws
from focus_cli.analysis.heads.embeddings import read_embedding
from focus_cli.core.h5ad.matrices import log_cp10k, sparse_blocks
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.statistics.resampling import interval

HEADER = (
    "| representation | labels of each class | AUROC | AP | ECE before → after | Brier before → after | "
    "AUROC less that of raw PCA + neighbours |"
)
BASE = "raw counts, PCA + neighbours"
N_GENES, N_AXES, NEIGHBOURS, DRAWS = 2000, 30, 8, 200


class Cohort:
    """Labelled locations of all samples, and the representations of all their locations."""

    def __init__(self, embeddings: Path, enhanced: Path, labels: Path, ignore: set[str], training: list[str]) -> None:
        table = pd.read_csv(labels, sep="\t", dtype=str)
        table = table[~table["label"].isin(ignore)]
        self.samples = sorted(table["sample"].unique())
        self.training = training
        self.raw, self.estimate, self.genes, self.depth, rows = {}, {}, {}, {}, []
        self.location, self.neighbourhood, self.near = {}, {}, {}
        for sample in self.samples:
            emb = read_embedding(embeddings / f"{sample}.h5ad")
            width = emb.widths["focus_location"]
            self.location[sample], self.neighbourhood[sample] = emb.features[:, :width], emb.features[:, width:]
            self.near[sample] = _nearest(emb.xy)
            names = self._expression(sample, enhanced / f"{sample}.h5ad")
            assert list(names) == list(emb.names)
            mine = table[table["sample"] == sample]
            at = emb.names.get_indexer(mine["location"])
            mine = mine.assign(row=at, block=np.char.add(f"{sample} ", blocks_of(emb.xy)[at]))[at >= 0]
            rows.append(mine.sort_values("location"))
        self.table = pd.concat(rows, ignore_index=True)
        for sample in training:
            self._expression(sample, enhanced / f"{sample}.h5ad")
        shared = set.intersection(*(set(g) for g in self.genes.values()))
        for sample in (*self.samples, *training):
            keep = self.genes[sample].isin(shared)
            order = np.argsort(self.genes[sample][keep].to_numpy())
            self.raw[sample] = self.raw[sample][:, keep][:, order]
            self.estimate[sample] = self.estimate[sample][:, keep][:, order]
        donor = self.table.drop_duplicates("sample").set_index("sample")["donor"]
        self.donor_of = {sample: donor[sample] for sample in self.samples}

    def _expression(self, sample: str, path: Path) -> pd.Index:
        """Read raw counts and estimates of the panel; return the names of the locations."""
        with SpatialFile(path) as file:
            measured = np.flatnonzero(file.var["measured"].to_numpy())
            self.genes[sample] = file.var.index[measured]
            counts = [block for _, block in sparse_blocks(file.counts())]
            totals = [np.asarray(block.sum(1)).ravel() for block in counts]
            dense = np.concatenate([log_cp10k(block, total).toarray() for block, total in zip(counts, totals)])
            self.raw[sample] = dense[:, measured]
            self.depth[sample] = np.log1p(np.concatenate(totals))[:, None].astype(np.float32)
            self.estimate[sample] = np.asarray(file.matrix(None)[:, :])[:, measured]
            return file.obs.index

    def stack(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """Rows of the labelled locations, in the order of the table."""
        out = np.zeros((len(self.table), next(iter(parts.values())).shape[1]), np.float32)
        for sample in self.samples:
            mine = (self.table["sample"] == sample).to_numpy()
            out[mine] = parts[sample][self.table["row"].to_numpy()[mine]]
        return out

    def around(self, parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A representation beside its mean over the nearest locations."""
        return {s: np.concatenate([p, p[self.near[s]].mean(1)], axis=1) for s, p in parts.items()}

    def axes(self, values: dict[str, np.ndarray], out: str | None, n: int = N_AXES) -> dict[str, np.ndarray]:
        """Principal axes of the most variable genes, both from the donors that are not left out.

        `out` None: from the sections that the model of the embeddings was trained on, in place of these donors.
        """
        from sklearn.decomposition import PCA

        seen = self.training if out is None else [s for s in self.samples if self.donor_of[s] != out]
        rest = np.concatenate([values[s] for s in seen])
        genes = np.sort(np.argsort(-rest.var(axis=0), kind="stable")[:N_GENES])
        pca = PCA(n, random_state=0).fit(rest[:, genes])
        return {s: pca.transform(values[s][:, genes]).astype(np.float32) for s in self.samples}


def _nearest(xy: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(xy).kneighbors(xy)[1]


def representations(cohort: Cohort) -> dict[str, Callable[[str], np.ndarray]]:
    """Name → features of the labelled locations, given the donor that is left out."""
    return {
        "raw counts, PCA": lambda out: cohort.stack(cohort.axes(cohort.raw, out)),
        "raw counts, PCA + neighbours": lambda out: cohort.stack(cohort.around(cohort.axes(cohort.raw, out))),
        "enhanced X, PCA": lambda out: cohort.stack(cohort.axes(cohort.estimate, out)),
        "enhanced X, PCA + neighbours": lambda out: cohort.stack(cohort.around(cohort.axes(cohort.estimate, out))),
        "embedding, location": lambda out: cohort.stack(cohort.location),
        "embedding, location + neighbourhood": lambda out: np.concatenate(
            [cohort.stack(cohort.location), cohort.stack(cohort.neighbourhood)], axis=1
        ),
    }


def controls(cohort: Cohort) -> dict[str, Callable[[str], np.ndarray]]:
    """What may be behind a gain: depth, few axes, or sections that the others did not see."""
    width = next(iter(cohort.location.values())).shape[1]

    def few(out: str | None) -> np.ndarray:
        return cohort.stack(cohort.around(cohort.axes(cohort.raw, out, width)))

    ways = {
        "counts of the location alone": lambda out: cohort.stack(cohort.depth),
        f"raw counts, {width} axes + neighbours": few,
    }
    if cohort.training:
        ways[f"raw counts, {width} axes of {', '.join(cohort.training)} + neighbours"] = lambda out: few(None)
    return ways


def held_out(features: dict[str, np.ndarray], labels, donors, blocks, per_class: int | None, seed: int) -> HeldOut:
    """Heads of a handful of labels of the other donors, asked for all labels of the one left out."""
    classes = np.unique(labels)
    shape = (len(labels), len(classes))
    p, plain, known, fold = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool), np.full(len(labels), -1)
    for i, donor in enumerate(np.unique(donors)):
        rest, test = np.flatnonzero(donors != donor), np.flatnonzero(donors == donor)
        if per_class:
            rest = rest[few(labels[rest], per_class, np.random.default_rng([seed, i]), donors[rest])]
        x = features[donor]
        fitted = fit_head(x[rest], labels[rest], donors[rest], blocks[rest])
        head, columns = fitted.head, np.searchsorted(classes, fitted.head.classes)
        p[np.ix_(test, columns)] = np.exp(head.log_probability(x[test]))
        plain[np.ix_(test, columns)] = softmax(head.logits(x[test]), axis=1)
        known[np.ix_(test, columns)] = True
        fold[test] = i
    return HeldOut(tuple(classes), p, plain, known, fold)


def drawn_scores(held: list[HeldOut], labels, weights, classes: list[str]) -> dict[str, np.ndarray]:
    """Mean over classes and donors of AUROC and AP: first the mean over `held`, then one of them for each resample."""
    n = len(weights)
    turn = np.arange(n) % len(held)
    parts: dict[str, list[np.ndarray]] = {"auroc": [], "ap": []}
    for fold in np.unique(held[0].fold):
        rows = np.flatnonzero(held[0].fold == fold)
        for name in classes:
            truth, column = labels[rows] == name, held[0].classes.index(name)
            if not truth.any() or truth.all() or not all(h.known[rows[0], column] for h in held):
                continue
            drawn = np.full((2, n + 1), np.nan)
            first = []
            for k, h in enumerate(held):
                mine = np.flatnonzero(turn == k)
                each = np.vstack([np.ones(len(rows)), weights[mine][:, rows]])
                both = np.array(ranking_draws(truth, h.probability[rows, column], each))
                first.append(both[:, 0])
                drawn[:, mine + 1] = both[:, 1:]
            drawn[:, 0] = np.mean(first, axis=0)
            parts["auroc"].append(drawn[0])
            parts["ap"].append(drawn[1])
    return {key: np.nanmean(values, axis=0) for key, values in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", type=Path, required=True)
    parser.add_argument("--enhanced", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--positive", default="invasive cancer")
    parser.add_argument("--ignore", default="undetermined")
    parser.add_argument("--sizes", default="5,10,50,all", help="labels of each class")
    parser.add_argument("--repeats", type=int, default=5, help="draws of a handful of labels")
    parser.add_argument("--training", default="", help="sections in --enhanced that the model was trained on")
    parser.add_argument("--controls", action="store_true", help="what may be behind a gain, in place of the main rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="all labels and 5 for each class, two draws")
    args = parser.parse_args()
    training = [name for name in args.training.split(",") if name]
    cohort = Cohort(args.embeddings, args.enhanced, args.labels, set(args.ignore.split(",")), training)
    text = cohort.table["label"].to_numpy().astype(str)
    donors, blocks = (cohort.table[c].to_numpy().astype(str) for c in ("donor", "block"))
    chosen = ("5,all", 2) if args.quick else (args.sizes, args.repeats)
    sizes, repeats = [None if size == "all" else int(size) for size in chosen[0].split(",")], chosen[1]
    ways = representations(cohort)
    if args.controls:
        ways = {name: ways[name] for name in (BASE, "embedding, location + neighbourhood")} | controls(cohort)
    made = {name: {donor: make(donor) for donor in np.unique(donors)} for name, make in ways.items()}
    spread = pd.crosstab(text, donors)
    common = [name for name in spread.index if (spread.loc[name] > 0).sum() > 1]
    print(f"{len(text)} labelled locations of {len(np.unique(donors))} donors, seed {args.seed}; classes: "
          f"{', '.join(f'{name} {int(spread.loc[name].sum())}' for name in spread.index)}", flush=True)  # fmt: skip
    # Control: labels permuted within each donor carry no information, and must give one half.
    rng = np.random.default_rng(args.seed)
    dealt = text.copy()
    for donor in np.unique(donors):
        dealt[donors == donor] = rng.permutation(text[donors == donor])
    tasks = {
        f"{args.positive} against the rest": (np.where(text == args.positive, args.positive, "rest"), [args.positive]),
        f"{len(common)} classes, one against the rest, mean": (text, common),
    }
    if args.controls:
        nothing = np.where(dealt == args.positive, args.positive, "rest")
        tasks[f"{args.positive} against the rest, labels permuted within each donor"] = (nothing, [args.positive])
    weights = None
    for task, (labels, classes) in tasks.items():
        print(f"\n### {task}\n\n{HEADER}\n|---|---:|---:|---:|---:|---:|---:|")
        for size in sizes:
            base, rows = None, []
            for name in sorted(ways, key=lambda n: n != BASE):
                started = time.time()
                seeds = [args.seed + r for r in range(repeats if size else 1)]
                held = [held_out(made[name], labels, donors, blocks, size, seed) for seed in seeds]
                if weights is None:
                    weights = block_weights(blocks, held[0].fold, args.seed, DRAWS)
                scores = drawn_scores(held, labels, weights, classes)
                base = scores["auroc"] if base is None else base
                told = [calibration(h, labels) for h in held]
                mean = {k: np.mean([t[k] for t in told]) for k in told[0]}
                rows.append((name, scores, mean, base, time.time() - started))
            for name, scores, mean, base, _ in sorted(rows, key=lambda row: list(ways).index(row[0])):
                delta = scores["auroc"] - base
                print(
                    f"| {name} | {size or 'all'} | {shown(scores['auroc'])} | {shown(scores['ap'])} | "
                    f"{mean['ece_before']:.3f} → {mean['ece_after']:.3f} | "
                    f"{mean['brier_before']:.3f} → {mean['brier_after']:.3f} | "
                    f"{'–' if not delta.any() else shown(delta, '+')} |",
                    flush=True,
                )
    print(f"\nprevalence of {args.positive} by donor: "
          + ", ".join(f"{d} {np.mean(text[donors == d] == args.positive):.2f}" for d in np.unique(donors)))  # fmt: skip


def shown(values: np.ndarray, sign: str = "") -> str:
    """Value and its 95 % interval."""
    low, high = interval(values[1:])
    return f"{values[0]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


if __name__ == "__main__":
    main()
