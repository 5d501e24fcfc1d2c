"""One stored section, the tiny settings and a model trained on both, made once for this room."""

from __future__ import annotations

import pytest
import yaml
from model.training.tiny_cohort import TINY_TRAINING, grow, store_tissue

from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.training.stage import train


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    return store_tissue(tmp_path_factory.mktemp("training") / "S1", grow())


@pytest.fixture(scope="session")
def data(sample):
    return load_sample_data(open_sample(sample))


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY_TRAINING.model_dump(mode="json")))
    return path


@pytest.fixture(scope="session")
def model(sample, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "model"
    train([sample], out, config=settings, device="cpu", seed=3)
    return out
