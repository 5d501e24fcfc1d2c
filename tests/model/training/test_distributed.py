"""Several views a step, bf16, several processes, and time limits: the same training in other clothes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from model.training.reading import rows, weights
from model.training.tiny_cohort import TINY_NET, TINY_TRAINING, grow, store_tissue
from safetensors.torch import load_file

from focus_cli.core import keys
from focus_cli.core.errors import EXIT_PREEMPTED, Preempted
from focus_cli.model.training import fit
from focus_cli.model.training import loop as training_loop
from focus_cli.model.training.checkpoint import checkpoint_path

V2 = TINY_TRAINING.model_copy(update={"views_per_step": 2})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two sections, one without an image, so that processes meet views that leave layers alone."""
    folder = tmp_path_factory.mktemp("cohort")
    return [store_tissue(folder / f"S{i}", grow(seed=i, side=8), image=i == 0, sample_id=f"S{i}") for i in range(2)]


def command(cohort, out, tmp_path, *more, **settings):
    config = tmp_path / f"{out.name}.yaml"
    plain = TINY_TRAINING.model_dump(mode="json", exclude_none=True)
    config.write_text(yaml.safe_dump(plain | settings))
    start = [sys.executable, "-m", "focus_cli", "train", *map(str, cohort), "--out", str(out)]
    return [*start, "--config", str(config), "--device", "cpu", *more]


def run(arguments, repo):
    done = subprocess.run(arguments, cwd=repo, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_one_view_a_step_is_the_default(data):
    one = fit([data], TINY_NET, TINY_TRAINING.model_copy(update={"views_per_step": 1}))[0]
    assert weights(one) == weights(fit([data], TINY_NET, TINY_TRAINING)[0])


def test_a_step_over_two_views_averages_their_gradients(data):
    assert weights(fit([data], TINY_NET, V2)[0]) != weights(fit([data], TINY_NET, TINY_TRAINING)[0])


def test_threads_that_draw_views_change_nothing(data):
    many = fit([data], TINY_NET, V2.model_copy(update={"view_workers": 3}))[0]
    assert weights(many) == weights(fit([data], TINY_NET, V2)[0])


def test_bf16_trains_alike(data):
    log = rows(fit([data], TINY_NET, TINY_TRAINING.model_copy(update={"precision": "bf16"}))[1])[-1]
    full = rows(fit([data], TINY_NET, TINY_TRAINING)[1])[-1]
    for part in ("prior", "counts", "flow"):
        assert float(log[part]) == pytest.approx(float(full[part]), abs=0.01), part
    assert log != full


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_the_step_in_hand_and_the_successor_ends_alike(data, tmp_path, monkeypatch, number):
    unbroken, log = fit([data], TINY_NET, V2)
    honest, calls = training_loop.compute_losses, []

    def signalled(*arguments):
        calls.append(1)
        if len(calls) == 14:  # within step 6 of 12: no checkpoint is due there
            os.kill(os.getpid(), number)
        return honest(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training_loop, "compute_losses", signalled)
        with pytest.raises(Preempted, match="after step 7 of 12") as stopped:
            fit([data], TINY_NET, V2, out=tmp_path / "model")
    assert stopped.value.exit_code == EXIT_PREEMPTED == 75
    assert checkpoint_path(tmp_path / "model").is_dir()
    resumed, its_log = fit([data], TINY_NET, V2, out=tmp_path / "model", resume=True)
    assert weights(resumed) == weights(unbroken) and its_log == log


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_do_what_one_does(cohort, tmp_path, repo, parallel):
    for out, more in (("one", ()), ("two", ("--processes", "2"))):
        settings = {"views_per_step": 4, "parallel": parallel}
        said = run(command(cohort, tmp_path / out, tmp_path, *more, **settings), repo)
        assert said.count("done") == 1
    one, two = (load_file(tmp_path / out / keys.WEIGHTS) for out in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5, msg=name)
    a, b = (rows((tmp_path / out / keys.TRAINING_LOG).read_text())[-1] for out in ("one", "two"))
    for column in a:
        assert float(b[column]) == pytest.approx(float(a[column]), abs=1e-4), column
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_time_limited_training_goes_on_with_another_number_of_processes(cohort, tmp_path, repo, first, then):
    settings = {"views_per_step": 2, "max_steps": 200, "parallel": "fsdp"}
    out = tmp_path / "model"
    with subprocess.Popen(
        command(cohort, out, tmp_path, "--processes", str(first), **settings),
        cwd=repo, stderr=subprocess.PIPE, text=True,
    ) as job:  # fmt: skip
        deadline = time.monotonic() + 120
        while not checkpoint_path(out).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(random.Random(first).uniform(0, 0.5))
        job.send_signal(signal.SIGTERM)
        said = job.communicate(timeout=120)[1]
    assert job.returncode == EXIT_PREEMPTED, said
    assert said.count("preempted") == 1 and "Traceback" not in said
    run(command(cohort, out, tmp_path, "--processes", str(then), "--resume", **settings), repo)
    run(command(cohort, tmp_path / "unbroken", tmp_path, **settings), repo)
    one, two = (load_file(path / keys.WEIGHTS) for path in (out, tmp_path / "unbroken"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4, msg=name)
