"""The two verbs: learn an outcome from slides and judge it, apply what was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.analysis.heads.embeddings import Embedding, read_cohort, require_space
from focus_cli.analysis.heads.folder import write_head
from focus_cli.analysis.heads.ood import OodSupport, fit_ood_support
from focus_cli.analysis.heads.tables import SAMPLE, read_table
from focus_cli.analysis.outcome.bags import LIMIT, on_tissue, read_bags
from focus_cli.analysis.outcome.head import KIND, OutcomeHead, head_arrays, load_head
from focus_cli.analysis.outcome.linear import cox_fit, fit_linear, require_lifelines
from focus_cli.analysis.outcome.nested_cv import POOLINGS, cross, fit_together, judge, permuted
from focus_cli.analysis.outcome.scorer import Bags, Scorer, fit_scorer
from focus_cli.analysis.outcome.target import Target, encode, read_clinical, require_enough
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.provenance import describe_run
from focus_cli.core.random import stream
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import atomic_directory, atomic_file, check_output
from focus_cli.core.storage.kinds import ATTENTION, OUTCOME_HEAD, OUTCOMES
from focus_cli.core.storage.tables import write_table

RESULT = "outcome"
_SUPPORT = 40  # locations of a donor by which another slide is called unlike the cohort
NOTE = "Research only: not a medical device, not to be used for the care of a patient."


def fit_outcome(
    embeddings: Sequence[Path],
    table: Path,
    out: Path,
    *,
    outcome: str | None = None,
    positive: str | None = None,
    time: str | None = None,
    event: str | None = None,
    covariates: Sequence[str] = (),
    pooling: str = "attention",
    permutations: int = 10,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Learn an outcome from slides, and measure what that is worth on donors that were left out.

    Parameters
    ----------
    embeddings
        Files of `focus embed`, all in one space.
    table
        Table with the columns sample, donor (optional), outcome and covariates.
    out
        Folder to write: ``head.json``, ``head.safetensors``.
    outcome, positive, time, event, covariates
        Columns of the table; see `focus_cli.analysis.outcome.target.read_clinical`.
    pooling
        ``"attention"`` or ``"mean"``: what the head is; both are measured.
    permutations
        Number of repetitions with permuted outcomes.

    Returns
    -------
    dict
        What ``head.json`` holds.

    Raises
    ------
    OutputExistsError, MissingResourceError, BadInputError, UsageError
        If the output is there; a file or lifelines is not; outcomes, events, donors or spaces do not do.
    """
    check_output(out, OUTCOME_HEAD, inputs=[*embeddings, table], overwrite=overwrite)
    if not embeddings:
        raise UsageError("no embeddings", hint="name the files written by focus embed")
    check_memory("fit_outcome", [result_size(path) for path in embeddings])
    # The table as a whole first: its mistakes need no embedding to be seen.
    asked = {"outcome": outcome, "positive": positive, "time": time, "event": event, "covariates": covariates}
    named = [_sample_of(path) for path in embeddings]
    clinical = read_clinical(table, **asked, samples=named)
    if clinical.target.survival:
        require_lifelines()
    require_enough(clinical.target, clinical.donors)
    bags = read_bags(embeddings, clinical.samples, clinical.donors, limit=LIMIT, seed=seed)
    target, numbers = clinical.target, clinical.covariates.to_numpy(np.float64)

    poolings = (pooling, *(p for p in POOLINGS if p != pooling))
    crossed = cross(bags.features, target, numbers, seed, poolings)
    scores = judge(crossed, target, seed)
    if target.survival:
        scores["hazard_ratio"] = _hazard_ratio(crossed.scores[pooling], crossed.folds, numbers, target)
    if permutations:
        chance = permuted(bags.features, target, permutations, seed, pooling)
        reached = scores["arms"][pooling]["value"]
        scores["permuted"] = {
            "values": chance,
            "mean": float(np.mean(chance)),
            "p": (1 + sum(value >= reached for value in chance)) / (1 + permutations),
        }

    scorer = fit_scorer(bags.features, target, pooling, seed)
    slope, intercept = _calibration(scorer, target)
    together = fit_together(scorer, numbers, target) if numbers.shape[1] else None
    ood = _ood_support(bags.features, scorer, seed)
    document = {
        "space": bags.space,
        "widths": bags.widths,
        "pooling": pooling,
        "strength": scorer.strength,
        "centre": scorer.centre,
        "slope": slope,
        "intercept": intercept,
        "border": ood.border,
        "target": {
            "kind": "survival" if target.survival else "class",
            "column": event if target.survival else outcome,
            "positive": target.positive,
        },
        "covariates": list(clinical.covariates.columns),
        "levels": clinical.levels,
        "scores": scores,
        "note": NOTE,
        "provenance": describe_run(
            "outcome fit",
            {**asked, "covariates": list(covariates), "pooling": pooling, "permutations": permutations},
            {"table": table, **{f"embedding {i}": p for i, p in enumerate(sorted(map(Path, embeddings)))}},
            seed,
        ),
    }
    write_head(out, KIND, document, head_arrays(scorer, together, ood), overwrite=overwrite)
    return document


