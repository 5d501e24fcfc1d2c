"""Covariance between genes over tissue, without the noise of counting, as an operator on directions in gene space.

Noise is independent between neighbouring locations, and between two thinned halves of one location, so the
covariance *between* them holds signal alone, in expectation. The leading eigenvectors of an estimate still follow its
noise: along them the estimate is too large. How much of it is real is seen on counts that the eigenvectors were
not chosen on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.core.statistics.thinning import thin
from focus_cli.model.priors.matrix_cache import MatrixCache
from focus_cli.model.priors.statistics import REFERENCE_EXPOSURE

NODES_MAX = 3000  # locations are grouped on a grid until there are no more than this many
NODES_LOOSE = 1.5  # grids that are hardly wider than the pitch are not laid
MOST_NODES = int(NODES_MAX * NODES_LOOSE**2)  # of a sample, whatever its size
NODE_EXPOSURE = 1500.0  # and until a node holds about this many counts
GRAPH_NEIGHBOURS = 8  # both rings that may be first: six of a hexagonal array, four or eight of a square one
POWER_ITERATIONS = 4

Covariance = Callable[[np.ndarray], np.ndarray]
"""Directions (genes × k) → what the covariance makes of them (genes × k)."""


def group_locations(
    counts: sparse.csr_matrix, xy_um: np.ndarray, pitch_um: float
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Sum locations into nodes that hold enough counts and are few enough; counts and centres of the nodes."""
    median = max(float(np.median(np.asarray(counts.sum(axis=1)).ravel())), 1.0)
    factor = max(np.sqrt(len(xy_um) / NODES_MAX), np.sqrt(min(NODE_EXPOSURE / median, len(xy_um) / 200)))
    if factor <= NODES_LOOSE:
        return counts, xy_um
    cell = np.floor((xy_um - xy_um.min(axis=0)) / (np.ceil(factor) * pitch_um)).astype(np.int64)
    _, member = np.unique(cell @ np.array([1 << 32, 1]), return_inverse=True)
    groups = sparse.csr_matrix((np.ones(len(member)), (member, np.arange(len(member)))))
    size = np.asarray(groups.sum(axis=1))
    return (groups @ counts).tocsr(), np.asarray(groups @ xy_um) / size


def own_baseline(counts: sparse.csr_matrix, baseline: np.ndarray) -> np.ndarray:
    """The sample's own proportions, drawn towards the cohort's where the sample has few counts.

    Residuals are taken within a sample: what differs between samples as a whole is no spatial pattern.
    Genes that the sample did not measure keep their share out of it.
    """
    total = np.asarray(counts.sum(axis=0)).ravel()
    strength = REFERENCE_EXPOSURE
    own = (total + strength * baseline * (total > 0)) / (total.sum() + strength)
    return np.where(total > 0, own, 0.0)


class _Residuals:
    """Standardised residuals of one sample as an operator, never made dense."""

    def __init__(
        self,
        counts: sparse.csr_matrix,
        xy_um: np.ndarray,
        baseline: np.ndarray,
        scale: np.ndarray,
        rng: np.random.Generator,
        cache: MatrixCache,
    ):
        exposure = np.asarray(counts.sum(axis=1)).ravel()
        kept = exposure > 0
        counts = counts[kept].tocsr()
        self.share = cache.keep(_shares(counts, exposure[kept]))
        self.halves = [cache.keep(_shares(h, np.asarray(h.sum(axis=1)).ravel())) for h in thin(counts, 0.5, rng)]
        # Nodes with few counts are noisy: weigh them by the square root of their exposure.
        weight = np.sqrt(exposure[kept] / exposure[kept].mean())
        self.row_weight = np.minimum(weight, 2.0)[:, None].astype(np.float32)
        self.graph = _graph(xy_um[kept]).astype(np.float32)
        self.baseline, self.scale = (a[:, None].astype(np.float32) for a in (baseline, scale))

    def between_neighbours(self, directions: np.ndarray) -> np.ndarray:
        """Covariance between neighbouring locations, applied to `directions` (genes × k)."""
        return self._back(self.share, self.graph @ self._forth(self.share, directions))

    def between_halves(self, directions: np.ndarray) -> np.ndarray:
        """Covariance between two thinned halves of the same locations, applied to `directions`."""
        first, second = self.halves
        n = self.row_weight.shape[0]
        forth = self._back(first, self._forth(second, directions) / n)
        return (forth + self._back(second, self._forth(first, directions) / n)) / 2

    def _forth(self, share: sparse.csr_matrix, directions: np.ndarray) -> np.ndarray:
        scaled = directions * self.scale
        return self.row_weight * (share @ scaled - (self.baseline * scaled).sum(axis=0))

    def _back(self, share: sparse.csr_matrix, scores: np.ndarray) -> np.ndarray:
        back = self.row_weight * scores
        return self.scale * (share.T @ back - self.baseline * back.sum(axis=0))


