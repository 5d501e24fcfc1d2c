"""The spatial co-expression prior: gene factors that neighbouring locations share.

Noise is independent between neighbouring locations, and between two thinned halves of one location, so the
covariance *between* them holds signal alone. The leading eigenvectors of their mean are the directions in gene
space that vary over tissue, from place to place (a multivariate Moran's I, as in MULTISPATI: Dray, Saïd &
Débias 2008, doi:10.3170/2007-8-18312) or from location to location; the eigenvalues are their prior variance.
Cell states of an scRNA-seq reference widen the space, and lend loadings to the genes that the panel does not
hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli import keys
from focus_cli.priors.statistics import REFERENCE_EXPOSURE, residual_scale

NODES_MAX = 3000  # locations are grouped on a grid until there are no more than this many
NODE_EXPOSURE = 1500.0  # and until a node holds about this many molecules
GRAPH_NEIGHBOURS = 8  # both rings that may be first: six of a hexagonal array, four or eight of a square one
REFERENCE_SHARE = 0.2  # weight of the reference's cell-state covariance, as a share of the spatial trace
GENE_SET_SHARE = 0.2  # the same for gene sets
MIXING = 0.1  # without tissue: variance between locations as a share of that between cells, about ten to a location
POWER_ITERATIONS = 4
VARIANCE_FLOOR = 0.01  # of the largest factor's variance


@dataclass(frozen=True)
class SpatialPrior:
    """Gene vectors and baselines, for every gene that was measured or that the reference knows.

    Attributes
    ----------
    genes, gene_ids
        Sorted names, G, and the Ensembl id of each, an empty string where it is not known.
    baseline
        float64, G: expected share of a location's molecules; measured genes sum to 1.
    level_error
        float32, G: standard deviation of the log of the baseline where the reference alone states it, else 0.
    loadings
        float32, G × K: W, relative deviation per unit of the whitened latent.
    reference_loadings
        float32, G × K: the same, as the reference alone predicts them; 0 for genes unknown to it.
    measured, in_reference
        bool, G.
    variance
        float32, K: prior variance of each factor before whitening, descending.
    """

    genes: np.ndarray
    gene_ids: np.ndarray
    baseline: np.ndarray
    level_error: np.ndarray
    loadings: np.ndarray
    reference_loadings: np.ndarray
    measured: np.ndarray
    in_reference: np.ndarray
    variance: np.ndarray

    @property
    def var(self) -> pd.DataFrame:
        """Names and ids as a table, for matching with other tables."""
        return pd.DataFrame({keys.GENE_ID: self.gene_ids}, index=self.genes)

    @property
    def n_factors(self) -> int:
        """K."""
        return self.loadings.shape[1]

    def rows(self, names: np.ndarray) -> np.ndarray:
        """Row of each name in `genes`, or −1."""
        position = np.searchsorted(self.genes, names)
        position = np.minimum(position, len(self.genes) - 1)
        return np.where(self.genes[position] == names, position, -1)


def _group(counts: sparse.csr_matrix, xy_um: np.ndarray, pitch_um: float) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Sum locations into nodes that hold enough molecules and are few enough."""
    median = max(float(np.median(np.asarray(counts.sum(axis=1)).ravel())), 1.0)
    factor = max(np.sqrt(len(xy_um) / NODES_MAX), np.sqrt(min(NODE_EXPOSURE / median, len(xy_um) / 200)))
    if factor <= 1.5:
        return counts, xy_um
    cell = np.floor((xy_um - xy_um.min(axis=0)) / (np.ceil(factor) * pitch_um)).astype(np.int64)
    _, member = np.unique(cell @ np.array([1 << 32, 1]), return_inverse=True)
    groups = sparse.csr_matrix((np.ones(len(member)), (member, np.arange(len(member)))))
    size = np.asarray(groups.sum(axis=1))
    return (groups @ counts).tocsr(), np.asarray(groups @ xy_um) / size


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


