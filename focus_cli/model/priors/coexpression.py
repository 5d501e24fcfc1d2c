"""The spatial co-expression prior: gene factors that neighbouring locations share.

The leading eigenvectors of the covariance over tissue are the directions in gene space that vary from place to place
(a multivariate Moran's I, as in MULTISPATI: Dray, Saïd & Débias 2008, doi:10.3170/2007-8-18312) or from location to
location; what of the eigenvalues is real is their prior variance. Cell states of an scRNA-seq reference widen the
space, and lend loadings to the genes that the panel does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.progress import track
from focus_cli.genes.reference import reference_for
from focus_cli.model.priors.covariance import (
    Covariance,
    TissueCovariance,
    group_locations,
    shrinkage,
    top_eigenvectors,
)
from focus_cli.model.priors.matrix_cache import MatrixCache
from focus_cli.model.priors.section import PriorSection, draw_sections
from focus_cli.model.priors.spatial_prior import SpatialPrior, merge_genes
from focus_cli.model.priors.statistics import residual_scale
from focus_cli.model.priors.transfer import reference_states, transfer_loadings

REFERENCE_SHARE = 0.2  # weight of the reference's cell-state covariance, as a share of the spatial trace
GENE_SET_SHARE = 0.2  # the same for gene sets
MIXING = 0.1  # without tissue: variance between locations as a share of that between cells, about ten to a location
VARIANCE_FLOOR = 1e-3  # of the largest factor's variance


def fit_prior(samples, n_factors: int, *, reference=None, gene_sets=None, seed: int = 0) -> SpatialPrior:
    """Fit the prior on samples, on a reference, or on both; gene sets widen either.

    Parameters
    ----------
    samples
        Sequence of (genes, counts CSR locations × genes, xy_um, pitch_um), or of `PriorSection`, whose counts are
        read one sample at a time; `genes` is a table indexed by name, with Ensembl ids under ``gene_ids`` where they
        are known. May be empty with a reference: the factors are then those of its cell states, and no gene counts as
        measured. Beyond `MAX_VALUES` counts, the covariance is that of samples drawn by `seed`.
    n_factors
        K; fewer if there are fewer genes.
    reference
        A `focus_cli.genes.reference.Reference`, or None.
    gene_sets
        Name → genes, or None; each set is a direction that the factors are drawn to.
    seed
        Of the subspace iteration, of the thinning, and of the draw of samples where there are too many.
    """
    rng = np.random.default_rng(seed)
    if not samples:
        return _fit_on_states(reference_states(reference, _no_genes()), n_factors, gene_sets, rng)
    sections = [PriorSection.of(sample) for sample in samples]
    panel = merge_genes(list({id(s.genes): s.genes for s in sections}.values())).sort_index()
    if reference is not None:
        reference = reference_for(reference, panel)
    states = reference_states(reference, panel) if reference is not None else None
    measured_names = panel.index.to_numpy(str)
    genes = np.union1d(measured_names, states.genes) if states is not None else measured_names
    measured = np.isin(genes, measured_names)

    cache = MatrixCache()
    baseline, nodes = _pool(sections, draw_sections(sections, seed), genes, measured, cache)
    scale = residual_scale(baseline)
    tissue = TissueCovariance(nodes, baseline, scale, rng, cache)
    directions = []
    if states is not None:
        directions.append((states.deviations(genes, baseline, scale).astype(np.float32), REFERENCE_SHARE))
    gene_ids = panel[keys.GENE_ID].reindex(genes).fillna("").to_numpy(str)
    directions += _set_guides(gene_sets, genes, gene_ids, baseline)

    def widen(covariance: Covariance) -> Covariance:
        return _guided(covariance, directions)

    k = min(n_factors, int(measured.sum()))
    eigenvalues, vectors = top_eigenvectors(widen(tissue), len(genes), k, rng)
    variance = eigenvalues * shrinkage(tissue.halves(), len(genes), k, rng, widen)
    loadings, variance = _loadings(vectors, variance, baseline * scale, measured)
    prior = SpatialPrior(
        genes=genes,
        gene_ids=gene_ids,
        baseline=baseline,
        level_error=np.zeros(len(genes), np.float32),
        loadings=loadings,
        reference_loadings=np.zeros_like(loadings),
        measured=measured,
        in_reference=np.zeros(len(genes), bool),
        variance=variance,
    )
    return transfer_loadings(prior, states) if states is not None else prior


def _fit_on_states(states, n_factors: int, gene_sets, rng: np.random.Generator) -> SpatialPrior:
    """A prior on the cell states of a reference alone: tissue is taken for a mixture of them."""
    genes, n_genes = states.genes, len(states.genes)
    baseline = states.proportions.mean(axis=0) + 1e-9
    baseline = baseline / baseline.sum()
    scale = residual_scale(baseline)
    deviations = states.deviations(genes, baseline, scale).astype(np.float32)
    gene_ids = np.full(n_genes, "")
    guides = _set_guides(gene_sets, genes, gene_ids, baseline)

    def mixtures(directions: np.ndarray) -> np.ndarray:
        return MIXING / len(deviations) * (deviations.T @ (deviations @ directions))

    k = min(n_factors, len(deviations) - 1 + sum(len(directions) for directions, _ in guides))
    variance, vectors = top_eigenvectors(_guided(mixtures, guides), n_genes, k, rng)
    loadings, variance = _loadings(vectors, variance, baseline * scale, baseline > 0)
    return SpatialPrior(
        genes=genes,
        gene_ids=gene_ids,
        baseline=baseline,
        level_error=np.zeros(n_genes, np.float32),
        loadings=loadings,
        reference_loadings=loadings,
        measured=np.zeros(n_genes, bool),
        in_reference=baseline > 0,
        variance=variance,
    )


def _no_genes() -> pd.DataFrame:
    return pd.DataFrame({keys.GENE_ID: []})


def _pool(
    sections: Sequence[PriorSection], drawn: np.ndarray, genes: np.ndarray, measured: np.ndarray, cache: MatrixCache
) -> tuple[np.ndarray, list]:
    """Expected proportions over all samples (float64, G), and the nodes of each drawn sample on these genes."""
    row = {name: i for i, name in enumerate(genes)}
    totals, exposures, nodes = np.zeros(len(genes)), np.zeros(len(genes)), []
    columns: dict[int, np.ndarray] = {}
    for section, looked_at in track(list(zip(sections, drawn)), "prior: reading samples"):
        if id(section.genes) not in columns:
            columns[id(section.genes)] = np.array([row[name] for name in section.genes.index])
        column = columns[id(section.genes)]
        if not looked_at:
            own = np.asarray(section.totals(), np.float64).ravel()
            totals[column] += own
            exposures[column] += own.sum()
            continue
        counts, xy_um = section.read()
        spread = sparse.csr_matrix(
            (counts.data.astype(np.float64), column[counts.indices], counts.indptr),
            shape=(counts.shape[0], len(genes)),
        )
        totals += np.asarray(spread.sum(axis=0)).ravel()
        exposures[column] += counts.sum()
        grouped, centres = group_locations(spread, xy_um, section.pitch_um)
        nodes.append((cache.keep(grouped), centres))
    # Half a count each: a gene that was never seen is rare, not impossible.
    baseline = np.where(measured, (totals + 0.5) / np.maximum(exposures + 0.5 * measured.sum(), 1.0), 0.0)
    return baseline / baseline.sum(), nodes


def _loadings(
    vectors: np.ndarray, variance: np.ndarray, unit: np.ndarray, fitted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Relative deviation per unit of the whitened latent (float32, G × K), and the factors' variances."""
    variance = np.maximum(variance, VARIANCE_FLOOR * max(variance[0], 1e-6))
    relative = np.zeros_like(vectors)
    np.divide(vectors * np.sqrt(variance), unit[:, None], out=relative, where=fitted[:, None])
    return relative.astype(np.float32), variance.astype(np.float32)


