"""Three small sections, one without an image, as folders and as a corpus."""

from __future__ import annotations

import pytest
from model.training.tiny_cohort import grow, store_tissue

from focus_cli.model.corpus import build_corpus


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    kinds = ((12, True), (14, False), (24, True))
    return [
        store_tissue(root / f"S{i}", grow(seed=i, side=side, jitter=5.0), image=image, sample_id=f"S{i}")
        for i, (side, image) in enumerate(kinds)
    ]


@pytest.fixture(scope="session")
def corpus(folders, tmp_path_factory):
    return build_corpus(folders, tmp_path_factory.mktemp("corpus") / "corpus")
