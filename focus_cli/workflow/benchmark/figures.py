"""One figure per task: every method of every case with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from focus_cli.evaluation import is_ours
from focus_cli.workflow.benchmark.results import CaseResult, number

_OURS, _OTHERS, _CEILING = "#c2410c", "#475569", "#94a3b8"
_COLUMNS = 2


def draw_task(results: Sequence[CaseResult], title: str, path: Path) -> None:
    """Draw mean PCC with 95 % intervals, one panel per case; the same results give the same bytes.

    Parameters
    ----------
    results
        Cases of one task.
    path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_rows = -(-len(results) // _COLUMNS)
    tallest = max(len(r.rows) for r in results)
    figure = Figure(figsize=(11, 0.6 + n_rows * (0.8 + 0.2 * tallest)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
    for ax in axes[len(results) :]:
        ax.set_visible(False)
    for ax, result in zip(axes, results):
        _panel(ax, result)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.supxlabel("mean Pearson correlation over genes (95 % interval over spatial blocks)", fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def _panel(ax, result: CaseResult) -> None:
    rows = sorted(result.rows.values(), key=lambda row: (number(row["pcc_mean"]), row["method"]))
    for i, row in enumerate(rows):
        colour = _OURS if is_ours(row["method"]) else _OTHERS
        ax.plot([number(row["lo"]), number(row["hi"])], [i, i], color=colour, linewidth=1.4, solid_capstyle="round")
        ax.plot(number(row["pcc_mean"]), i, "o", color=colour, markersize=4)
    ceiling = number(rows[0]["ceiling_mean"])
    if ceiling < 1:
        ax.axvline(ceiling, color=_CEILING, linestyle="--", linewidth=1)
    ax.set_yticks(range(len(rows)), [row["method"].replace("_", " ") for row in rows], fontsize=7)
    for label, row in zip(ax.get_yticklabels(), rows):
        if is_ours(row["method"]):
            label.set_color(_OURS)
    ax.set_title(f"{result.name} ({rows[0]['n_genes']:,} genes)", fontsize=9, loc="left")
    ax.tick_params(axis="x", labelsize=7)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#e2e8f0", linewidth=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
