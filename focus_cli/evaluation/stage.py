"""Score an enhanced file and the baselines that its inputs allow against a truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.core.progress import print_message, track
from focus_cli.core.provenance import describe_run
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import StoredSample, atomic_directory, check_output, open_sample, scratch_folder
from focus_cli.core.storage.kinds import SCORES
from focus_cli.evaluation import predictive
from focus_cli.evaluation.baselines import Inputs, Section, name_alike, run_baselines
from focus_cli.evaluation.estimates import Estimate, find_columns, score_estimate, score_further
from focus_cli.evaluation.figure import draw_scores
from focus_cli.evaluation.matching import match_locations
from focus_cli.evaluation.reading import EstimateFile
from focus_cli.evaluation.scoring import SUBSET, MethodScores, Scorer
from focus_cli.evaluation.table import COLUMNS, write_tsv
from focus_cli.evaluation.truth import Truth, plain, read_truth

SCORES_JSON = "scores.json"
SCORES_TSV = "scores.tsv"
PER_GENE_TSV = "per_gene.tsv"
CALIBRATION_TSV = "calibration.tsv"
SCORES_PNG = "scores.png"


def evaluate(
    enhanced: Path,
    truth: Path,
    out: Path,
    *,
    observed: Path | None = None,
    reference: Path | None = None,
    training: Sequence[Path] = (),
    also: Mapping[str, Path] | None = None,
    layer: str = "X",
    scale: str = "auto",
    name: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score an enhanced file against a truth.

    Parameters
    ----------
    enhanced
        H5AD with an estimate. Only scored genes are read, a block at a time.
    truth
        Truth written by `hold_out` or by `simulate`.
    out
        Folder to write: ``scores.json``, ``scores.tsv``, ``per_gene.tsv``, ``scores.png``; ``calibration.tsv`` if the
        file states errors and the truth is counts.
    observed
        Sample folder that was given to the method; most baselines require it.
    reference
        Reference folder, for the baselines on cells.
    training
        Sample folders of other sections. One with the id of the scored section is left out: it would hold
        the truth.
    also
        Name → further estimates of the same locations, scored in the same run: other tools, ablations.
    layer
        ``"X"`` or the name of a layer with the estimate.
    scale
        ``"auto"``, ``"log1p"`` (of counts per 10,000) or ``"counts"``.
    name
        Name of the method in the tables; by default ``focus`` for a file written by FOCUS, else the file's name.
    seed
        Seed of the noise ceiling, the bootstrap and the folds of the baselines.
    overwrite
        Replace `out`.

    Returns
    -------
    The content of ``scores.json``.

    Raises
    ------
    BadInputError
        If no scored gene is in the file, or too few locations match, or a file cannot be read.
    MissingResourceError, OutputExistsError, UsageError
        Before any work is done.
    """
    enhanced, truth, out = Path(enhanced), Path(truth), Path(out)
    if scale not in ("auto", "log1p", "counts"):
        raise UsageError(f"unknown scale {scale!r}", hint="auto, log1p or counts")
    read = [enhanced, truth, observed, reference, *training, *(also or {}).values()]
    check_output(out, SCORES, inputs=read, overwrite=overwrite)
    sources = _open_sources(enhanced, truth, observed, reference, training, also or {})
    with EstimateFile(enhanced) as file, atomic_directory(out, overwrite, kind=SCORES) as folder:
        full = read_truth(truth)
        match = match_locations(full.names, full.xy_um, file.obs_names, file.xy_um)
        target = full.take(match.truth_rows)
        scorer = Scorer(target, seed)
        with scratch_folder(folder) as scratch:
            estimate = Estimate(
                file=file,
                method=name or ("focus" if file.by_focus else enhanced.stem),
                layer=layer,
                scale=file.looks_like(layer) if scale == "auto" else scale,
                match=match,
                columns=find_columns(file, target),
                scratch=scratch,
            )
            _report_match(estimate, full)
            scored = score_estimate(estimate, target, scorer)
            further = [score_further(path, m, full, target, estimate, scorer) for m, path in sources.also.items()]
        skipped: dict[str, str] = {}
        baselines = track(run_baselines(_inputs(target, sources, seed), skipped), "scoring baselines")
        table = [*scored.table, *further, *(scorer.score(prediction) for prediction in baselines)]
        record = {
            "task": target.task,
            "kind": target.kind,
            "sample_id": full.info.get("sample_id") or (sources.observed and sources.observed.info.sample_id),
            "method": estimate.method,
            "rows": _rows(scorer, table, scored.extra),
            "differences": _differences(scorer, table),
            "calibration": scored.strata,
            "skipped": skipped,
            "matching": _matching(estimate, full),
            "rules": _rules(target),
            "groups": {group: [str(g) for g in target.genes[part]] for group, part in target.groups.items()},
            "truth": {k: v for k, v in full.info.items() if k != "genes"},
            "provenance": _provenance(sources, estimate, seed),
        }
        record = plain(record)
        _write(folder, record, _per_gene(scorer, table))
    return record