def _graph(xy_um: np.ndarray) -> sparse.csr_matrix:
    """Symmetric nearest-neighbour graph without loops; total weight 1."""
    k = min(GRAPH_NEIGHBOURS + 1, len(xy_um))
    if k < 2:
        return sparse.csr_matrix((len(xy_um), len(xy_um)))
    distance, nearest = cKDTree(xy_um).query(xy_um, k=k)
    keep = distance[:, 1:] < 2.0 * np.median(distance[:, 1:])
    row = np.repeat(np.arange(len(xy_um)), k - 1).reshape(keep.shape)
    graph = sparse.csr_matrix((np.ones(keep.sum()), (row[keep], nearest[:, 1:][keep])), shape=(len(xy_um), len(xy_um)))
    graph = graph + graph.T
    return graph / max(graph.sum(), 1.0)


def _shares(counts: sparse.csr_matrix, exposure: np.ndarray) -> sparse.csr_matrix:
    """Shares of each gene at each location, float32."""
    return (sparse.diags(1 / np.maximum(exposure, 1.0)) @ counts).tocsr().astype(np.float32)


class TissueCovariance:
    """Mean over samples of the covariance between neighbours and between halves of locations.

    Parameters
    ----------
    nodes
        Of each sample: counts (CSR, nodes × G, over one list of genes) and positions in µm (nodes × 2).
    baseline
        Expected proportions, G.
    scale
        Of the standardised residual, G; see `residual_scale`.
    rng
        Of the thinning.
    cache
        Where matrices wait that the operator applies.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[sparse.csr_matrix, np.ndarray]],
        baseline: np.ndarray,
        scale: np.ndarray,
        rng: np.random.Generator,
        cache: MatrixCache | None = None,
    ) -> None:
        self._nodes, self._baseline, self._scale, self._rng = nodes, baseline, scale, rng
        self._cache = cache = cache or MatrixCache()
        self._parts = [
            _Residuals(counts, xy, own_baseline(counts, baseline), scale, rng, cache) for counts, xy in nodes
        ]

    def __call__(self, directions: np.ndarray) -> np.ndarray:
        """Apply to directions, genes × k."""
        applied = (part.between_neighbours(directions) + part.between_halves(directions) for part in self._parts)
        return sum(applied) / (2 * len(self._parts))

    def halves(self) -> tuple[TissueCovariance, TissueCovariance]:
        """Two estimates from halves of the counts, whose noise is independent."""
        split = [([self._cache.keep(h) for h in thin(counts, 0.5, self._rng)], xy) for counts, xy in self._nodes]
        first, second = ([(parts[i], xy) for parts, xy in split] for i in (0, 1))
        return tuple(
            TissueCovariance(half, self._baseline, self._scale, self._rng, self._cache) for half in (first, second)
        )


def top_eigenvectors(
    covariance: Covariance, n_genes: int, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Leading (algebraically largest) eigenpairs of a symmetric operator by subspace iteration."""
    width = min(k + 16, n_genes)
    q = np.linalg.qr(rng.standard_normal((n_genes, width), dtype=np.float32))[0]
    for _ in range(POWER_ITERATIONS):
        q = np.linalg.qr(covariance(q))[0]
    small = q.T @ covariance(q)
    eigenvalues, rotation = np.linalg.eigh((small + small.T) / 2)
    order = np.argsort(-eigenvalues)[:k]
    vectors = q @ rotation[:, order]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return eigenvalues[order], vectors * signs


def shrinkage(
    parts: tuple[Covariance, Covariance],
    n_genes: int,
    k: int,
    rng: np.random.Generator,
    widen: Callable[[Covariance], Covariance] = lambda covariance: covariance,
) -> np.ndarray:
    """Shrinkage factors of the leading eigenvalues, by rank: float64 (k,), non-increasing, at most 1.

    Eigenvectors of one part of the data are measured on the other part, and the other way round: the share of an
    eigenvalue that is reproduced is variance of the tissue. It is squared, because the entries of the eigenvector,
    from which other genes are predicted, are noisy to the same degree (figures in docs/model.md).

    Parameters
    ----------
    parts
        Two estimates of one covariance whose noise is independent: of halves of the counts, or of the locations.
    widen
        What is added to a covariance before its eigenvectors are taken.
    """
    found, held = np.zeros(k), np.zeros(k)
    for first, second in (parts, parts[::-1]):
        eigenvalues, vectors = top_eigenvectors(widen(first), n_genes, k, rng)
        found += np.maximum(eigenvalues, 0)
        held += np.sum(vectors * second(vectors), axis=0)
    share = np.divide(held, found, out=np.zeros(k), where=found > 0)
    return np.minimum.accumulate(np.clip(share, 0.0, 1.0)) ** 2
