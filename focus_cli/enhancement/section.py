"""A sample under a model: what may be shown to the network, and what it estimates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse

from focus_cli.enhancement.decode import GeneDecoder
from focus_cli.enhancement.infer import Latents, infer_latents
from focus_cli.model.conditioning import SampleData, View, label_codes, make_view
from focus_cli.model.network import FocusNet
from focus_cli.model.priors import SpatialPrior, panel_statistics, transfer_error


@dataclass(frozen=True)
class Section:
    """One sample, one network, the gene vectors and the cell states (C × K) that go with them.

    `sample_loadings` (genes of the prior × L) are those of sample-specific factors; in its decoders they stand behind
    the network's.
    """

    data: SampleData
    net: FocusNet
    prior: SpatialPrior
    states: np.ndarray
    seed: int
    sample_loadings: np.ndarray | None = None

    @cached_property
    def panel_rows(self) -> np.ndarray:
        """Row of each panel gene in the prior."""
        return self.prior.rows(self.data.names)

    @cached_property
    def baseline(self) -> np.ndarray:
        """Expected share of every gene of the prior in this sample."""
        return self.data.baseline(self.prior)

    @cached_property
    def area(self) -> np.ndarray:
        """Points that sample a location's footprint, offsets in µm."""
        return self.data.footprint_points()

    def view(self, counts: sparse.csr_matrix, shown: np.ndarray | None = None) -> View:
        """Show some counts (CSR, locations × panel), of the genes that are `shown` (bool; None: all)."""
        rows, data = self.panel_rows, self.data
        shown = np.ones(len(rows), bool) if shown is None else shown
        return make_view(
            counts,
            np.asarray(counts @ shown.astype(np.float64)).ravel(),
            panel_statistics(self.prior.loadings[rows], self.baseline[rows], shown),
            data.pooling,
            data.location_features,
            self.states,
            data.descriptors(),
            label_codes(data.info, self.net.config.labels),
            use_image=data.raster is not None,
        )

    def infer(self, view: View, xy_um: np.ndarray, label: str, **more) -> Latents:
        """Latents of points in µm."""
        return infer_latents(self.net, view, self.data, xy_um, seed=self.seed, label=label, **more)

    def decoder(
        self,
        rows: np.ndarray,
        measured: np.ndarray,
        gene_sd: float | np.ndarray = 0.0,
        prior: SpatialPrior | None = None,
        baseline: np.ndarray | None = None,
    ) -> GeneDecoder:
        """Decoder of some rows of the prior.

        Parameters
        ----------
        measured
            Whether the sample's own counts inform each gene; the others carry the errors of what stands in for them.
        gene_sd
            What a gene keeps to itself, relative to its share.
        prior, baseline
            Other vectors, and other expected shares of these genes, than the section's own.
        """
        prior = prior or self.prior
        baseline = self.baseline[rows] if baseline is None else baseline
        log_baseline = torch.from_numpy(np.log(np.maximum(baseline, 1e-12)).astype(np.float32))
        with torch.no_grad():
            device = next(self.net.parameters()).device
            vectors = torch.from_numpy(prior.loadings[rows]).to(device)
            loadings, _, platform = (p.cpu() for p in self.net.gene_parameters(vectors, log_baseline.to(device)))
            response = platform @ torch.from_numpy(self.data.descriptors())
        unmeasured = torch.from_numpy(~measured).float()
        loading_sd = unmeasured * transfer_error(self.prior) * loadings.norm(dim=1) / loadings.shape[1] ** 0.5
        if self.sample_loadings is not None:
            loadings = torch.cat([loadings, torch.from_numpy(self.sample_loadings[rows])], dim=1)
        return GeneDecoder(
            loadings=loadings,
            baseline=torch.exp(log_baseline + response * unmeasured),
            loading_sd=loading_sd,
            level_sd=unmeasured * torch.from_numpy(prior.level_error[rows]),
            gene_sd=torch.from_numpy(np.broadcast_to(gene_sd, len(rows)).astype(np.float32)),
        )