def _set_guides(
    gene_sets, genes: np.ndarray, gene_ids: np.ndarray, baseline: np.ndarray
) -> list[tuple[np.ndarray, float]]:
    from focus_cli.model.priors.gene_sets import set_directions

    if gene_sets is None:
        return []
    table = pd.DataFrame({keys.GENE_ID: gene_ids}, index=genes)
    return [(set_directions(gene_sets, table) * (baseline > 0), GENE_SET_SHARE)]


def _guided(varies: Covariance, guides: Sequence[tuple[np.ndarray, float]]) -> Covariance:
    """The covariance, widened by directions that cell states or gene sets span.

    Each guide (directions × genes) is brought to unit trace and then to its share of the covariance's trace on
    its directions, so that what does not vary over this tissue weighs little.
    """
    weighed = []
    for directions, share in guides:
        directions = directions / max(np.linalg.norm(directions), 1e-12)
        weighed.append((directions, share * max(float(_captured(varies, directions)), 1e-6)))

    def covariance(vectors: np.ndarray) -> np.ndarray:
        return sum((weight * (d.T @ (d @ vectors)) for d, weight in weighed), varies(vectors))

    return covariance


def _captured(covariance: Covariance, directions: np.ndarray) -> float:
    """Spatial variance along the rows of `directions`, orthonormalised."""
    q = np.linalg.qr(directions.T)[0]
    return np.sum(q * covariance(q))
