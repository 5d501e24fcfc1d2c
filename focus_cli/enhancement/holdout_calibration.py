"""Hold-out calibration: parts of the sample's counts are hidden and estimated.

There are three hold-outs, one for each kind of output: counts (a measured gene at a location with counts), positions (a
measured gene at an empty location or on a finer grid) and genes (outside the panel). The calibration compares these
estimates with the hidden counts. The work is bounded: a window of the sample, some locations, some genes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy import sparse

from focus_cli.core.random import stream
from focus_cli.core.statistics.predictive import PredictedCounts
from focus_cli.core.statistics.thinning import thin
from focus_cli.enhancement.decode import GeneDecoder, ResidualPooler
from focus_cli.enhancement.infer import Latents
from focus_cli.enhancement.mixture import Mixed, Weights, fit_experts, fit_weights, visible_counts
from focus_cli.enhancement.residual import MAX_FIT_LOCATIONS, VISIBLE_SHARE, GeneResidual, fit_residual, own_spread
from focus_cli.enhancement.sample_factors import SampleFactors, choose_width, fit_sample_factors, panel_share
from focus_cli.enhancement.section import Section
from focus_cli.experts import Points
from focus_cli.model.priors import SpatialPrior, reference_states, residual_scale

LOCATIONS = 500  # that are estimated
GENES = 500
WEIGHED_GENES = 2000  # on which the weights of the experts are fitted
HIDDEN_PLACES = 0.25  # share of the locations
HIDDEN_GENES = 0.5  # share of the panel
MIN_LOCATIONS = 10
MIN_GENES = 30  # of the panel that the reference knows


@dataclass(frozen=True)
class HoldoutEstimates:
    """Held-out counts and their estimates.

    `count`, `share` and `sd` are locations × genes, `exposure` is the total counts of each location; `level_sd` (G) is
    as in `GeneDecoder`, `evidence` (G) as returned by `evidence`.
    """

    count: np.ndarray
    exposure: np.ndarray
    share: np.ndarray
    sd: np.ndarray
    level_sd: np.ndarray
    evidence: np.ndarray

    def pairs(self) -> PredictedCounts:
        """All pairs of a location and a gene, the level taken as exact."""
        return PredictedCounts.from_shares(self.count, self.exposure[:, None], self.share, self.sd)

    def mixed(self, experts: dict[str, np.ndarray], weights: Weights, level: np.ndarray) -> HoldoutEstimates:
        """With the experts' shares (name → locations × genes) mixed in; `level` is the share of each gene."""
        share, sd = (torch.from_numpy(np.array(values, np.float32)) for values in (self.share, self.sd))
        columns = np.arange(share.shape[1])
        shares = tuple(lambda genes, s=experts[name]: s[:, genes].astype(np.float32) for name in weights.names[1:])
        mixed = Mixed(np.arange(len(share)), columns, columns, weights.of_genes(level), shares)
        mixed.update(share, sd, slice(0, len(columns)))
        return replace(self, share=share.numpy(), sd=sd.numpy())

    def totals(self) -> PredictedCounts:
        """Each gene's total, off by its level."""
        total = self.exposure @ self.share
        return PredictedCounts.from_shares(self.count.sum(axis=0), 1.0, total, 0.0, self.level_sd)

    def levelled(self) -> HoldoutEstimates:
        """The same with the level of each gene corrected; its pattern remains."""
        right = (self.count.sum(axis=0) + 0.5) / (self.exposure @ self.share + 0.5)
        return replace(self, share=self.share * right, sd=self.sd * right)


