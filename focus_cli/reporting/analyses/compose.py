"""Shares of domains, cell types and classes in every sample of a page, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from focus_cli.reporting.analyses.panel import Composition
from focus_cli.reporting.analyses.words import TITLES
from focus_cli.reporting.layers import colours_of, in_order

_KINDS = ("domains", "celltypes", "annotation")
_FEWEST = 2  # samples that a comparison needs


def compositions(sections: Sequence[Any]) -> list[Composition]:
    """One comparison for each kind of analysis result that two or more samples have."""
    found = []
    for kind in _KINDS:
        rows = [(s.sample_id, {b.name: b for b in p.bars}) for s in sections for p in s.panels if p.kind == kind]
        rows = [(sample, bars) for sample, bars in rows if bars]
        if len(rows) < _FEWEST:
            continue
        names = in_order({name for _, bars in rows for name in bars})
        known = {name: bar.colour for _, bars in rows for name, bar in bars.items() if bar.colour}
        colours = [known.get(name, spare) for name, spare in zip(names, colours_of(names))]
        shares = [(sample, [bars[n].share if n in bars else 0.0 for n in names]) for sample, bars in rows]
        found.append(Composition(TITLES[kind], names, colours, shares))
    return found
