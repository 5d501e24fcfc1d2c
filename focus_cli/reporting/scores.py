"""Scores of an evaluation: what won, what lost, and by how much."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.regular import read_bounded
from focus_cli.core.storage.tables import unescape_cell
from focus_cli.reporting.charts import DotPlot, dot_plot
from focus_cli.reporting.context import mapping

if TYPE_CHECKING:
    import pandas as pd

OURS = "focus"
_NEEDED = ("method", "pcc_mean")
TASKS = {
    "histology": "Expression from the H&E alone",
    "impute": "Genes that were hidden everywhere",
    "denoise": "Counts that were set aside by thinning",
    "refine": "Bins seen only through coarse pseudo-spots",
    "truth": "Expected expression, as simulated",
}
# Column → heading, and whether more is better (None: not ranked).
COLUMNS: dict[str, tuple[str, bool | None]] = {
    "d2": ("D²", True),
    "pearson_residuals_mean": ("Pearson residuals", True),
    "pcc_mean": ("PCC mean", True),
    "interval": ("95 % interval", None),
    "lead": ("FOCUS leads by", None),
    "pcc_median": ("PCC median", True),
    "quartiles": ("interquartile range", None),
    "spearman_mean": ("Spearman", True),
    "rmse_mean": ("RMSE", False),
    "fraction_of_ceiling": ("of ceiling", True),
    "gsc": ("GSC", True),
    "moran_mean": ("Moran's I", None),
    "poisson_ll_per_umi": ("log-lik. / UMI", True),
    "coverage_90": ("90 % coverage", None),
    "n_genes": ("genes", None),
    "n_nan": ("undefined", None),
}


@dataclass(frozen=True)
class Cell:
    """One number of a table, and whether it is the best of its column."""

    text: str
    best: bool


@dataclass(frozen=True)
class Row:
    """One method: its cells, whether it is FOCUS and whether it beats FOCUS by mean PCC."""

    method: str
    ours: bool
    beats_us: bool
    cells: list[Cell]


@dataclass(frozen=True)
class ScoreTable:
    """The methods on one task and one group of genes, best first."""

    task: str
    meaning: str
    genes: str
    headings: list[str]
    rows: list[Row]
    plot: DotPlot
    ceiling: str
    moran_truth: str
    sentence: str
    outcome: str  # "best", "beaten" or "none"


@dataclass(frozen=True)
class ScoreSet:
    """All tables of one scores folder."""

    name: str
    sample_id: str | None
    tables: list[ScoreTable]
    skipped: list[tuple[str, str]]  # baselines that could not run, and why


def read_scores(folder: Path) -> ScoreSet:
    """Read a folder that ``focus evaluate`` wrote.

    Raises
    ------
    MissingResourceError
        If the folder or its ``scores.tsv`` is not there.
    BadInputError
        If ``scores.tsv`` is not a table of scores.
    """
    import pandas as pd

    folder = Path(folder)
    path = folder / "scores.tsv"
    if not path.is_file():
        raise MissingResourceError(f"no scores in {folder}: {path.name} is missing", hint="focus evaluate writes it")
    try:
        table = pd.read_csv(io.BytesIO(read_bounded(path)), sep="\t")
    except (ValueError, OSError) as error:
        raise BadInputError(f"{path} is not a table: {error}", hint="run focus evaluate again") from error
    missing = [c for c in _NEEDED if c not in table.columns]
    if missing or table.empty:
        what = f"column {missing[0]!r} is missing" if missing else "it has no rows"
        raise BadInputError(f"{path} holds no scores: {what}", hint="run focus evaluate again")
    if not pd.api.types.is_numeric_dtype(table["pcc_mean"]):
        raise BadInputError(f"{path}: column 'pcc_mean' holds text", hint="run focus evaluate again")
    table = table.assign(
        method=table["method"].astype(str).map(unescape_cell),
        task=table["task"].astype(str) if "task" in table else "",
        genes=table["genes"].astype(str).map(unescape_cell) if "genes" in table else "all",
    )
    record = _read_json(folder)
    leads = mapping(record.get("differences"))
    tables = [
        _table(task, genes, part.copy(), mapping(leads.get(genes)))
        for (task, genes), part in table.groupby(["task", "genes"], sort=False)
    ]
    skipped = [(str(k), str(v)) for k, v in sorted(mapping(record.get("skipped")).items())]
    sample_id = str(record["sample_id"]) if record.get("sample_id") else None
    return ScoreSet(_name(folder), sample_id, tables, skipped)


def _name(folder: Path) -> str:
    """Name of the hold-out: ``S1.denoise/scores`` is called S1.denoise."""
    folder = Path(os.path.realpath(folder))
    return folder.parent.name if folder.name == "scores" else folder.name


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / "scores.json"
    return read_json_object(path) if path.exists() else {}


def is_ours(method: str) -> bool:
    """Whether a method's name is FOCUS, or a variant such as ``focus (histology only)``."""
    return method.lower().startswith(OURS)