class _Residuals:
    """Standardised residuals of one sample as an operator, never made dense."""

    def __init__(
        self,
        counts: sparse.csr_matrix,
        xy_um: np.ndarray,
        baseline: np.ndarray,
        scale: np.ndarray,
        rng: np.random.Generator,
    ):
        exposure = np.asarray(counts.sum(axis=1)).ravel()
        kept = exposure > 0
        counts = counts[kept].tocsr()
        half = counts.copy()
        half.data = rng.binomial(np.rint(counts.data).astype(np.int64), 0.5).astype(np.float64)
        self.share, self.share_t = _shares(counts, exposure[kept])
        self.halves = [_shares(h, np.asarray(h.sum(axis=1)).ravel()) for h in (half, (counts - half).tocsr())]
        # Nodes with few molecules are noisy: weigh them by the square root of their exposure.
        weight = np.sqrt(exposure[kept] / exposure[kept].mean())
        self.row_weight = np.minimum(weight, 2.0)[:, None].astype(np.float32)
        self.graph = _graph(xy_um[kept]).astype(np.float32)
        self.baseline, self.scale = (a[:, None].astype(np.float32) for a in (baseline, scale))

    def between_neighbours(self, directions: np.ndarray) -> np.ndarray:
        """Covariance between neighbouring locations, applied to `directions` (genes × k)."""
        return self._back(self.share_t, self.graph @ self._forth(self.share, directions))

    def between_halves(self, directions: np.ndarray) -> np.ndarray:
        """Covariance between two thinned halves of the same locations, applied to `directions`."""
        (first, first_t), (second, second_t) = self.halves
        n = self.row_weight.shape[0]
        forth = self._back(first_t, self._forth(second, directions) / n)
        return (forth + self._back(second_t, self._forth(first, directions) / n)) / 2

    def _forth(self, share: sparse.csr_matrix, directions: np.ndarray) -> np.ndarray:
        scaled = directions * self.scale
        return self.row_weight * (share @ scaled - (self.baseline * scaled).sum(axis=0))

    def _back(self, share_t: sparse.csr_matrix, scores: np.ndarray) -> np.ndarray:
        back = self.row_weight * scores
        return self.scale * (share_t @ back - self.baseline * back.sum(axis=0))


