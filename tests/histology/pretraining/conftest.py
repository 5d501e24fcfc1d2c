"""Slides and settings of runs that take seconds."""

import pytest
import yaml
from histology.pretraining.tiny_run import MICRO, SETTINGS, draw_slide

from focus_cli.histology.encoders.vit_config import VIT_PRESETS
from focus_cli.histology.pretraining.config import PretrainConfig


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    """Two slides of 0.6 mm at 1 µm per pixel."""
    folder = tmp_path_factory.mktemp("slides")
    return [draw_slide(folder / f"{name}.tif", seed) for seed, name in enumerate("ab")]


@pytest.fixture
def settings():
    """Settings of a run of a few steps."""
    return PretrainConfig(**SETTINGS)


@pytest.fixture
def micro(monkeypatch):
    """The tiny preset made smaller still."""
    monkeypatch.setitem(VIT_PRESETS, "tiny", MICRO)
    return MICRO


@pytest.fixture
def config_file(tmp_path):
    """The settings as a file."""
    path = tmp_path / "pretrain.yaml"
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in SETTINGS.items()}
    path.write_text(yaml.safe_dump(plain))
    return path
