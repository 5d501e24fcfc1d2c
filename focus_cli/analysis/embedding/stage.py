"""The stage behind ``focus embed``: a stored sample, or a slide alone, and a model → vectors at three scales."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.analysis.embedding.neighbourhood import WIDTHS_UM, neighbourhoods, slide_vector
from focus_cli.analysis.embedding.space import MODES, Space, model_space
from focus_cli.core import keys, provenance
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.progress import print_message
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import StoredSample, check_output, open_sample, sample_id_of, scratch_folder
from focus_cli.core.storage.kinds import EMBEDDING
from focus_cli.enhancement import Inputs, require_shared_genes
from focus_cli.genes import gene_table_inputs
from focus_cli.genes.reference import open_reference
from focus_cli.model.checkpoints import NANO, shipped_model
from focus_cli.model.conditioning import SampleData, ood_score_of, without_counts
from focus_cli.model.priors import adopt_names
from focus_cli.model.training import TrainedModel, load_model
from focus_cli.platforms.preprocessing import Encoding

KIND = "embedding"


@dataclass(frozen=True)
class EmbedOptions:
    """What is embedded, and how; see ``focus embed --help``.

    `mode` is one of `focus_cli.analysis.embedding.space.MODES`, or ``"auto"``: joint where sample and model have an
    image.
    """

    mode: str = "auto"
    widths_um: tuple[float, ...] = WIDTHS_UM
    samples: int = 0
    resolution_um: float | None = None
    seed: int = 0
    device: str = "auto"


def embed(
    sample: Path | None,
    out: Path,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    image: Path | None = None,
    mpp: float | None = None,
    force: bool = False,
    options: EmbedOptions | None = None,
    encoding: Encoding | None = None,
    overwrite: bool = False,
) -> None:
    """Write the representation of every location, of its neighbourhood, and of the section.

    Parameters
    ----------
    sample
        A folder made by ``focus preprocess``. None: `image` is a slide without counts, embedded on a grid over tissue.
    out
        The ``.h5ad`` to write, an analysis result of kind ``"embedding"``.
    model
        Model folder; by default the model that travels with the package.
    reference
        Folder made by ``focus reference``, whose cell states the model may recall.
    image, mpp
        The slide, and its µm per pixel where the file does not state it.
    force
        Continue, with a warning, where the slide is not an H&E.
    encoding
        Where the learned encoder of the model lies, for a slide alone.

    Raises
    ------
    FocusError
        Of the kind that fits. Nothing is written then.
    """
    options, encoding = options or EmbedOptions(), encoding or Encoding()
    _check(sample, out, image, [model, reference, encoding.spec, encoding.store], options, overwrite)
    if sample is not None:
        for name, value in (("--mpp", mpp), ("--force", force or None), ("--encoder", encoding.spec)):
            if value is not None:
                raise UsageError(f"{name} is about a slide without counts", hint="leave it away: a sample has its own")
    elif not Path(image).exists():
        raise MissingResourceError(f"no such image: {image}", hint="check --image")
    given = shipped_model() if model is None else Path(model)
    if model is None:
        print_message(f"embed: no model given; {NANO} is used")
    trained = load_model(given)
    opened = open_reference(reference) if reference is not None else None
    with scratch_folder(names={"sample": image}) as scratch:
        if sample is None:
            stored = _slide(image, trained, scratch, mpp, options, encoding, force)
        else:
            stored = open_sample(sample)
        check_memory("embed", sample_size(stored.path), samples=options.samples, reference=opened is not None)
        found = represent(stored, trained, given, opened, options)
        roles = (("sample", sample), ("image", image if sample is None else None), ("reference", reference))
        inputs = {"model": given} | {role: Path(path) for role, path in roles if path is not None}
        record = provenance.describe_run(
            "embed",
            {**options.__dict__, "widths_um": list(options.widths_um), "mode": found.mode},
            inputs | gene_table_inputs(),
            options.seed,
        )
        _write(out, stored, found, record, overwrite)


@dataclass(frozen=True)
class Embedding:
    """What a model makes of one sample.

    Attributes
    ----------
    location, neighbourhood
        float32, (n, D) and (n, widths · D).
    slide
        float32, (2 D + widths · D).
    obs
        What is known of each location.
    draws
        Pairs (location, neighbourhood) of the posterior.
    """

    mode: str
    space: Space
    location: np.ndarray
    neighbourhood: np.ndarray
    slide: np.ndarray
    obs: pd.DataFrame
    draws: list[tuple[np.ndarray, np.ndarray]]


def represent(stored: StoredSample, model: TrainedModel, path: Path, reference, options: EmbedOptions) -> Embedding:
    """Embed one stored sample under a model whose folder is `path`.

    Raises
    ------
    BadInputError
        If the sample has nothing that the mode rests on, or shares too few genes with the model.
    """
    inputs = Inputs(stored, model, reference)
    adata, mode = inputs.adata, _mode(inputs, options.mode)
    print_message(f"embed: {inputs.data.info.sample_id} by {_WORDS[mode]}")
    seen = _shown(inputs, mode)
    section = inputs.section(seen, seed=options.seed, device=options.device)
    if mode != "histology":
        known = adopt_names(model.prior, seen.genes)
        require_shared_genes(
            known, seen.names, seen.info.sample_id, hint="use a model of the same species and kind of gene names"
        )
    latents = section.infer(
        section.view(seen.counts),
        seen.xy_um,
        "embedding locations",
        footprint=section.area,
        n_samples=options.samples,
    )
    space = model_space(model, path, mode, options.widths_um)
    features = seen.location_features if space.image.shape[1] else None
    in_tissue = adata.obs[keys.IN_TISSUE].to_numpy() if keys.IN_TISSUE in adata.obs else np.ones(adata.n_obs, int)
    weight = (in_tissue > 0).astype(np.float64)

    def around(location: np.ndarray) -> np.ndarray:
        return neighbourhoods(seen.xy_um, location, weight, options.widths_um)

    location = space.locations(latents.mean, features)
    neighbourhood = around(location)
    draws = [space.locations(draw, features) for draw in ([] if latents.samples is None else latents.samples)]
    obs = pd.DataFrame({keys.IN_TISSUE: in_tissue.astype(np.int8)}, index=adata.obs_names)
    if mode != "histology":
        obs[keys.TOTAL_COUNTS] = seen.exposure
    obs[keys.OBS_RELIABILITY] = space.known(latents.sd)
    if (ood_score := ood_score_of(seen, model.image.ood_reference, seen.xy_um)) is not None:
        obs[keys.OOD_SCORE] = ood_score
    return Embedding(
        mode=mode,
        space=space,
        location=location,
        neighbourhood=neighbourhood,
        slide=slide_vector(location, neighbourhood, weight),
        obs=obs,
        draws=[(draw, around(draw)) for draw in draws],
    )


_WORDS = {"joint": "expression and H&E", "expression": "expression alone", "histology": "H&E alone"}


def _mode(inputs: Inputs, wanted: str) -> str:
    data, pictured = inputs.data, inputs.pictured
    if wanted in ("joint", "histology") and not pictured:
        lacking = "the model was trained without images" if data.raster is not None else "the sample has no image"
        raise BadInputError(
            f"{data.info.sample_id}: {lacking}", hint="leave --histology-only and --mode away, or --mode expression"
        )
    counted = bool((data.exposure > 0).any())
    if wanted in ("joint", "expression") and not counted:
        raise BadInputError(f"{data.info.sample_id}: no location has counts", hint="--histology-only needs none")
    if not counted and not pictured:
        raise BadInputError(f"{data.info.sample_id} has neither counts nor an image that the model can see")
    if wanted != "auto":
        return wanted
    return "histology" if not counted else "joint" if pictured else "expression"


def _shown(inputs: Inputs, mode: str) -> SampleData:
    """The sample without what the mode does not use."""
    data = inputs.shown(image=mode != "expression")
    return without_counts(data) if mode == "histology" else data


def _slide(
    image: Path,
    model: TrainedModel,
    scratch: Path,
    mpp: float | None,
    options: EmbedOptions,
    encoding: Encoding,
    force: bool,
) -> StoredSample:
    from focus_cli.enhancement import slide_sample

    return slide_sample(
        Path(image),
        scratch / "sample",
        sample_id_of(Path(image).name, "slide"),
        model,
        resolution_um=options.resolution_um,
        mpp=mpp,
        encoding=encoding,
        force=force,
    )


def _check(
    sample: Path | None, out: Path, image: Path | None, others: list, options: EmbedOptions, overwrite: bool
) -> None:
    if options.mode not in ("auto", *MODES):
        raise UsageError(f"unknown mode {options.mode!r}", hint=f"modes: auto, {', '.join(MODES)}")
    if not options.widths_um or min(options.widths_um) <= 0 or not np.isfinite(options.widths_um).all():
        raise UsageError("--widths-um must be positive numbers", hint="for instance --widths-um 50,150")
    if sample is None and (image is None or options.mode != "histology"):
        raise UsageError(
            "there is no sample to embed",
            hint="name one; a slide without counts: --histology-only --image SLIDE --model MODEL",
        )
    if sample is not None and image is not None:
        raise UsageError("--image is for a slide without counts", hint="a stored sample has its image in it")
    if sample is not None and options.resolution_um is not None:
        raise UsageError("--resolution-um is the grid of a slide alone", hint="leave it away: a sample has locations")
    if Path(out).suffix != ".h5ad":
        raise UsageError(f"{out} must end in .h5ad", hint="choose a name that ends in .h5ad")
    check_output(out, EMBEDDING, inputs=[sample, image, *others], overwrite=overwrite)


def _write(out: Path, stored: StoredSample, found: Embedding, record: dict, overwrite: bool) -> None:
    info = stored.info
    obsm = {keys.LOCATION: found.location, keys.NEIGHBOURHOOD: found.neighbourhood}
    for number, (location, neighbourhood) in enumerate(found.draws):
        obsm[f"{keys.LOCATION}_sample_{number}"] = location
        obsm[f"{keys.NEIGHBOURHOOD}_sample_{number}"] = neighbourhood
    facts = {
        "sample_id": info.sample_id,
        "mpp": info.mpp,
        "platform": info.platform.name,
        "footprint_shape": info.footprint.shape,
        "footprint_um": info.footprint.size_um,
        "pitch_um": info.footprint.pitch_um,
        "space": found.space.name,
        "mode": found.mode,
        "n_expression_axes": int(found.space.expression.shape[1]),
        "n_image_axes": int(found.space.image.shape[1]),
        "widths_um": list(record["settings"]["widths_um"]),
    }
    with SpatialFile(stored.path / keys.COUNTS_H5AD) as file:
        write_analysis_result(
            out,
            file,
            KIND,
            record,
            obs=found.obs,
            obsm=obsm,
            facts=facts,
            uns={keys.UNS_SLIDE: found.slide},
            overwrite=overwrite,
        )
