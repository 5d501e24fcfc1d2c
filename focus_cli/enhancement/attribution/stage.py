"""The stage behind ``focus why``: a stored sample, a model and some genes → where their estimates come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys, provenance
from focus_cli.core.errors import UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.progress import print_message
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import StoredSample, check_output, open_sample, scratch_folder
from focus_cli.core.storage.kinds import PICTURE, WHY
from focus_cli.enhancement.attribution.estimate import Estimate
from focus_cli.enhancement.attribution.game import PARTS, SIGNALS
from focus_cli.enhancement.attribution.request import find_genes, find_locations, written_as
from focus_cli.enhancement.attribution.tables import PartsTable, parts_of_locations
from focus_cli.enhancement.checks import Subject, check_subject
from focus_cli.enhancement.inference import EnhanceOptions, Inference
from focus_cli.genes import gene_table, gene_table_inputs
from focus_cli.genes.reference import build_reference, is_reference, open_reference, reference_for
from focus_cli.model.checkpoints import NANO, shipped_model
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.priors import adopt_names
from focus_cli.model.training import TrainedModel, load_model

KIND = "why"


@dataclass(frozen=True)
class WhyOptions:
    """What is explained; see ``focus why --help``."""

    genes: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    histology_only: bool = False
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Explained:
    """Where the estimates of some genes come from.

    Attributes
    ----------
    genes
        Table of genes: ``measured``, ``level``, ``vector``, and the mean size of each part.
    whole
        float64, locations × genes: log2 of the estimate over the gene's level.
    parts
        Signal → the same shape; they sum to `whole`.
    details
        Of the locations that were requested.
    estimate
        Further options.
    """

    genes: pd.DataFrame
    whole: np.ndarray
    parts: dict[str, np.ndarray]
    details: PartsTable
    estimate: Estimate


def why(
    sample: Path,
    out: Path,
    *,
    model: Path | None = None,
    reference: Path | None = None,
    options: WhyOptions | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Attribute estimates to signals.

    Parameters
    ----------
    sample
        A folder made by ``focus preprocess``.
    out
        The ``.h5ad`` to write, an analysis result of kind ``"why"``.
    model
        Model folder; by default the model that travels with the package.
    reference
        Folder made by ``focus reference``, or an ``.h5ad``, which is prepared first.
    picture
        PNG to draw beside it.

    Raises
    ------
    FocusError
        Of the kind that fits. Nothing is written then.
    """
    options = options or WhyOptions()
    _check(out, picture, [sample, model, reference], overwrite)
    given = shipped_model() if model is None else Path(model)
    if model is None:
        print_message(f"why: no model given; {NANO} is used")
    trained, stored = load_model(given), open_sample(sample)
    _check_asked(stored, trained, reference, options)
    check_memory("why", sample_size(stored.path), reference=reference is not None)
    with scratch_folder(names={"reference": reference}) as scratch:
        if reference is not None and Path(reference).is_file():
            build_reference(reference, scratch / "reference", seed=options.seed, kept=False)
        prepared = scratch / "reference" if is_reference(scratch / "reference") else reference
        opened = open_reference(prepared) if prepared is not None else None
        found = explain(stored, trained, opened, options)
        record = provenance.describe_run(
            "why",
            {**options.__dict__, "model": trained.info},
            {"model": given, "sample": sample, "reference": reference} | gene_table_inputs(),
            options.seed,
        )
    _write(out, stored, found, record, overwrite)
    if picture is not None:
        from focus_cli.enhancement.attribution.image import draw

        draw(out, picture, overwrite=overwrite)


def _check_asked(stored: StoredSample, model: TrainedModel, reference: Path | None, options: WhyOptions) -> None:
    """Refuse a reference, a model, genes or locations that do not fit the sample, before anything is computed."""
    if reference is not None and not Path(reference).is_file():
        open_reference(reference)
    info, adata = stored.info, stored.read()
    subject = Subject(info.sample_id, adata.var, info.footprint, info.image is not None)
    check_subject(subject, model, reference, EnhanceOptions(histology_only=options.histology_only))
    find_locations(options.locations, adata.obs_names.to_numpy(str), info.sample_id)
    if reference is None:
        panel = gene_table(adata.var)
        find_genes(options.genes, panel, adopt_names(model.prior, panel), None)


