"""Layers of the slide viewer: one byte per location, compressed, as text."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from focus_cli.reporting.charts import short
from focus_cli.reporting.maps import limits

NOTHING = 255  # code of a location without a value
_LEVELS = 254
_MOST_CATEGORIES = 200
_OTHERS = "others"
_NO_CATEGORY = {"abstained", "undetermined", "unknown", "unassigned", "not known", "none", _OTHERS}
_GREY = "#9a9a9a"
# One colour map per meaning; all are perceptually uniform and safe for colour-blind readers.
SHARE, SCORE, SIGNED = "magma", "cividis", "RdBu_r"


@dataclass(frozen=True)
class Layer:
    """Values that can be drawn over the slide.

    Attributes
    ----------
    group, name, view
        Position in the list, for instance ``"Genes"``, ``"EPCAM"``, ``"enhanced"``; `view` is empty where a name
        has one view only.
    codes
        uint8 (n,): a category, or a value in 255 steps from `floor` to `ceiling`; `NOTHING` if missing.
    floor, ceiling
        Values of code 0 and code 254.
    low, high
        Ends of the colour scale.
    unit, colormap, note
        Unit of the values, name of the colour map, and one sentence on how to read them.
    names, colours
        Names and colours of the categories; empty for numbers.
    title
        Whether the value is shown whenever a location is pointed at, whatever layer is drawn.
    """

    group: str
    name: str
    view: str
    codes: np.ndarray
    floor: float = 0.0
    ceiling: float = 1.0
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    colormap: str = ""
    note: str = ""
    names: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    title: bool = False
    packed: str = field(default="", repr=False)

    def pack(self) -> Layer:
        """The same layer with its codes as text."""
        return replace(self, packed=packed(self.codes))


def packed(values: np.ndarray) -> str:
    """Bytes, compressed with zlib, in base 64."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 9)).decode("ascii")


def number_layer(
    group: str,
    name: str,
    values: Any,
    *,
    view: str = "",
    span: tuple[float, float] | None = None,
    symmetric: bool = False,
    unit: str = "",
    colormap: str = SCORE,
    note: str = "",
    title: bool = False,
) -> Layer | None:
    """Layer of numbers of locations (n,), NaN if missing; None if all are missing.

    Parameters
    ----------
    span
        Ends of the colour scale; 1st to 99th percentile by default.
    symmetric
        Whether the scale is centred at 0.
    """
    values = np.asarray(values, dtype=np.float64)
    seen = np.isfinite(values)
    if not seen.any():
        return None
    floor, ceiling = float(values[seen].min()), float(values[seen].max())
    low, high = limits(values) if span is None else span
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    width = ceiling - floor
    scaled = np.zeros(len(values)) if width <= 0 else (values - floor) / width
    codes = np.full(len(values), NOTHING, dtype=np.uint8)
    codes[seen] = np.round(_LEVELS * scaled[seen]).astype(np.uint8)
    return Layer(group, name, view, codes, floor, ceiling, low, high, unit, colormap, note, title=title)


def category_layer(
    group: str, name: str, values: Any, *, names: Sequence[str] | None = None, note: str = "", title: bool = True
) -> Layer | None:
    """Layer of categories of locations (n,); None if all are missing.

    Parameters
    ----------
    names
        All categories in the order of their colours; by default those that occur, in natural order.
    """
    import pandas as pd

    values = np.asarray(values, dtype=object)
    values = [None if gap or str(value) == "" else str(value) for value, gap in zip(values, pd.isna(values))]
    found = in_order({v for v in values if v is not None})
    if not found:
        return None
    names = list(found if names is None else names)
    if len(names) > _MOST_CATEGORIES:
        names = [*names[:_MOST_CATEGORIES], _OTHERS]
    code = {n: i for i, n in enumerate(names)}
    rest = code.get(_OTHERS, NOTHING)
    codes = np.array([NOTHING if v is None else code.get(v, rest) for v in values], dtype=np.uint8)
    return Layer(group, name, "", codes, names=tuple(names), colours=tuple(colours_of(names)), note=note, title=title)


def in_order(names: set[str] | Sequence[str]) -> list[str]:
    """Names in natural order: D2 before D10."""
    return sorted(set(names), key=lambda n: [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", n)])


def colours_of(names: Sequence[str]) -> list[str]:
    """Colours of categories by name; grey for names such as abstained or unknown."""
    real = [n for n in names if is_category(n)]
    colours = dict(zip(real, category_colours(len(real))))
    return [colours.get(n, _GREY) for n in names]


def is_category(name: str) -> bool:
    """Whether a name is a category, and not abstained, unknown or others."""
    return name.lower() not in _NO_CATEGORY


def category_colours(count: int) -> list[str]:
    """Colours of categories as hex; they repeat after twenty."""
    import matplotlib
    from matplotlib.colors import to_hex

    table = matplotlib.colormaps["tab20"].colors
    # Strong colours first; the grey pair last, because grey means unknown.
    order = [0, 2, 4, 6, 8, 10, 12, 16, 18, 1, 3, 5, 7, 9, 11, 13, 17, 19, 14, 15]
    return [to_hex(table[order[i % len(order)]]) for i in range(count)]


def shares_of(layer: Layer) -> list[tuple[str, str, int, float]]:
    """(name, colour, locations, share of the locations that have one) of each category that occurs."""
    seen = layer.codes[layer.codes != NOTHING]
    tally = np.bincount(seen, minlength=len(layer.names))[: len(layer.names)]
    total = max(1, len(seen))
    return [(n, c, int(k), float(k / total)) for n, c, k in zip(layer.names, layer.colours, tally) if k]


def summary(layer: Layer) -> str:
    """Summary of the layer in one sentence, for readers who cannot see it."""
    seen = layer.codes != NOTHING
    unknown = f"; no value at {int((~seen).sum()):,} locations" if (~seen).any() else ""
    if layer.names:
        most = sorted(shares_of(layer), key=lambda s: -s[2])[:5]
        return "Most locations: " + ", ".join(f"{n} {share:.0%}" for n, _, _, share in most) + unknown + "."
    values = layer.floor + layer.codes[seen].astype(float) / _LEVELS * (layer.ceiling - layer.floor)
    q = np.percentile(values, [5, 50, 95])
    unit = f" {layer.unit}" if layer.unit else ""
    return f"Median {short(q[1])}{unit}; 5th to 95th percentile {short(q[0])} to {short(q[2])}{unknown}."