def _sample_of(path: Path) -> str:
    with SpatialFile(path) as file:
        return file.sample


def _hazard_ratio(score: np.ndarray, folds: np.ndarray, covariates: np.ndarray, target: Target) -> dict[str, float]:
    """Hazard ratio of one standard deviation of the score of left-out donors, beside the covariates.

    The hazard of each fold has a separate level: its scores come from another head.
    """
    values = np.column_stack([score, covariates])
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    try:
        row = cox_fit(values, target, 0.0, strata=folds).summary.loc["0"]
    except BadInputError:
        return {}
    return {
        "value": float(row["exp(coef)"]),
        "low": float(row["exp(coef) lower 95%"]),
        "high": float(row["exp(coef) upper 95%"]),
    }


def _calibration(scorer: Scorer, target: Target) -> tuple[float, float]:
    """Slope and intercept from scores to calibrated ones, on donors that the score had not seen.

    A slope below 0 is taken as 0.
    """
    held = scorer.held_out[:, None]
    fitted = fit_linear(held, target, 1e-3)
    slope = max(float(fitted.weight[0] / fitted.scale[0]), 0.0)
    if target.survival:
        return slope, 0.0
    if slope > 0:
        intercept = fitted.intercept - slope * float(fitted.mean[0])
    else:
        intercept = float(np.log(target.event.mean() / (1 - target.event.mean())))
    return slope, intercept


def _ood_support(bags: Bags, scorer: Scorer, seed: int) -> OodSupport:
    rng = stream(seed, "outcome/ood support")
    kept = [bag[np.sort(rng.choice(len(bag), min(_SUPPORT, len(bag)), replace=False))] for bag in bags]
    groups = np.concatenate([np.full(len(bag), i) for i, bag in enumerate(kept)])
    return fit_ood_support(scorer.axes.standardise(np.concatenate(kept)), groups, seed)


