r"""Graphs of locations within a distance, autocovariances by distance, and the chance correlation of smooth fields.

Two unrelated smooth fields correlate by chance, the more so the fewer patches they consist of. Given their
autocovariances :math:`C(d)`, the sum :math:`\sum_i u_i v_i` of two unrelated fields has the variance

.. math:: V = \sum_d n_d\, C_u(d)\, C_v(d)

with :math:`n_d` ordered pairs in each class of distances (Clifford, Richardson & Hémon 1989, doi:10.2307/2532039;
Dutilleul 1993, doi:10.2307/2532625). :math:`\sum u_i^2 \sum v_i^2 / V` is the effective number of independent
locations of the section, and the correlation is compared with Student's t of that many degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.stats import t as student

from focus_cli.core.random import stream

_SPACING_SAMPLE = 20_000  # locations that the spacing is measured on
_NEIGHBOURS = 6


def spacing(xy: np.ndarray) -> float:
    """Median distance to the sixth neighbour: the pitch of a hexagonal array, √2 pitches of a square one.

    Parameters
    ----------
    xy
        float64 (n, 2), any unit; locations at the same position count once.
    """
    xy = np.unique(xy, axis=0)
    if len(xy) < 2:
        return 1.0
    centre = np.linalg.norm(xy - np.median(xy, axis=0), axis=1)
    inner = np.argsort(centre, kind="stable")[:_SPACING_SAMPLE]  # the edge has fewer neighbours; order does not matter
    k = min(_NEIGHBOURS, len(xy) - 1)
    distance = cKDTree(xy).query(xy[inner], k=k + 1)[0][:, k]
    return float(np.median(distance))


def pairs_within(xy: np.ndarray, radius: float) -> sparse.csr_matrix:
    """Graph of all pairs of two locations at most `radius` apart: 1 for each, 0 on the diagonal.

    Parameters
    ----------
    xy
        float64 (n, 2).
    radius
        In the unit of `xy`. A thousandth more is let in, so that ties of a lattice do not depend on rounding.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32 (n, n), symmetric.
    """
    n = len(xy)
    pairs = cKDTree(xy).query_pairs(radius * 1.001, output_type="ndarray").astype(np.int32)
    rows, columns = np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n, n))


EDGES = (
    1.0,
    2.0,
    3.0,
    4.5,
    6.0,
    8.0,
    11.0,
    15.0,
    20.0,
    27.0,
    36.0,
    48.0,
    64.0,
    85.0,
    115.0,
    150.0,
    200.0,
    300.0,
    600.0,
)
_SAMPLE = 2000  # locations whose pairs are used: of the whole section, and again of small neighbourhoods
_LOCAL = 8.0  # spacings: shorter distances use whole neighbourhoods instead of a thinned section


@dataclass(frozen=True)
class DistanceClasses:
    """Pairs of locations by distance.

    Attributes
    ----------
    members
        Locations that are used, one array for each of two samples: of the section, and of neighbourhoods.
    graphs
        For each class the sample that it is taken from, and its pairs in it (CSR, ones).
    weight
        n_d of each class, float64; the first class is that of a location with itself.
    """

    members: list[np.ndarray]
    graphs: list[tuple[int, sparse.csr_matrix]]
    weight: np.ndarray

    def autocovariance(self, fields: np.ndarray) -> np.ndarray:
        """Mean product at each class, float64 (classes, k), of fields of all locations (n, k)."""
        looked_at = [fields[members] for members in self.members]
        rows = [(fields**2).mean(axis=0)]
        for which, graph in self.graphs:
            values = looked_at[which]
            rows.append((values * (graph @ values)).sum(axis=0) / graph.nnz)
        return np.stack(rows)

    @cached_property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.weight)


def distance_classes(xy: np.ndarray, names: np.ndarray, spacing: float, seed: int = 0) -> DistanceClasses:
    """Classes of distance over a section.

    Parameters
    ----------
    xy
        float64 (n, 2).
    names
        Of the locations: which of many are used depends on names and seed, not on order or orientation.
    spacing
        Unit of the classes' edges.
    """
    n = len(xy)
    order = pd.Index(names).argsort()
    drawn = stream(seed, "patterns/correlogram").permutation(order)
    some = np.sort(drawn[:_SAMPLE])
    tree = cKDTree(xy)
    near = some
    if n > _SAMPLE:
        found: set[int] = set()
        for centre in drawn:
            found.update(tree.query_ball_point(xy[centre], _LOCAL * spacing))
            if len(found) >= _SAMPLE:
                break
        near = np.sort(np.fromiter(found, np.int64))
    members = [some, near]
    graphs, weight, inner = [], [float(n)], 0.0
    scale = n * (n - 1.0) / max(len(some) * (len(some) - 1.0), 1.0)
    counted = tree.query_ball_point(xy[some], 1e-6 * spacing, return_length=True).mean()
    for outer in EDGES:
        local = n > _SAMPLE and outer <= _LOCAL
        graph = _between(xy[members[int(local)]], inner * spacing, outer * spacing)
        if local:
            up_to = tree.query_ball_point(xy[some], outer * spacing * 1.001, return_length=True).mean()
            pairs, counted = n * (up_to - counted), up_to
        else:
            pairs = graph.nnz * scale
        if graph.nnz and pairs > 0:
            graphs.append((int(local), graph))
            weight.append(float(pairs))
        inner = outer
    return DistanceClasses(members, graphs, np.array(weight))


def _between(xy: np.ndarray, inner: float, outer: float) -> sparse.csr_matrix:
    """All ordered pairs more than `inner` and at most `outer` apart; a thousandth more, see `pairs_within`."""
    tree = cKDTree(xy)
    pairs = tree.query_pairs(outer * 1.001, output_type="ndarray")
    if inner > 0 and len(pairs):
        distance = np.linalg.norm(xy[pairs[:, 0]] - xy[pairs[:, 1]], axis=1)
        pairs = pairs[distance > inner * 1.001]
    rows, columns = np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(xy), len(xy)))


def chance_variance(classes: DistanceClasses, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """V of pairs of fields from their autocovariances, float64 (k,).

    Autocovariances are too low at long distances, where taking out the mean pulls them below zero. A class in which one
    field's is negative and the other's positive would lower V by that artefact, and counts nothing.

    Parameters
    ----------
    first, second
        float64 (classes, k): column by column a pair.
    """
    products = classes.weight[:, None] * first * second
    return np.maximum(products, 0).sum(axis=0)


def correlation_tail(total: np.ndarray, squares: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and its upper tail.

    Parameters
    ----------
    total
        Σ u v of each pair.
    squares
        √(Σ u² Σ v²).
    variance
        Of the total where the fields are unrelated.
    """
    r = np.clip(total / np.maximum(squares, 1e-300), -1 + 1e-12, 1 - 1e-12)
    freedom = np.maximum(squares**2 / np.maximum(variance, 1e-300) - 1, 1.0)
    return r, np.clip(student.sf(r * np.sqrt(freedom / (1 - r**2)), freedom), 1e-300, 1.0)
