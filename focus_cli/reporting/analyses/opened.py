"""Which answer speaks of which sample, and how its locations map onto the sample's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile

_NO_ANSWERS = ("enhanced", "refined", "other")


@dataclass(frozen=True)
class Answer:
    """An answer beside the file that it is shown with.

    Attributes
    ----------
    file
        The answer.
    rows
        Row of the answer for every location of the sample, int64 (n,); -1 where it says nothing.
    """

    file: SpatialFile
    rows: np.ndarray

    @property
    def kind(self) -> str:
        """What it answers."""
        return self.file.kind

    @property
    def n_unsaid(self) -> int:
        """How many locations of the sample it says nothing of."""
        return int((self.rows < 0).sum())

    def numbers(self, values: object) -> np.ndarray:
        """Numbers of the answer's locations (m,) or (m, k) as float64 of the sample's, NaN where nothing is said."""
        import pandas as pd

        if getattr(values, "ndim", 1) == 1:
            values = pd.to_numeric(pd.Series(np.asarray(values)), errors="coerce").to_numpy(dtype=np.float64)
        else:
            values = np.asarray(values, dtype=np.float64)
        out = values[np.maximum(self.rows, 0)].copy()
        out[self.rows < 0] = np.nan
        return out

    def words(self, values: object) -> np.ndarray:
        """Categories of the answer's locations (m,) as object (n,) of the sample's, None where nothing is said."""
        out = np.asarray(values, dtype=object)[np.maximum(self.rows, 0)].copy()
        out[self.rows < 0] = None
        return out


def pair_answers(
    files: list[SpatialFile], answers: list[SpatialFile], name_of: Callable[[SpatialFile], str]
) -> list[list[Answer]]:
    """Lay each answer beside the file whose locations it speaks of.

    Parameters
    ----------
    files
        Files of the report's sections.
    answers
        Open answers.
    name_of
        File → sample's name.

    Returns
    -------
    list
        For each of `files` its answers, in the order given.

    Raises
    ------
    BadInputError
        If a file is no answer, or speaks of no location of any of `files`.
    """
    found: list[list[Answer]] = [[] for _ in files]
    for answer in answers:
        if answer.kind in _NO_ANSWERS:
            raise BadInputError(
                f"--answer {answer.path} is {answer.kind!r}, not an answer",
                hint="enhanced files are named without --answer; answers are written by focus domains, celltypes, …",
            )
        name = name_of(answer)
        # A refined file of the same sample has other locations: the file with the most in common is meant.
        fitting = [(i, answer.obs.index.get_indexer(f.obs.index)) for i, f in enumerate(files) if name_of(f) == name]
        shared = [(int((rows >= 0).sum()), -i) for i, rows in fitting]
        if not shared or max(shared)[0] == 0:
            problem = (
                f"shares no location with sample {name!r}" if shared else f"is of {name!r}, which is not in this report"
            )
            raise BadInputError(f"--answer {answer.path} {problem}", hint="both must be made of the same sample")
        best = -max(shared)[1]
        found[best].append(Answer(answer, next(rows for i, rows in fitting if i == best).astype(np.int64)))
    return found
