"""Figure of an analysis result of ``focus why``: maps of the estimate and its parts, details of single locations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.matrices import read_columns
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.kinds import PICTURE
from focus_cli.enhancement.attribution.game import PARTS

if TYPE_CHECKING:
    import pandas as pd

MAX_GENES, MAX_PAIRS = 6, 6
_BARS = 12
_TELLING = 0.05  # of the largest contribution: the map of neighbours shows all that are larger
_COLOURS = "RdBu_r"
_DPI = 110


def draw(path: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Draw an analysis result of kind ``"why"``.

    One row per gene: the whole, then its parts, on one scale, in log2 over the gene's level. Below, one row per gene
    and location that were requested: its neighbours' contributions, and its largest parts.

    Parameters
    ----------
    path
        The analysis result.
    out
        PNG to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with SpatialFile(path) as file:
        genes = min(MAX_GENES, len(file.var))
        pairs = [dict(pair) for pair in file.focus.get("pairs", [])][:MAX_PAIRS]
        columns = 1 + len(PARTS)
        heights = [3.1 * genes, *([3.4 * len(pairs)] if pairs else [])]
        figure = plt.figure(figsize=(3.0 * columns, sum(heights)), layout="constrained")
        halves = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))
        size = _marker_size(file.xy, 3.0 * 72)
        _genes(file, halves[0], genes, size)
        if pairs:
            _pairs(file, halves[1], pairs, size)
        with atomic_file(out, overwrite, kind=PICTURE) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": "focus"})
        plt.close(figure)
    return out


def _genes(file: SpatialFile, figure, n: int, size: float) -> None:
    """Maps of the whole and its parts, a row for each gene."""
    axes = figure.subplots(n, 1 + len(PARTS), squeeze=False)
    for g, row in enumerate(axes):
        layers = {"estimate": None} | {name: name for name in PARTS}
        values = {word: read_columns(file.matrix(layer), np.array([g]))[:, 0] for word, layer in layers.items()}
        reach = float(np.percentile(np.abs(np.concatenate(list(values.values()))), 99)) or 1.0
        for axis, (word, value) in zip(row, values.items()):
            title = f"{file.var.index[g]}: log2 over its level" if word == "estimate" else word
            shown = _map(axis, file.xy, value, reach, size, title)
        figure.colorbar(shown, ax=list(row), fraction=0.02)


def _pairs(file: SpatialFile, figure, pairs: list[dict[str, str]], size: float) -> None:
    """Single locations decomposed: the map of neighbours, and the largest parts."""
    table, neighbours = file.uns(keys.UNS_WHY), file.obsm(keys.WHY_NEIGHBOURS)
    axes = figure.subplots(len(pairs), 2, squeeze=False, width_ratios=[1, 2])
    for p, (pair, (left, right)) in enumerate(zip(pairs, axes)):
        values = neighbours[f"pair_{p}"].to_numpy(float)
        reach = float(np.abs(values).max()) or 1.0
        title = f"{pair['gene']} at {pair['location']}: from which neighbours"
        here = file.xy[file.obs.index.get_loc(pair["location"])]
        distance = np.linalg.norm(file.xy - here, axis=1)
        near = 1.2 * float(distance[np.abs(values) > _TELLING * reach].max(initial=0.0))
        zoom = max(1.0, float(np.ptp(file.xy, axis=0).max()) / max(2 * near, 1e-9)) if near > 0 else 1.0
        shown = _map(left, file.xy, values, reach, size * zoom**2, title)
        if zoom > 1:
            left.set_xlim(here[0] - near, here[0] + near)
            left.set_ylim(here[1] + near, here[1] - near)
        left.scatter(*here, marker="o", s=2.5 * size * zoom**2, facecolors="none", edgecolors="black", lw=1.2)
        figure.colorbar(shown, ax=left, fraction=0.05)
        _bars(right, table, pair)


def _marker_size(xy: np.ndarray, points: float) -> float:
    """Area of a marker (points²) at which locations just meet on a map of `points` a side."""
    span = float(np.ptp(xy, axis=0).max()) or 1.0
    area = float(np.prod(np.maximum(np.ptp(xy, axis=0), span / 100))) / max(len(xy), 1)
    return float(np.clip((points * np.sqrt(area) / span) ** 2 * 0.7, 0.3, 120.0))


def _map(axis, xy: np.ndarray, values: np.ndarray, reach: float, size: float, title: str):
    shown = axis.scatter(*xy.T, c=values, s=size, cmap=_COLOURS, vmin=-reach, vmax=reach, linewidths=0)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.set_axis_off()
    axis.set_title(title, fontsize=9)
    return shown


def _bars(axis, table: pd.DataFrame, pair: dict[str, str]) -> None:
    mine = table[(table["gene"] == pair["gene"]) & (table["location"] == pair["location"])]
    order = np.argsort(-mine["contribution"].abs().to_numpy(), kind="stable")[:_BARS][::-1]
    top = mine.iloc[order]
    value = top["contribution"].to_numpy(float)
    words = [f"{signal}: {part}" if signal != part else part for signal, part in zip(top["signal"], top["part"])]
    axis.barh(np.arange(len(top)), value, color=np.where(value >= 0, "#b2182b", "#2166ac"))
    axis.set_yticks(np.arange(len(top)), words, fontsize=7)
    axis.axvline(0, color="black", lw=0.6)
    axis.set_xlabel("contribution, log2", fontsize=8)
    whole = mine["contribution"].sum()
    axis.set_title(f"the {len(top)} largest of {len(mine)} parts; all sum to {whole:+.2f}", fontsize=9)
