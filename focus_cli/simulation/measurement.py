"""From expected counts to counts: platform factors, ambient RNA, efficiency, overdispersion.

For location i and gene j on the panel, with the truth ``X`` of the platform's scale,

    E[count_ij] = efficiency_i · ((1 − ambient) · X_ij + ambient · ambient_profile_j)
    Var[count_ij] = E + dispersion · E²

and nothing else stands between the truth and the counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli.simulation.arrays import Locations
from focus_cli.simulation.expression import Programs
from focus_cli.simulation.fields import smooth_field
from focus_cli.simulation.footprints import cell_sums
from focus_cli.simulation.streams import stream
from focus_cli.simulation.tissue import Cells, Tissue

AMBIENT = 0.03
DISPERSION = 0.05
# Counts of the median location for each gene of the panel: 1,500 in a Visium spot at 400 genes.
UMI_PER_GENE = {
    "visium": 3.75,
    "visium_hd": 0.15,
    "legacy_st": 6.25,
    "xenium": 0.5,
    "cosmx": 0.4,
    "merscope": 0.6,
    "seqfish": 0.6,
    "osmfish": 4.0,
    "starmap": 0.4,
    "merfish": 0.6,
    "stereoseq": 0.6,
    "slideseq": 0.3,
    "dbit": 3.0,
    "openst": 0.6,
    "spatialdata": 0.5,
    "anndata": 3.75,
}

EXPECTATION = "E[count] = obs.efficiency * ((1 - ambient) * X + ambient * var.ambient_profile)"
VARIANCE = "Var[count] = E[count] + dispersion * E[count] ** 2"


@dataclass(frozen=True)
class Measurement:
    """What the instrument does to one section.

    Attributes
    ----------
    platform_factor
        float32 (genes,): the platform's gain for each gene; the truth's X is on this scale already.
    efficiency
        float64 (locations,): share of the counts that is captured and sequenced.
    ambient_profile
        float64 (genes,): what a location of the section holds on average, in the units of X.
    ambient, dispersion
        See the module.
    """

    platform_factor: np.ndarray
    efficiency: np.ndarray
    ambient_profile: np.ndarray
    ambient: float = AMBIENT
    dispersion: float = DISPERSION


def plan_measurement(
    platform: str,
    tissue: Tissue,
    cells: Cells,
    programs: Programs,
    locations: Locations,
    weights: sparse.csr_matrix,
    *,
    seed: int,
    section: int,
) -> Measurement:
    """Draw a section's factors; the depth is set so that the median location has its platform's UMIs."""
    factor = stream(seed, "platform", platform).lognormal(0.0, 0.4, programs.n_genes)
    share = np.asarray(weights.sum(axis=0)).ravel() / len(locations)
    by_gene, by_cell = cell_sums(share, cells, programs, factor * programs.measured)
    totals = weights @ by_cell

    rng = stream(seed, "efficiency", section)
    smooth = smooth_field(rng, tissue.size_um, 250.0, 8.0).at(locations.xy_um)
    relative = np.exp(rng.normal(0.0, 0.25, len(locations)) + 0.15 * smooth)
    target = UMI_PER_GENE[platform] * programs.measured.sum() * rng.lognormal(0.0, 0.15)
    efficiency = relative * target / np.median(relative * totals)
    return Measurement(factor.astype(np.float32), efficiency, by_gene * factor)


def draw_counts(
    rng: np.random.Generator, truth: np.ndarray, efficiency: np.ndarray, how: Measurement, panel: np.ndarray
) -> sparse.csr_matrix:
    """Draw the counts of some locations.

    Parameters
    ----------
    truth
        float32 (n, genes): expected counts, on the platform's scale.
    efficiency
        float64 (n,): that of these locations.
    panel
        bool (genes,): the genes that are counted.

    Returns
    -------
    int32 CSR (n, genes on the panel)
    """
    mean = (1 - how.ambient) * truth[:, panel] + how.ambient * how.ambient_profile[panel]
    mean *= efficiency[:, None]
    # A gamma mixture of Poissons is a negative binomial of that dispersion.
    noise = rng.standard_gamma(1 / how.dispersion, mean.shape) * how.dispersion
    return sparse.csr_matrix(rng.poisson(mean * noise).astype(np.int32))