def explain(stored: StoredSample, model: TrainedModel, reference, options: WhyOptions) -> Explained:
    """Take the estimates of some genes apart, at every location, and in detail at those that are requested."""
    data = load_sample_data(stored)
    if reference is not None:
        reference = reference_for(reference, data.genes)
    asked = find_genes(options.genes, data.genes, adopt_names(model.prior, data.genes), reference)
    rows = find_locations(options.locations, data.obs_names, data.info.sample_id)
    with scratch_folder(names={"genes.txt": "the requested genes"}) as scratch:
        listed = scratch / "genes.txt"
        listed.write_text("".join(f"{name}\n" for name in asked))
        settings = EnhanceOptions(
            genes=str(listed), histology_only=options.histology_only, seed=options.seed, device=options.device
        )
        run = Inference(stored, model, reference, settings)
    estimate = Estimate(run)
    parts = estimate.parts()
    # The panel's own order becomes that of asking.
    order = written_as(asked, run.genes.names.astype(str), run.prior)
    table = _gene_table(estimate, parts).iloc[order]
    details = parts_of_locations(estimate, rows, parts, order)
    parts = {name: part[:, order] for name, part in parts.items()}
    return Explained(table, sum(parts.values()), parts, details, estimate)


def _gene_table(estimate: Estimate, parts: dict[str, np.ndarray]) -> pd.DataFrame:
    run, k = estimate.run, estimate.n_factors
    prior, rows = run.prior, run.genes.prior_rows
    known = run.prior.loadings[rows].any(axis=1)
    of_reference = estimate.vector_of_reference[:, :k].any(dim=1).numpy() & known
    table = pd.DataFrame(
        {
            keys.MEASURED: run.genes.measured,
            "level": estimate.level(),
            "vector": np.select([~known, of_reference], ["none", "reference"], "training samples"),
            keys.LEVEL_SD: prior.level_error[rows] * ~run.genes.measured,
        },
        index=pd.Index(run.genes.names.astype(str)),
    )
    for name in PARTS:
        table[f"mean_size_{name}"] = np.abs(parts[name]).mean(axis=0)
    return table


def _check(out: Path, picture: Path | None, inputs: list[Path | None], overwrite: bool) -> None:
    if Path(out).suffix != ".h5ad":
        raise UsageError(f"{out} must end in .h5ad", hint="choose a name that ends in .h5ad")
    check_output(out, WHY, inputs=inputs, outputs=[picture], overwrite=overwrite)
    if picture is not None:
        if Path(picture).suffix != ".png":
            raise UsageError(f"{picture} must end in .png")
        check_output(picture, PICTURE, inputs=inputs, overwrite=overwrite, option="--picture")


def _write(out: Path, stored: StoredSample, found: Explained, record: dict, overwrite: bool) -> None:
    info = stored.info
    facts = {
        "sample_id": info.sample_id,
        "mpp": info.mpp,
        "platform": info.platform.name,
        "footprint_shape": info.footprint.shape,
        "footprint_um": info.footprint.size_um,
        "pitch_um": info.footprint.pitch_um,
        "signals": list(SIGNALS),
        "scale_of_X": "log2 of the estimated share of the counts over the gene's level; the layers sum to X",
        "pairs": found.details.pairs,
        "largest_remainder": found.details.error,
    }
    with SpatialFile(stored.path / keys.COUNTS_H5AD) as file:
        write_analysis_result(
            out,
            file,
            KIND,
            record,
            var=found.genes,
            x=found.whole,
            layers=found.parts,
            obsm={keys.WHY_NEIGHBOURS: found.details.neighbours} if found.details.pairs else None,
            facts=facts,
            uns={keys.UNS_WHY: found.details.table} if found.details.pairs else None,
            overwrite=overwrite,
        )
    mean = {name: float(np.abs(part).mean()) for name, part in found.parts.items()}
    total = sum(mean.values()) or 1.0
    sizes = ", ".join(f"{name} {size / total:.0%}" for name, size in sorted(mean.items(), key=lambda m: -m[1]))
    print_message(
        f"why: {len(found.genes)} genes at {len(found.whole):,} locations → {out} (mean size of the parts: {sizes})"
    )