class HoldoutCalibration:
    """The hold-outs of one section.

    Parameters
    ----------
    section
        With at least `MIN_LOCATIONS` measured locations.
    pitch_um
        Distance between locations, for the kernels of the gene residuals.
    """

    def __init__(self, section: Section, pitch_um: float) -> None:
        self.plain, data = section, section.data
        self.weights: dict[str, Weights] = {}  # of the experts, by use; known once the hold-out of a use was estimated
        measured = np.flatnonzero(data.exposure > 0)
        self.measured = measured
        if len(measured) > MAX_FIT_LOCATIONS:
            centre = np.median(data.xy_um[measured], axis=0)
            distance = np.linalg.norm(data.xy_um[measured] - centre, axis=1)
            measured = measured[np.sort(np.argsort(distance, kind="stable")[:MAX_FIT_LOCATIONS])]
        self.window = measured
        self.xy_um = data.xy_um[measured]
        visible, hidden = thin(data.counts[measured], VISIBLE_SHARE, self._rng("halves"))
        # Residuals and sample-specific factors are chosen on one half of what is hidden; the other half, which nothing
        # has seen, decides on the weights of the experts and on the calibration.
        rest, judge = thin(hidden, VISIBLE_SHARE, self._rng("hidden halves"))
        self.visible, self.rest, self.judge = (self._in_window(counts) for counts in (visible, rest, judge))
        self.halved = section.view(self.visible)
        self.seen = self._exposure(self.visible)
        self.unseen, self.judged = self._exposure(self.rest), self._exposure(self.judge)
        self._network_latent = latent = self._latent(self.halved, "fitting gene residuals")
        # Sample-specific factors, for the output; in calibration they are those that the visible half alone shows.
        self.sample_factors, self._factors_of_half = self._sample_factors(latent, pitch_um)
        self.section = section if self.sample_factors is None else self._with(self._factors_of_half)
        self.latent = self._extended(_plain(latent), self.xy_um, self.visible, latent).mean
        self.residual: GeneResidual = fit_residual(
            self.visible[measured].tocsr(),
            self.rest[measured],
            (self.seen[measured], self.unseen[measured]),
            panel_share(self._panel(self.section), self.latent),
            self.xy_um,
            pitch_um,
        )

    def _sample_factors(self, latent: np.ndarray, pitch_um: float) -> tuple[SampleFactors | None, SampleFactors | None]:
        """Factors fitted on both halves of the counts, and on the visible half alone; None where they do not help.

        Whether they help, and the width of their kernel, is decided on the hidden half, which the second never use.
        """
        section, here = self.plain, self.window
        decoder, baseline = self._panel(section), section.baseline[section.panel_rows]

        def fit(halves, latent: np.ndarray) -> SampleFactors | None:
            return fit_sample_factors(halves, panel_share(decoder, latent), baseline, section.seed)

        quarters = thin(self.visible[here], VISIBLE_SHARE, self._rng("quarters"))
        quarter = section.view(self._in_window(quarters[0]))
        of_half = fit(quarters, self._latent(quarter, "fitting sample-specific factors"))
        if of_half is None:
            return None, None
        extended = self._panel(self._with(of_half))
        of_half = choose_width(
            of_half,
            (self.visible[here].tocsr(), self.seen[here]),
            (self.rest[here].tocsr(), self.unseen[here]),
            latent,
            lambda z, genes: extended.share(z, torch.from_numpy(genes)).numpy(),
            panel_share(decoder, latent),
            self.xy_um,
            pitch_um,
        )
        hidden = (self.rest + self.judge)[here].tocsr()
        whole = fit((self.visible[here].tocsr(), hidden), latent) if of_half is not None else None
        if whole is None:
            return None, None
        return replace(whole, width_um=of_half.width_um), of_half

    def _with(self, own: SampleFactors) -> Section:
        return replace(self.plain, sample_loadings=own.on_prior(self.plain.prior, self.plain.panel_rows))

    @staticmethod
    def _panel(section: Section) -> GeneDecoder:
        return section.decoder(section.panel_rows, np.ones(len(section.panel_rows), bool))

    def _extended(self, latents: Latents, xy_um: np.ndarray, shown: sparse.csr_matrix, around: np.ndarray) -> Latents:
        """The network's latents with the scores of the sample-specific factors, given what is shown in the window."""
        if self._factors_of_half is None:
            return latents
        here = self.window
        share = panel_share(self._panel(self.plain), around)
        field = self._factors_of_half.field(shown[here].tocsr(), self._exposure(shown)[here], share, self.xy_um)
        return field.extend(latents, xy_um, self.plain.seed)

    def _rng(self, purpose: str) -> np.random.Generator:
        return stream(self.plain.seed, f"enhance/{purpose}")

    def _in_window(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Counts of the window on the rows of the section; counts around it are hidden."""
        n, rows = len(self.plain.data.xy_um), self.window
        ones = np.ones(len(rows), np.float32)
        return (sparse.csr_matrix((ones, (rows, np.arange(len(rows)))), (n, len(rows))) @ counts).tocsr()

    def _exposure(self, counts: sparse.csr_matrix) -> np.ndarray:
        return np.asarray(counts.sum(axis=1), np.float64).ravel()

    def _latent(self, view, label: str) -> np.ndarray:
        return self.plain.infer(view, self.xy_um, label, n_spread=0, footprint=self.plain.area).mean

    def _some(self, candidates: np.ndarray, purpose: str) -> np.ndarray:
        """At most `LOCATIONS` of them, ascending."""
        if len(candidates) <= LOCATIONS:
            return candidates
        return np.sort(self._rng(purpose).choice(candidates, LOCATIONS, replace=False))

    @cached_property
    def _abundant(self) -> np.ndarray:
        """The most abundant genes in the visible half, ascending."""
        total = np.asarray(self.visible[self.window].sum(axis=0)).ravel()
        return np.sort(np.argsort(-total, kind="stable")[:GENES])

    @cached_property
    def _of_every_abundance(self) -> np.ndarray:
        """Genes evenly spaced by their abundance in the visible half, of those that it shows, ascending."""
        total = np.asarray(self.visible[self.window].sum(axis=0)).ravel()
        order = np.argsort(-total, kind="stable")[: int((total > 0).sum())]
        step = max(1, len(order) // WEIGHED_GENES)
        return np.sort(order[::step][:WEIGHED_GENES]) if len(order) else self._abundant

    @cached_property
    def _queried(self) -> np.ndarray:
        return self._some(self.window, "count queries")

    @cached_property
    def _halved_latents(self):
        xy = self.section.data.xy_um[self._queried]
        latents = self.section.infer(self.halved, xy, "calibration: counts", footprint=self.section.area)
        return self._extended(latents, xy, self.visible, self._network_latent)

    @cached_property
    def gene_sd(self) -> float:
        """Gene-specific standard deviation, relative to the share, over genes with enough counts."""
        genes, at = self._abundant, self._queried
        decoder = self.section.decoder(self.section.panel_rows[genes], np.ones(len(genes), bool))
        share, sd = (v.numpy() for v in decoder.share_and_sd(self._halved_latents.mean, self._halved_latents.sd))
        return own_spread(self.judge[at][:, genes].toarray(), self.judged[at, None] * share, sd / share)

    def gene_sd_of(self, genes: np.ndarray) -> np.ndarray:
        """The same for panel genes: 0 where their own counts inform them."""
        return np.where(np.isfinite(self.residual.kappa[genes]), 0.0, self.gene_sd)

    def counts(self) -> HoldoutEstimates:
        """Hidden counts, estimated from the visible half."""
        at, latents = self._queried, self._halved_latents

        def estimates(genes: np.ndarray) -> HoldoutEstimates:
            return self._estimates(at, latents, self.latent, self.visible, self.judge, self.judged[at], genes)

        return self._mixed("counts", estimates, self.visible, at, own=at)

    def positions(self) -> HoldoutEstimates:
        """A quarter of the locations, estimated from the others."""
        data, rng = self.section.data, self._rng("held-out positions")
        hidden = np.zeros(len(data.xy_um), bool)
        hidden[rng.choice(self.measured, max(1, int(HIDDEN_PLACES * len(self.measured))), replace=False)] = True
        at = self._some(self.window[hidden[self.window]], "position queries")
        kept = sparse.diags((~hidden[self.window]).astype(np.float32))
        shown = self._in_window(kept @ data.counts[self.window])
        view = self.section.view(shown)
        latents = self.section.infer(view, data.xy_um[at], "calibration: positions", footprint=self.section.area)
        around = self._latent(view, "calibration: positions")
        latents = self._extended(latents, data.xy_um[at], shown, around)
        around = self._extended(_plain(around), self.xy_um, shown, around).mean

        def estimates(genes: np.ndarray) -> HoldoutEstimates:
            return self._estimates(at, latents, around, shown, data.counts, data.exposure[at], genes)

        return self._mixed("positions", estimates, shown, at, own=np.full(len(at), -1))

    def _mixed(
        self,
        use: str,
        estimates: Callable[[np.ndarray], HoldoutEstimates],
        shown: sparse.csr_matrix,
        at: np.ndarray,
        own: np.ndarray,
    ) -> HoldoutEstimates:
        """Estimates of abundant genes mixed with those of the experts, given the counts shown; keeps the weights.

        The weights are fitted on genes of every abundance.
        """
        visible = visible_counts(self.section.data, shown)
        points = Points(visible.xy_um[at], own, None if visible.features is None else visible.features[at])
        experts = {name: expert.at(points) for name, expert in fit_experts(visible, use, self.plain.seed).items()}

        def shares(genes: np.ndarray) -> dict[str, np.ndarray]:
            return {name: found(genes) for name, found in experts.items()}

        genes = self._of_every_abundance
        found = estimates(genes)
        weights = fit_weights(found.count, found.exposure, found.share, shares(genes), visible.level[genes])
        self.weights[use] = weights.at_depth(1 / VISIBLE_SHARE) if use == "counts" else weights
        genes = self._abundant
        return estimates(genes).mixed(shares(genes), weights, visible.level[genes])

    def _estimates(
        self, at, latents, around: np.ndarray, shown, asked, exposure: np.ndarray, genes: np.ndarray
    ) -> HoldoutEstimates:
        """Shares of genes at locations `at`, corrected by the counts of the gene among those shown."""
        rows = self.section.panel_rows[genes]
        decoder = self.section.decoder(rows, np.ones(len(genes), bool), gene_sd=self.gene_sd_of(genes))
        pooler = ResidualPooler(
            GeneResidual(self.residual.kappa[genes], self.residual.width_um),
            decoder,
            shown[self.window][:, genes].tocsr(),
            self._exposure(shown)[self.window],
            np.arange(len(genes)),
            self.xy_um,
            around,
        )
        share, sd = decoder.share_and_sd(latents.mean, latents.sd)
        pooler.around(self.section.data.xy_um[at]).update(share, sd, slice(0, len(genes)))
        count = asked[at][:, genes].toarray()
        known = evidence(self.section.prior.loadings[rows], self.section.baseline[rows])
        return HoldoutEstimates(count, exposure, share.numpy(), sd.numpy(), np.zeros(len(genes)), known)

    def genes(self, reference) -> HoldoutEstimates | None:
        """Genes of the panel and the reference, estimated from other genes and the reference; None if too few."""
        section, rng = self.plain, self._rng("held-out genes")
        rows, data, prior = section.panel_rows, section.data, section.prior
        hidden = rng.random(len(rows)) < HIDDEN_GENES
        known = np.flatnonzero(hidden & prior.in_reference[rows])
        if len(known) < MIN_GENES or hidden.all():
            return None
        if len(known) > GENES:
            known = np.sort(rng.choice(known, GENES, replace=False))
        swapped = as_the_reference_knows(prior, reference)
        decoder: GeneDecoder = section.decoder(
            rows[known],
            np.zeros(len(known), bool),
            gene_sd=self.gene_sd,
            prior=swapped,
            baseline=swapped.baseline[rows[known]] / prior.baseline[rows[~hidden]].sum(),
        )
        at = self._some(self.window, "gene queries")
        view = section.view(self._in_window(data.counts[self.window]), shown=~hidden)
        latents = section.infer(view, data.xy_um[at], "calibration: genes", footprint=section.area)
        share, sd = (v.numpy() for v in decoder.share_and_sd(latents.mean, latents.sd))
        counts = data.counts[at]
        return HoldoutEstimates(
            counts[:, known].toarray(),
            np.asarray(counts @ (~hidden).astype(np.float64)).ravel(),
            share,
            sd,
            decoder.level_sd.numpy(),
            evidence(prior.reference_loadings[rows[known]], prior.baseline[rows[known]]),
        )


def _plain(mean: np.ndarray) -> Latents:
    """Latents of which only the mean is used."""
    return Latents(mean, np.zeros_like(mean), np.zeros((len(mean), 0), np.float32), None)


def evidence(loadings: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Length of each gene's vector in standardised units: its signal at one location over the noise of counting."""
    return np.linalg.norm(loadings, axis=1) * baseline * residual_scale(baseline)


def as_the_reference_knows(prior: SpatialPrior, reference) -> SpatialPrior:
    """The prior with vectors, levels and errors of levels as if no sample had measured any gene."""
    states = reference_states(reference, prior.var)
    rows = np.searchsorted(states.genes, prior.genes).clip(max=len(states.genes) - 1)
    known = states.genes[rows] == prior.genes
    log_reference = np.log(np.maximum(states.proportions.mean(axis=0)[rows], 1e-9))
    log_p = np.log(np.maximum(prior.baseline, 1e-12))
    both = prior.measured & prior.in_reference & known
    fit = np.polyfit(log_reference[both], log_p[both], 1) if both.sum() > 2 else np.array([1.0, 0.0])
    level = np.polyval(fit, log_reference)
    error = np.sqrt(np.mean((log_p - level)[both] ** 2)) if both.any() else 1.0
    return replace(
        prior,
        baseline=np.exp(level),
        loadings=prior.reference_loadings,
        level_error=np.full(len(prior.genes), error, np.float32),
    )
