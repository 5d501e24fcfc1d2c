"""What training is given: sample folders, corpora, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focus_cli.core import provenance
from focus_cli.core.storage import SampleInfo, StoredSample, open_sample
from focus_cli.model.conditioning import SampleHandle, load_sample_data
from focus_cli.model.corpus.opening import CorpusSample, is_corpus, open_corpus


@dataclass(frozen=True)
class TrainingSample:
    """A sample in a folder or in a corpus, not yet read."""

    stored: StoredSample | CorpusSample

    @property
    def info(self) -> SampleInfo:
        """Its description."""
        return self.stored.info

    def open(self) -> SampleHandle:
        """A folder is read whole; of a corpus nothing is."""
        return self.stored if isinstance(self.stored, CorpusSample) else load_sample_data(self.stored)

    def described(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the sample folder, for provenance: of a corpus, the one that was packed."""
        if isinstance(self.stored, CorpusSample):
            return self.stored.source
        return provenance.describe_path(self.stored.path)


def open_training_samples(paths: Sequence[Path]) -> list[TrainingSample]:
    """Open sample folders, and every sample of corpora, in the order given.

    Raises
    ------
    FocusError
        If one is neither, or is damaged.
    """
    found: list[StoredSample | CorpusSample] = []
    for path in paths:
        found += open_corpus(path) if is_corpus(path) else [open_sample(path)]
    return [TrainingSample(stored) for stored in found]
