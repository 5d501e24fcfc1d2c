"""The stage behind ``focus enhance``: a stored sample and a model → enhanced.h5ad (and refined.h5ad)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from focus_cli import keys, provenance
from focus_cli.conditioning import SampleData, View, load_sample_data, make_view
from focus_cli.conditioning.ablation import ablate_reference, ablate_sample, parse_ablations
from focus_cli.conditioning.labels import label_codes
from focus_cli.conditioning.sample import without_image
from focus_cli.conditioning.states import state_latents
from focus_cli.enhancement.assemble import Outputs, write_enhanced
from focus_cli.enhancement.decode import GeneDecoder, ResidualPooler
from focus_cli.enhancement.depth import depth_field
from focus_cli.enhancement.genes import OutputGenes, choose_genes
from focus_cli.enhancement.grid import refined_grid
from focus_cli.enhancement.infer import Latents, infer_latents
from focus_cli.enhancement.residual import MAX_FIT_LOCATIONS, VISIBLE_SHARE, GeneResidual, fit_residual
from focus_cli.errors import BadInputError, UsageError
from focus_cli.priors import panel_statistics
from focus_cli.priors.transfer import extend_prior, transfer_error
from focus_cli.progress import say
from focus_cli.reference import build_reference, is_reference, open_reference
from focus_cli.store import StoredSample, is_sample, open_sample, refuse_existing
from focus_cli.thinning import thin
from focus_cli.training import TrainedModel, adapt, load_model
from focus_cli.training.device import choose_device

DEFAULT_LAYERS = (keys.MEAN_COUNTS, keys.STD, "q05", "q95")
LAYERS = (*DEFAULT_LAYERS, keys.EXPRESSION)


@dataclass(frozen=True)
class EnhanceOptions:
    """What to write and how; see ``focus enhance --help``."""

    genes: str = "all"
    resolution_um: float | None = None
    histology_only: bool = False
    samples: int = 0
    adapt: int = 0
    ablate: tuple[str, ...] = ()
    layers: tuple[str, ...] = DEFAULT_LAYERS
    seed: int = 0
    device: str = "auto"


def enhance(
    sample: Path,
    out: Path,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    refined: Path | None = None,
    options: EnhanceOptions | None = None,
    preprocess_options: dict | None = None,
    training_options: dict | None = None,
    overwrite: bool = False,
) -> None:
    """Enhance one sample.

    Parameters
    ----------
    sample
        A folder made by ``focus preprocess``, or a raw platform folder, which is preprocessed first.
    out
        Enhanced .h5ad to write: the same locations, all chosen genes.
    model
        Model folder; without one, a nano model is trained on this sample alone.
    reference
        Reference folder, or an .h5ad, which is prepared first.
    refined
        Second .h5ad on a grid of ``options.resolution_um``.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.errors`. Nothing is written then.
    """
    options = options or EnhanceOptions()
    _check(model, out, refined, options, overwrite)
    with tempfile.TemporaryDirectory(prefix="focus-") as scratch:
        stored = _stored(sample, Path(scratch), preprocess_options or {})
        reference_dir = _reference(reference, Path(scratch), options.seed)
        trained = _model(model, stored, reference_dir, Path(scratch), options, training_options or {})
        opened = open_reference(reference_dir) if reference_dir else None
        run = _Inference(stored, trained, opened, options)
        record = provenance.describe_run(
            "enhance",
            {**options.__dict__, "layers": list(options.layers), "model": run.model.info},
            _inputs(sample, stored, model, reference),
            options.seed,
        )
        # The refined file first: if it fails, the enhanced one is not there either.
        if refined is not None:
            run.write_refined(refined, record, overwrite)
        run.write_locations(out, record, overwrite)


def _inputs(sample: Path, stored: StoredSample, model: Path | None, reference: Path | None) -> dict[str, Path]:
    inputs = {"sample": stored.path} if is_sample(sample) else {}
    return inputs | {role: Path(p) for role, p in (("model", model), ("reference", reference)) if p is not None}


def _check(model, out, refined, options: EnhanceOptions, overwrite: bool) -> None:
    if (refined is None) != (options.resolution_um is None):
        raise UsageError("--resolution-um and --refined go together", hint="give both, or neither")
    for path in (out, refined):
        if path is None:
            continue
        if Path(path).suffix != ".h5ad":
            raise UsageError(f"{path} must end in .h5ad")
        refuse_existing(path, overwrite)
    if refined is not None and Path(refined).absolute() == Path(out).absolute():
        raise UsageError("--refined and --out are the same file")
    if options.adapt and (model is None or options.histology_only):
        raise UsageError(
            "--adapt continues the training of a --model on this sample's counts",
            hint="leave it away with --histology-only, or where the model is trained on this sample anyway",
        )
    parse_ablations(options.ablate)
    unknown = set(options.layers) - set(LAYERS)
    if unknown:
        raise UsageError(f"unknown layer {sorted(unknown)[0]!r}", hint=f"layers: {', '.join(LAYERS)}")
    if options.genes not in ("all", "measured") and not Path(options.genes).is_file():
        raise UsageError(f"--genes {options.genes}: no such file", hint="give all, measured or a file of names")


def _stored(sample: Path, scratch: Path, settings: dict) -> StoredSample:
    if is_sample(sample):
        return open_sample(sample)
    from focus_cli.preprocessing import preprocess

    sample_id = settings.pop("sample_id", None) or _safe_name(Path(sample).name)
    say(f"enhance: {sample} is a raw folder; preprocessing it")
    return preprocess(sample, scratch / "sample", sample_id, **settings)


def _safe_name(name: str) -> str:
    safe = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "_" for c in name.split(".")[0])
    return safe.strip("_-")[:100] or "sample"


def _reference(reference: Path | None, scratch: Path, seed: int) -> Path | None:
    if reference is None or is_reference(reference):
        return reference
    if Path(reference).is_dir():
        open_reference(reference)  # raises: it names what is missing
    build_reference(reference, scratch / "reference", seed=seed)
    return scratch / "reference"


def _model(model, stored: StoredSample, reference, scratch: Path, options, settings: dict) -> TrainedModel:
    if model is not None:
        return load_model(model)
    from focus_cli.training.stage import train

    if options.histology_only:
        raise UsageError("--histology-only needs a --model that was trained on other samples")
    say("enhance: no model given; training one on this sample by self-supervision")
    return train(
        [stored.path],
        scratch / "model",
        reference=reference,
        seed=options.seed,
        device=options.device,
        **settings,
    )


class _Inference:
    """One sample under one model: latents, genes, and the two outputs."""

    def __init__(self, stored: StoredSample, model: TrainedModel, reference, options: EnhanceOptions) -> None:
        self.options, self.reference = options, reference
        self.ablations = parse_ablations(options.ablate)
        self.adata = stored.read()
        data = load_sample_data(stored)
        if data.raster is None or list(data.raster.names) != model.feature_names:
            if data.raster is not None and model.feature_names:
                say("enhance: the sample's image features are not those of the model; the image is not used")
            if options.histology_only:
                raise BadInputError(
                    f"{stored.path} has no image that the model can use", hint="--histology-only needs one"
                )
            data = without_image(data, model.net.config.n_features)
        if options.histology_only:
            data = _without_counts(data)
        if not options.histology_only and not (data.exposure > 0).any():
            say("enhance: no location has a molecule; this is histology only")
        device = choose_device(options.device)
        if options.adapt:
            model = adapt(model, data, options.adapt, reference=reference, seed=options.seed, device=device)
        model.net.to(device)
        data = ablate_sample(data, self.ablations, options.seed)
        self.data, self.model = data, model
        prior = extend_prior(model.prior, data.genes, data.panel_share(), reference)
        self.genes: OutputGenes = choose_genes(options.genes, data.names, prior)
        self.prior, self.states = ablate_reference(
            prior, state_latents(reference, prior), data.names, self.ablations, options.seed
        )
        self.view = self._view(data.counts, data.exposure)
        self.decoder = self._decoder(self.genes.prior_rows, self.genes.measured)
        self.area = data.footprint_points()
        self.depth = depth_field(model.net, data)
        self.latents = self._infer(
            self.view, data.xy_um, "inferring locations", footprint=self.area, n_samples=options.samples
        )
        self.pooler = self._pooler()

    def _view(self, counts: sparse.csr_matrix, exposure: np.ndarray) -> View:
        rows = self.prior.rows(self.data.names)
        encoder = panel_statistics(
            self.prior.loadings[rows], self.data.baseline(self.prior)[rows], np.ones(len(rows), bool)
        )
        return make_view(
            counts,
            exposure,
            encoder,
            self.data.pooling,
            self.data.location_features,
            self.states,
            self.data.descriptors(),
            label_codes(self.data.info, self.model.net.config.labels),
            use_image=self.data.raster is not None,
        )

    def _decoder(self, rows: np.ndarray, measured: np.ndarray) -> GeneDecoder:
        data = self.data
        baseline = data.baseline(self.prior)[rows]
        log_baseline = torch.from_numpy(np.log(np.maximum(baseline, 1e-12)).astype(np.float32))
        with torch.no_grad():
            net = self.model.net
            device = next(net.parameters()).device
            vectors = torch.from_numpy(self.prior.loadings[rows]).to(device)
            parameters = net.gene_parameters(vectors, log_baseline.to(device))
            loadings, _, platform = (p.cpu() for p in parameters)
            response = platform @ torch.from_numpy(data.descriptors())
        unmeasured = torch.from_numpy(~measured).float()
        return GeneDecoder(
            loadings=loadings,
            baseline=torch.exp(log_baseline + response * unmeasured),
            loading_sd=unmeasured * transfer_error(self.prior) * loadings.norm(dim=1) / loadings.shape[1] ** 0.5,
            level_sd=unmeasured * torch.from_numpy(self.prior.level_error[rows]),
        )

    def _infer(self, view: View, xy_um: np.ndarray, label: str, **more) -> Latents:
        net, seed = self.model.net, self.options.seed
        return infer_latents(net, view, self.data, xy_um, seed=seed, label=label, **more)

    def _pooler(self) -> ResidualPooler | None:
        """Fit what genes keep to themselves, on a thinned half of (a window of) the sample's own counts."""
        data, options = self.data, self.options
        measured = np.flatnonzero(data.exposure > 0)
        if len(measured) < 10:
            return None
        rng = np.random.default_rng([options.seed, 4])
        visible, rest = thin(data.counts, VISIBLE_SHARE, rng)
        view = self._view(visible, np.asarray(visible.sum(axis=1)).ravel())
        if len(measured) > MAX_FIT_LOCATIONS:
            centre = np.median(data.xy_um[measured], axis=0)
            distance = np.linalg.norm(data.xy_um[measured] - centre, axis=1)
            measured = measured[np.sort(np.argsort(distance, kind="stable")[:MAX_FIT_LOCATIONS])]
        window = data.xy_um[measured]
        latent = self._infer(view, window, "fitting gene residuals", n_spread=0, footprint=self.area).mean
        rows = self.prior.rows(data.names)
        panel = self._decoder(rows, np.ones(len(rows), bool))

        def share(locations: np.ndarray, genes: np.ndarray) -> np.ndarray:
            return panel.share(latent[locations], torch.from_numpy(genes)).numpy()

        # Fitted on the whole panel, so that a gene does not depend on which others are written.
        v = visible[measured].tocsr()
        seen = np.asarray(v.sum(axis=1)).ravel()
        exposures = (seen, data.exposure[measured] - seen)
        # A kernel far narrower than the pitch holds a location alone.
        pitch_um = data.info.footprint.pitch_um * (1e-3 if "spatial" in self.ablations else 1)
        residual = fit_residual(v, rest[measured], exposures, share, window, pitch_um)
        written = np.flatnonzero(self.genes.panel_columns >= 0)
        return ResidualPooler(
            GeneResidual(residual.kappa[written], residual.width_um),
            self.decoder,
            data.counts[:, written].tocsr(),
            data.exposure,
            self.genes.panel_columns[written],
            data.xy_um,
            self.latents.mean,
        )

    def write_locations(self, out: Path, record: dict, overwrite: bool) -> None:
        """The same locations, every chosen gene."""
        self._write(
            out,
            record,
            overwrite,
            kind="enhanced",
            obs=self.adata.obs,
            obs_names=self.data.obs_names,
            xy_um=self.data.xy_um,
            exposure=self.depth.of_locations(),
            counts=None if self.options.histology_only else self.data.counts,
            latents=self.latents,
        )

    def write_refined(self, out: Path, record: dict, overwrite: bool) -> None:
        """A regular grid over the tissue under the locations."""
        xy_um, names, parent, area_share = refined_grid(self.data, self.options.resolution_um)
        self._write(
            out,
            record,
            overwrite,
            kind="refined",
            obs=pd.DataFrame({keys.PARENT: self.data.obs_names[parent]}, index=names),
            obs_names=names,
            xy_um=xy_um,
            exposure=self.depth.at(xy_um, self.data.features(xy_um)) * area_share,
            counts=None,
            latents=self._infer(self.view, xy_um, "refining"),
            resolution_um=self.options.resolution_um,
        )

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
            out, outputs, self.genes, self.decoder, self.pooler, self.options.layers, record, overwrite=overwrite
        )


def _without_counts(data: SampleData) -> SampleData:
    return replace(data, counts=sparse.csr_matrix(data.counts.shape, dtype=np.float32))


__all__ = ["DEFAULT_LAYERS", "EnhanceOptions", "enhance"]
