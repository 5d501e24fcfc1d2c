"""What a report shows of one analysis result; filled by one module per kind, drawn by one template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from focus_cli.reporting.context import Fact
from focus_cli.reporting.layers import Layer
from focus_cli.reporting.run_record import RunRecord


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart: a share 0 to 1, its colour, an interval where there is one, and further figures."""

    name: str
    share: float
    colour: str = ""
    low: float | None = None
    high: float | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers in words; numbers are set flush right."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A small picture that stands for itself where the viewer cannot: on paper, without scripts."""

    caption: str
    colours: Any  # float (n, 3) in 0..1, NaN where nothing is drawn; or None with values
    values: Any = None
    colormap: str = ""
    low: float = 0.0
    high: float = 1.0


@dataclass
class Panel:
    """One part of a sample's section."""

    kind: str
    title: str
    hint: str = ""
    file_name: str = ""
    facts: list[Fact] = field(default_factory=list)
    bar_headings: tuple[str, ...] = ()
    bars: list[Bar] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    maps: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    genes: list[str] = field(default_factory=list)  # worth seeing because of this analysis result
    run: RunRecord | None = None


@dataclass(frozen=True)
class Composition:
    """Shares of categories in each sample, as stacked bars."""

    title: str
    names: list[str]
    colours: list[str]
    rows: list[tuple[str, list[float]]]
