"""The scores as a dot plot: one line per method, its interval, ours in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_OURS, _OTHERS, _CEILING = "#c2410c", "#475569", "#94a3b8"


def draw_scores(rows: Sequence[Mapping[str, Any]], path: Path, method: str) -> None:
    """Draw the mean PCC of every method with its interval, one panel per task and group of genes.

    Parameters
    ----------
    rows
        Of ``scores.tsv``.
    path
        PNG to write; the same rows give the same bytes.
    method
        The one that is drawn in colour.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row["task"], row["genes"]) for row in rows))
    parts = [[r for r in rows if (r["task"], r["genes"]) == key] for key in panels]
    height = sum(0.9 + 0.28 * len(part) for part in parts)
    figure = Figure(figsize=(7, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[1 + len(p) for p in parts])[:, 0]
    for ax, (task, genes), part in zip(axes, panels, parts):
        part = sorted(part, key=lambda r: (r["pcc_mean"] if r["pcc_mean"] is not None else -9, r["method"]))
        for i, row in enumerate(part):
            colour = _OURS if row["method"] == method else _OTHERS
            if row["lo"] is not None:
                ax.plot([row["lo"], row["hi"]], [i, i], color=colour, linewidth=1.6, solid_capstyle="round")
            if row["pcc_mean"] is not None:
                ax.plot(row["pcc_mean"], i, "o", color=colour, markersize=6)
        ceiling = part[0]["ceiling_mean"]
        if ceiling is not None and ceiling < 1:
            ax.axvline(ceiling, color=_CEILING, linestyle="--", linewidth=1)
            ax.annotate(
                "noise ceiling",
                (ceiling, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-4, -4),
                textcoords="offset points",
                ha="right",
                va="top",
                rotation=90,
                fontsize=7,
                color=_CEILING,
            )
        ax.set_yticks(range(len(part)), [row["method"].replace("_", " ") for row in part], fontsize=9)
        for label, row in zip(ax.get_yticklabels(), part):
            if row["method"] == method:
                label.set_color(_OURS)
                label.set_fontweight("bold")
        ax.set_ylim(-0.7, len(part) - 0.3)
        ax.set_xlabel("mean Pearson correlation over genes (95 % interval over spatial blocks)", fontsize=8)
        ax.set_title(f"{task}: {part[0]['n_genes']:,} {genes} genes", fontsize=10, loc="left")
        ax.grid(axis="x", color="#e2e8f0", linewidth=0.7)
        ax.set_axisbelow(True)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=150, metadata={"Software": None})
