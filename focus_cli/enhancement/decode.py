"""From latents to expression: mean, spread and quantiles of every gene, one block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from focus_cli import keys
from focus_cli.enhancement.residual import GeneResidual, apply_residual, kernel
from focus_cli.models.likelihood import share_link

QUANTILES = (0.05, 0.95)
_NORMAL_QUANTILE = {0.05: -1.6448536, 0.95: 1.6448536}


@dataclass(frozen=True)
class GeneDecoder:
    """Gene vectors of the genes that are written.

    `loadings` G × K and `baseline` G (expected share) in the output's gene order. `loading_sd` G is the
    standard deviation of each entry of a gene's vector: 0 for genes of the panel (whose own counts correct
    them), the error of the transfer for genes that only the reference knows.
    """

    loadings: Tensor
    baseline: Tensor
    loading_sd: Tensor

    def share(self, latent: np.ndarray, genes: np.ndarray | slice = slice(None)) -> Tensor:
        """Expected shares, rows × genes."""
        u = torch.from_numpy(latent) @ self.loadings[genes].T
        return share_link(u) * self.baseline[genes]

    def share_and_sd(self, mean: np.ndarray, sd: np.ndarray) -> tuple[Tensor, Tensor]:
        """Expected shares and their standard deviations by the delta method, rows × genes."""
        z = torch.from_numpy(mean)
        spread = torch.from_numpy(sd) ** 2 @ (self.loadings**2).T
        spread = (spread + (z**2).sum(dim=1)[:, None] * self.loading_sd**2).sqrt()
        u = z @ self.loadings.T
        slope = torch.exp(u.clamp(max=0))
        return share_link(u) * self.baseline, spread * slope * self.baseline


class ResidualPooler:
    """Pools counts and their expectations around blocks of queries, for genes that their own counts inform.

    Parameters
    ----------
    residual
        Fitted κ per panel gene.
    counts
        CSR, locations × panel genes; `exposure` per location.
    columns
        Output column of each panel gene.
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
        self.residual, self.decoder = residual, decoder
        self.informed, self.columns = informed, columns[informed]
        # Column-sparse slicing once; rows are then cheap to take.
        self.counts = counts.tocsc()[:, informed].tocsr()
        self.exposure, self.xy, self.latent = exposure.astype(np.float32), xy_um, location_latent

    def update(self, share: Tensor, sd: Tensor, xy_um: np.ndarray) -> None:
        """Update shares and sds (rows × output genes) of queries at `xy_um`, in place."""
        if not len(self.informed):
            return
        pool = kernel(self.xy, xy_um, self.residual.width_um)
        near, inverse = np.unique(pool.indices, return_inverse=True)
        local = sparse.csr_matrix((pool.data, inverse, pool.indptr), shape=(len(xy_um), len(near)))
        pooled = np.asarray((local @ self.counts[near]).todense(), dtype=np.float32)
        at_locations = self.decoder.share(self.latent[near], torch.from_numpy(self.columns)).numpy()
        expected = local @ (self.exposure[near, None] * at_locations)
        mean = share[:, self.columns].numpy()
        updated, shrink = apply_residual(self.residual, mean, pooled, expected, self.informed)
        kappa = self.residual.kappa[self.informed]
        own = updated**2 / (kappa + pooled)
        latent_part = (sd[:, self.columns].numpy() * updated / np.maximum(mean, 1e-12) * shrink) ** 2
        share[:, self.columns] = torch.from_numpy(updated.astype(np.float32))
        sd[:, self.columns] = torch.from_numpy(np.sqrt(own + latent_part).astype(np.float32))


def expression_layers(
    share: Tensor, sd: Tensor, exposure: np.ndarray, wanted: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """X and layers of a block from shares and their sds.

    X is log1p of shares per 10,000; `std` its standard deviation by the delta method; quantiles are those
    of a log-normal share with the same mean and variance.
    """
    scaled = share * keys.TARGET_SUM
    layers = {"X": torch.log1p(scaled)}
    if keys.MEAN_COUNTS in wanted:
        layers[keys.MEAN_COUNTS] = share * torch.from_numpy(exposure.astype(np.float32))[:, None]
    spread = sd * keys.TARGET_SUM
    if keys.STD in wanted:
        layers[keys.STD] = spread / (1 + scaled)
    chosen = [q for q in QUANTILES if keys.quantile_layer(q) in wanted]
    if chosen:
        log_variance = torch.log1p((spread / scaled.clamp(min=1e-9)) ** 2)
        centre, width = torch.log(scaled.clamp(min=1e-9)) - log_variance / 2, log_variance.sqrt()
        for q in chosen:
            layers[keys.quantile_layer(q)] = torch.log1p(torch.exp(centre + _NORMAL_QUANTILE[q] * width))
    return {name: value.numpy() for name, value in layers.items()}
