"""From latents to expression: mean, spread and quantiles of every gene, one block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from focus_cli.core import keys
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.enhancement.infer import require_finite
from focus_cli.enhancement.residual import GeneResidual, apply_residual, kernel
from focus_cli.model.network import share_link, share_link_and_slope

QUANTILES = (0.05, 0.95)
_NORMAL_QUANTILE = {0.05: -1.6448536, 0.95: 1.6448536}


@dataclass(frozen=True)
class GeneDecoder:
    """Gene vectors of the genes that are written.

    `loadings` G × K and `baseline` G (expected share) in the output's gene order. `loading_sd` G is the
    standard deviation of each entry of a gene's vector: 0 for genes of the panel (whose own counts correct
    them), the error of the transfer for genes that only the reference contains. `level_sd` G is that of the log of the
    baseline: one factor for all locations, so it blurs a gene's level and not its pattern. `gene_sd` G is what the gene
    keeps to itself, relative to its share, where none of its counts inform it.
    """

    loadings: Tensor
    baseline: Tensor
    loading_sd: Tensor
    level_sd: Tensor
    gene_sd: Tensor

    def share(self, latent: np.ndarray, genes: np.ndarray | slice = slice(None)) -> Tensor:
        """Expected shares, rows × genes."""
        u = torch.from_numpy(latent) @ self.loadings[genes].T
        share = share_link(u) * self.baseline[genes]
        require_finite("shares of genes", share)
        return share

    def share_and_sd(self, mean: np.ndarray, sd: np.ndarray, genes: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Expected shares and their standard deviations by the delta method, rows × genes."""
        z, loadings, baseline = torch.from_numpy(mean), self.loadings[genes], self.baseline[genes]
        spread = torch.from_numpy(sd) ** 2 @ (loadings**2).T
        spread = (spread + (z**2).sum(dim=1)[:, None] * self.loading_sd[genes] ** 2).sqrt_()
        share, slope = share_link_and_slope(z @ loadings.T)
        share.mul_(baseline)
        sd_of_share = torch.hypot(spread.mul_(slope).mul_(baseline), share * self.gene_sd[genes])
        require_finite("shares of genes", share, sd_of_share)
        return share, sd_of_share


@dataclass(frozen=True)
class Pooled:
    """Counts around a block of queries, for genes that their own counts inform.

    `columns` (ascending) are those genes in the output, `kappa` theirs; `counts` and `expected` are
    rows × columns.
    """

    columns: np.ndarray
    kappa: np.ndarray
    counts: np.ndarray
    expected: np.ndarray

    def update(self, share: Tensor, sd: Tensor, genes: slice) -> None:
        """Update shares and sds of a range of output genes (rows × genes), in place."""
        first, last = np.searchsorted(self.columns, (genes.start, genes.stop))
        if first == last:
            return
        here = torch.from_numpy(self.columns[first:last] - genes.start)
        kappa, counts = self.kappa[first:last], self.counts[:, first:last]
        mean = share[:, here].numpy()
        updated, shrink = apply_residual(kappa, mean, counts, self.expected[:, first:last])
        own = updated**2 / (kappa + counts)
        latent_part = (sd[:, here].numpy() * updated / np.maximum(mean, 1e-12) * shrink) ** 2
        share[:, here] = torch.from_numpy(updated.astype(np.float32))
        sd[:, here] = torch.from_numpy(np.sqrt(own + latent_part).astype(np.float32))


class ResidualPooler:
    """Pools counts and their expectations around blocks of queries.

    Parameters
    ----------
    residual
        Fitted κ per panel gene.
    counts
        CSR, locations × panel genes; `exposure` per location.
    columns
        Output column of each panel gene, ascending.
    location_latent
        Latents of the locations themselves, N × K.
    """

    def __init__(
        self,
        residual: GeneResidual,
        decoder: GeneDecoder,
        counts: sparse.csr_matrix,
        exposure: np.ndarray,
        columns: np.ndarray,
        xy_um: np.ndarray,
        location_latent: np.ndarray,
    ) -> None:
        informed = np.flatnonzero(np.isfinite(residual.kappa))
        self.columns, self.kappa, self.width_um = columns[informed], residual.kappa[informed], residual.width_um
        self.decoder = decoder
        self.counts = counts if len(informed) == counts.shape[1] else counts[:, informed]
        self.exposure, self.xy, self.latent = exposure.astype(np.float32), xy_um, location_latent

    def around(self, xy_um: np.ndarray) -> Pooled:
        """Pool what lies around queries at `xy_um`."""
        pool = kernel(self.xy, xy_um, self.width_um)
        near, inverse = np.unique(pool.indices, return_inverse=True)
        local = sparse.csr_matrix((pool.data, inverse, pool.indptr), shape=(len(xy_um), len(near)))
        counts = np.asarray((local @ self.counts[near]).todense(), dtype=np.float32)
        at_locations = self.decoder.share(self.latent[near], torch.from_numpy(self.columns)).numpy()
        return Pooled(self.columns, self.kappa, counts, local @ (self.exposure[near, None] * at_locations))


def expression_layers(
    share: Tensor, sd: Tensor, reading: LogNormReading, wanted: tuple[str, ...], level_sd: Tensor | float = 0.0
) -> dict[str, Tensor]:
    """X and layers of a block from shares and their sds, rows × genes.

    X is what measurements at the locations' depth would read on average; `std` is its standard deviation by the
    delta method; quantiles are the readings of the quantiles of a log-normal share with the same mean and variance,
    times a log-normal level of median 1 and `level_sd` (genes).
    """
    read, slope = reading.with_slope(share)
    layers = {"X": read}
    if keys.MEAN_COUNTS in wanted:
        layers[keys.MEAN_COUNTS] = share * reading.depth
    if keys.STD in wanted:
        layers[keys.STD] = slope * torch.hypot(sd, share * level_sd)
    if keys.EXPRESSION in wanted:
        layers[keys.EXPRESSION] = torch.log1p(share * keys.TARGET_SUM)
    chosen = [q for q in QUANTILES if keys.quantile_layer(q) in wanted]
    if chosen:
        floor = share.clamp(min=1e-13)
        log_variance = torch.log1p((sd / floor) ** 2)
        centre, width = torch.log(floor) - log_variance / 2, (log_variance + level_sd**2).sqrt()
        for q in chosen:
            layers[keys.quantile_layer(q)] = reading(torch.exp(centre + _NORMAL_QUANTILE[q] * width))
    return layers


def expression_and_sd(share: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
    """Depth taken out: log1p of shares per 10,000 and their sds by the delta method, rows × genes."""
    scaled = share * keys.TARGET_SUM
    return torch.log1p(scaled), sd * keys.TARGET_SUM / (1 + scaled)
