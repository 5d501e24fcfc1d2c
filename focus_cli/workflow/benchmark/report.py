"""The report of a benchmark: tables in Markdown and TSV, one figure per task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.kinds import PART
from focus_cli.evaluation import COLUMNS, is_ours, write_tsv
from focus_cli.workflow.benchmark.config import BenchmarkConfig
from focus_cli.workflow.benchmark.figures import draw_task
from focus_cli.workflow.benchmark.results import CaseResult, conditioning, floors, number, read_results

TASKS = {
    "T1": "Expression from H&E alone",
    "T2": "Genes that were not measured",
    "T3": "Denoising",
    "T4": "Resolution",
    "T5": "Zero-shot: trained on another organ",
}
_CALIBRATION = ("coverage_50", "coverage_80", "coverage_95", "crps", "crps_poisson")


def write_report(config: BenchmarkConfig, out: Path) -> None:
    """Write ``report.md``, ``scores.tsv``, ``floors.tsv``, ``conditioning.tsv`` and ``figures/`` into `out`.

    Raises
    ------
    FocusError
        If a case was not scored.
    """
    out = Path(out)
    results = read_results(config, out)
    rows = [{"case": r.name, **row, "task": r.case.task} for r in results for row in r.rows.values()]
    write_tsv(out / "scores.tsv", rows, ("case", *COLUMNS))
    reached, cost = list(floors(results)), list(conditioning(results))
    write_tsv(out / "floors.tsv", (f.__dict__ for f in reached), tuple(reached[0].__dict__) if reached else ())
    write_tsv(out / "conditioning.tsv", cost, tuple(cost[0]) if cost else ())
    (out / "figures").mkdir(exist_ok=True)
    parts = ["# Benchmark\n", _floors_table(reached), _conditioning_table(cost), _calibration_table(results)]
    for task, title in TASKS.items():
        chosen = [r for r in results if r.case.task == task]
        if chosen:
            draw_task(chosen, f"{task}: {title}", out / "figures" / f"{task}.png")
            parts.append(f"## {task}: {title}\n\n![{task}](figures/{task}.png)\n")
            parts += [_case_table(r) for r in chosen]
    with atomic_file(out / "report.md", overwrite=True, kind=PART) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], n_text: int) -> str:
    """A table in Markdown; the first `n_text` columns are text, the rest numbers."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * n_text + "---:|" * (len(head) - n_text)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _text(value: float, spec: str = ".3f") -> str:
    return format(value, spec) if math.isfinite(value) else "–"


def _interval(lo: float, hi: float, spec: str = ".3f") -> str:
    return f"{_text(lo, spec)} to {_text(hi, spec)}" if math.isfinite(lo) and math.isfinite(hi) else "–"


def _floors_table(reached) -> str:
    head = ["case", "against", "target", "FOCUS", "other", "reached", "95 % interval", "met"]
    rows = [
        [
            f.case, f.other, f.target, _text(f.ours), _text(f.theirs), _text(f.reached, ".2f"),
            _interval(f.lo, f.hi, ".2f"), "yes" if f.kept else "**no**",
        ]
        for f in reached
    ]  # fmt: skip
    return f"## Targets\n\n{markdown(head, rows, 3)}" if rows else ""


def _conditioning_table(cost) -> str:
    head = ["case", "signal", "", "with", "without", "cost", "95 % interval", "beyond the interval"]
    rows = [
        [
            c["case"], c["signal"], c["done"], _text(c["with"]), _text(c["without"]), _text(c["cost"]),
            _interval(c["lo"], c["hi"]), "yes" if c["lo"] > 0 else "**no**",
        ]
        for c in cost
    ]  # fmt: skip
    return f"## Effect of each signal\n\n{markdown(head, rows, 3)}" if rows else ""


def _calibration_table(results: list[CaseResult]) -> str:
    head = ["case", "50 %", "80 %", "95 %", "CRPS", "CRPS of a Poisson", "GSC", "best other GSC", "Moran", "of truth"]
    rows = []
    for r in results:
        ours = r.ours
        if ours.get("coverage_95") is None:
            continue
        others = [number(row["gsc"]) for row in r.others.values()]
        rows.append(
            [
                r.name,
                *(_text(number(ours.get(c)), ".3f" if c.startswith("c") else ".4f") for c in _CALIBRATION),
                _text(number(ours["gsc"])),
                _text(max((g for g in others if math.isfinite(g)), default=math.nan)),
                _text(number(ours["moran_mean"])),
                _text(number(ours["moran_truth_mean"])),
            ]
        )
    return f"## T7: calibration and structure\n\n{markdown(head, rows, 1)}" if rows else ""


def _case_table(result: CaseResult) -> str:
    likelihood = any(row.get("poisson_ll_per_umi") is not None for row in result.rows.values())
    head = ["method", "PCC", "95 % interval", "of ceiling", "Spearman", "RMSE", "GSC", "Moran"]
    head += ["log-likelihood"] if likelihood else []
    ordered = sorted(result.rows.values(), key=lambda row: (-(row["pcc_mean"] or -9), row["method"]))
    rows = []
    for row in ordered:
        name = f"**{row['method']}**" if is_ours(row["method"]) else row["method"]
        line = [name, _text(number(row["pcc_mean"])), _interval(number(row["lo"]), number(row["hi"]))]
        line.append(_text(number(row["fraction_of_ceiling"]), ".0%"))
        line += [_text(number(row[key])) for key in ("spearman_mean", "rmse_mean", "gsc", "moran_mean")]
        line += [_text(number(row.get("poisson_ll_per_umi")))] if likelihood else []
        rows.append(line)
    ours = result.ours
    about = f"{ours['n_genes']:,} genes; Moran's I of the truth {_text(number(ours['moran_truth_mean']))}."
    note = f" {result.case.note}" if result.case.note else ""
    return f"### {result.name}\n\n{about}{note}\n\n{markdown(head, rows, 1)}"