def apply_outcome(
    embeddings: Sequence[Path],
    head: Path,
    out: Path,
    *,
    table: Path | None = None,
    attention: Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Score samples.

    Parameters
    ----------
    embeddings
        Files of `focus embed` in the space of the head.
    out
        TSV to write: one row for each sample.
    table
        Where the head contains covariates: their values, by sample; without it the slide is scored alone.
    attention
        Folder to write with ``SAMPLE.h5ad``: weights of the locations.

    Returns
    -------
    pandas.DataFrame
        What was written.

    Raises
    ------
    OutputExistsError, MissingResourceError, BadInputError, UsageError
        If an output is there; a file is not; an embedding is of another space; covariates are missing.
    """
    read = [*embeddings, head, table]
    check_output(out, OUTCOMES, inputs=read, outputs=[attention], overwrite=overwrite)
    if attention is not None:
        check_output(attention, ATTENTION, inputs=read, overwrite=overwrite, option="--attention")
    check_memory("outcome", [result_size(path) for path in embeddings])
    model = load_head(head)
    covariates = _covariates(model, table) if table is not None else None
    record = describe_run(
        "outcome apply",
        {},
        {
            "head": head,
            **({"table": table} if table is not None else {}),
            **{f"embedding {i}": p for i, p in enumerate(sorted(map(Path, embeddings)))},
        },
    )
    if attention is None:
        rows = [_score(model, embedding, covariates, table, head) for embedding in read_cohort(embeddings)]
    else:
        with atomic_directory(attention, overwrite, kind=ATTENTION) as folder:
            rows = []
            for embedding in read_cohort(embeddings):
                rows.append(_score(model, embedding, covariates, table, head))
                _write_attention(model, embedding, folder, rows[-1], record)
    scores = pd.DataFrame(rows)
    with atomic_file(out, overwrite, kind=OUTCOMES) as temporary:
        write_table(temporary, list(scores.columns), scores.to_dict("records"), digits=6)
    return scores


def _covariates(model: OutcomeHead, path: Path) -> pd.DataFrame:
    """Covariates of each sample as the head takes them."""
    if model.together is None:
        raise UsageError(f"--table {path}: the head was fitted without covariates", hint="leave --table out")
    levels = model.document["levels"]
    table = read_table(path, (SAMPLE, *levels)).drop_duplicates(SAMPLE).set_index(SAMPLE)
    return encode(table, levels, path)[model.document["covariates"]]


def _score(
    model: OutcomeHead, embedding: Embedding, covariates: pd.DataFrame | None, table: Path | None, head: Path
) -> dict[str, Any]:
    require_space(embedding, model.document["space"], model.document["widths"], head)
    features = on_tissue(embedding)
    raw = model.raw(features)
    survival = model.document["target"]["kind"] == "survival"
    row: dict[str, Any] = {"sample": embedding.sample, "locations": len(features), "score": model.calibrated(raw)}
    row["relative_hazard" if survival else "probability"] = _natural(row["score"], survival)
    few = features[np.linspace(0, len(features) - 1, min(len(features), LIMIT)).astype(np.int64)]
    row["unlike_training"] = float((model.ood.score(model.axes.standardise(few)) > 1).mean())
    if covariates is not None:
        if embedding.sample not in covariates.index:
            raise BadInputError(f"{table} has no row for sample {embedding.sample}")
        values = np.concatenate([[raw], covariates.loc[embedding.sample].to_numpy(np.float64)])
        row["score_with_covariates"] = float(model.together.score(values[None])[0])
        name = "relative_hazard_with_covariates" if survival else "probability_with_covariates"
        row[name] = _natural(row["score_with_covariates"], survival)
    return row


def _natural(score: float, survival: bool) -> float:
    return float(np.exp(score)) if survival else float(1 / (1 + np.exp(-score)))


def _write_attention(
    model: OutcomeHead, embedding: Embedding, folder: Path, row: dict[str, Any], record: dict[str, Any]
) -> None:
    name = embedding.sample
    if not name or name in (".", "..") or any(c in name for c in "/\\\0"):
        raise BadInputError(f"the name of sample {name!r} is no name of a file", hint="rename the sample")
    with SpatialFile(embedding.path) as file:
        obs = pd.DataFrame({"attention": np.nan, "contribution": np.nan}, index=embedding.names, dtype=np.float32)
        rows = np.flatnonzero(embedding.in_tissue)
        weight, each = model.look(embedding.features[rows])
        obs.iloc[rows, 0], obs.iloc[rows, 1] = weight, each * model.slope + model.intercept
        facts = {
            "outcome": model.document["target"]["column"],
            "pooling": model.document["pooling"],
            "head_scores": model.document["scores"],
            "note": NOTE,
            **{key: value for key, value in row.items() if key != "sample"},
        }
        write_analysis_result(folder / f"{name}.h5ad", file, RESULT, record, obs=obs, facts=facts)


def format_scores(document: dict[str, Any]) -> str:
    """What a fit found, as lines of text."""
    scores = document["scores"]
    names = {"attention": "slides, attention", "mean": "slides, mean", "clinical": "covariates", "together": "together"}
    lines = [
        f"{scores['measure']} over {scores['donors']} donors, {scores['events']} events, each scored by a head that "
        "did not see it; 95 % intervals over donors"
    ]

    def shown(row: dict[str, float], sign: str = "") -> str:
        return f"{row['value']:{sign}.3f} ({row['low']:{sign}.3f} to {row['high']:{sign}.3f})"

    lines += [f"{names[arm]:<18}  {shown(row)}" for arm, row in scores["arms"].items()]
    lines += [f"{name}: {shown(row, '+')}" for name, row in scores["differences"].items()]
    if hazard := scores.get("hazard_ratio"):
        beside = ", beside the covariates" if document["covariates"] else ""
        lines.append(f"hazard ratio of one standard deviation of the slides' score{beside}: {shown(hazard)}")
    if chance := scores.get("permuted"):
        lines.append(
            f"outcomes permuted {len(chance['values'])} times: {scores['measure']} {chance['mean']:.3f} on "
            f"average (chance is 0.5), p = {chance['p']:.2g}"
        )
    best = scores["arms"][document["pooling"]]
    if best["low"] <= 0.5:
        lines.append("The interval of the slides' score holds 0.5: nothing was shown.")
    lines.append(NOTE)
    return "\n".join(lines)
