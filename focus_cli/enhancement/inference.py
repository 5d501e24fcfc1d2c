"""Inference of one sample under one model, from the stored sample to the enhanced and refined files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.device import choose_device
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import StoredSample
from focus_cli.enhancement.assemble import Outputs, write_enhanced
from focus_cli.enhancement.calibration import Calibration, calibrate
from focus_cli.enhancement.decode import ResidualPooler
from focus_cli.enhancement.depth import depth_field
from focus_cli.enhancement.genes import OutputGenes, choose_genes
from focus_cli.enhancement.holdout_calibration import MIN_LOCATIONS, HoldoutCalibration, evidence
from focus_cli.enhancement.image_transfer import ImageTransfer
from focus_cli.enhancement.inputs import SHARED_GENES_HINT, Inputs, require_shared_genes
from focus_cli.enhancement.mixture import Mixture, visible_counts
from focus_cli.enhancement.queries import Queries, read_points, refined_grid
from focus_cli.enhancement.residual import GeneResidual
from focus_cli.enhancement.sample_factors import SampleFactors, SampleField, panel_share
from focus_cli.experts import Points
from focus_cli.model.conditioning import (
    SampleData,
    ablate_reference,
    ablate_sample,
    ood_score_of,
    parse_ablations,
    without_counts,
)
from focus_cli.model.training import TrainedModel, adapt

DEFAULT_LAYERS = keys.DEFAULT_LAYERS
LAYERS = keys.ENHANCED_LAYERS


@dataclass(frozen=True)
class EnhanceOptions:
    """What to write and how; see ``focus enhance --help``."""

    genes: str = "all"
    resolution_um: float | None = None
    points: str | None = None
    histology_only: bool = False
    samples: int = 0
    adapt: int = 0
    ablate: tuple[str, ...] = ()
    layers: tuple[str, ...] = DEFAULT_LAYERS
    seed: int = 0
    device: str = "auto"


class Inference:
    """One sample under one model: latents, output genes, calibration, and the two outputs."""

    def __init__(
        self, stored: StoredSample, model: TrainedModel, reference, options: EnhanceOptions, *, own: bool = False
    ) -> None:
        self.options = options
        self.ablations = parse_ablations(options.ablate)
        inputs = Inputs(stored, model, reference)
        self.adata, data = inputs.adata, _input_data(inputs, options)
        inputs = inputs.for_genes(data)
        self.reference = reference = inputs.reference
        if options.adapt:
            device = choose_device(options.device)
            adapted = adapt(inputs.model, data, options.adapt, reference=reference, seed=options.seed, device=device)
            inputs = replace(inputs, model=adapted)
        self.data, self.model = ablate_sample(data, self.ablations, options.seed), inputs.model
        section = inputs.section(self.data, seed=options.seed, device=options.device)
        if not own:
            require_shared_genes(section.prior, data.names, data.info.sample_id, hint=SHARED_GENES_HINT)
        self.genes: OutputGenes = choose_genes(options.genes, self.data.names, section.prior)
        self.prior, self.states = ablate_reference(
            section.prior, section.states, self.data.names, self.ablations, options.seed
        )
        self.section = replace(section, prior=self.prior, states=self.states)
        self._infer_locations()
        self._calibrate()

    def _infer_locations(self) -> None:
        """Latents of the measured locations under the network."""
        data, options = self.data, self.options
        slide = data.raster is not None and not (data.exposure > 0).any()
        self.view = self.section.view(data.counts)
        self.latents = self.section.infer(
            self.view,
            data.xy_um,
            "inferring locations",
            footprint=self.section.area,
            n_samples=options.samples,
            image_maps=slide,
        )
        self.image_transfer: ImageTransfer | None = None
        if slide:
            transfer = ImageTransfer.of(self._ood_score(data.xy_um))
            self.image_transfer, self.latents = transfer.apply(self.latents, *self.latents.image_maps)
        self.depth = depth_field(
            self.model.net, data, 0.0 if self.image_transfer is None else 1 - self.image_transfer.amplitude
        )

    def _ood_score(self, xy_um: np.ndarray) -> np.ndarray | None:
        return ood_score_of(self.data, self.model.image.ood_reference, xy_um)

    def _calibrate(self) -> None:
        """Sample-specific factors, gene residuals and calibration, from hold-outs of the sample."""
        holdouts = self._holdout_calibration()
        self.sample_field: SampleField | None = None
        if holdouts is not None and holdouts.sample_factors is not None:
            self.sample_field = self._sample_field(holdouts.sample_factors)
            loadings = holdouts.sample_factors.on_prior(self.prior, self.section.panel_rows, self.reference)
            self.section = replace(self.section, sample_loadings=loadings)
            self.latents = self.sample_field.extend(self.latents, self.data.xy_um, self.options.seed)
        self.decoder = self.section.decoder(self.genes.prior_rows, self.genes.measured, gene_sd=self._gene_sd(holdouts))
        self.pooler = self._pooler(holdouts) if holdouts is not None else None
        self.calibration = calibrate(holdouts, self.reference) if holdouts is not None else Calibration()
        self.mixture: Mixture | None = None
        if holdouts is not None and any(len(found.names) > 1 for found in holdouts.weights.values()):
            visible = visible_counts(self.data, self.data.counts)
            self.mixture = Mixture(visible, holdouts.weights, self.genes.panel_columns, self.options.seed)

    def _holdout_calibration(self) -> HoldoutCalibration | None:
        """Hold-outs of the sample; None where fewer than `MIN_LOCATIONS` locations have counts."""
        if (self.data.exposure > 0).sum() < MIN_LOCATIONS:
            return None
        # A kernel far narrower than the pitch holds a location alone.
        pitch_um = self.data.info.footprint.pitch_um * (1e-3 if "spatial" in self.ablations else 1)
        return HoldoutCalibration(self.section, pitch_um)

    def _sample_field(self, factors: SampleFactors) -> SampleField:
        """Scores of the sample-specific factors over the whole section."""
        data, rows = self.data, self.section.panel_rows
        decoder = self.section.decoder(rows, np.ones(len(rows), bool))
        print_message(f"enhance: {len(factors.precision)} sample-specific factors, {self.prior.n_factors} of the model")
        return factors.field(data.counts, data.exposure, panel_share(decoder, self.latents.mean), data.xy_um)

    def _pooler(self, holdouts: HoldoutCalibration) -> ResidualPooler:
        # Fitted on the whole panel, so that a gene does not depend on which others are written.
        written = np.flatnonzero(self.genes.panel_columns >= 0)
        residual = holdouts.residual
        return ResidualPooler(
            GeneResidual(residual.kappa[written], residual.width_um),
            self.decoder,
            self.data.counts if len(written) == self.data.counts.shape[1] else self.data.counts[:, written],
            self.data.exposure,
            self.genes.panel_columns[written],
            self.data.xy_um,
            self.latents.mean,
        )

    def _gene_sd(self, holdouts: HoldoutCalibration | None) -> np.ndarray:
        """Gene-specific standard deviation of each output gene where its counts are not informative."""
        if holdouts is None:
            return np.zeros(len(self.genes.names))
        own = np.full(len(self.genes.names), holdouts.gene_sd)
        written = np.flatnonzero(self.genes.panel_columns >= 0)
        own[self.genes.panel_columns[written]] = holdouts.gene_sd_of(written)
        return own

    def write_locations(self, out: Path, record: dict, overwrite: bool) -> None:
        """The same locations, every chosen gene."""
        ood_score = self._ood_score(self.data.xy_um)
        self._write(
            out,
            record,
            overwrite,
            kind="enhanced",
            obs=self.adata.obs,
            obs_names=self.data.obs_names,
            exposure=self.depth.of_locations(),
            counted=self.data.exposure > 0,
            uninformed=self._uninformed(self.data.exposure, ood_score),
            ood_score=ood_score,
            counts=None if self.options.histology_only else self.data.counts,
            latents=self.latents,
            points=Points(self.data.xy_um, np.arange(len(self.data.xy_um)), self._features(None)),
        )

    def write_refined(self, out: Path, record: dict, overwrite: bool) -> None:
        """A regular grid over the tissue under the locations, or points given by the user."""
        queries = self._queries()
        xy_um, parent = queries.xy_um, queries.parent
        latents = self.section.infer(self.view, xy_um, "refining", image_maps=self.image_transfer is not None)
        if self.sample_field is not None:
            latents = self.sample_field.extend(latents, xy_um, self.options.seed)
        if self.image_transfer is not None:
            _, latents = self.image_transfer.apply(latents, *latents.image_maps)
        ood_score = self._ood_score(xy_um)
        self._write(
            out,
            record,
            overwrite,
            kind="refined",
            obs=pd.DataFrame({keys.PARENT: self.data.obs_names[parent]}, index=queries.names),
            obs_names=queries.names,
            exposure=self.depth.at(xy_um, self.data.features(xy_um)) * queries.area_share,
            counted=np.zeros(len(xy_um), bool),
            uninformed=self._uninformed(self.data.exposure[parent], ood_score),
            ood_score=ood_score,
            counts=None,
            latents=latents,
            points=Points(xy_um, np.full(len(xy_um), -1), self._features(xy_um)),
            resolution_um=queries.size_um,
        )

    def _features(self, xy_um: np.ndarray | None) -> np.ndarray | None:
        """Image features of points for the experts, of the locations themselves by default; None where unused."""
        if self.mixture is None or self.data.raster is None:
            return None
        return self.data.location_features if xy_um is None else self.data.features(xy_um)

    def _queries(self) -> Queries:
        if self.options.points is not None:
            return read_points(Path(self.options.points), self.data)
        return refined_grid(self.data, self.options.resolution_um)

    def _uninformed(self, exposure: np.ndarray, ood_score: np.ndarray | None) -> np.ndarray:
        """Whether there are neither counts nor an image within the training distribution."""
        no_image = np.full(len(exposure), self.data.raster is None) if ood_score is None else ood_score > 1
        return (exposure == 0) & no_image

    def _write(self, out: Path, record: dict, overwrite: bool, **rows) -> None:
        """Write one output; `rows` is what differs between the two, the sample and the genes are the same."""
        outputs = Outputs(
            info=self.data.info,
            panel_var=self.adata.var,
            uns_spatial=self.adata.uns.get(keys.UNS_SPATIAL),
            state_names=self.reference.prototypes.obs_names.to_numpy(str) if len(self.states) else None,
            **rows,
        )
        write_enhanced(
            out,
            outputs,
            self.genes,
            self.decoder,
            self.pooler,
            self.mixture,
            self.calibration,
            evidence(self.prior.loadings[self.genes.prior_rows], self.section.baseline[self.genes.prior_rows]),
            self.options.layers,
            record | ({} if self.image_transfer is None else {"image_transfer": self.image_transfer.record()}),
            overwrite=overwrite,
        )


def _input_data(inputs: Inputs, options: EnhanceOptions) -> SampleData:
    """The sample as the model uses it: with the image features of the model, and without counts if requested."""
    if options.histology_only:
        if not inputs.pictured:
            raise BadInputError(
                f"{inputs.stored.path} has no image that the model can use", hint="--histology-only needs one"
            )
        return without_counts(inputs.shown())
    data = inputs.shown()
    if not (data.exposure > 0).any():
        print_message("enhance: no location has counts; the estimate uses histology only")
    return data
