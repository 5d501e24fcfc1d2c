"""What the tests of one section share: ``focus patterns`` and ``focus interactions``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.analysis.significance.counts import ObservedCounts, read_observed_counts
from focus_cli.analysis.significance.states import HiddenGeneStates, MadeOf, facts_of, infer_hidden, warnings_of
from focus_cli.core import provenance
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import analysis_kind

if TYPE_CHECKING:
    from focus_cli.enhancement import Inputs

MIN_COUNTS = 20


@dataclass(frozen=True)
class SectionTestOptions:
    """How the genes of a section are tested.

    Attributes
    ----------
    min_counts
        Genes with fewer counts in the section are not tested.
    folds
        Parts of the panel that are hidden in turn.
    """

    min_counts: int = MIN_COUNTS
    folds: int = 4
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class SectionTest:
    """An open enhanced file and what it was made of; see `open_section_test`."""

    kind: str
    file: SpatialFile
    options: SectionTestOptions
    made_of: Inputs | None
    paths: Mapping[str, Path | None]
    out: Path
    overwrite: bool

    @cached_property
    def observed(self) -> ObservedCounts:
        """Raw counts of the file."""
        return read_observed_counts(self.file, self.kind)

    @cached_property
    def genes(self) -> np.ndarray:
        """Names of the genes of the file."""
        return self.file.var.index.to_numpy(str)

    @cached_property
    def locations(self) -> np.ndarray:
        """Names of the locations that hold counts."""
        return self.file.obs.index.to_numpy(str)[self.observed.rows]

    @cached_property
    def hidden(self) -> HiddenGeneStates | None:
        """States inferred with the tested genes hidden; None for tests of counts alone."""
        how = self.options
        return infer_hidden(self.made_of, self.locations, self.genes, folds=how.folds, seed=how.seed, device=how.device)

    def write(self, facts: Mapping[str, Any], *, warnings: tuple[str, ...] = (), **arrays: Any) -> None:
        """Write the analysis result; `arrays` are keywords of `write_analysis_result`."""
        write_analysis_result(
            self.out,
            self.file,
            self.kind,
            provenance.describe_run(self.kind, self.options.__dict__, dict(self.paths), self.options.seed),
            facts={**facts_of(self.hidden), **facts, "warnings": [*warnings, *warnings_of(self.hidden)]},
            overwrite=self.overwrite,
            **arrays,
        )


@contextmanager
def open_section_test(
    kind: str,
    enhanced: Path,
    out: Path,
    *,
    sample: Path | None,
    model: Path | None,
    reference: Path | None,
    others: Mapping[str, Path | None],
    options: SectionTestOptions,
    overwrite: bool,
) -> Iterator[SectionTest]:
    """Check outputs, inputs and memory, and open an enhanced file.

    Parameters
    ----------
    kind
        Kind of the analysis result.
    sample, model, reference
        What `enhanced` was made of.
    others
        Other inputs, by role.

    Raises
    ------
    FocusError
        Of the kind that fits. Nothing is written then.
    """
    read = [enhanced, *others.values(), sample, model, reference]
    check_output(out, analysis_kind(kind), inputs=read, overwrite=overwrite)
    folders = MadeOf(sample, model, reference)
    made_of = folders.open()
    check_memory(kind, result_size(enhanced), reference=made_of is not None and reference is not None)
    with SpatialFile(enhanced) as file:
        paths = {"enhanced": enhanced, **others, **asdict(folders)}
        yield SectionTest(kind, file, options, made_of, paths, out, overwrite)
