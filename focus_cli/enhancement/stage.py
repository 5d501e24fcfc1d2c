"""The stage behind ``focus enhance``: a stored sample and a model → enhanced.h5ad (and refined.h5ad)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from focus_cli import provenance
from focus_cli.checkpoints import NANO, shipped_model
from focus_cli.conditioning.ablation import parse_ablations
from focus_cli.enhancement.inference import LAYERS, EnhanceOptions, Inference
from focus_cli.errors import BadInputError, UsageError
from focus_cli.genes import SPECIES, gene_table_inputs, read_gene_names, species_of
from focus_cli.preprocessing.encoding import Encoding, encoding_like
from focus_cli.progress import say
from focus_cli.reference import build_reference, is_reference, open_reference
from focus_cli.resources import check_memory, sample_size
from focus_cli.store import StoredSample, is_sample, open_sample, refuse_existing, sample_id_of
from focus_cli.training import TrainedModel, load_model

SELF = Path("self")


def enhance(
    sample: Path | None,
    out: Path,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    orthologues: bool = False,
    refined: Path | None = None,
    options: EnhanceOptions | None = None,
    preprocess_options: dict | None = None,
    encoding: Encoding | None = None,
    training_options: dict | None = None,
    overwrite: bool = False,
) -> None:
    """Enhance one sample.

    Parameters
    ----------
    sample
        A folder made by ``focus preprocess``, or a raw platform folder, which is preprocessed first. None: the image of
        ``preprocess_options`` is a whole slide without counts, and the model speaks on a grid over its tissue.
    out
        Enhanced .h5ad to write: the same locations, all chosen genes.
    model
        Model folder; ``self`` trains one on this sample alone; by default the model that travels with the package.
    reference
        Reference folder, or an .h5ad, which is prepared first.
    orthologues
        The .h5ad may be of the other species; its one-to-one orthologues are used then.
    encoding
        Where the learned encoder of the model lies, for a raw sample or a slide.
    refined
        Second .h5ad on a grid of ``options.resolution_um``, or at the points of ``options.points``.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.errors`. Nothing is written then.
    """
    options, encoding = options or EnhanceOptions(), encoding or Encoding()
    preprocess_options = preprocess_options or {}
    if sample is None:
        _check_slide(preprocess_options, refined, options)
    _check(model, out, refined, options, overwrite, alone=sample is None)
    with tempfile.TemporaryDirectory(prefix="focus-") as scratch:
        given = shipped_model() if model is None else Path(model)
        if model is None:
            say(f"enhance: no model given; {NANO} is used as it is (--adapt N adapts it, --model self trains one here)")
        trained = None if given == SELF else load_model(given)
        if sample is None:
            stored = _slide(trained, Path(scratch), preprocess_options, options, encoding)
        else:
            stored = _stored(sample, Path(scratch), preprocess_options, encoding, trained)
        goal = _species(stored) if orthologues else None
        reference_dir = _reference(reference, Path(scratch), options.seed, goal)
        if trained is None:
            trained = _train_here(stored, reference_dir, Path(scratch), options, training_options or {})
        opened = open_reference(reference_dir) if reference_dir else None
        _check_memory(stored, trained, options, reference=opened is not None)
        run = Inference(stored, trained, opened, options, own=given == SELF)
        record = provenance.describe_run(
            "enhance",
            {**options.__dict__, "layers": list(options.layers), "model": run.model.info}
            | ({"orthologues": goal} if orthologues else {}),
            _inputs(sample, stored, None if given == SELF else given, reference)
            | ({"image": Path(preprocess_options["image"])} if sample is None else {})
            | ({"points": Path(options.points)} if options.points is not None else {}),
            options.seed,
        )
        # The refined file first: if it fails, the enhanced one is not there either.
        if refined is not None:
            run.write_refined(refined, record, overwrite)
        run.write_locations(out, record, overwrite)


def _check_memory(stored: StoredSample, model: TrainedModel, options: EnhanceOptions, *, reference: bool) -> None:
    check_memory(
        "enhance",
        sample_size(stored.path),
        lower="write fewer genes with --genes, or a coarser grid with --resolution-um",
        genes=None if options.genes == "measured" else len(model.prior.genes),
        resolution_um=options.resolution_um,
        layers=len(options.layers),
        samples=options.samples,
        preset=model.info.get("preset", "nano"),
        steps=options.adapt,
        reference=reference,
    )


def _inputs(sample: Path | None, stored: StoredSample, model: Path | None, reference: Path | None) -> dict[str, Path]:
    inputs = ({"sample": stored.path} if sample is not None and is_sample(sample) else {}) | gene_table_inputs()
    return inputs | {role: Path(p) for role, p in (("model", model), ("reference", reference)) if p is not None}


def _check_slide(reader: dict, refined, options: EnhanceOptions) -> None:
    if not (options.histology_only and reader.get("image")):
        raise UsageError(
            "there is no sample to enhance",
            hint="name one; a whole slide without counts: --histology-only --image SLIDE --model MODEL",
        )
    if refined is not None:
        raise UsageError("a slide without counts has one output", hint="--resolution-um is the pitch of its grid")
    if options.points is not None:
        raise UsageError("--points needs a sample", hint="leave it away; --resolution-um is the pitch of the grid")
    for name in ("bin_um", "region", "table"):
        if reader.get(name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is about raw data, and there is only a slide")


def _check(model, out, refined, options: EnhanceOptions, overwrite: bool, *, alone: bool) -> None:
    if options.resolution_um is not None and options.points is not None:
        raise UsageError("--resolution-um and --points contradict each other", hint="a grid, or points of your own")
    if not alone and (refined is None) != (options.resolution_um is None and options.points is None):
        raise UsageError(
            "--refined goes with --resolution-um or --points", hint="give both where the refined file shall speak"
        )
    for path in (out, refined):
        if path is None:
            continue
        if Path(path).suffix != ".h5ad":
            raise UsageError(f"{path} must end in .h5ad")
        refuse_existing(path, overwrite)
    if refined is not None and Path(refined).absolute() == Path(out).absolute():
        raise UsageError("--refined and --out are the same file")
    own = model is not None and Path(model) == SELF
    if options.adapt and (own or options.histology_only):
        raise UsageError(
            "--adapt continues the training of a model on this sample's counts",
            hint="leave it away with --histology-only, or where the model is trained on this sample anyway",
        )
    if own and options.histology_only:
        raise UsageError(
            "--histology-only needs a model that was trained on other samples", hint="leave --model self away"
        )
    parse_ablations(options.ablate)
    unknown = set(options.layers) - set(LAYERS)
    if unknown:
        raise UsageError(f"unknown layer {sorted(unknown)[0]!r}", hint=f"layers: {', '.join(LAYERS)}")
    if options.genes not in ("all", "measured") and not Path(options.genes).is_file():
        raise UsageError(f"--genes {options.genes}: no such file", hint="give all, measured or a file of names")


def _slide(model: TrainedModel, scratch: Path, reader: dict, options, encoding: Encoding) -> StoredSample:
    from focus_cli.enhancement.whole_slide import slide_sample

    image = Path(reader["image"])
    return slide_sample(
        image,
        scratch / "sample",
        sample_id_of(image.name, "sample"),
        model,
        resolution_um=options.resolution_um,
        mpp=reader.get("mpp"),
        encoding=encoding,
    )


def _stored(
    sample: Path, scratch: Path, settings: dict, encoding: Encoding, model: TrainedModel | None
) -> StoredSample:
    if is_sample(sample):
        if encoding.spec is not None:
            raise UsageError(
                f"{sample} is a prepared sample with image features of its own", hint="leave --encoder away"
            )
        return open_sample(sample)
    from focus_cli.preprocessing import preprocess

    if model is not None:
        encoding = encoding_like(model.image.encoder, encoding)
    sample_id = settings.pop("sample_id", None) or sample_id_of(Path(sample).name, "sample")
    say(f"enhance: {sample} is a raw folder; preprocessing it")
    return preprocess(sample, scratch / "sample", sample_id, encoding=encoding, **settings)


def _species(stored: StoredSample) -> str:
    species = species_of(read_gene_names(stored.read().var))
    if species not in SPECIES:
        raise BadInputError(
            f"{stored.path}: the species of its genes is {species or 'not to be told'}; --orthologues needs one of "
            f"{' and '.join(SPECIES)}",
            hint="leave --orthologues away, or prepare the reference with focus reference --orthologues SPECIES",
        )
    return species


def _reference(reference: Path | None, scratch: Path, seed: int, orthologues: str | None) -> Path | None:
    if reference is None:
        if orthologues is not None:
            raise UsageError("--orthologues is about the --reference", hint="give one, or leave it away")
        return None
    if is_reference(reference):
        # A prepared one says its species where the samples and it are put together.
        return reference
    if Path(reference).is_dir():
        open_reference(reference)  # raises: it names what is missing
    build_reference(reference, scratch / "reference", seed=seed, orthologues=orthologues)
    return scratch / "reference"


def _train_here(stored: StoredSample, reference, scratch: Path, options, settings: dict) -> TrainedModel:
    from focus_cli.training.stage import train

    say("enhance: training a model on this sample by self-supervision")
    return train(
        [stored.path],
        scratch / "model",
        reference=reference,
        seed=options.seed,
        device=options.device,
        **settings,
    )


__all__ = ["EnhanceOptions", "enhance"]
