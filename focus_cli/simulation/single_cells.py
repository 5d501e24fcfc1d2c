"""The single-cell reference: cells of the same types and programs, measured in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.simulation.expression import Programs
from focus_cli.simulation.streams import stream
from focus_cli.simulation.tissue import CELL_TYPES, STATES

if TYPE_CHECKING:
    from anndata import AnnData

N_CELLS = 800
_MEDIAN_UMI = 2500.0
_DISPERSION = 0.15
# Dissociation favours lymphocytes and loses fat: shares as CELL_TYPES.
_SHARES = (0.26, 0.12, 0.14, 0.08, 0.17, 0.10, 0.11, 0.02)


def make_reference(programs: Programs, seed: int, n_cells: int = N_CELLS) -> AnnData:
    """Sequence single cells of every type, with all genes, on the panel or not.

    Returns
    -------
    AnnData
        X raw counts, float32 CSR (cells, genes); ``obs["cell_type"]``; ``var["gene_ids"]``.
    """
    import pandas as pd
    from anndata import AnnData

    rng = stream(seed, "reference")
    kind = rng.choice(len(CELL_TYPES), size=n_cells, p=_SHARES)
    kind[: len(CELL_TYPES)] = np.arange(len(CELL_TYPES))  # every type is there at least once
    states = rng.standard_normal((n_cells, len(STATES)), dtype=np.float32)
    niche = STATES.index("niche")
    states[:, niche] = rng.uniform(-1, 1, n_cells)  # nearness to tumour is bounded
    mean = programs.rates(kind, states, np.ones(n_cells, dtype=np.float32)).astype(np.float64)
    mean *= rng.lognormal(0.0, 0.3, programs.n_genes)  # the protocol's own gain for each gene
    depth = rng.lognormal(0.0, 0.35, n_cells)
    mean *= (depth * _MEDIAN_UMI / np.median(mean.sum(axis=1)))[:, None]
    noise = rng.standard_gamma(1 / _DISPERSION, mean.shape) * _DISPERSION
    counts = sparse.csr_matrix(rng.poisson(mean * noise).astype(np.float32))
    obs = pd.DataFrame(
        {keys.CELL_TYPE: pd.Categorical.from_codes(kind, list(CELL_TYPES))},
        index=[f"cell_{i:04d}" for i in range(n_cells)],
    )
    var = pd.DataFrame({"gene_ids": programs.gene_ids}, index=programs.symbols)
    return AnnData(X=counts, obs=obs, var=var)
