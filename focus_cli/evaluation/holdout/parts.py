"""What every task shares: the source, the two halves of the result, the genes' list."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo
from focus_cli.evaluation.normalise import row_sums
from focus_cli.genes import match_genes, read_gene_list

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

# Only these columns are copied to the visible sample: others may contain information on the hidden part.
_OBS = (keys.IN_TISSUE, keys.ARRAY_ROW, keys.ARRAY_COL)
_VAR = (keys.GENE_ID, keys.SYMBOL, keys.FEATURE_TYPE)


@dataclass(frozen=True)
class Source:
    """The sample that is split: raw counts CSR (n, G), positions in µm (n, 2), and the requested genes.

    `rng` is the only source of randomness; `asked_genes` is the user's list or None.
    """

    adata: AnnData
    info: SampleInfo
    rng: np.random.Generator
    seed: int
    n_genes: int
    asked_genes: list[str] | None

    @property
    def counts(self) -> sparse.csr_matrix:
        """Raw counts, CSR (n, G)."""
        return self.adata.X

    @property
    def xy_um(self) -> np.ndarray:
        """Positions in µm, float64 (n, 2)."""
        return np.asarray(self.adata.obsm[keys.SPATIAL_UM], dtype=np.float64)

    def positions(self, genes: list[str]) -> np.ndarray:
        """Positions of named genes in the panel, in the order of the panel."""
        return np.sort(self.adata.var_names.get_indexer(genes))


@dataclass(frozen=True)
class Split:
    """Visible part and truth of a sample.

    `visible` becomes the sample folder, `truth` the truth file; `platform` and `footprint` replace those of
    the source where the locations are new ones; `settings` goes into the provenance.
    """

    visible: AnnData
    truth: AnnData
    platform: PlatformInfo | None = None
    footprint: Footprint | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def visible_sample(source: AnnData, counts: sparse.csr_matrix, genes: np.ndarray | None = None) -> AnnData:
    """A copy of the source with these counts and no information on others.

    Parameters
    ----------
    source
        The sample.
    counts
        Visible counts, CSR (n, G) or (n, len(genes)).
    genes
        Positions of the genes that stay; all if None.
    """
    from anndata import AnnData

    obs = source.obs[[c for c in _OBS if c in source.obs]].copy()
    var = source.var[[c for c in _VAR if c in source.var]].copy()
    if genes is not None:
        var = var.iloc[genes]
    counts = sparse.csr_matrix(counts, dtype=np.float32)
    counts.eliminate_zeros()
    obs[keys.TOTAL_COUNTS] = row_sums(counts)
    visible = AnnData(X=counts, obs=obs, var=var)
    for key in (keys.SPATIAL, keys.SPATIAL_UM):
        visible.obsm[key] = np.asarray(source.obsm[key], dtype=np.float64)
    if keys.UNS_SPATIAL in source.uns:
        visible.uns[keys.UNS_SPATIAL] = source.uns[keys.UNS_SPATIAL]
    return visible


def find_listed_genes(path: Path, panel: pd.DataFrame) -> list[str]:
    """Genes of a panel that a file names, under the panel's names; `focus_cli.genes.files.read_var` reads it.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is empty, or names a gene that the panel does not hold.
    """
    listed = read_gene_list(path)
    rows = panel.index.get_indexer(listed.index) if panel.index.is_unique else np.full(len(listed), -1)
    rows = np.where(rows < 0, match_genes(listed, panel, exclusive=False), rows)
    if len(absent := listed.index[rows < 0]):
        raise BadInputError(
            f"{path} names {len(absent)} genes that the sample does not hold, first {absent[0]}",
            hint="focus genes FILE --reference SAMPLE lists the names that differ",
        )
    return list(dict.fromkeys(panel.index[rows]))


def parse_box(box: tuple[float, float, float, float], what: str) -> tuple[float, float, float, float]:
    """Check a box ``(x0, y0, x1, y1)`` in µm.

    Raises
    ------
    UsageError
        If it is not four finite numbers with x0 < x1 and y0 < y1.
    """
    box = tuple(float(v) for v in box)
    if len(box) != 4 or not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
        raise UsageError(f"{what} must be x0,y0,x1,y1 in µm with x0 < x1 and y0 < y1, got {box}")
    return box


def outside_distance(xy_um: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Distance of each position to a box in µm; 0 inside it."""
    low, high = np.array(box[:2]), np.array(box[2:])
    gap = np.maximum(np.maximum(low - xy_um, xy_um - high), 0)
    return np.hypot(gap[:, 0], gap[:, 1])


def require_genes(genes: np.ndarray, n: int = 1) -> np.ndarray:
    """Refuse a choice of genes that came out (nearly) empty."""
    if len(genes) < n:
        raise BadInputError(
            "too few genes vary in this sample to hold any out",
            hint="a gene is scored only if it is detected in at least 10 locations",
        )
    return genes
