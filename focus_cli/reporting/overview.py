"""One picture of an enhanced file: the slide, where the model was trained on such tissue, and a few genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.kinds import PICTURE
from focus_cli.reporting.context import Geometry, tissue_picture
from focus_cli.reporting.genes import find_genes, read_expression, reliable_genes
from focus_cli.reporting.maps import EXPRESSION, Canvas, limits

N_GENES = 6
_SIDE = 900  # px of a map
_DPI = 150


def write_overview(path: Path, out: Path, *, genes: list[str] | None = None, overwrite: bool = False) -> Path:
    """Draw a file of ``focus enhance`` for a first look.

    Parameters
    ----------
    path
        Enhanced .h5ad; read column by column.
    out
        PNG to write.
    genes
        Names to draw; by default the most reliable ones that look unlike each other.

    Raises
    ------
    FocusError
        If the file cannot be read, a gene is not in it, or `out` exists and `overwrite` is false.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with SpatialFile(path) as file:
        geometry = Geometry.of(file, _SIDE)
        canvas = Canvas(geometry.frame, file.xy, geometry.drawn_px, geometry.square)
        panels = [("H&E", None, "", ""), *_judgement(file), *_genes(file, genes)]
        columns = 4
        rows = -(-len(panels) // columns)
        height = 4.2 * min(max(geometry.frame.rows / geometry.frame.columns, 0.4), 2.0)
        size = 4.2 * columns, (height + 0.4) * rows
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        for axis in axes.ravel():
            axis.set_axis_off()
        tissue = tissue_picture(file, geometry.frame, _SIDE)
        for axis, (title, values, colormap, note) in zip(axes.ravel(), panels):
            if tissue is not None:
                axis.imshow(tissue, extent=(0, 1, 1, 0), aspect="auto")
            axis.set_box_aspect(geometry.frame.rows / geometry.frame.columns)
            axis.set_title(title, fontsize=10)
            if values is None:
                continue
            low, high = (0.0, 2.0) if title.startswith("Out-of-distribution") else limits(values)
            axis.imshow(canvas.paint(values, colormap, low, high), extent=(0, 1, 1, 0), aspect="auto")
            bar = plt.cm.ScalarMappable(plt.Normalize(low, high), colormap)
            figure.colorbar(bar, ax=axis, fraction=0.04, pad=0.02).ax.tick_params(labelsize=7)
            if note:
                axis.text(0.0, -0.02, note, transform=axis.transAxes, fontsize=7, va="top")
        with atomic_file(out, overwrite, kind=PICTURE) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": "focus"})
        plt.close(figure)
    return out


def _judgement(file: SpatialFile) -> list[tuple[str, np.ndarray, str, str]]:
    if keys.OOD_SCORE not in file.obs:
        return []
    ood_score = file.obs[keys.OOD_SCORE].to_numpy(float)
    return [
        ("Out-of-distribution score", ood_score, "RdYlBu_r", f"above 1 ({(ood_score > 1).mean():.0%}): unlike training")
    ]


def _genes(file: SpatialFile, requested: list[str] | None) -> list[tuple[str, np.ndarray, str, str]]:
    if requested:
        columns = np.array(list(find_genes(file, requested).values()), np.int64)
    else:
        columns = reliable_genes(file, N_GENES)
    values = read_expression(file, columns)
    unknown = np.zeros(len(file.obs), bool)
    if keys.OOD_SCORE in file.obs:  # what the model cannot know is not drawn
        unknown = file.obs[keys.OOD_SCORE].to_numpy(float) > 1
    panels = []
    for name, column in zip(file.var.index[columns], values.T):
        panels.append((name, np.where(unknown, np.nan, column), EXPRESSION, ""))
    return panels
