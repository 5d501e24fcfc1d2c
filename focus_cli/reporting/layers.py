"""Values of locations as the slide viewer takes them: one byte per location, deflated, as text."""

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

NOTHING = 255  # code of a location of which a layer says nothing
_LEVELS = 254
_MOST_CATEGORIES = 200
_OTHERS = "others"
_NO_CATEGORY = {"abstained", "undetermined", "unknown", "unassigned", "not known", "none", _OTHERS}
_GREY = "#9a9a9a"
# A scale for each meaning; all are even in lightness and can be told apart by colour-blind readers.
SHARE, SCORE, SIGNED = "magma", "cividis", "RdBu_r"


@dataclass(frozen=True)
class Layer:
    """An overlay of the slide.

    Attributes
    ----------
    group, name, view
        Where it stands in the list, for instance ``"Genes"``, ``"EPCAM"``, ``"enhanced"``; `view` is empty where a name
        has one view only.
    codes
        uint8 (n,): a category, or a value in 255 steps from `floor` to `ceiling`; `NOTHING` where it is not known.
    floor, ceiling
        Values of code 0 and code 254.
    low, high
        Ends of the colour scale.
    unit, colormap, note
        Unit of the values, name of the colour map, and one sentence on how to read them.
    names, colours
        Names and colours of the categories; empty for numbers.
    title
        Whether every location tells this value when it is pointed at, whatever is shown.
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
    """Bytes, deflated (zlib), in base 64."""
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
    """Numbers of locations (n,), NaN where there is none; None where there is no number at all.

    Parameters
    ----------
    span
        Ends of the colour scale; 1st to 99th percentile by default.
    symmetric
        The scale has its middle at 0.
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
    """Categories of locations (n,), of which a missing value is none; None where every location has none.

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
    place = {n: i for i, n in enumerate(names)}
    rest = place.get(_OTHERS, NOTHING)
    codes = np.array([NOTHING if v is None else place.get(v, rest) for v in values], dtype=np.uint8)
    return Layer(group, name, "", codes, names=tuple(names), colours=tuple(colours_of(names)), note=note, title=title)


def in_order(names: set[str] | Sequence[str]) -> list[str]:
    """Names sorted as a reader does: D2 before D10."""
    return sorted(set(names), key=lambda n: [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", n)])


def colours_of(names: Sequence[str]) -> list[str]:
    """Colours of categories by name: grey for what is no category, the others in turn."""
    real = [n for n in names if is_category(n)]
    told = dict(zip(real, category_colours(len(real))))
    return [told.get(n, _GREY) for n in names]


def is_category(name: str) -> bool:
    """Whether a name is one of a category, and not of what has none: abstained, unknown, others."""
    return name.lower() not in _NO_CATEGORY


def category_colours(count: int) -> list[str]:
    """Colours of categories as hex; after twenty they come again."""
    import matplotlib
    from matplotlib.colors import to_hex

    table = matplotlib.colormaps["tab20"].colors
    # Strong colours first; the grey pair last, for it reads as "unknown".
    order = [0, 2, 4, 6, 8, 10, 12, 16, 18, 1, 3, 5, 7, 9, 11, 13, 17, 19, 14, 15]
    return [to_hex(table[order[i % len(order)]]) for i in range(count)]


def shares_of(layer: Layer) -> list[tuple[str, str, int, float]]:
    """(name, colour, locations, share of the locations that have one) of each category that occurs."""
    seen = layer.codes[layer.codes != NOTHING]
    tally = np.bincount(seen, minlength=len(layer.names))[: len(layer.names)]
    total = max(1, len(seen))
    return [(n, c, int(k), float(k / total)) for n, c, k in zip(layer.names, layer.colours, tally) if k]


def summary(layer: Layer) -> str:
    """The layer in one sentence, for a reader who does not see it."""
    seen = layer.codes != NOTHING
    unknown = f"; nothing is known of {int((~seen).sum()):,} locations" if (~seen).any() else ""
    if layer.names:
        most = sorted(shares_of(layer), key=lambda s: -s[2])[:5]
        return "Most locations: " + ", ".join(f"{n} {share:.0%}" for n, _, _, share in most) + unknown + "."
    values = layer.floor + layer.codes[seen].astype(float) / _LEVELS * (layer.ceiling - layer.floor)
    q = np.percentile(values, [5, 50, 95])
    unit = f" {layer.unit}" if layer.unit else ""
    return f"Median {short(q[1])}{unit}; nine of ten between {short(q[0])} and {short(q[2])}{unknown}."
