r"""What a location's depth alone explains of its counts, taken out before anything is tested.

The null hypothesis of every test here: a gene's share of the molecules is the same everywhere but for what the depth
explains, :math:`\log \mu_i = \log N_i + b_0 + b_1 \log N_i + b_2 \log^2 N_i`. To first order, and with weights that
all genes have in common, this is a projection of :math:`y_i / \sqrt{N_i}` off three columns (the efficient score of a
Poisson regression at a constant share), so it costs one product for all genes.
"""

from __future__ import annotations

import numpy as np


def depth_basis(totals: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span √N, √N log N and √N log² N; fewer where the depth hardly varies.

    Parameters
    ----------
    totals
        Molecules of each location, above 0, float64 (n,).

    Returns
    -------
    numpy.ndarray
        float64 (n, 1 to 3).
    """
    root = np.sqrt(totals)
    log = np.log(totals) - np.average(np.log(totals), weights=totals)
    scale = max(float(np.sqrt(np.average(log**2, weights=totals))), 1e-12)
    columns = root[:, None] * (log / scale)[:, None] ** np.arange(3)
    columns /= np.linalg.norm(columns, axis=0)
    basis, r = np.linalg.qr(columns)
    kept = np.abs(np.diag(r)) > 1e-4
    kept[0] = True
    return basis[:, kept]
