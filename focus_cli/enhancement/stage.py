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
from focus_cli.progress import say
from focus_cli.reference import build_reference, is_reference, open_reference
from focus_cli.store import StoredSample, is_sample, open_sample, refuse_existing
from focus_cli.training import TrainedModel, load_model

SELF = Path("self")


def enhance(
    sample: Path,
    out: Path,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    orthologues: bool = False,
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
        Model folder; ``self`` trains one on this sample alone; by default the model that travels with the package.
    reference
        Reference folder, or an .h5ad, which is prepared first.
    orthologues
        The .h5ad may be of the other species; its one-to-one orthologues are used then.
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
        goal = _species(stored) if orthologues else None
        reference_dir = _reference(reference, Path(scratch), options.seed, goal)
        given = shipped_model() if model is None else Path(model)
        if model is None:
            say(f"enhance: no model given; {NANO} is used as it is (--adapt N adapts it, --model self trains one here)")
        trained = _model(given, stored, reference_dir, Path(scratch), options, training_options or {})
        opened = open_reference(reference_dir) if reference_dir else None
        run = Inference(stored, trained, opened, options, own=given == SELF)
        record = provenance.describe_run(
            "enhance",
            {**options.__dict__, "layers": list(options.layers), "model": run.model.info}
            | ({"orthologues": goal} if orthologues else {}),
            _inputs(sample, stored, None if given == SELF else given, reference),
            options.seed,
        )
        # The refined file first: if it fails, the enhanced one is not there either.
        if refined is not None:
            run.write_refined(refined, record, overwrite)
        run.write_locations(out, record, overwrite)


def _inputs(sample: Path, stored: StoredSample, model: Path | None, reference: Path | None) -> dict[str, Path]:
    inputs = ({"sample": stored.path} if is_sample(sample) else {}) | gene_table_inputs()
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


def _model(model: Path, stored: StoredSample, reference, scratch: Path, options, settings: dict) -> TrainedModel:
    if model != SELF:
        return load_model(model)
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
