"""Facts on a sample before training reads it, and its samples as a row of which one is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pandas as pd

from focus_cli.core.storage import SampleInfo
from focus_cli.model.conditioning.sample import SampleData


class SampleHandle(Protocol):
    """A sample that can be read again and again; `SampleData`, which is in memory, is one itself.

    Attributes
    ----------
    genes
        The panel; samples of one panel may share the table.
    n_measured
        Locations with counts.
    n_values
        Stored counts.
    image_names
        Names of the raw image features, or None.
    encoder
        What the learned encoder of its image states, or None.
    content
        SHA-256 over what a model learns from, the same wherever the sample lies.
    """

    info: SampleInfo
    genes: pd.DataFrame
    n_measured: int
    n_values: int
    image_names: list[str] | None
    encoder: dict[str, Any] | None
    content: str

    def load(self) -> SampleData:
        """Read what fits in memory: positions and counts per location; counts and image are read on request."""
        ...


class LoadedOneByOne(Sequence[SampleData]):
    """Samples that are read when they are requested, and not kept.

    Parameters
    ----------
    handles
        The samples.
    prepare
        What is made of a sample that was read, by its number; by default it is taken as it is.
    """

    def __init__(
        self, handles: Sequence[SampleHandle], prepare: Callable[[int, SampleData], SampleData] | None = None
    ) -> None:
        self._handles, self._prepare = handles, prepare

    def __len__(self) -> int:
        return len(self._handles)

    def __getitem__(self, sample: int) -> SampleData:
        data = self._handles[sample].load()
        return data if self._prepare is None else self._prepare(sample, data)
