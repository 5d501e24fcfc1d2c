"""Pretraining: it learns, it repeats itself to the byte, and an interruption changes nothing."""

import csv
import io
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from histology.pretraining.tiny_run import MICRO, SETTINGS
from safetensors.torch import load_file

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.histology.pretraining import loop
from focus_cli.histology.pretraining.config import PretrainConfig, load_pretrain_config
from focus_cli.histology.pretraining.diagnostics import diagnose
from focus_cli.histology.pretraining.schedules import learning_rate, momentum, teacher_temperature
from focus_cli.histology.pretraining.stage import pretrain
from focus_cli.histology.pretraining.state import state_path


class Interrupted(Exception):
    """A kill, for tests."""


def rows(out):
    return list(csv.DictReader(io.StringIO((out / "training.csv").read_text())))


def weights(out):
    return load_file(out / "encoder.safetensors")


def with_settings(path, **changes):
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    return path


def interrupt_after(monkeypatch, n):
    """Kill the loop at step `n`."""
    take = loop._Stepper.take

    def killed(self, step, parts):
        if step == n:
            raise Interrupted
        return take(self, step, parts)

    monkeypatch.setattr(loop._Stepper, "take", killed)


def test_same_seed_same_bytes_and_another_seed_others(micro, slides, config_file, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pretrain(slides, tmp_path / name, config=config_file, device="cpu", seed=seed)
    files = ["card.md", "encoder.json", "encoder.safetensors", "training.csv"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert (tmp_path / "a" / files[2]).read_bytes() != (tmp_path / "c" / files[2]).read_bytes()
    described = json.loads((tmp_path / "a" / "encoder.json").read_text())
    assert described["mpp"] == 2.0 and described["tile_px"] == 32
    assert described["training"]["tiles"] == 48
    assert set(described["training"]["slides"]) == {"a.tif", "b.tif"}
    assert not state_path(tmp_path / "a").exists()


@pytest.mark.parametrize("assignment", ["sinkhorn", "centring"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(micro, slides, config_file, tmp_path, monkeypatch, assignment):
    monkeypatch.setattr(loop, "LOG_EVERY", 3)
    with_settings(config_file, assignment=assignment, max_steps=8, precision="bf16")
    pretrain(slides, tmp_path / "whole", config=config_file, device="cpu")
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 6)
        with pytest.raises(Interrupted):
            pretrain(slides, broken, config=config_file, device="cpu")
    assert not broken.exists()
    # What was saved can be looked at as an encoder.
    assert (state_path(broken) / "encoder.safetensors").is_file()
    pretrain(slides, broken, config=config_file, device="cpu", resume=True)
    for name in ("encoder.safetensors", "training.csv"):
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_state_of_another_run_or_a_damaged_one_is_refused(micro, slides, config_file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5)
        with pytest.raises(Interrupted):
            pretrain(slides, out, config=config_file, device="cpu")
    with pytest.raises(BadInputError, match="other slides or settings"):
        pretrain(slides, out, config=config_file, device="cpu", seed=1, resume=True)
    with pytest.raises(BadInputError, match="other slides or settings"):
        pretrain(slides[:1], out, config=config_file, device="cpu", resume=True)
    (state_path(out) / "state.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadInputError, match="damaged"):
        pretrain(slides, out, config=config_file, device="cpu", resume=True)


def test_it_learns_and_does_not_collapse(micro, slides, config_file, tmp_path):
    with_settings(config_file, max_steps=100, batch=12, prototypes=32, momentum=[0.95, 1.0], checkpoint_every=1000)
    with_settings(config_file, teacher_temperature=[0.02, 0.03])  # few prototypes are told apart by colder targets
    pretrain(slides, tmp_path / "out", config=config_file, device="cpu")
    log = rows(tmp_path / "out")
    first, last = log[0], log[-1]
    assert float(last["dino"]) < float(first["dino"]) - 0.1
    assert float(last["ibot"]) < float(first["ibot"]) - 0.1
    assert float(last["texture"]) < 0.8 * float(first["texture"])
    # The teacher comes to tell tiles apart, and keeps all its prototypes in use.
    assert float(last["target_entropy"]) < 0.98
    assert float(last["usage_entropy"]) > 0.9
    assert float(last["effective_rank"]) > 2
    assert float(last["feature_std"]) > 0.3


def test_parts_of_a_batch_add_up(micro, slides, config_file, tmp_path):
    # Sinkhorn and KoLeo look at each part; without them halves give nearly what the whole does (the centre moves).
    with_settings(config_file, assignment="centring", weight_koleo=0.0, max_steps=1)
    for parts in (1, 2):
        with_settings(config_file, accumulate=parts)
        pretrain(slides, tmp_path / str(parts), config=config_file, device="cpu")
    one, two = (rows(tmp_path / str(n))[0] for n in (1, 2))
    assert float(one["gradient"]) == pytest.approx(float(two["gradient"]), rel=0.05)
    assert float(one["dino"]) == pytest.approx(float(two["dino"]), rel=0.05)


def test_a_run_starts_from_an_earlier_encoder(micro, slides, config_file, tmp_path):
    pretrain(slides, tmp_path / "first", config=config_file, device="cpu")
    with_settings(config_file, learning_rate=1e-12, warmup=0.0, max_steps=1)
    pretrain(slides, tmp_path / "second", config=config_file, init=tmp_path / "first", device="cpu", seed=9)
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingResourceError, match=r"encoder\.json is missing"):
        pretrain(slides, tmp_path / "third", config=config_file, init=tmp_path / "empty", device="cpu")


def test_a_loss_that_is_no_number_stops_the_run(micro, slides, config_file, tmp_path, monkeypatch):
    monkeypatch.setattr("focus_cli.histology.pretraining.step.koleo_loss", lambda x: x.sum() * float("nan"))
    with pytest.raises(FocusError, match="not a number at step 0"):
        pretrain(slides, tmp_path / "out", config=config_file, device="cpu")
    assert not (tmp_path / "out").exists()


def test_refusals_come_before_any_work(micro, slides, config_file, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a slide was surveyed")

    monkeypatch.setattr("focus_cli.histology.pretraining.stage.TileStream", never)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputExistsError):
        pretrain(slides, tmp_path / "there", config=config_file)
    with pytest.raises(UsageError, match="local_px 20 is no multiple"):
        pretrain(slides, tmp_path / "o", config=with_settings(config_file, local_px=20))
    if not torch.cuda.is_available():
        with pytest.raises(MissingResourceError, match="no CUDA"):
            pretrain(slides, tmp_path / "o", device="cuda")


def test_settings_that_are_wrong_are_named(tmp_path):
    path = tmp_path / "c.yaml"
    for text, words in (
        ("learning_rte: 1", "learning_rte"),
        ("batch: 7\naccumulate: 2", "no multiple of accumulate"),
        ("scale_range: [2, 1]", "must rise"),
        ("- 1", "mapping"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=words):
            load_pretrain_config(path)
    path.write_text("a: [")
    with pytest.raises(BadInputError, match="not YAML"):
        load_pretrain_config(path)
    with pytest.raises(MissingResourceError):
        load_pretrain_config(tmp_path / "none.yaml")
    path.write_text("max_steps: 5")
    assert load_pretrain_config(path, max_steps=9).max_steps == 9


def test_schedules_begin_and_end_where_they_should():
    config = PretrainConfig(max_steps=100, warmup=0.1, learning_rate=1.0, temperature_warmup=0.5)
    rates = [learning_rate(s, config) for s in range(100)]
    assert rates[9] == rates[10] == 1.0 and rates[0] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.01) and np.all(np.diff(rates[10:]) < 0)
    assert [momentum(s, config) for s in (0, 99)] == [0.99, 1.0]
    assert [teacher_temperature(s, config) for s in (0, 50, 99)] == [0.03, 0.04, 0.04]
    assert learning_rate(0, PretrainConfig(max_steps=1)) > 0


def test_diagnostics_tell_a_collapse():
    torch.manual_seed(0)
    spread = diagnose(torch.randn(64, 16), torch.eye(64, 32).roll(1, 0)[:, :32] + 1e-9)
    one = diagnose(torch.ones(64, 16), torch.eye(32)[:1].expand(64, -1))
    assert spread["feature_std"] > 0.9 and spread["effective_rank"] > 10
    assert one["feature_std"] < 1e-3 and one["effective_rank"] < 1.5 and one["usage_entropy"] < 1e-3
    flat = diagnose(torch.randn(64, 16), torch.full((64, 32), 1 / 32))
    assert flat["target_entropy"] == pytest.approx(1)


def test_a_batch_must_be_shared_evenly(micro, slides, config_file, tmp_path, monkeypatch):
    monkeypatch.setattr("focus_cli.histology.pretraining.stage.started_processes", lambda device: _three(device))
    with pytest.raises(UsageError, match="cannot be shared by 3 processes"):
        pretrain(slides, tmp_path / "out", config=config_file, device="cpu")


def _three(device):
    import contextlib

    from focus_cli.core.distributed.processes import Processes

    return contextlib.nullcontext(Processes(0, 3, device))


WORKER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from histology.pretraining.tiny_run import MICRO
from focus_cli.model.network import vit_config
vit_config.VIT_PRESETS["tiny"] = MICRO
from focus_cli.histology.pretraining.stage import pretrain
pretrain([Path(p) for p in {slides!r}], Path({out!r}), config=Path({config!r}), device="cpu")
"""


@pytest.mark.slow
@pytest.mark.parametrize("assignment", ["sinkhorn", "centring"])
def test_two_processes_do_what_one_does(micro, slides, config_file, tmp_path, repo, assignment):
    with_settings(config_file, assignment=assignment, max_steps=4)
    pretrain(slides, tmp_path / "one", config=config_file, device="cpu")
    paths = {"slides": [str(s) for s in slides], "out": str(tmp_path / "two"), "config": str(config_file)}
    code = WORKER.format(tests=str(repo / "tests"), **paths)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=os.environ | shared | {"RANK": str(r), "LOCAL_RANK": str(r)}, cwd=repo
        )
        for r in range(2)
    ]
    assert [p.wait(timeout=240) for p in started] == [0, 0]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=2e-4, msg=name)
    a, b = rows(tmp_path / "one")[-1], rows(tmp_path / "two")[-1]
    for column in ("dino", "ibot", "koleo", "texture", "total", "gradient"):
        assert float(a[column]) == pytest.approx(float(b[column]), rel=2e-3), column


def test_micro_settings_are_settings():
    assert PretrainConfig(**SETTINGS).batch == 8 and MICRO.patch_px == 8


def test_every_setting_and_its_default_is_in_the_docs(repo):
    import re

    lines = (repo / "docs" / "pretraining.md").read_text().splitlines()
    table = {m[1]: m[2] for line in lines if (m := re.match(r"\| `(\w+)`(?:, `std`)? \| (.+?) \|", line))}
    for name, field in PretrainConfig.model_fields.items():
        if name in ("mean", "std", "registers"):
            continue
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        assert yaml.safe_load(table[name].strip("`")) == default, name
