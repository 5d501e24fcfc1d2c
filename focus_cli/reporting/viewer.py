"""The slide viewer of one section: the H&E, positions and layers as data that a script inside the page draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.matrices import read_columns, read_raw_columns
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.reporting.context import Geometry
from focus_cli.reporting.layers import Layer, category_layer, number_layer, packed, summary
from focus_cli.reporting.maps import EXPRESSION, UNCERTAINTY, Frame, crop_image, data_uri, limits

MEGABYTES = 3.0  # of layers on a whole page, as text
_MOST_SIDE, _LEAST_SIDE = 2600, 500  # px of the picture
FINER_SIDE = 3400  # px: 2 µm per px over a Visium area, and about 2 MB
_QUALITY = 82
_MARGIN = 0.06
_NAMED = 12_000  # more locations than this are identified by their index
_EXTRA_GENES = 60
_READ = 400_000_000  # values of a matrix that may be unpacked for genes that were not requested
_STEPS = 36  # of a colour ramp; the script interpolates


@dataclass(frozen=True)
class Viewer:
    """What the template needs.

    Attributes
    ----------
    image
        ``data:`` address of the H&E, empty where the file holds none.
    aspect
        Width / height, for CSS.
    data
        JSON: everything else.
    summaries
        (layer, sentence) of each layer, for readers who do not see it.
    left_out
        Names of layers that did not fit.
    """

    image: str
    aspect: str
    data: str
    summaries: list[tuple[str, str]]
    left_out: list[str]


def make_viewer(
    file: SpatialFile,
    geometry: Geometry,
    layers: list[Layer],
    *,
    budget: float,
    picture: Callable[[Frame, int], np.ndarray] | None = None,
    samples: int = 1,
) -> Viewer:
    """Pack a section.

    Parameters
    ----------
    file
        The section's file.
    geometry
        How its locations lie.
    layers
        What can be shown, the most important first; what comes after `budget` is left out, whole names at a time.
    budget
        Bytes of text for all layers.
    picture
        (frame, px of the longer side) → uint8 (rows, columns, 3): a finer picture; None takes the stored one.
    samples
        How many share the page.
    """
    frame = _wider(geometry.frame, file)
    image = ""
    # Many slides on one page share the room of a few large ones.
    side = max(_LEAST_SIDE, round((FINER_SIDE if picture is not None else _MOST_SIDE) / np.sqrt(samples)))
    cut = picture(frame, side) if picture is not None else _stored_picture(file, frame, side)
    if cut is not None:
        image = data_uri(cut, quality=_QUALITY)
    kept, left_out = _within(layers, budget)
    steps = np.round((file.xy - [frame.x0, frame.y0]) / [frame.width, frame.height] * 65535).astype("<u2")
    data: dict[str, Any] = {
        "sample": _sample(file),
        "n": len(file.xy),
        "width": round(frame.width, 3),
        "height": round(frame.height, 3),
        "origin": [round(frame.x0, 3), round(frame.y0, 3)],
        "mpp": geometry.mpp,
        "square": geometry.square,
        "size": round(geometry.drawn_px, 3),
        "true": round(geometry.footprint_um / geometry.mpp, 3) if geometry.footprint_um and geometry.mpp else None,
        "pitch": round(geometry.pitch_px, 3),
        # High bytes apart from low ones: neighbours share the former, which deflates them.
        "xy": packed(np.stack([steps >> 8, steps & 255]).astype(np.uint8).transpose(2, 0, 1)),
        "names": list(file.obs.index) if len(file.xy) <= _NAMED else [],
        "ramps": {c: _ramp(c) for c in sorted({layer.colormap for layer in kept if layer.colormap})},
        "layers": [_told(layer) for layer in kept],
    }
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    # Inside a script element nothing may look like its end.
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    sentences = [(_title(layer), summary(layer)) for layer in kept]
    return Viewer(image, f"{frame.width:.1f} / {frame.height:.1f}", text, sentences, left_out)


def _sample(file: SpatialFile) -> str:
    return str(file.focus.get("sample_id") or file.path.stem)


def _title(layer: Layer) -> str:
    return f"{layer.name}, {layer.view}" if layer.view else layer.name


def _told(layer: Layer) -> dict[str, Any]:
    data: dict[str, Any] = {"group": layer.group, "name": layer.name, "view": layer.view, "codes": layer.packed}
    if layer.names:
        return data | {
            "names": list(layer.names),
            "colours": list(layer.colours),
            "note": layer.note,
            "title": layer.title,
        }
    digits = {k: float(f"{getattr(layer, k):.6g}") for k in ("floor", "ceiling", "low", "high")}
    return data | digits | {"unit": layer.unit, "ramp": layer.colormap, "note": layer.note, "title": layer.title}


def _within(layers: list[Layer], budget: float) -> tuple[list[Layer], list[str]]:
    kept, left_out, used = [], [], 0.0
    for layer in layers:
        ready = layer.pack()
        used += len(ready.packed)
        if used <= budget or not kept:
            kept.append(ready)
        else:
            used -= len(ready.packed)
            left_out.append(_title(layer))
    return kept, left_out


def _ramp(colormap: str) -> list[list[int]]:
    import matplotlib

    return [[int(v) for v in matplotlib.colormaps[colormap](t, bytes=True)[:3]] for t in np.linspace(0, 1, _STEPS + 1)]


def _wider(frame: Frame, file: SpatialFile) -> Frame:
    """The frame with a margin of tissue around the locations, as far as there is a picture of it."""
    reach = _MARGIN * max(frame.width, frame.height)
    x0, y0, x1, y1 = frame.x0, frame.y0, frame.x0 + frame.width, frame.y0 + frame.height
    for _, image, scale in file.images():
        height, width = image.shape[:2]
        x0, y0 = min(x0, max(x0 - reach, 0.0)), min(y0, max(y0 - reach, 0.0))
        x1, y1 = max(x1, min(x1 + reach, width / scale)), max(y1, min(y1 + reach, height / scale))
        break
    return Frame(x0, y0, x1 - x0, y1 - y0, frame.columns, frame.rows)


def _stored_picture(file: SpatialFile, frame: Frame, most: int) -> np.ndarray | None:
    for _, image, scale in file.images():
        side = int(np.clip(max(frame.width, frame.height) * scale, 64, most))
        cut = crop_image(image, scale, frame, side)
        if cut is not None:
            return cut
    return None


def sample_layers(file: SpatialFile, totals: np.ndarray) -> list[Layer]:
    """What is known of the locations themselves."""
    found = []
    if totals.any():
        found.append(number_layer("Sample", "Total counts", totals, unit="counts", colormap=EXPRESSION))
    for column, name, note in (
        (keys.OBS_RELIABILITY, "Reliability", "0 to 1: how far the estimate of a location can be trusted"),
        (keys.OOD_SCORE, "Out-of-distribution score", "above 1 the tissue is unlike any that the model was trained on"),
    ):
        if column in file.obs:
            span = (0.0, 1.0) if column == keys.OBS_RELIABILITY else (0.0, 2.0)
            values = file.obs[column].to_numpy(dtype=float)
            found.append(number_layer("Sample", name, values, span=span, colormap=UNCERTAINTY, note=note))
    if keys.ABSTAIN in file.obs and file.obs[keys.ABSTAIN].any():
        marked = np.where(file.obs[keys.ABSTAIN].to_numpy(dtype=bool), "should not be read", None)
        layer = category_layer("Sample", "Estimates that should not be read", marked)
        found.append(layer)
    return [layer for layer in found if layer is not None]


def viewer_genes(file: SpatialFile, shown: np.ndarray, wanted: list[int]) -> np.ndarray:
    """Columns of the genes of the viewer: those of the page, those of analysis results, then the most reliable.

    A chunk of a matrix holds many columns, so of a large file only the genes of the page are read.
    """
    columns = list(dict.fromkeys([*shown.tolist(), *wanted]))
    if len(file.obs) * len(file.var) > _READ:
        return np.array(columns[: max(len(shown), 12)], dtype=np.int64)
    if keys.VAR_RELIABILITY not in file.var:
        return np.array(columns, dtype=np.int64)
    trust = np.nan_to_num(file.var[keys.VAR_RELIABILITY].to_numpy(dtype=float))
    if keys.ABSTAIN in file.var:
        trust = np.where(file.var[keys.ABSTAIN].to_numpy(dtype=bool), 0.0, trust)
    more = [c for c in np.lexsort((np.arange(len(trust)), -trust))[:_EXTRA_GENES] if trust[c] > 0]
    columns += [int(c) for c in more if c not in set(columns)][: max(0, _EXTRA_GENES - len(columns))]
    return np.array(columns, dtype=np.int64)


def gene_layers(file: SpatialFile, columns: np.ndarray, totals: np.ndarray, measured: np.ndarray) -> list[Layer]:
    """Genes before and after: raw log1p CP10k, X, and both ends of its 90 % interval, on one scale each gene.

    X is what log-normalised counts would read without their noise, so that raw and enhanced lie on one axis.
    """
    if not len(columns):
        return []
    counts = file.counts()
    raw = read_raw_columns(counts, columns, totals) if counts is not None else None
    estimates: dict[str, np.ndarray] = {}
    if file.is_focus:
        for view, layer in (("enhanced", None), ("low end", keys.quantile_layer(0.05)), ("high end", "q95")):
            node = file.matrix(layer)
            if node is not None:
                estimates[view] = read_columns(node, columns)
    found = []
    for i, column in enumerate(columns):
        name = str(file.var.index[column])
        group = "Genes" if measured[column] else "Genes not on the panel (inferred)"
        views = {"raw": raw[:, i]} if raw is not None and measured[column] else {}
        views |= {view: values[:, i] for view, values in estimates.items()}
        if not views:
            continue
        span = limits(views["enhanced"]) if "enhanced" in views else limits(next(iter(views.values())))
        for view in sorted(views, key=["enhanced", "raw", "low end", "high end"].index):
            note = {
                "enhanced": "FOCUS's estimate, an inference"
                + ("" if measured[column] else ": the gene is not on the panel, nothing of it was measured"),
                "raw": "the raw counts, on the estimate's colours",
                "low end": "5 % quantile: the expression is hardly lower",
                "high end": "95 % quantile: the expression is hardly higher",
            }[view]
            layer = number_layer(
                group, name, views[view], view=view, span=span, unit="log1p CP10k", colormap=EXPRESSION, note=note
            )
            if layer is not None:
                found.append(layer)
    return found
