"""What can be refused before the image of a sample is measured: genes, species, resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.enhancement.genes import refuse_unknown
from focus_cli.enhancement.inference import EnhanceOptions
from focus_cli.enhancement.inputs import SHARED_GENES_HINT, require_shared_genes
from focus_cli.enhancement.queries import check_resolution, load_points
from focus_cli.genes import (
    gene_table,
    match_genes,
    read_gene_list,
    read_var,
    require_one_species,
    to_species_of,
)
from focus_cli.model.priors import MIN_SHARED_GENES, adopt_names

if TYPE_CHECKING:
    from focus_cli.core.storage import Footprint
    from focus_cli.model.training import TrainedModel


@dataclass(frozen=True)
class Subject:
    """What is known of a sample once its counts are read.

    Attributes
    ----------
    name
        For messages: its id or folder.
    var
        Its table of genes.
    footprint
        Of its locations.
    pictured
        Whether it has an image.
    """

    name: str
    var: pd.DataFrame
    footprint: Footprint
    pictured: bool


def check_files(options: EnhanceOptions) -> None:
    """Read the lists and tables that options name, and refuse those that cannot serve any sample.

    Raises
    ------
    FocusError
        Naming the file.
    """
    if options.genes not in ("all", "measured"):
        if not Path(options.genes).exists():
            raise UsageError(f"--genes {options.genes}: no such file", hint="give all, measured or a file of names")
        read_gene_list(Path(options.genes))
    if options.points is not None:
        load_points(Path(options.points))


def check_subject(
    subject: Subject,
    model: TrainedModel | None,
    reference: Path | None,
    options: EnhanceOptions,
) -> None:
    """Refuse a model, a reference or options that cannot serve a sample.

    Parameters
    ----------
    model
        None where one is to be trained on this sample.
    reference
        A prepared folder or an .h5ad: only its genes are read.

    Raises
    ------
    FocusError
        Naming what does not fit.
    """
    if options.histology_only and not subject.pictured:
        raise BadInputError(f"{subject.name} has no image", hint="--histology-only needs one")
    if options.resolution_um is not None:
        check_resolution(subject.footprint, options.resolution_um)
    panel, tables = gene_table(subject.var), []
    if reference is not None:
        cells = gene_table(read_var(reference))
        across = to_species_of(panel, cells, "the sample", "the reference")
        tables.append(cells if across is None else across[1].set_index(keys.SYMBOL))
    if model is not None:
        require_one_species(panel, model.prior.var, "the sample", "the model")
        _require_shared_genes(subject, panel, model, alone=reference is None)
        tables.append(adopt_names(model.prior, panel).var)
    if options.genes not in ("all", "measured"):
        _require_known_genes(options.genes, [panel, *tables])


def _require_shared_genes(subject: Subject, panel: pd.DataFrame, model: TrainedModel, *, alone: bool) -> None:
    require_shared_genes(
        adopt_names(model.prior, panel),
        panel.index.to_numpy(str),
        subject.name,
        hint=SHARED_GENES_HINT,
        # A reference may know genes that the model does not: then the estimate itself decides.
        at_least=MIN_SHARED_GENES if alone else 1,
    )


def _require_known_genes(wanted: str, tables: Sequence[pd.DataFrame]) -> None:
    asked = read_gene_list(Path(wanted))
    unknown = asked[~asked.index.isin(pd.Index([]).append([table.index for table in tables]))]
    for table in tables:
        if len(unknown):
            unknown = unknown[match_genes(unknown, table, exclusive=False) < 0]
    refuse_unknown(unknown.index.tolist(), len(asked), wanted)
