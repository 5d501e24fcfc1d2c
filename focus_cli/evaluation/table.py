"""The table of scores: its columns, as TSV and as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.storage.tables import write_table
from focus_cli.evaluation import predictive

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "task",
    "method",
    "genes",
    "n_genes",
    "n_nan",
    "d2",
    "d2_lo",
    "d2_hi",
    "d2_mean",
    "pearson_residuals_mean",
    "pcc_mean",
    "pcc_median",
    "pcc_q25",
    "pcc_q75",
    "spearman_mean",
    "rmse_mean",
    "ceiling_mean",
    "fraction_of_ceiling",
    "lo",
    "hi",
    "n_flat_truth",
    "n_no_ceiling",
    "ssim_global_mean",
    "jsd_mean",
    "moran_mean",
    "moran_truth_mean",
    "gsc",
    "poisson_ll_per_umi",
    "coverage_90",
    "width_90",
    *predictive.COLUMNS,
)
_SHOWN = {
    "task": "task",
    "genes": "genes",
    "method": "method",
    "d2": "D²",
    "pearson_residuals_mean": "residuals",
    "pcc_mean": "PCC",
    "interval": "95 % interval",
    "fraction_of_ceiling": "of ceiling",
    "pcc_median": "median",
    "spearman_mean": "Spearman",
    "rmse_mean": "RMSE",
    "gsc": "GSC",
    "n": "genes (undefined)",
}


def write_tsv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Write rows as TSV: an undefined number is an empty field, others have seven digits."""
    write_table(path, list(columns), rows)


def is_ours(method: str) -> bool:
    """Whether a method's name is that of FOCUS."""
    return method.lower().startswith("focus")


def score_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows of scores as a table, best mean PCC first within a task and a group of genes, ours in bold."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = list(rows)
    order = list(dict.fromkeys((r["task"], r["genes"]) for r in rows))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(_SHOWN.values()):
        table.add_column(heading, justify="left" if i < 3 else "right", no_wrap=True)
    for key in order:
        part = [r for r in rows if (r["task"], r["genes"]) == key]
        part.sort(key=lambda r: (-_number(r["pcc_mean"], -9.0), r["method"]))
        for row in part:
            table.add_row(*_cells(row), style="bold" if is_ours(row["method"]) else None)
        table.add_section()
    return table


def _number(value: Any, otherwise: float) -> float:
    return otherwise if value is None or not math.isfinite(value) else float(value)


def _cells(row: Mapping[str, Any]) -> list[str]:
    def number(name: str, spec: str = ".3f") -> str:
        value = _number(row.get(name), math.nan)
        return format(value, spec) if math.isfinite(value) else "–"

    special = {
        "task": row["task"],
        "genes": row["genes"],
        "method": row["method"],
        "interval": f"{number('lo')} to {number('hi')}",
        "fraction_of_ceiling": number("fraction_of_ceiling", ".0%"),
        "n": f"{row['n_genes']} ({row['n_nan']})",
    }
    return [special.get(name) or number(name) for name in _SHOWN]


def format_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of scores (of one or more `scores.tsv`) as plain text, without colours, whatever the width."""
    from rich.console import Console

    out = StringIO()
    Console(file=out, width=200, no_color=True, highlight=False).print(score_table(rows))
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


def print_scores(scores: Mapping[str, Any]) -> None:
    """Print what `evaluate` returns: the table, then the baselines that could not run and why."""
    import sys

    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(score_table(scores["rows"]))
    else:
        print(format_table(scores["rows"]))
    for name, reason in scores["skipped"].items():
        print(f"not run: {name}: {reason}")
