"""The stage behind ``focus enhance``: a stored sample and a model → enhanced.h5ad (and refined.h5ad)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core import provenance
from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.core.platform_names import AUTO
from focus_cli.core.progress import print_message
from focus_cli.core.resources import Size, check_memory, sample_size
from focus_cli.core.storage import StoredSample, check_output, is_sample, open_sample, sample_id_of, scratch_folder
from focus_cli.core.storage.kinds import ENHANCED, PICTURE, REFINED
from focus_cli.enhancement.checks import Subject, check_files, check_subject
from focus_cli.enhancement.inference import LAYERS, EnhanceOptions, Inference
from focus_cli.genes import gene_table_inputs, read_var
from focus_cli.genes.reference import build_reference, is_reference, open_reference, require_h5ad
from focus_cli.model.checkpoints import NANO, shipped_model
from focus_cli.model.conditioning import parse_ablations
from focus_cli.model.training import TrainedModel, load_model
from focus_cli.platforms.preprocessing import Encoding, PreprocessOptions, encoding_like

if TYPE_CHECKING:
    from focus_cli.platforms import RawSample

SELF = Path("self")


def enhance(
    sample: Path | None,
    out: Path,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    cell_type: str | None = None,
    refined: Path | None = None,
    picture: Path | None = None,
    options: EnhanceOptions | None = None,
    preparation: PreprocessOptions | None = None,
    encoding: Encoding | None = None,
    training_options: dict | None = None,
    overwrite: bool = False,
) -> None:
    """Enhance one sample.

    Parameters
    ----------
    sample
        A folder made by ``focus preprocess``, or a raw platform folder, which is preprocessed first. None: the image of
        `preparation` is a whole slide without counts, and the model is evaluated on a grid over its tissue.
    out
        Enhanced .h5ad to write: the same locations, all chosen genes.
    model
        Model folder; ``self`` trains one on this sample alone; by default the model that travels with the package.
    reference
        Reference folder, or an .h5ad, which is prepared first.
    cell_type
        Column of obs with the cell types of the .h5ad; guessed if not given.
    refined
        Second .h5ad on a grid of ``options.resolution_um``, or at the points of ``options.points``.
    picture
        PNG that whoever calls will draw of `out`: checked with the other outputs, and not drawn here.
    preparation
        How a raw sample is preprocessed.
    encoding
        Where the learned encoder of the model lies, for a raw sample or a slide.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.core.errors`. Nothing is written then.
    """
    options, encoding = options or EnhanceOptions(), encoding or Encoding()
    preparation = preparation or PreprocessOptions()
    _check(model, out, refined, options, alone=sample is None)
    read = [sample, model, reference, options.points, options.genes, encoding.spec, encoding.store]
    check_outputs(out, refined, picture, [*read, *preparation.inputs], overwrite)
    check_files(options)
    _check_sample(sample, preparation, encoding, refined, options)
    _check_reference(reference, cell_type)
    training_options = {name: value for name, value in (training_options or {}).items() if value is not None}
    given = shipped_model() if model is None else Path(model)
    if training_options and given != SELF:
        raise UsageError("--max-steps is about --model self", hint="leave it away; --adapt continues a training")
    if model is None:
        print_message(
            f"enhance: no model given; {NANO} is used as it is (--adapt N adapts it, --model self trains one here)"
        )
    trained = None if given == SELF else load_model(given)
    if trained is not None and options.histology_only and not trained.image.names:
        raise UsageError("the model was trained without images", hint="use a model trained on samples with an H&E")
    shown = {"sample": preparation.reader["image"] if sample is None else sample, "reference": reference}
    with scratch_folder(names=shown | {"model": "the model of this sample"}) as scratch:
        reference_dir: Path | None = None

        def check(subject: Subject) -> None:
            check_subject(subject, trained, reference, options)

        if sample is None:
            stored = _slide(trained, scratch, preparation, options, encoding)
        elif is_sample(sample):
            stored = open_sample(sample)
            check(_subject(stored))
        else:

            def check_raw(subject: Subject) -> None:
                nonlocal reference_dir
                check(subject)
                # A reference that cannot be used is refused before the image is measured.
                reference_dir = _reference(reference, scratch, options.seed, cell_type)

            _check_raw_memory(sample, preparation, trained, options, reference=reference is not None)
            stored = _preprocessed(sample, scratch, preparation, encoding, trained, check_raw)
        if reference_dir is None:
            reference_dir = _reference(reference, scratch, options.seed, cell_type)
        if trained is None:
            trained = _train_here(stored, reference_dir, scratch, options, training_options)
        opened = open_reference(reference_dir) if reference_dir else None
        _check_memory(sample_size(stored.path), trained, options, reference=opened is not None)
        run = Inference(stored, trained, opened, options, own=given == SELF)
        record = provenance.describe_run(
            "enhance",
            {**options.__dict__, "layers": list(options.layers), "model": run.model.info}
            | ({"cell_type": cell_type} if cell_type is not None else {}),
            _inputs(sample, stored, None if given == SELF else given, reference)
            | ({"image": Path(preparation.reader["image"])} if sample is None else {})
            | ({"points": Path(options.points)} if options.points is not None else {}),
            options.seed,
        )
        # The refined file first: if it fails, the enhanced one is not there either.
        if refined is not None:
            run.write_refined(refined, record, overwrite)
        run.write_locations(out, record, overwrite)


def _check_raw_memory(
    raw: Path, preparation: PreprocessOptions, model: TrainedModel | None, options: EnhanceOptions, *, reference: bool
) -> None:
    """What enhancement itself needs, as far as a raw sample shows it; `preprocess` looks at its own need."""
    if model is not None:
        known = {name: preparation.reader.get(name) for name in ("image", "bin_um")}
        size = sample_size(raw, platform=preparation.reader.get("platform", AUTO), **known)
        _check_memory(size, model, options, reference=reference)


def _check_memory(size: Size, model: TrainedModel, options: EnhanceOptions, *, reference: bool) -> None:
    check_memory(
        "enhance",
        size,
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


def _check_sample(
    sample: Path | None,
    preparation: PreprocessOptions,
    encoding: Encoding,
    refined: Path | None,
    options: EnhanceOptions,
) -> None:
    named = preparation.named()
    if sample is None:
        if not (options.histology_only and preparation.reader.get("image")):
            raise UsageError(
                "there is no sample to enhance",
                hint="name one; a whole slide without counts: --histology-only --image SLIDE --model MODEL",
            )
        if refined is not None:
            raise UsageError("a slide without counts has one output", hint="--resolution-um is the pitch of its grid")
        if options.points is not None:
            raise UsageError("--points needs a sample", hint="leave it away; --resolution-um is the pitch of the grid")
        if others := [name for name in named if name not in ("--image", "--mpp", "--force")]:
            raise UsageError(f"{others[0]} is about raw data, and there is only a slide", hint="leave it away")
        return
    if is_sample(sample):
        if encoding.spec is not None:
            raise UsageError(f"{sample} is a prepared sample with image features already", hint="leave out --encoder")
        if named:
            raise UsageError(
                f"{named[0]} is about raw data, and {sample} is a prepared sample",
                hint="leave it away, or name the raw folder",
            )
    elif not Path(sample).exists():
        raise MissingResourceError(f"no such file or folder: {sample}", hint="a sample, or what the instrument wrote")


def _check_reference(reference: Path | None, cell_type: str | None) -> None:
    """Refuse a reference that is not there, and options that do not fit it."""
    if reference is None:
        if cell_type is not None:
            raise UsageError("--cell-type is about the --reference", hint="give one, or leave it away")
        return
    if is_reference(reference):
        open_reference(reference)  # raises where a part of it is missing
        if cell_type is not None:
            raise UsageError(
                f"--cell-type is about an .h5ad, and {reference} is prepared already", hint="leave it away"
            )
    else:
        require_h5ad(Path(reference))


def check_outputs(out: Path, refined: Path | None, picture: Path | None, read: list[object], overwrite: bool) -> None:
    """Refuse outputs that cannot be written, or that would take the place of something else."""
    given = {"--out": (out, ENHANCED), "--refined": (refined, REFINED), "--picture": (picture, PICTURE)}
    for option, (path, kind) in given.items():
        if path is not None:
            others = [other for name, (other, _) in given.items() if name != option]
            check_output(path, kind, inputs=read, outputs=others, overwrite=overwrite, option=option)


def _check(model, out, refined, options: EnhanceOptions, *, alone: bool) -> None:
    if options.resolution_um is not None and options.points is not None:
        raise UsageError("--resolution-um and --points contradict each other", hint="a grid, or custom points")
    if not alone and (refined is None) != (options.resolution_um is None and options.points is None):
        raise UsageError(
            "--refined goes with --resolution-um or --points", hint="give both for refined locations, or neither"
        )
    for path in (out, refined):
        if path is None:
            continue
        if Path(path).suffix != ".h5ad":
            raise UsageError(f"{path} must end in .h5ad", hint="choose a name that ends in .h5ad")
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


def _slide(
    model: TrainedModel, scratch: Path, preparation: PreprocessOptions, options: EnhanceOptions, encoding: Encoding
) -> StoredSample:
    from focus_cli.enhancement.whole_slide import slide_sample

    image = Path(preparation.reader["image"])
    return slide_sample(
        image,
        scratch / "sample",
        sample_id_of(image.name, "sample"),
        model,
        resolution_um=options.resolution_um,
        mpp=preparation.reader.get("mpp"),
        encoding=encoding,
        force=preparation.force,
    )


def _subject(stored: StoredSample) -> Subject:
    info = stored.info
    return Subject(info.sample_id, read_var(stored.path), info.footprint, bool(stored.raster_paths))


def _preprocessed(
    raw: Path,
    scratch: Path,
    preparation: PreprocessOptions,
    encoding: Encoding,
    model: TrainedModel | None,
    check: Callable[[Subject], None],
) -> StoredSample:
    from focus_cli.platforms.preprocessing import preprocess

    if model is not None:
        encoding = encoding_like(model.image.encoder, encoding)
    print_message(f"enhance: {raw} is a raw folder; preprocessing it")

    def check_raw(read: RawSample) -> None:
        pictured = read.image_path is not None and preparation.use_image
        check(Subject(str(raw), read.adata.var, read.footprint, pictured))

    name = sample_id_of(Path(raw).name, "sample")
    return preprocess(raw, scratch / "sample", name, preparation, encoding=encoding, check=check_raw)


def _reference(reference: Path | None, scratch: Path, seed: int, cell_type: str | None) -> Path | None:
    # A prepared one says its species where the samples and it are put together.
    if reference is None or is_reference(reference):
        return reference
    build_reference(reference, scratch / "reference", cell_type, seed=seed, kept=False)
    return scratch / "reference"


def _train_here(stored: StoredSample, reference, scratch: Path, options, settings: dict) -> TrainedModel:
    from focus_cli.model.training import train

    print_message("enhance: training a model on this sample by self-supervision")
    return train(
        [stored.path],
        scratch / "model",
        reference=reference,
        seed=options.seed,
        device=options.device,
        **settings,
    )


__all__ = ["EnhanceOptions", "enhance"]