def _table(task: str, genes: str, part: pd.DataFrame, leads: dict[str, Any]) -> ScoreTable:
    part = part.sort_values(["pcc_mean", "method"], ascending=[False, True], na_position="last", kind="stable")
    ours = {m: float(v) for m, v in zip(part["method"], part["pcc_mean"]) if is_ours(m) and math.isfinite(v)}
    # FOCUS is represented by the method itself, not by its best variant.
    mine = next((v for m, v in ours.items() if m.lower() == OURS), max(ours.values(), default=None))
    part["interval"] = [_span(record, "lo", "hi") for record in part.to_dict("records")]
    part["quartiles"] = [_span(record, "pcc_q25", "pcc_q75", 2) for record in part.to_dict("records")]
    part["lead"] = [_lead(leads.get(method)) for method in part["method"]]
    columns = [c for c in COLUMNS if c in part.columns and (part[c].notna() & (part[c] != "")).any()]
    best = {}
    for column in columns:
        higher = COLUMNS[column][1]
        if higher is not None:
            values = part[column].dropna()
            best[column] = values.max() if higher else values.min()
    rows, points = [], []
    for record in part.to_dict("records"):
        method, value = record["method"], float(record["pcc_mean"])
        cells = [
            Cell(_format(column, record[column]), column in best and record[column] == best[column])
            for column in columns
        ]
        beats = mine is not None and not is_ours(method) and value > mine
        rows.append(Row(method, is_ours(method), beats, cells))
        low, high = _number(record.get("lo")), _number(record.get("hi"))
        points.append((method, value, low, high, is_ours(method), value == best.get("pcc_mean")))
    ceiling = _first(part, "ceiling_mean")
    sentence, outcome = _sentence(part, mine, leads)
    return ScoreTable(
        task=task,
        meaning=TASKS.get(task, ""),
        genes=genes,
        headings=[COLUMNS[c][0] for c in columns],
        rows=rows,
        plot=dot_plot(points, ceiling),
        ceiling=f"{ceiling:.3f}" if ceiling is not None else "",
        moran_truth=f"{_first(part, 'moran_truth_mean'):.3f}" if _first(part, "moran_truth_mean") is not None else "",
        sentence=sentence,
        outcome=outcome,
    )


def _first(part: pd.DataFrame, column: str) -> float | None:
    values = part[column].dropna() if column in part else []
    return float(values.iloc[0]) if len(values) else None


def _span(record: dict[str, Any], low: str, high: str, digits: int = 3) -> str:
    ends = [_number(record.get(k)) for k in (low, high)]
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}" if None not in ends else ""


def _lead(difference: Any) -> str:
    """Mean PCC of FOCUS minus this method's, with the interval of the paired bootstrap."""
    difference = mapping(difference)
    gap, low, high = (_number(difference.get(k)) for k in ("pcc_mean", "lo", "hi"))
    if gap is None:
        return ""
    return f"{gap:+.3f}" + (f" ({low:+.3f} to {high:+.3f})" if low is not None and high is not None else "")


def _sentence(part: pd.DataFrame, mine: float | None, leads: dict[str, Any]) -> tuple[str, str]:
    """Result by mean PCC in one sentence, losses first, and the outcome."""
    if mine is None:
        return "FOCUS has no score.", "none"
    others = part[~part["method"].map(is_ours)].dropna(subset="pcc_mean")
    if others.empty:
        return f"FOCUS: mean PCC {mine:.3f}; no baseline was scored.", "none"
    name, top = str(others["method"].iloc[0]), float(others["pcc_mean"].iloc[0])
    if top == mine:
        return f"FOCUS and {name} have the same mean PCC, {mine:.3f}.", "none"
    difference = mapping(leads.get(name))
    ends = [_number(difference.get(k)) for k in ("lo", "hi")]
    interval = ""
    if None not in ends:
        inside = ends[0] <= 0 <= ends[1]
        interval = " The interval of the difference " + ("contains zero." if inside else "excludes zero.")
    if top > mine:
        n = int((others["pcc_mean"] > mine).sum())
        summary = f"{n} of {len(others)} baselines beat FOCUS" if len(others) > 1 else "The baseline beats FOCUS"
        return f"{summary}: {name} has mean PCC {top:.3f}, FOCUS {mine:.3f}.{interval}", "beaten"
    best = f"FOCUS has the highest mean PCC of {len(others) + 1} methods"
    return f"{best}: {mine:.3f}; {name} has {top:.3f}.{interval}", "best"


def _number(value: Any) -> float | None:
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _format(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value or "–"
    number = _number(value)
    if number is None:
        return "–"
    if column.startswith("n_"):
        return f"{number:,.0f}"
    return f"{100 * number:.0f} %" if column in ("fraction_of_ceiling", "coverage_90") else f"{number:.3f}"
