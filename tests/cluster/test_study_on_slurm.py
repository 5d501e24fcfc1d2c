"""The whole workflow on a real Slurm: the right nodes, and nothing lost whatever is killed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from cluster_runs import CONFIG, SIGNALS, ClusterRun

from focus_cli.workflow.clean_up import slurm_jobs, sweep

pytestmark = pytest.mark.cluster


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every result; what tells the time is left out."""
    results = folder / "results"
    timed = ("logs", "benchmarks", "runs", "cohort.html", "cohort.tsv", "cohort.json")
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.relative_to(results).parts[0] not in timed
    }


@pytest.fixture(scope="module")
def unbroken(slurm, study, tmp_path_factory):
    """A run from start to end that nothing happens to."""
    run = ClusterRun(tmp_path_factory.mktemp("cluster") / "unbroken", study.path, slurm, CONFIG)
    run.finish()
    return run


def test_every_job_runs_where_it_belongs(unbroken):
    jobs = {rule: [job for job in unbroken.jobs if job.rule == rule] for rule in {j.rule for j in unbroken.jobs}}
    assert {rule: len(found) for rule, found in jobs.items() if rule in ("preprocess", "train", "enhance")} == {
        "preprocess": 2,
        "train": 1,
        "enhance": 2,
    }
    for rule, found in jobs.items():
        for job in found:
            on_gpu = rule == "train"
            assert job.state == "COMPLETED", job
            assert job.partition == ("gpu" if on_gpu else "cpu"), job
            assert job.gpus == int(on_gpu), job
    assert "gather_scores" not in jobs, "a rule of milliseconds does not go to the queue"
    grouped = [job for job in unbroken.jobs if "scores_and_report" in job.rule]
    assert len(grouped) == 2, "the short jobs of a sample share an allocation"
    assert digests(unbroken.folder)


def killed_again_and_again(run, kills: int, seed: int) -> int:
    rng = np.random.default_rng(seed)
    killed = 0
    while killed < kills:
        process = run.start()
        try:
            process.wait(timeout=float(rng.uniform(4, 45)))
            break  # it came to its end before it was its turn
        except Exception:
            process.send_signal(SIGNALS[killed % len(SIGNALS)])
            try:
                process.wait(timeout=60)
            except Exception:
                process.kill()
                process.wait()
            killed += 1
    return killed


def check_nothing_was_lost(run, unbroken) -> None:
    run.finish()
    assert digests(run.folder) == digests(unbroken.folder)
    assert sweep(run.folder / "results") == 0, "temporary files were left behind"
    assert slurm_jobs(run.folder) == []


def test_a_killed_head_loses_nothing(cluster_run, unbroken):
    run = cluster_run()
    assert killed_again_and_again(run, 3, seed=0) >= 2, "nothing was tested"
    check_nothing_was_lost(run, unbroken)


@pytest.mark.slow
def test_a_head_killed_twenty_times_loses_nothing(cluster_run, unbroken):
    killed, seed = 0, 1
    while killed < 20:
        run = cluster_run(f"run{seed}")
        killed += killed_again_and_again(run, 20 - killed, seed)
        check_nothing_was_lost(run, unbroken)
        seed += 1


def test_a_second_head_is_refused_while_the_first_lives(cluster_run):
    run = cluster_run()
    first = run.start()
    run.wait_for(lambda: run.jobs)
    second = run.start()
    assert second.wait(timeout=60) == 2
    assert f"is already running (process {first.pid} on " in run.log
    first.kill()
    first.wait()


@pytest.mark.slow
def test_a_model_is_trained_on_two_nodes_by_the_workflow(cluster_run, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # both nodes are this machine
    train = {"max_steps": 20, "device": "cpu", "gpu": 2, "nodes": 2, "mem_mb": 2500}
    run = cluster_run(train=train)
    run.finish("results/models/all")
    job = run.jobs[-1]
    assert (job.rule, job.state, job.node) == ("train", "COMPLETED", "gpu[1-2]")
    assert (run.folder / "results" / "models" / "all" / "model.safetensors").is_file()
