"""Score any enhanced file against any truth, beside the baselines that the inputs allow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.progress import print_message, track
from focus_cli.core.provenance import describe_run
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import StoredSample, atomic_directory, check_output, open_sample, scratch_folder
from focus_cli.core.storage.kinds import SCORES
from focus_cli.evaluation import predictive
from focus_cli.evaluation.baselines import Inputs, Section, name_alike, run_baselines
from focus_cli.evaluation.calibration import coverage
from focus_cli.evaluation.depth import read_at_depth
from focus_cli.evaluation.figure import draw_scores
from focus_cli.evaluation.matching import Match, match_locations
from focus_cli.evaluation.prediction import GatheredColumns, Prediction
from focus_cli.evaluation.reading import EstimateFile
from focus_cli.evaluation.scoring import SUBSET, MethodScores, Scorer
from focus_cli.evaluation.stated import stated_shares
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
        H5AD with an estimate. It is read a block at a time, scored genes only.
    truth
        Written by `hold_out`, or by a simulator.
    out
        Folder to write: ``scores.json``, ``scores.tsv``, ``per_gene.tsv``, ``scores.png``; ``calibration.tsv`` where
        the file says how far it may be off and the truth is counts.
    observed
        Sample folder that the method used: most baselines need it.
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
        Of the method in the tables; ``focus`` for a file that FOCUS wrote, else the file's name.
    seed
        Of the noise ceiling, the bootstrap, the baselines' folds.
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
    seen = None if observed is None else open_sample(observed)
    others = [open_sample(path) for path in training]
    also = {name: Path(path) for name, path in (also or {}).items()}
    for path in (truth, enhanced, *also.values()):
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
    with EstimateFile(enhanced) as file, atomic_directory(out, overwrite, kind=SCORES) as folder:
        full = read_truth(truth)
        match = match_locations(full.names, full.xy_um, file.obs_names, file.xy_um)
        target = full.take(match.truth_rows)
        columns = _columns(file, target)
        chosen = file.looks_like(layer) if scale == "auto" else scale
        method = name or ("focus" if file.by_focus else enhanced.stem)
        print_message(
            f"{method}: {target.n:,} of {full.n:,} locations matched {match.how}, "
            f"{int((columns >= 0).sum()):,} of {len(columns):,} scored genes, {layer} read as {chosen}"
        )
        if target.n < 0.9 * full.n:
            print_message(f"warning: {full.n - target.n:,} locations of the truth are not in the file and not scored")
        scorer = Scorer(target, seed)
        skipped: dict[str, str] = {}
        with scratch_folder(folder) as scratch:
            table, extra, strata = _score_file(file, layer, chosen, method, match, target, columns, scorer, scratch)
            for other, path in also.items():
                table.append(_score_other(path, other, full, match, target, scorer, scratch))
        inputs = _inputs(target, seen, others, reference, seed, skipped)
        ours = table[0]
        for prediction in track(run_baselines(inputs, skipped), "scoring baselines"):
            table.append(scorer.score(prediction))
        rows = [
            {**row, **(extra.get(group, {}) if scores is ours else {})}
            for group in target.groups
            for scores in table
            if (row := scorer.summarise(scores, group)) is not None
        ]
        record = {
            "task": target.task,
            "kind": target.kind,
            "sample_id": _sample_id(full, seen),
            "method": method,
            "rows": rows,
            "differences": {
                group: {s.method: scorer.difference(ours, s, group) for s in table[1:] if _covers(s, target, group)}
                for group in target.groups
            },
            "calibration": strata,
            "skipped": skipped,
            "matching": {
                "how": match.how,
                "n_truth": full.n,
                "n_matched": target.n,
                "n_genes_missing": int((columns < 0).sum()),
                "layer": layer,
                "scale": chosen,
            },
            "rules": _rules(target),
            "groups": {group: [str(g) for g in target.genes[part]] for group, part in target.groups.items()},
            "truth": {k: v for k, v in full.info.items() if k != "genes"},
            "provenance": _provenance(enhanced, truth, seen, others, also, reference, layer, chosen, method, seed),
        }
        record = plain(record)
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / SCORES_JSON).write_text(text, encoding="utf-8")
        write_tsv(folder / SCORES_TSV, record["rows"], COLUMNS)
        write_tsv(folder / PER_GENE_TSV, _per_gene(scorer, table), _PER_GENE)
        if strata:
            write_tsv(folder / CALIBRATION_TSV, record["calibration"], predictive.STRATA_COLUMNS)
        draw_scores(record["rows"], folder / SCORES_PNG, method)
    return record


def _columns(file: EstimateFile, truth: Truth) -> np.ndarray:
    place = {gene: i for i, gene in enumerate(file.var_names)}
    columns = np.array([place.get(gene, -1) for gene in truth.genes])
    unknown = np.flatnonzero(columns < 0)
    if len(unknown):  # the other tool, or the reference, may name them in another system
        from focus_cli.genes import match_genes

        found = match_genes(truth.var.iloc[unknown], file.var)
        columns[unknown] = np.where(np.isin(found, columns), -1, found)
    if (columns < 0).all():
        raise BadInputError(
            f"{file.path} holds none of the {len(columns):,} scored genes, such as {truth.genes[0]}",
            hint="hidden genes need a reference: focus enhance --reference … --genes all",
        )
    return columns


def _score_file(
    file: EstimateFile,
    layer: str,
    scale: str,
    method: str,
    match: Match,
    truth: Truth,
    columns: np.ndarray,
    scorer: Scorer,
    scratch: Path,
) -> tuple[list[MethodScores], dict[str, dict[str, float]], list[dict[str, Any]]]:
    """Scores of the file and of what depth adds to them; per group of genes what intervals give, and its details."""
    # Hidden genes are no part of a size factor: counts are divided by the exposure of the measured ones.
    exposure = truth.exposure if truth.task == "impute" else None
    covered = columns >= 0
    rate = None
    states_mean = layer == "X" and file.by_focus and keys.MEAN_COUNTS in file.layers
    depth = _depth(file, match) if states_mean else None
    expression = None
    if depth is not None:
        expression = GatheredColumns(file, keys.MEAN_COUNTS, match, columns, "per_exposure", scratch)
    if expression is not None and truth.kind == "expected":
        values = expression
    else:
        values = GatheredColumns(file, layer, match, columns, scale, scratch, exposure)
    if truth.task == "denoise" and states_mean:
        mean = GatheredColumns(file, keys.MEAN_COUNTS, match, columns, "linear", scratch)
        hidden_per_visible = (1 - truth.visible_fraction) / truth.visible_fraction

        def rate(genes: np.ndarray) -> np.ndarray:
            return mean(genes) * hidden_per_visible

    scores = [scorer.score(Prediction(method, covered, values, rate))]
    if expression is not None and truth.kind == "counts":
        scores.append(scorer.score(Prediction(f"{method}_expression", covered, expression)))
        flat = read_at_depth(expression, depth, flat=True)
        scores.append(scorer.score(Prediction("gene_mean_at_depth", covered, flat)))
    extra: dict[str, dict[str, float]] = {}
    strata: list[dict[str, Any]] = []
    if expression is not None and truth.kind == "counts":
        stated = stated_shares(file, match, columns, expression, depth, scratch)
        for group, genes in truth.groups.items() if stated is not None else ():
            held = genes[covered[genes]]
            if len(held):
                drawn = predictive.draw_pairs(truth, stated, held, scorer.seed)
                extra[group], rows = predictive.describe(*drawn, scorer.seed)
                strata += [{"genes": group, **row} for row in rows]
    bounds = [keys.quantile_layer(q) for q in (0.05, 0.95)]
    if truth.kind == "expected" and layer == "X" and set(bounds) <= set(file.layers):
        low, high = (GatheredColumns(file, b, match, columns, "log1p", scratch) for b in bounds)
        # Intervals are stated as X is: at the depth of the locations.
        known = truth.columns if depth is None else read_at_depth(truth.columns, depth)
        for group, genes in truth.groups.items():
            held = genes[covered[genes]]
            if len(held):
                inside, width = coverage(truth.n, known, (low, high), held)
                extra[group] = {"coverage_90": inside, "width_90": width}
    return scores, extra, strata


def _score_other(
    path: Path, method: str, full: Truth, match: Match, target: Truth, scorer: Scorer, scratch: Path
) -> MethodScores:
    """Scores of a further estimate, on the locations of the first."""
    with EstimateFile(path) as file:
        own = match_locations(full.names, full.xy_um, file.obs_names, file.xy_um)
        if not np.isin(match.truth_rows, own.truth_rows).all():
            raise BadInputError(
                f"{path} does not estimate all locations of the first file", hint="score it in a run of its own"
            )
        own = own.restricted_to(match.truth_rows)
        columns = _columns(file, target)
        table, *_ = _score_file(file, "X", file.looks_like("X"), method, own, target, columns, scorer, scratch)
    return table[0]


def _depth(file: EstimateFile, match: Match) -> np.ndarray | None:
    """Molecules at which the file states X at each location of the truth; None where it does not say."""
    stated = file.exposure()
    if stated is None:
        return None
    total = np.bincount(match.pair_truth, stated[match.pair_file], minlength=len(match.truth_rows))
    return total / np.maximum(np.bincount(match.pair_truth, minlength=len(match.truth_rows)), 1)


def _inputs(
    truth: Truth,
    seen: StoredSample | None,
    others: list[StoredSample],
    reference: Path | None,
    seed: int,
    skipped: dict[str, str],
) -> Inputs:
    own = {truth.info.get("sample_id"), seen.info.sample_id if seen else None} - {None}
    kept = [s for s in others if s.info.sample_id not in own]
    for sample in others:
        if sample.info.sample_id in own:
            print_message(f"{sample.path} is the scored section: no baseline is trained on it")
    cells = states = None
    section = Section.read(seen) if seen else None
    if reference is not None:
        from focus_cli.genes.reference import open_reference

        targets = [section.var, truth.var] if section else [truth.var]
        opened = open_reference(Path(reference))
        cells, states = (name_alike(part, targets) for part in (opened.cells, opened.prototypes))
    return Inputs(
        task=truth.task,
        genes=truth.genes.astype(str),
        names=truth.names,
        xy_um=truth.xy_um,
        observed=section,
        training=[Section.read(s) for s in kept],
        cells=cells,
        states=states,
        seed=seed,
    )


def _covers(scores: MethodScores, truth: Truth, group: str) -> bool:
    return bool(scores.covered[truth.groups[group]].any())


def _sample_id(truth: Truth, seen: StoredSample | None) -> str | None:
    return truth.info.get("sample_id") or (seen.info.sample_id if seen else None)


def _rules(truth: Truth) -> dict[str, str]:
    return {
        "scale": "log1p of counts per 10,000 on both sides; nothing is scaled with the truth",
        "pcc": "signed Pearson per gene over locations; a gene whose truth is flat is left out for all "
        "methods, any other undefined correlation counts as 0 and is counted in n_nan",
        "interval": "95 %, 1,000 resamples of the blocks of an 8 × 8 grid over the section",
        "ceiling": "√(2r/(1+r)), r between two halves of the truth's molecules; fraction_of_ceiling is the "
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


def _provenance(
    enhanced: Path,
    truth: Path,
    seen: StoredSample | None,
    others: list[StoredSample],
    also: dict[str, Path],
    reference: Path | None,
    layer: str,
    scale: str,
    method: str,
    seed: int,
) -> dict[str, Any]:
    inputs = {"enhanced": enhanced, "truth": truth}
    if seen:
        inputs["observed"] = seen.counts_path
    if reference is not None:
        inputs["reference"] = Path(reference)
    inputs |= {f"also_{name}": path for name, path in also.items()}
    inputs |= {f"training_{i + 1}": sample.counts_path for i, sample in enumerate(others)}
    return describe_run("evaluate", {"layer": layer, "scale": scale, "method": method}, inputs, seed)
