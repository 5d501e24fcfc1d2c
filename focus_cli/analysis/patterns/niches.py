"""Niches: kinds of surroundings, by what lies around each location.

The composition of a location (shares of cell types or cell states, else its latent state) is averaged over all
locations within a radius, and the averages are clustered by k-means (as in Schürch et al. 2020,
doi:10.1016/j.cell.2020.07.005). A niche is a description, not a finding: k-means finds as many as requested, in
any tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from focus_cli.analysis.significance.distances import pairs_within
from focus_cli.core.random import stream

MOST = 10  # niches that are tried
_FIT = 20_000  # locations that k-means is fitted on
_JUDGE = 3000  # locations that the silhouette is computed of


@dataclass(frozen=True)
class Niches:
    """Niches of a section.

    Attributes
    ----------
    label
        ``N1`` (the largest), ``N2``, … of each location, categorical.
    composition
        Mean composition of each niche: niches × parts.
    silhouette
        Of the number that was chosen, −1 to 1: below about 0.25 the niches run into each other.
    """

    label: pd.Categorical
    composition: pd.DataFrame
    silhouette: float


def find_niches(
    composition: pd.DataFrame, xy_um: np.ndarray, radius_um: float, *, n_niches: int | None = None, seed: int = 0
) -> Niches:
    """Cluster the surroundings of locations.

    Parameters
    ----------
    composition
        Locations × parts, indexed by the locations' names. The result does not depend on their order.
    xy_um
        float64 (n, 2).
    radius_um
        How far the surroundings reach.
    n_niches
        How many; None: the number from 2 to `MOST` with the best silhouette.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    order = np.argsort(composition.index.to_numpy(str), kind="stable")
    graph = pairs_within(xy_um, radius_um)
    values = composition.to_numpy(np.float64)
    around = (graph @ values + values) / (np.asarray(graph.sum(axis=1)) + 1)
    drawn = stream(seed, "patterns/niches").permutation(order)
    fitted, judged = around[drawn[:_FIT]], around[drawn[:_JUDGE]]
    distinct = len(np.unique(fitted.round(9), axis=0))
    if distinct < 2:
        label = pd.Categorical(["N1"] * len(around), categories=["N1"])
        table = pd.DataFrame(around.mean(axis=0, keepdims=True), index=["N1"], columns=composition.columns)
        return Niches(label, table, 0.0)
    tried = [n_niches] if n_niches is not None else range(2, MOST + 1)
    best = None
    for k in tried:
        model = KMeans(min(k, distinct), n_init=5, random_state=seed).fit(fitted)
        seen = model.predict(judged)
        score = float(silhouette_score(judged, seen)) if 1 < len(np.unique(seen)) < len(judged) else 0.0
        if best is None or score > best[0] + 1e-9:
            best = (score, model)
    found = best[1].predict(around)
    size = np.bincount(found, minlength=best[1].n_clusters)
    rank = np.argsort(np.argsort(-size, kind="stable"), kind="stable")
    names = [f"N{i + 1}" for i in range(int((size > 0).sum()))]
    label = pd.Categorical.from_codes(rank[found], categories=names)
    table = pd.DataFrame(around, columns=composition.columns).groupby(np.asarray(label), sort=False).mean()
    return Niches(label, table.loc[names], best[0])
