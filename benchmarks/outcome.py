"""Outcomes from slides on simulated cohorts with a known effect: attention beside the mean, covariates, and chance.

    python benchmarks/outcome.py [--quick]

Prints the tables of docs/outcome.md in Markdown. Every cohort is drawn anew: donors whose slides are bags of locations
in a representation of 24 values; five kinds of tissue whose shares differ between donors, a shift of each slide of its
own, and an outcome driven by the share of one kind (log share, standardised). One covariate knows a part of it that the
slides do not show. Nested cross-validation over donors, as `focus outcome fit` does it.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np

from focus_cli.analysis.heads.pairs import concordance, within
from focus_cli.analysis.outcome.nested_cv import cross, judge, permuted
from focus_cli.analysis.outcome.target import Target

WIDTH, KINDS = 24, 5


@dataclass(frozen=True)
class Design:
    """What a cohort is like."""

    name: str
    donors: int = 100
    survival: bool = True
    effect: float = 1.0  # log hazard (or log odds) of one standard deviation of the niche's log share
    clinical: float = 0.5  # the same of the covariate
    share: float = 0.06  # mean share of the niche
    places: int = 128


def draw(design: Design, seed: int) -> tuple[list[np.ndarray], Target, np.ndarray, np.ndarray]:
    """Bags, outcomes, the covariate (n, 1), and the true score of the slides (n,)."""
    rng = np.random.default_rng([seed, 20])
    kinds = rng.normal(size=(KINDS, WIDTH)) * 0.9
    share = np.clip(rng.gamma(1.0, design.share, design.donors), 0.0, 0.6)
    bags = []
    for niche in share:
        kind = rng.choice(KINDS - 1, design.places, p=rng.dirichlet(np.full(KINDS - 1, 2.0)))
        kind[rng.random(design.places) < niche] = KINDS - 1
        slide = 0.25 * rng.normal(size=WIDTH)
        bags.append((kinds[kind] + slide + 0.8 * rng.normal(size=(design.places, WIDTH))).astype(np.float32))
    truth = np.log(share + 0.01)
    truth = (truth - truth.mean()) / truth.std()
    covariate = rng.normal(size=design.donors)
    score = design.effect * truth + design.clinical * covariate
    if design.survival:
        seen, end = rng.exponential(np.exp(-score)), rng.exponential(2.0, design.donors)
        target = Target(seen <= end, np.minimum(seen, end))
    else:
        target = Target(rng.random(design.donors) < 1 / (1 + np.exp(-score)), None, "1")
    return bags, target, covariate[:, None], truth


def one(design: Design, seed: int) -> dict[str, float]:
    """Figures of one cohort."""
    bags, target, covariate, truth = draw(design, seed)
    crossed = cross(bags, target, covariate, seed, label="")
    told = judge(crossed, target, seed)
    out = {arm: row["value"] for arm, row in told["arms"].items()}
    out["truth"] = concordance(truth, target.pairs() & within(crossed.folds))
    out["width"] = told["arms"]["attention"]["high"] - told["arms"]["attention"]["low"]
    out["events"] = told["events"]
    return out


def nothing_to_find(cohorts: int, seed: int, poolings: tuple[str, ...]) -> None:
    """Mean over cohorts in which nothing is true: it must be one half, within its standard error."""
    rows = []
    for i in range(cohorts):
        design = Design("", 60, survival=i % 2 == 0, effect=0.0, clinical=0.0, places=48)
        bags, target, _, _ = draw(design, seed + i)
        crossed = cross(bags, target, np.zeros((60, 0)), seed + i, poolings, label="")
        told = judge(crossed, target, seed + i)["arms"]
        rows.append([[told[arm][key] for key in ("value", "low", "high")] for arm in poolings])
    values = np.array(rows)  # (cohorts, arms, 3)
    for arm, name in enumerate(poolings):
        v, low, high = values[:, arm].T
        holds = int(((low <= 0.5) & (high >= 0.5)).sum())
        print(
            f"{name}: {v.mean():.3f} on average over {cohorts} cohorts without an effect, standard error "
            f"{v.std(ddof=1) / np.sqrt(cohorts):.3f}; the 95 % interval holds 0.5 in {holds}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=4, help="cohorts of each design")
    parser.add_argument("--permutations", type=int, default=10, help="0: leave that control out")
    parser.add_argument("--null", type=int, default=0, help="so many cohorts of 60 donors without any effect, alone")
    parser.add_argument("--null-poolings", default="attention,mean", help="what --null tries")
    parser.add_argument("--only", default="", help="numbers of designs, by comma: the table in parts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one small cohort of each of two designs")
    args = parser.parse_args()
    designs = [
        Design("survival, a rare niche"),
        Design("survival, a rare niche, 60 donors", donors=60),
        Design("survival, a rare niche, 200 donors", donors=200),
        Design("survival, a weak effect", effect=0.4),
        Design("survival, a frequent niche", share=0.25),
        Design("response, a rare niche", survival=False, effect=1.5, clinical=0.75),
        Design("survival, no effect", effect=0.0),
        Design("response, no effect", survival=False, effect=0.0, clinical=0.75),
    ]
    if args.null:
        nothing_to_find(args.null, args.seed, tuple(args.null_poolings.split(",")))
        return
    cohorts, permutations = args.cohorts, args.permutations
    if args.only:
        designs = [designs[int(i)] for i in args.only.split(",")]
    if args.quick:
        designs, cohorts, permutations = [designs[1], Design("survival, no effect", 60, effect=0.0)], 1, 2
    print(
        f"seeds {args.seed} to {args.seed + cohorts - 1}; mean over {cohorts} cohorts, lowest and highest in brackets\n"
    )
    print("| cohort | donors | events | attention | mean of the slide | covariate | attention + covariate | "
          "true share | width of the 95 % interval of attention |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for design in designs:
        started = time.process_time()
        rows = [one(design, args.seed + i) for i in range(cohorts)]
        figures = " | ".join(shown([row[arm] for row in rows]) for arm in ("attention", "mean", "clinical", "together"))
        print(
            f"| {design.name} | {design.donors} | {np.mean([row['events'] for row in rows]):.0f} | {figures} | "
            f"{shown([row['truth'] for row in rows])} | {np.mean([row['width'] for row in rows]):.2f} |",
            flush=True,
        )
        print(f"{design.name}: {(time.process_time() - started) / cohorts:.0f} s of CPU a cohort", file=sys.stderr)
    if permutations:
        bags, target, _, _ = draw(designs[0], args.seed)
        values = permuted(bags, target, permutations, args.seed, "attention")
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        print(f"\n{designs[0].name}, outcomes permuted {permutations} times: {np.mean(values):.3f} on average")
        print(f"({min(values):.3f} to {max(values):.3f}; standard error {error:.3f})")


def shown(values: list[float]) -> str:
    """Mean, lowest and highest."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