def _shares(counts: sparse.csr_matrix, exposure: np.ndarray) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Shares of each gene at each location, and their transpose, float32."""
    share = (sparse.diags(1 / np.maximum(exposure, 1.0)) @ counts).tocsr().astype(np.float32)
    return share, share.T.tocsr()


def _top_eigenvectors(covariance, n_genes: int, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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


def _captured(covariance, directions: np.ndarray) -> float:
    """Spatial variance along the rows of `directions`, orthonormalised."""
    q = np.linalg.qr(directions.T)[0]
    return np.sum(q * covariance(q))


def fit_prior(samples, n_factors: int, *, reference=None, gene_sets=None, seed: int = 0) -> SpatialPrior:
    """Fit the prior on samples, on a reference, or on both; gene sets widen either.

    Parameters
    ----------
    samples
        Sequence of (genes, counts CSR locations × genes, xy_um, pitch_um); `genes` is a table indexed by
        name, with Ensembl ids under ``gene_ids`` where they are known. May be empty with a reference: the
        factors are then those of its cell states, and no gene counts as measured.
    n_factors
        K; fewer if there are fewer genes.
    reference
        A `focus_cli.reference.Reference`, or None.
    gene_sets
        Name → genes, or None; each set is a direction that the factors are drawn to.
    seed
        Of the subspace iteration.
    """
    from focus_cli.priors.gene_sets import set_directions
    from focus_cli.priors.transfer import reference_states, transfer_loadings

    panel = merge_genes([s[0] for s in samples]).sort_index() if samples else pd.DataFrame({keys.GENE_ID: []})
    measured_names = panel.index.to_numpy(str)
    states = reference_states(reference, panel) if reference is not None else None
    genes = np.union1d(measured_names, states.genes) if states is not None else measured_names
    row = {name: i for i, name in enumerate(genes)}
    measured = np.isin(genes, measured_names)

    totals, exposures, grouped = np.zeros(len(genes)), np.zeros(len(genes)), []
    for table, counts, xy_um, pitch_um in samples:
        column = np.array([row[name] for name in table.index])
        spread = sparse.csr_matrix(
            (counts.data.astype(np.float64), column[counts.indices], counts.indptr),
            shape=(counts.shape[0], len(genes)),
        )
        totals += np.asarray(spread.sum(axis=0)).ravel()
        exposures[column] += counts.sum()
        grouped.append(_group(spread, xy_um, pitch_um))
    if samples:
        # Half a molecule each: a gene that was never seen is rare, not impossible.
        baseline = np.where(measured, (totals + 0.5) / np.maximum(exposures + 0.5 * measured.sum(), 1.0), 0.0)
    else:
        baseline = states.proportions.mean(axis=0) + 1e-9
    baseline = baseline / baseline.sum()
    scale = residual_scale(baseline)
    rng = np.random.default_rng(seed)
    residuals = [_Residuals(counts, xy, _own_baseline(counts, baseline), scale, rng) for counts, xy in grouped]

    deviations = states.deviations(genes, baseline, scale).astype(np.float32) if states is not None else None

    def varies(directions: np.ndarray) -> np.ndarray:
        """Covariance over tissue, or between the cell states where there is no tissue."""
        if not samples:
            return MIXING / len(deviations) * (deviations.T @ (deviations @ directions))
        applied = (r.between_neighbours(directions) + r.between_halves(directions) for r in residuals)
        return sum(applied) / (2 * len(residuals))

    guides = []
    if samples and states is not None:
        guides.append((deviations, REFERENCE_SHARE))
    if gene_sets is not None:
        guides.append((set_directions(gene_sets, genes) * (baseline > 0), GENE_SET_SHARE))
    covariance = _guided(varies, guides)
    k = min(n_factors, int(measured.sum()) if samples else len(deviations) - 1 + sum(len(g) for g, _ in guides))
    eigenvalues, vectors = _top_eigenvectors(covariance, len(genes), k, rng)
    variance = np.maximum(eigenvalues, VARIANCE_FLOOR * max(eigenvalues[0], 1e-6))
    relative = np.zeros_like(vectors)
    fitted = measured if samples else baseline > 0
    np.divide(vectors * np.sqrt(variance), (baseline * scale)[:, None], out=relative, where=fitted[:, None])
    own = relative.astype(np.float32)
    prior = SpatialPrior(
        genes=genes,
        gene_ids=panel[keys.GENE_ID].reindex(genes).fillna("").to_numpy(str),
        baseline=baseline,
        level_error=np.zeros(len(genes), np.float32),
        loadings=own,
        reference_loadings=np.zeros_like(own) if samples else own,
        measured=measured,
        in_reference=np.zeros(len(genes), bool) if samples else fitted,
        variance=variance.astype(np.float32),
    )
    return transfer_loadings(prior, states) if samples and states is not None else prior


def _guided(varies, guides):
    """The covariance, widened by directions that cell states or gene sets span.

    Each guide (directions × genes) is brought to unit trace and then to its share of the covariance's own trace on
    its directions, so that what does not vary over this tissue weighs little.
    """
    weighed = []
    for directions, share in guides:
        directions = directions / max(np.linalg.norm(directions), 1e-12)
        weighed.append((directions, share * max(float(_captured(varies, directions)), 1e-6)))

    def covariance(vectors: np.ndarray) -> np.ndarray:
        return sum((weight * (d.T @ (d @ vectors)) for d, weight in weighed), varies(vectors))

    return covariance


def merge_genes(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of genes as one: each name once, in order of appearance, with the first id that any table knows."""
    merged = pd.concat(tables)
    known = pd.concat([merged[merged[keys.GENE_ID] != ""], merged])
    return known[~known.index.duplicated()].loc[merged.index.unique()]


def _own_baseline(counts: sparse.csr_matrix, baseline: np.ndarray) -> np.ndarray:
    """The sample's own proportions, drawn towards the cohort's where the sample has few molecules.

    Residuals are taken within a sample: what differs between samples as a whole is no spatial pattern.
    Genes that the sample did not measure keep their share out of it.
    """
    total = np.asarray(counts.sum(axis=0)).ravel()
    strength = REFERENCE_EXPOSURE
    own = (total + strength * baseline * (total > 0)) / (total.sum() + strength)
    return np.where(total > 0, own, 0.0)
