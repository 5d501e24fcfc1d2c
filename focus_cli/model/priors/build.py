"""The stage behind ``focus prior``: samples, a reference, gene sets → a prior."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys, provenance
from focus_cli.core.errors import UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import StoredSample, atomic_directory, check_output, open_sample
from focus_cli.core.storage.kinds import PRIOR
from focus_cli.core.storage.sample import check_panel_of_genes
from focus_cli.genes import common_names, gene_table, gene_table_inputs
from focus_cli.model.priors.coexpression import fit_prior
from focus_cli.model.priors.gene_sets import read_gene_sets
from focus_cli.model.priors.spatial_prior import SpatialPrior
from focus_cli.model.priors.store import top_genes, write_prior


def build_prior(
    samples: Sequence[Path],
    out: Path,
    *,
    reference: Path | None = None,
    gene_sets: Path | None = None,
    n_factors: int = 32,
    seed: int = 0,
    overwrite: bool = False,
) -> SpatialPrior:
    """Fit a prior and write it.

    Parameters
    ----------
    samples
        Folders made by ``focus preprocess``; may be empty where a reference is given.
    out
        Folder to make.
    reference
        Folder made by ``focus reference``.
    gene_sets
        GMT file.
    n_factors
        K.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.core.errors`. Nothing is written then.
    """
    check_output(out, PRIOR, inputs=[*samples, reference, gene_sets], overwrite=overwrite)
    if not samples and reference is None:
        raise UsageError(
            "a prior needs samples, a reference, or both",
            hint="gene sets state which genes belong together, not how abundant they are",
        )
    stored = [open_sample(path) for path in samples]
    sets = read_gene_sets(gene_sets) if gene_sets is not None else None
    opened = None
    if reference is not None:
        from focus_cli.genes.reference import open_reference

        opened = open_reference(reference)
    read = [_for_prior(s) for s in stored]
    tables = common_names([table for table, *_ in read])
    read = [(table, *rest) for table, (_, *rest) in zip(tables, read)]
    prior = fit_prior(read, n_factors, reference=opened, gene_sets=sets, seed=seed)
    inputs = {f"sample:{s.info.sample_id}": s.path for s in stored}
    inputs |= {role: Path(p) for role, p in (("reference", reference), ("gene_sets", gene_sets)) if p is not None}
    inputs |= gene_table_inputs()
    record = provenance.describe_run("prior", {"n_factors": n_factors}, inputs, seed)
    with atomic_directory(out, overwrite, kind=PRIOR) as folder:
        write_prior(folder, prior, {"samples": [s.info.sample_id for s in stored], "provenance": record})
    _tell(prior)
    print_message(f"prior: {prior.n_factors} factors over {len(prior.genes):,} genes → {out}")
    return prior


def _for_prior(stored: StoredSample) -> tuple[pd.DataFrame, sparse.csr_matrix, np.ndarray, float]:
    adata = stored.read()
    check_panel_of_genes(adata, stored.path)
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    kept = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() > 0)
    return (
        gene_table(adata.var),
        counts[kept],
        np.asarray(adata.obsm[keys.SPATIAL_UM])[kept],
        stored.info.footprint.pitch_um,
    )


def _tell(prior: SpatialPrior, n_factors: int = 6, n_genes: int = 6) -> None:
    """The leading factors in words."""
    share = prior.variance / max(prior.variance.sum(), 1e-12)
    for factor in range(min(n_factors, prior.n_factors)):
        up, down = (" ".join(prior.genes[rows]) for rows in top_genes(prior, factor, n_genes))
        print_message(f"prior: factor {factor} ({share[factor]:.0%} of the variance): {up} | {down}")
