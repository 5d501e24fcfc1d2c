"""The two verbs: fit a head on labelled locations, apply it to an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from focus_cli.analysis.annotation.cross_validation import OUTER_FOLDS, calibration, class_scores, few, leave_out
from focus_cli.analysis.annotation.fitting import fit_head
from focus_cli.analysis.annotation.head import Head
from focus_cli.analysis.annotation.labels import ABSTAINED, Labelled, lay_on, read_labels, scored_over
from focus_cli.analysis.heads.embeddings import embedding_of, require_space
from focus_cli.analysis.heads.folder import HeadDocument, read_head, write_head
from focus_cli.analysis.heads.ood import OodSupport, fit_ood_support
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.provenance import describe_run
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import ANNOTATION, ANNOTATION_HEAD
from focus_cli.core.storage.schema import Name

KIND = "annotate"
RESULT = "annotation"
LIMIT = 20_000  # labelled locations of one class that a fit takes; more do not change a linear head
_ROWS = 50_000  # of an embedding at a time


class AnnotationDocument(HeadDocument):
    """``head.json`` of ``focus annotate fit``."""

    classes: list[Name] = Field(min_length=1)
    temperature: float = Field(gt=0)
    labels: dict[str, dict[str, int]]
    left_out: dict[str, Any]
    scores: list[dict[str, Any]]
    calibration: dict[str, Any]


def fit_annotation(
    embeddings: Sequence[Path],
    labels: Path,
    out: Path,
    *,
    ignore: Sequence[str] = (),
    against_rest: str | None = None,
    leave_out_by: str = "donor",
    per_class: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Fit a head on labelled locations, and measure it on donors that it did not see.

    Parameters
    ----------
    embeddings
        Files of `focus embed`, one for each sample, all in one space.
    labels
        Table with the columns sample, location, label and optionally donor.
    out
        Folder to write: ``head.json``, ``head.safetensors``.
    ignore
        Labels to leave out.
    against_rest
        One label that is distinguished from all others together.
    leave_out_by
        ``"donor"``, or ``"block"``: blocks of tissue, where there is one donor only.
    per_class
        Fit on so many labels of each class, chosen by `seed`, and score on all; None: all (at most 20,000 of each).

    Returns
    -------
    dict
        What ``head.json`` holds.

    Raises
    ------
    OutputExistsError, MissingResourceError, BadInputError, UsageError
        If the output is there; a file is not; labels, donors or spaces do not do.
    """
    check_output(out, ANNOTATION_HEAD, inputs=[*embeddings, labels], overwrite=overwrite)
    check_memory("fit_annotations", [result_size(path) for path in embeddings])
    data = lay_on(read_labels(labels, ignore, against_rest), labels, embeddings)
    data = _part(data, few(data.labels, LIMIT, np.random.default_rng(seed), data.donors))
    left_out = scored_over(data, leave_out_by)
    seen = np.zeros(len(data.labels), bool)
    seen[few(data.labels, per_class or LIMIT, np.random.default_rng(seed), data.donors)] = True

    held = leave_out(data.features, data.labels, data.donors, data.blocks, left_out, seen)
    if not (held.fold >= 0).any():
        raise BadInputError(
            f"no {leave_out_by} can be left out of {labels}: the others hold one class only",
            hint="label two classes in two donors at least",
        )
    fitted = fit_head(data.features[seen], data.labels[seen], data.donors[seen], data.blocks[seen])
    head = fitted.head
    ood = fit_ood_support(head.standardise(data.features[seen]), left_out[seen], seed)
    document = {
        "classes": list(head.classes),
        "space": data.space,
        "widths": data.widths,
        "temperature": head.temperature,
        "calibrated_on": fitted.calibrated_on,
        "strength": fitted.strength,
        "border": ood.border,
        "labels": _label_counts(_part(data, seen)),
        "left_out": {"by": leave_out_by, "folds": min(OUTER_FOLDS, len(np.unique(left_out)))},
        "scores": class_scores(held, data.labels, data.blocks, seed),
        "calibration": calibration(held, data.labels),
        "provenance": describe_run(
            "annotate fit",
            {
                "ignore": sorted(ignore),
                "against_rest": against_rest,
                "leave_out": leave_out_by,
                "per_class": per_class,
            },
            {"labels": labels, **{f"embedding {i}": path for i, path in enumerate(sorted(map(Path, embeddings)))}},
            seed,
        ),
    }
    write_head(out, KIND, document, {**head.arrays(), "support": ood.support}, overwrite=overwrite)
    return document


def _part(data: Labelled, rows: np.ndarray) -> Labelled:
    parts = (data.features, data.labels, data.donors, data.blocks)
    return Labelled(*(part[rows] for part in parts), data.space, data.widths)


def _label_counts(data: Labelled) -> dict[str, dict[str, int]]:
    """Donor → class → locations."""
    table = pd.crosstab(data.donors, data.labels)
    return {str(d): {str(c): int(n) for c, n in row.items() if n} for d, row in table.to_dict("index").items()}