@dataclass(frozen=True)
class _Sources:
    """Inputs of an evaluation, found and opened."""

    enhanced: Path
    truth: Path
    observed: StoredSample | None
    reference: Path | None
    training: list[StoredSample]
    also: dict[str, Path]


def _open_sources(
    enhanced: Path,
    truth: Path,
    observed: Path | None,
    reference: Path | None,
    training: Sequence[Path],
    also: Mapping[str, Path],
) -> _Sources:
    """Open samples and check that all inputs exist and fit into memory."""
    seen = None if observed is None else open_sample(observed)
    others = [open_sample(path) for path in training]
    further = {name: Path(path) for name, path in also.items()}
    for path in (truth, enhanced, *further.values()):
        if not path.is_file():
            raise MissingResourceError(f"no such file: {path}", hint="an .h5ad; focus holdout writes a truth")
    if reference is not None:
        from focus_cli.genes.reference import open_reference

        open_reference(Path(reference))
    if seen is not None:
        sizes = [sample_size(sample.path) for sample in (seen, *others)]
        check_memory(
            "score", sizes[0], lower="give fewer --training", reference=reference is not None, training=sizes[1:]
        )
    return _Sources(enhanced, truth, seen, None if reference is None else Path(reference), others, further)


def _report_match(estimate: Estimate, full: Truth) -> None:
    columns, n = estimate.columns, len(estimate.match.truth_rows)
    print_message(
        f"{estimate.method}: {n:,} of {full.n:,} locations matched {estimate.match.how}, "
        f"{int((columns >= 0).sum()):,} of {len(columns):,} scored genes, {estimate.layer} read as {estimate.scale}"
    )
    if n < 0.9 * full.n:
        print_message(f"warning: {full.n - n:,} locations of the truth are not in the file and not scored")


