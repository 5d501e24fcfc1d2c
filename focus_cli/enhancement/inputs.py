"""What a stage infers from: a stored sample, a model and a reference, and the section that they make together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.device import choose_device
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import StoredSample, open_sample
from focus_cli.enhancement.section import Section
from focus_cli.genes import species_pair
from focus_cli.genes.reference import Reference, open_reference, reference_for
from focus_cli.model.conditioning import SampleData, load_sample_data, state_latents, without_image
from focus_cli.model.priors import MIN_SHARED_GENES, SpatialPrior, adopt_names, extend_prior
from focus_cli.model.training import TrainedModel, load_model

if TYPE_CHECKING:
    from anndata import AnnData

SHARED_GENES_HINT = "use a model of the same species and kind of gene names, or --model self"


@dataclass(frozen=True)
class Inputs:
    """A sample, the model that it is put to, and the reference that the model may use.

    Attributes
    ----------
    stored
        Of ``focus preprocess``; its arrays are read when they are first used.
    model
        Of ``focus train``.
    reference
        Of ``focus reference``, or None.
    """

    stored: StoredSample
    model: TrainedModel
    reference: Reference | None = None

    @classmethod
    def open(cls, sample: Path, model: Path, reference: Path | None) -> Inputs:
        """Open three folders.

        Raises
        ------
        FocusError
            Naming the folder that does not exist or cannot be opened.
        """
        opened = open_sample(sample), load_model(model)
        return cls(*opened, open_reference(reference) if reference is not None else None)

    @cached_property
    def adata(self) -> AnnData:
        """Content of the stored sample."""
        return self.stored.read()

    @cached_property
    def data(self) -> SampleData:
        """The sample with all its image features."""
        return load_sample_data(self.stored, self.adata)

    @property
    def pictured(self) -> bool:
        """Whether the sample has an image and the model was trained with images."""
        return self.data.raster is not None and bool(self.model.image.names)

    def shown(self, *, image: bool = True) -> SampleData:
        """The sample with the image features of the model; without an image where either has none, or on request."""
        if image and self.pictured:
            return self.model.image.see(self.data)
        return without_image(self.data, self.model.net.config.n_features)

    def for_genes(self, data: SampleData) -> Inputs:
        """The same with model and reference under the genes of the species of some `data` of this sample.

        Raises
        ------
        BadInputError
            If there are no orthologues between two species, or they are not used.
        """
        model, reference = self.model, self.reference
        if reference is not None:
            reference = reference_for(reference, data.genes)
        if pair := species_pair(data.genes, model.prior.var):
            prior = adopt_names(model.prior, data.genes)
            known = prior.rows(data.names) >= 0
            facts = {"from": pair[1], "to": pair[0], "n_orthologues": len(prior.genes), "n_shared": int(known.sum())}
            share = ""
            if data.counts.nnz:
                facts["share_of_counts"] = round(float(data.panel_share()[known].sum()), 4)
                share = f" ({facts['share_of_counts']:.1%} of its counts)"
            print_message(
                f"orthologues: the model is {pair[1]} and the sample is {pair[0]}; {facts['n_shared']:,} of "
                f"{len(known):,} genes of the sample are matched{share}"
            )
            model = replace(model, prior=prior, info=model.info | {"orthologues": facts})
        return replace(self, model=model, reference=reference)

    def section(self, data: SampleData, *, seed: int, device: str) -> Section:
        """Some `data` of this sample, with the gene vectors and cell states that go with it, on a device."""
        own = self.for_genes(data)
        prior = extend_prior(own.model.prior, data.genes, data.panel_share(), own.reference)
        own.model.net.to(choose_device(device))
        return Section(data, own.model.net, prior, state_latents(own.reference, prior), seed)


def require_shared_genes(
    prior: SpatialPrior, names: np.ndarray, sample: str, *, hint: str, at_least: int = MIN_SHARED_GENES
) -> None:
    """Refuse a panel of which a prior contains too few genes; all of them suffice.

    Raises
    ------
    BadInputError
        With the first names of both.
    """
    known = known_genes(prior, names)
    if known < min(at_least, len(names)):
        raise BadInputError(
            f"the model contains {known} of the {len(names):,} genes of {sample} "
            f"(sample: {names[0]}, …; model: {prior.genes[0]}, …)",
            hint=hint,
        )


def known_genes(prior: SpatialPrior, names: np.ndarray) -> int:
    """Number of genes of a panel that have a vector."""
    rows = prior.rows(names)
    return int((prior.loadings[rows].any(axis=1) & (rows >= 0)).sum())