def apply_annotation(
    embedding: Path, head: Path, out: Path, *, abstain_above: float = 1.0, overwrite: bool = False
) -> pd.Series:
    """Annotate the locations of one sample.

    Parameters
    ----------
    abstain_above
        Out-of-distribution score above which a location is not annotated. 1 is the border of the fit; infinity
        annotates all locations.

    Returns
    -------
    pandas.Series
        Number of locations by annotation.

    Raises
    ------
    OutputExistsError, MissingResourceError, BadInputError
        If the output is there; a file is not; the embedding is of another space than the head.
    """
    check_output(out, ANNOTATION, inputs=[embedding, head], overwrite=overwrite)
    check_memory("annotate", result_size(embedding))
    document, model, ood = load_head(head)
    with SpatialFile(embedding) as file:
        data = embedding_of(file)
        require_space(data, document["space"], document["widths"], head)
        probability = np.empty((len(data.names), len(model.classes)), np.float32)
        ood_score = np.empty(len(data.names), np.float32)
        for start in range(0, len(data.names), _ROWS):
            rows = slice(start, start + _ROWS)
            probability[rows] = np.exp(model.log_probability(data.features[rows]))
            ood_score[rows] = ood.score(model.standardise(data.features[rows]))
        abstains = ood_score > abstain_above
        best = np.asarray(model.classes, dtype=object)[probability.argmax(axis=1)]
        categories = [*model.classes, *([ABSTAINED] if abstains.any() else [])]
        obs = pd.DataFrame(
            {
                keys.ANNOTATION: pd.Categorical(np.where(abstains, ABSTAINED, best), categories=categories),
                keys.ANNOTATION_CONFIDENCE: probability.max(axis=1),
                "annotation_ood_score": ood_score,
                keys.ANNOTATION_ABSTAIN: abstains,
            },
            index=data.names,
        )
        record = describe_run(
            "annotate apply", {"abstain_above": abstain_above}, {"embedding": embedding, "head": head}
        )
        facts = {
            "classes": list(model.classes),
            "space": data.space,
            "head_scores": document["scores"],
            "head_calibration": document["calibration"],
            "head_left_out": document["left_out"],
            "head_labels": document["labels"],
        }
        table = pd.DataFrame(probability, index=data.names, columns=list(model.classes))
        write_analysis_result(
            out,
            file,
            RESULT,
            record,
            obs=obs,
            obsm={keys.ANNOTATION_PROBABILITY: table},
            facts=facts,
            overwrite=overwrite,
        )
    return obs[keys.ANNOTATION].value_counts(sort=False)


def load_head(path: Path) -> tuple[dict[str, Any], Head, OodSupport]:
    """Read a head's folder.

    Raises
    ------
    MissingResourceError, BadInputError
        If it is not there, of another kind, or its arrays do not fit its description.
    """
    document, arrays = read_head(path, KIND, AnnotationDocument)
    try:
        width, n = sum(document["widths"].values()), len(document["classes"])
        shapes = {"mean": (width,), "scale": (width,), "weight": (n, width), "bias": (n,)}
        wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
        if wrong or arrays["support"].ndim != 2 or arrays["support"].shape[1] != width or not len(arrays["support"]):
            raise ValueError(f"shapes of {', '.join(wrong) or 'support'}")
        if not (arrays["scale"] > 0).all():
            raise ValueError("scale")
        model = Head(tuple(document["classes"]), *(arrays[name] for name in shapes), float(document["temperature"]))
        ood = OodSupport(arrays["support"], float(document["border"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(
            f"{path} is damaged: {keys.HEAD_JSON} and the arrays do not agree ({error})",
            hint="fit it again with focus annotate fit",
        ) from error
    return document, model, ood


def format_scores(document: dict[str, Any]) -> str:
    """What a fit found, as lines of text."""

    def number(row: dict[str, Any], key: str) -> str:
        if row[key] is None:
            return "–"
        return (
            f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"
            if row[f"{key}_low"]
            else (f"{row[key]:.3f}")
        )

    what = "donors" if document["left_out"]["by"] == "donor" else "blocks of tissue"
    lines = [f"leaving out {what}, {document['left_out']['folds']} folds; 95 % intervals over blocks of tissue"]
    width = max(len(name) for name in document["classes"])
    for row in document["scores"]:
        share = "–" if row["prevalence"] is None else f"{row['prevalence']:.2f}"
        lines.append(
            f"{row['class']:<{width}}  n {row['n']:>5}  AUROC {number(row, 'auroc')}  "
            f"AP {number(row, 'ap')}, {share} by chance"
        )
    c = document["calibration"]
    lines.append(
        f"calibration error {c['ece_before']:.3f} before, {c['ece_after']:.3f} after; "
        f"Brier {c['brier_before']:.3f} before, {c['brier_after']:.3f} after"
    )
    return "\n".join(lines)
