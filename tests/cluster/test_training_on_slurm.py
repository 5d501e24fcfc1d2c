"""Training on several nodes of a real Slurm: the loss of one process, and time limits that cost nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.cluster

TRAIN = [sys.executable, "-m", "focus_cli", "train"]
SETTINGS = {"max_steps": 24, "views_per_step": 2, "view_locations": 128, "genes_per_view": 64, "checkpoint_every": 4}


@pytest.fixture(scope="module")
def sample(study, tmp_path_factory) -> Path:
    """A stored sample of the simulated study."""
    from focus_cli.platforms.preprocessing import preprocess

    out = tmp_path_factory.mktemp("training") / "S1"
    preprocess(study.sections[0], out, sample_id="S1", mpp=2.0)
    return out


def command(sample: Path, out: Path, settings: dict, *options: str) -> list[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings))
    return [*TRAIN, str(sample), "--out", str(out), "--config", str(config), "--device", "cpu", *options]


def losses(model: Path) -> np.ndarray:
    return np.loadtxt(model / "training.csv", delimiter=",", skiprows=1)[:, 2:]


def submit(slurm, folder: Path, words: list[str], *options: str) -> int:
    """Give a command to sbatch; the id of its job."""
    script = folder / "job.sh"
    script.write_text("#!/bin/bash\nexport OMP_NUM_THREADS=1\n" + " ".join(f"'{word}'" for word in words) + "\n")
    told = slurm.ask("sbatch", "--parsable", f"--output={folder}/job.%j.log", "--mem=3000", *options, str(script))
    return int(told)


def ended(slurm, job: int, limit_s: float = 240):
    end = time.monotonic() + limit_s
    while True:
        found = next(j for j in slurm.jobs() if j.id == job)
        if found.state not in ("PENDING", "RUNNING", "COMPLETING"):
            return found
        assert time.monotonic() < end, f"job {job} is still {found.state}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def alone(sample, tmp_path_factory):
    """The model that one process trains with the same settings."""
    out = tmp_path_factory.mktemp("alone") / "model"
    subprocess.run(command(sample, out, SETTINGS), check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return out


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_nodes_reach_the_loss_of_one_process(slurm, sample, alone, tmp_path, parallel):
    out = tmp_path / "model"
    words = command(sample, out, SETTINGS | {"parallel": parallel}, "--nodes", "2")
    job = submit(slurm, tmp_path, words, "--partition=gpu", "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1")
    found = ended(slurm, job)
    said = (tmp_path / f"job.{job}.log").read_text()
    assert found.state == "COMPLETED", said
    assert found.node == "gpu[1-2]"
    np.testing.assert_allclose(losses(out), losses(alone), rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_a_training_that_is_told_to_end_is_continued_to_the_same_bytes(slurm, sample, tmp_path):
    """What Slurm sends at the time limit and at scancel is SIGTERM; the second job goes on where the first stopped."""
    settings = SETTINGS | {"max_steps": 400, "views_per_step": 1, "checkpoint_every": 20}
    out = tmp_path / "model"
    words = ["exec", *command(sample, out, settings, "--resume")]
    first = submit(slurm, tmp_path, words, "--partition=gpu", "--gpus=1")
    log = tmp_path / f"job.{first}.log"
    state = out.with_name("model.checkpoint")
    end = time.monotonic() + 120
    while not state.is_dir():
        assert time.monotonic() < end
        time.sleep(0.05)
    slurm.ask("scancel", "--signal=TERM", "--full", str(first))
    assert ended(slurm, first).state == "FAILED"
    assert "the same command with --resume continues it" in log.read_text()
    assert state.is_dir()
    assert not out.exists()
    second = submit(slurm, tmp_path, words, "--partition=gpu", "--gpus=1")
    assert ended(slurm, second).state == "COMPLETED"
    assert "continuing at step" in (tmp_path / f"job.{second}.log").read_text()
    unbroken = tmp_path / "unbroken"
    subprocess.run(
        command(sample, unbroken, settings), check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    for name in ("model.safetensors", "training.csv"):
        assert (out / name).read_bytes() == (unbroken / name).read_bytes(), name
