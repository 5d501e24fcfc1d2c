"""Training settings: defaults, files, overrides, and mistakes in them."""

from __future__ import annotations

import math

import pytest
import yaml

from focus_cli.core.device import choose_device
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.model.training import TrainingConfig, load_training_config
from focus_cli.model.training.loop import learning_rate


def write(path, text):
    path.write_text(text)
    return path


def test_without_a_file_there_are_defaults():
    assert load_training_config(None) == TrainingConfig()


def test_options_win_over_the_file_and_the_file_over_defaults(tmp_path):
    path = write(tmp_path / "c.yaml", "max_steps: 7\nlearning_rate: 0.001\n")
    config = load_training_config(path, max_steps=9, weight_decay=None)
    assert (config.max_steps, config.learning_rate) == (9, 0.001)
    assert config.weight_decay == TrainingConfig().weight_decay


def test_an_empty_file_changes_nothing(tmp_path):
    assert load_training_config(write(tmp_path / "c.yaml", "# nothing\n")) == TrainingConfig()


def test_an_unknown_key_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="lerning_rate") as refused:
        load_training_config(write(tmp_path / "c.yaml", "lerning_rate: 0.1\n"))
    assert "'learning_rate'" in refused.value.hint


def test_a_key_that_is_like_no_other_lists_them_all(tmp_path):
    with pytest.raises(UsageError) as refused:
        load_training_config(write(tmp_path / "c.yaml", "qqqq: 1\n"))
    assert all(name in refused.value.hint for name in TrainingConfig.model_fields)


@pytest.mark.parametrize(
    "text",
    [
        "max_steps: 0",
        "max_steps: many",
        "learning_rate: -1",
        "hide_genes: 1.5",
        "visible_share: [1.5]",
        "visible_share: [0]",
        "visible_share: []",
        "- max_steps",
        "null: 1",
        "3: 1",
        "2020-01-01: 1",
        ".nan: 1",
    ],
)
def test_values_that_make_no_sense_are_mistakes_of_usage(tmp_path, text):
    with pytest.raises(UsageError) as refused:
        load_training_config(write(tmp_path / "c.yaml", text))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_yaml_is_bad_input(tmp_path):
    with pytest.raises(BadInputError, match="not YAML") as refused:
        load_training_config(write(tmp_path / "c.yaml", "a: ["))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_a_missing_resource(tmp_path):
    with pytest.raises(MissingResourceError, match="absent"):
        load_training_config(tmp_path / "absent.yaml")


def test_the_documentation_lists_every_setting_with_its_default(repo):
    rows = {}
    for line in (repo / "docs" / "training.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1].startswith("`"):
            rows[cells[1].strip("`")] = cells[2].strip("`")
    for name, field in TrainingConfig.model_fields.items():
        written = yaml.safe_load(rows[name])
        expected = list(field.default) if isinstance(field.default, tuple) else field.default
        assert (float(written) if isinstance(expected, float) else written) == expected, name


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    config = TrainingConfig(max_steps=100, learning_rate=0.5)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.05) and max(rates) == pytest.approx(0.5)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(100, config) == pytest.approx(0.005) and math.isfinite(rates[-1])


def test_a_single_step_has_a_rate():
    assert learning_rate(0, TrainingConfig(max_steps=1)) == TrainingConfig().learning_rate


def test_the_device_is_chosen_or_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(MissingResourceError, match="CUDA"):
        choose_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
