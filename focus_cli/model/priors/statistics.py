r"""Sufficient statistics of measured counts under a linear factor model: the set encoder of any panel.

A gene's expected share of the counts at a location is :math:`p_j (1 + W_j \cdot z)` with a latent
:math:`z \sim N(0, I)`. With the standardised residual :math:`x_j = (y_j/e - p_j)\, b_j`, whose noise
variance is :math:`\bar e / e` for Poisson counts (and less than proportional for overdispersed ones),
and :math:`v_j = W_j\, p_j\, b_j`, the posterior of z depends on the counts only through

.. math:: t = \sum_j v_j\, b_j\, (y_j - e\,p_j) / \bar e, \qquad E = e / \bar e, \qquad A = \sum_j v_j v_j^T,

and is :math:`N((I + E A)^{-1} t,\ (I + E A)^{-1})`. Statistics add up over locations, so pooling
neighbours is a weighted sum, and thirty genes or eighteen thousand are the same code path. The scaling
is that of analytic Pearson residuals (Lause, Berens & Kobak 2021, doi:10.1186/s13059-021-02451-7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

OVERDISPERSION = 0.1  # φ of the variance p + φ p² ē: keeps abundant genes from ruling the factors
REFERENCE_EXPOSURE = 3000.0  # ē, counts: about one Visium spot; only fixes the unit of E


@dataclass(frozen=True)
class PanelStatistics:
    """What turns the counts of one panel into statistics.

    `encoder` is genes × K, `offset` is K; `basis` (K × K, orthonormal) and `precision` (K) are the
    eigenvectors and eigenvalues of A, in which posteriors are elementwise.
    """

    encoder: np.ndarray
    offset: np.ndarray
    basis: np.ndarray
    precision: np.ndarray

    def __call__(self, counts: sparse.csr_matrix, exposure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of each location in the eigenbasis.

        Parameters
        ----------
        counts
            Locations × genes of this panel.
        exposure
            Counts per location over the same genes.

        Returns
        -------
        t
            float32, locations × K.
        relative_exposure
            float32, locations; E above.
        """
        t = np.asarray(counts @ self.encoder) - exposure[:, None] * self.offset
        return t.astype(np.float32), (exposure / REFERENCE_EXPOSURE).astype(np.float32)


def residual_scale(baseline: np.ndarray) -> np.ndarray:
    """The factor b of the standardised residual for genes of these baseline proportions."""
    variance = baseline + OVERDISPERSION * baseline**2 * REFERENCE_EXPOSURE
    scale = np.zeros_like(variance)
    np.divide(REFERENCE_EXPOSURE**0.5, np.sqrt(variance), out=scale, where=variance > 0)
    return scale


def panel_statistics(loadings: np.ndarray, baseline: np.ndarray, visible: np.ndarray) -> PanelStatistics:
    """Prepare the statistics of a panel.

    Parameters
    ----------
    loadings
        W: genes × K, relative deviation per unit of latent.
    baseline
        p: expected proportions of the genes; only their ratios among visible genes matter.
    visible
        Boolean, which genes are measured and may be seen.
    """
    p = np.where(visible, baseline, 0.0)
    total = p.sum()
    p = p / total if total > 0 else p
    b = residual_scale(p)
    v = loadings * (p * b)[:, None]
    encoder = v * b[:, None] / REFERENCE_EXPOSURE
    eigenvalues, basis = np.linalg.eigh(v.T @ v)
    return PanelStatistics(
        encoder=encoder @ basis,
        offset=p @ encoder @ basis,
        basis=basis.astype(np.float32),
        precision=np.maximum(eigenvalues, 0).astype(np.float32),
    )
