"""Parts of the values at single locations as tables: one row per gene, location and part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from focus_cli.core.progress import track
from focus_cli.enhancement.attribution.details import Within
from focus_cli.enhancement.attribution.estimate import Estimate
from focus_cli.enhancement.attribution.game import PRIOR, SIGNALS

LISTED = 30  # parts of a signal that are listed; the others are summed
REST = "all others"
RINGS = (1.5, 3.0, 6.0, 12.0)  # outer radii in units of the pitch
_WINDOW = re.compile(r"^(.*?)(_mean|_sd)?_\d+um$")

COLUMNS = ("gene", "location", "signal", "part", "contribution")


@dataclass(frozen=True)
class PartsTable:
    """What the values at some locations are made of.

    Attributes
    ----------
    pairs
        Gene and location of each column of `neighbours`.
    table
        Columns `COLUMNS`; over a gene and a location the contributions sum to the value.
    neighbours
        float32, locations × pairs: contribution of each neighbour's counts.
    error
        Largest remainder of a sum in place of an integral, before it was spread, log2.
    """

    pairs: list[dict[str, str]]
    table: pd.DataFrame
    neighbours: pd.DataFrame
    error: float


def parts_of_locations(
    estimate: Estimate, rows: np.ndarray, parts: dict[str, np.ndarray], genes: list[int]
) -> PartsTable:
    """Decompose the values of some genes at some locations.

    Parameters
    ----------
    rows
        Locations.
    parts
        Signals' shares, locations × genes of the estimate.
    genes
        Columns of the estimate.
    """
    data, names = estimate.data, estimate.run.genes.names.astype(str)
    records, neighbours, pairs, error = [], {}, [], 0.0
    for row in track(rows.tolist(), "taking locations apart") if len(rows) else ():
        within = Within(estimate, row)
        for gene in genes:
            shares = {name: float(values[row, gene]) for name, values in parts.items()}
            found = within.parts(gene, shares)
            error = max(error, found.error)
            place = (names[gene], str(data.obs_names[row]))
            for signal in SIGNALS:
                if signal == "neighbours":
                    listed = _rings(found.by_location, data.xy_um, row, data.info.footprint.pitch_um)
                else:
                    listed = _listed(_grouped(found.named[signal]) if signal == "image" else found.named[signal])
                records += [(*place, signal, part, value) for part, value in listed]
            records.append((*place, PRIOR, PRIOR, shares[PRIOR]))
            neighbours[f"pair_{len(pairs)}"] = found.by_location.astype(np.float32)
            pairs.append({"gene": place[0], "location": place[1]})
    table = pd.DataFrame(records, columns=list(COLUMNS))
    table.index = table.index.astype(str)
    index = pd.Index(data.obs_names)
    return PartsTable(pairs, table, pd.DataFrame(neighbours, index=index), error)


def _grouped(named: dict[str, float]) -> dict[str, float]:
    """Image features by what they measure: windows of one channel hold nearly the same, and share it by chance."""
    found: dict[str, float] = {}
    for name, value in named.items():
        match = _WINDOW.match(name)
        group = match.group(1) if match else name
        found[group] = found.get(group, 0.0) + value
    return found


def _listed(named: dict[str, float]) -> list[tuple[str, float]]:
    """The largest first; what is left, as one."""
    order = sorted(named.items(), key=lambda item: (-abs(item[1]), item[0]))
    listed, rest = order[:LISTED], order[LISTED:]
    return listed + ([(REST, float(sum(value for _, value in rest)))] if rest else [])


def _rings(by_location: np.ndarray, xy_um: np.ndarray, row: int, pitch_um: float) -> list[tuple[str, float]]:
    distance = np.linalg.norm(xy_um - xy_um[row], axis=1)
    ring = np.searchsorted(np.array(RINGS) * pitch_um, distance)
    bounds = [0.0, *RINGS, np.inf]
    words = [
        f"at {low * pitch_um:.4g}–{high * pitch_um:.4g} µm" if np.isfinite(high) else f"beyond {low * pitch_um:.4g} µm"
        for low, high in pairwise(bounds)
    ]
    return [(f"locations {words[r]}", float(by_location[ring == r].sum())) for r in range(len(words))]