def _rows(scorer: Scorer, table: list[MethodScores], extra: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """One row per group of genes and method; `extra` belongs to the first method."""
    return [
        {**row, **(extra.get(group, {}) if scores is table[0] else {})}
        for group in scorer.truth.groups
        for scores in table
        if (row := scorer.summarise(scores, group)) is not None
    ]


def _differences(scorer: Scorer, table: list[MethodScores]) -> dict[str, dict[str, Any]]:
    """Group of genes → method → difference of the first method to it."""
    return {
        group: {s.method: scorer.difference(table[0], s, group) for s in table[1:] if s.covered[genes].any()}
        for group, genes in scorer.truth.groups.items()
    }


def _matching(estimate: Estimate, full: Truth) -> dict[str, Any]:
    return {
        "how": estimate.match.how,
        "n_truth": full.n,
        "n_matched": len(estimate.match.truth_rows),
        "n_genes_missing": int((estimate.columns < 0).sum()),
        "layer": estimate.layer,
        "scale": estimate.scale,
    }


def _write(folder: Path, record: dict[str, Any], per_gene: list[dict[str, Any]]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / SCORES_JSON).write_text(text, encoding="utf-8")
    write_tsv(folder / SCORES_TSV, record["rows"], COLUMNS)
    write_tsv(folder / PER_GENE_TSV, per_gene, _PER_GENE)
    if record["calibration"]:
        write_tsv(folder / CALIBRATION_TSV, record["calibration"], predictive.STRATA_COLUMNS)
    draw_scores(record["rows"], folder / SCORES_PNG, record["method"])


def _inputs(truth: Truth, sources: _Sources, seed: int) -> Inputs:
    seen, others, reference = sources.observed, sources.training, sources.reference
    own = {truth.info.get("sample_id"), seen.info.sample_id if seen else None} - {None}
    kept = [s for s in others if s.info.sample_id not in own]
    for sample in others:
        if sample.info.sample_id in own:
            print_message(f"{sample.path} is the scored section: no baseline is trained on it")
    cells = states = None
    section = Section.read(seen) if seen else None
    targets = [section.var, truth.var] if section else [truth.var]
    panel = pd.concat(targets)
    panel = panel[~panel.index.duplicated()]
    if reference is not None:
        from focus_cli.genes.reference import open_reference

        opened = open_reference(reference)
        cells, states = (name_alike(part, targets) for part in (opened.cells, opened.prototypes))
    return Inputs(
        task=truth.task,
        genes=truth.genes.astype(str),
        names=truth.names,
        xy_um=truth.xy_um,
        observed=section,
        training=[Section.read(s, panel) for s in kept],
        cells=cells,
        states=states,
        seed=seed,
    )


def _rules(truth: Truth) -> dict[str, str]:
    return {
        "scale": "log1p of counts per 10,000 on both sides; nothing is scaled with the truth",
        "pcc": "signed Pearson per gene over locations; a gene whose truth is flat is left out for all "
        "methods, any other undefined correlation counts as 0 and is counted in n_nan",
        "d2": "Poisson deviance explained beyond a constant gene at the depth of the truth, summed over genes; "
        "the total of each gene is set to that of the truth; a gene that is not covered counts as constant",
        "pearson_residuals": "correlation of analytic Pearson residuals with the prediction, mean over genes",
        "interval": "95 %, 1,000 resamples of the blocks of an 8 × 8 grid over the section",
        "ceiling": "√(2r/(1+r)), r between two halves of the truth's counts; fraction_of_ceiling is the "
        "sum of PCC over the sum of ceilings of the genes that have one"
        if truth.kind == "counts"
        else "1: the truth holds no noise",
        "subset": f"Spearman and GSC on at most {SUBSET:,} locations drawn by the seed",
        "ssim": "global (windowless), no rescaling",
        "moran": "6 nearest neighbours; the truth's own noise lowers its value",
    }


_PER_GENE = (
    "method",
    "gene",
    "genes",
    "pcc",
    "ceiling",
    "fraction_of_ceiling",
    "spearman",
    "rmse",
    "jsd",
    "ssim_global",
    "moran",
    "moran_truth",
    "poisson_ll",
    "d2",
    "pearson_residuals",
)


def _per_gene(scorer: Scorer, table: list[MethodScores]) -> list[dict[str, Any]]:
    truth, rows = scorer.truth, []
    for scores in table:
        for group, genes in truth.groups.items():
            if not scores.covered[genes].any():
                continue
            for j in genes:
                row = {"method": scores.method, "gene": truth.genes[j], "genes": group}
                row |= {name: float(values[j]) for name, values in scores.per_gene.items()}
                ceiling = float(scorer.ceiling[j])
                row |= {"ceiling": ceiling, "moran_truth": float(scorer.moran[j])}
                row["fraction_of_ceiling"] = row["pcc"] / ceiling
                rows.append(row)
    return rows


def _provenance(sources: _Sources, estimate: Estimate, seed: int) -> dict[str, Any]:
    inputs = {"enhanced": sources.enhanced, "truth": sources.truth}
    if sources.observed:
        inputs["observed"] = sources.observed.counts_path
    if sources.reference is not None:
        inputs["reference"] = sources.reference
    inputs |= {f"also_{name}": path for name, path in sources.also.items()}
    inputs |= {f"training_{i + 1}": sample.counts_path for i, sample in enumerate(sources.training)}
    settings = {"layer": estimate.layer, "scale": estimate.scale, "method": estimate.method}
    return describe_run("evaluate", settings, inputs, seed)
