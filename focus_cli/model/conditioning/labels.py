"""What is known of a sample in words, as a condition: organ, species, platform.

The vocabulary is that of the training samples. A word that it does not hold says nothing: the sample then runs on its
platform's descriptors alone, as any sample does in the part of training where its labels are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from focus_cli.core.storage import SampleInfo


def labels_of(info: SampleInfo) -> tuple[str, ...]:
    """Labels of a sample, such as ``organ:breast``, in lower case; kinds that are not known are left out."""
    known = {"organ": info.organ, "platform": info.platform.name, "species": info.species}
    return tuple(f"{kind}:{word.strip().lower()}" for kind, word in known.items() if word.strip())


def vocabulary(samples: Iterable[SampleInfo]) -> tuple[str, ...]:
    """All labels of some samples, sorted."""
    return tuple(sorted({label for info in samples for label in labels_of(info)}))


def label_codes(info: SampleInfo, known: tuple[str, ...], dropped: frozenset[str] = frozenset()) -> np.ndarray:
    """One-hot codes of a sample's labels, float32, one for each of the vocabulary `known`.

    Parameters
    ----------
    dropped
        Kinds (``organ``, ``platform``, ``species``) that are kept secret.
    """
    own = {label for label in labels_of(info) if label.split(":")[0] not in dropped}
    return np.array([label in own for label in known], np.float32)
