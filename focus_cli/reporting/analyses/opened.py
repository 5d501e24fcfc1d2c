"""Match analysis results to the samples of a report, and their locations to the sample's locations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile

_NOT_ANALYSES = ("enhanced", "refined", "other")


@dataclass(frozen=True)
class AlignedResult:
    """An analysis result, aligned to the file that it is shown with.

    Attributes
    ----------
    file
        The analysis result.
    rows
        Row of the analysis result for every location of the sample, int64 (n,); -1 where it has none.
    """

    file: SpatialFile
    rows: np.ndarray

    @property
    def kind(self) -> str:
        """Kind of the analysis result."""
        return self.file.kind

    @property
    def n_missing(self) -> int:
        """Number of locations of the sample that the analysis result lacks."""
        return int((self.rows < 0).sum())

    def numbers(self, values: object) -> np.ndarray:
        """Numbers of the result's locations (m,) or (m, k) as float64 of the sample's locations, NaN where missing."""
        import pandas as pd

        if getattr(values, "ndim", 1) == 1:
            values = pd.to_numeric(pd.Series(np.asarray(values)), errors="coerce").to_numpy(dtype=np.float64)
        else:
            values = np.asarray(values, dtype=np.float64)
        out = values[np.maximum(self.rows, 0)].copy()
        out[self.rows < 0] = np.nan
        return out

    def words(self, values: object) -> np.ndarray:
        """Categories of the result's locations (m,) as object (n,) of the sample's locations, None where missing."""
        out = np.asarray(values, dtype=object)[np.maximum(self.rows, 0)].copy()
        out[self.rows < 0] = None
        return out


def pair_analyses(
    files: list[SpatialFile], analyses: list[SpatialFile], name_of: Callable[[SpatialFile], str]
) -> list[list[AlignedResult]]:
    """Match each analysis result to the file that has its locations.

    Parameters
    ----------
    files
        Files of the report's sections.
    analyses
        Open analysis results.
    name_of
        File → sample's name.

    Returns
    -------
    list
        For each of `files` its analysis results, in the order given.

    Raises
    ------
    BadInputError
        If a file is not an analysis result, or shares no location with any of `files`.
    """
    found: list[list[AlignedResult]] = [[] for _ in files]
    for analysis in analyses:
        if analysis.kind in _NOT_ANALYSES:
            raise BadInputError(
                f"--analysis {analysis.path} is {analysis.kind!r}, not an analysis result",
                hint="enhanced files are given without --analysis; focus domains, celltypes, … write analysis results",
            )
        name = name_of(analysis)
        # A refined file of the same sample has other locations: the file that shares the most is taken.
        fitting = [(i, analysis.obs.index.get_indexer(f.obs.index)) for i, f in enumerate(files) if name_of(f) == name]
        shared = [(int((rows >= 0).sum()), -i) for i, rows in fitting]
        if not shared or max(shared)[0] == 0:
            problem = (
                f"shares no location with sample {name!r}" if shared else f"is of {name!r}, which is not in this report"
            )
            raise BadInputError(f"--analysis {analysis.path} {problem}", hint="both must be made of the same sample")
        best = -max(shared)[1]
        found[best].append(AlignedResult(analysis, next(rows for i, rows in fitting if i == best).astype(np.int64)))
    return found
