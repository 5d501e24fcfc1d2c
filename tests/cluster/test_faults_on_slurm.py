"""What goes wrong on clusters, made to go wrong on a real one: a retry that can succeed, or a clear message."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

SAMPLE = "results/samples/S1"


def states(run, rule: str) -> list[str]:
    """How the jobs of a rule ended, by Slurm's records, in the order they were submitted."""
    return [job.state for job in run.jobs if job.rule == rule]


def test_a_cancelled_job_is_tried_again(cluster_run):
    run = cluster_run()
    head = run.start(SAMPLE)
    job = run.running("preprocess")
    run.slurm.ask("scancel", str(job.id))
    assert head.wait(timeout=300) == 0, run.log[-6000:]
    assert states(run, "preprocess") == ["CANCELLED", "COMPLETED"]
    assert (run.folder / SAMPLE / "sample.json").is_file()


@pytest.mark.slow
def test_a_job_that_is_too_large_for_its_memory_gets_more(cluster_run, tmp_path):
    """Every try holds 600 MB beside what the verb needs: too much for the first request, not for the second."""
    (tmp_path / "hungry.sh").write_text(
        """focus() {
  python3 -c 'held = bytearray(600 << 20); import time; time.sleep(600)' & local hog=$!
  sleep 4
  command focus "$@"; local code=$?
  kill $hog
  return $code
}
"""
    )
    run = cluster_run(preprocess={"mem_mb": 800})
    run.finish(SAMPLE, BASH_ENV=str(tmp_path / "hungry.sh"))
    first, *others = states(run, "preprocess")
    assert first in ("FAILED", "OUT_OF_MEMORY", "CANCELLED")
    assert others == ["COMPLETED"]


@pytest.mark.slow
def test_a_node_that_dies_gives_its_job_to_another(cluster_run):
    """Slurm itself takes the job to the other node of the partition; the run does not notice."""
    run = cluster_run(preprocess={"mem_mb": 1500})
    config = run.folder / "profile" / "config.yaml"
    config.write_text(config.read_text().replace("slurm_partition: cpu", "slurm_partition: gpu"))
    head = run.start(SAMPLE)
    job = run.running("preprocess")
    try:
        run.slurm.kill_node(job.node)
        assert head.wait(timeout=300) == 0, run.log[-6000:]
    finally:
        run.slurm.start_node(job.node)
    moved = run.jobs[-1]
    assert moved.state == "COMPLETED"
    assert moved.requeues == 1 or moved.id != job.id
    assert moved.node != job.node
    run.slurm.wait_for_idle()


def test_a_mistake_of_the_user_is_not_tried_again(cluster_run):
    """The other sample goes on, and the mistake is told in one line."""
    run = cluster_run()
    matrices = [*(run.folder / "study" / "sections" / "S1").rglob("*.h5")]
    assert matrices
    for matrix in matrices:
        matrix.write_bytes(b"not a matrix")
    run.finish("results/samples/S1", "results/samples/S2", code=1)
    assert sorted(states(run, "preprocess")) == ["COMPLETED", "FAILED"]
    said = (run.folder / "results" / "logs" / "preprocess" / "S1.log").read_text()
    assert "focus: error:" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_files_that_come_late_are_waited_for(cluster_run, tmp_path):
    """A shared file system shows an output seconds after the job that wrote it has ended."""
    # Every bash of the jobs reads this file first.
    (tmp_path / "late.sh").write_text(
        """focus() {
  command focus "$@" || return $?
  mv results/samples/S1 results/late
  setsid bash -c 'sleep 8; mv results/late results/samples/S1' &> /dev/null &
}
"""
    )
    run = cluster_run()
    run.finish(SAMPLE, BASH_ENV=str(tmp_path / "late.sh"))
    assert states(run, "preprocess") == ["COMPLETED"]
    assert (run.folder / SAMPLE / "sample.json").is_file()
    assert not (run.folder / "results" / "late").exists()


@pytest.mark.slow
def test_a_full_disk_is_told_and_mended(cluster_run):
    run = cluster_run()
    results = run.folder / "results"
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", results], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        run.finish(SAMPLE, "--retries", "0", code=1)
        said = (results / "logs" / "preprocess" / "S1.log").read_text()
        assert "no space left on device" in said, said
        assert "Traceback" not in said
        assert [p for p in (results / "samples").rglob("*") if p.is_file()] == [], "half-written"
        subprocess.run(["mount", "-o", "remount,size=64m", results], check=True)
        run.finish(SAMPLE)
        assert states(run, "preprocess") == ["FAILED", "COMPLETED"]
    finally:
        subprocess.run(["umount", "--lazy", results], check=True)


def test_a_request_that_no_node_can_grant_is_refused_by_name(cluster_run):
    run = cluster_run(preprocess={"mem_mb": 900_000})
    run.finish(SAMPLE, code=1)
    assert set(states(run, "preprocess")) <= {"FAILED"}, "none of them was ever queued"
    assert "Memory specification can not be satisfied" in run.log


@pytest.mark.slow
def test_a_training_that_reaches_its_time_limit_is_continued(cluster_run, tmp_path):
    """Slurm ends the job at its limit; the retry goes on from the state that was saved, to the same bytes."""
    train = {"max_steps": 1500, "gpu": 1, "device": "cpu", "runtime": 1}
    run = cluster_run("limited", train=train)
    run.finish("results/models/all", "--retries", "5")
    found = states(run, "train")
    assert found[-1] == "COMPLETED"
    assert found.count("TIMEOUT") >= 1, f"the training was too short: {found}"
    unbroken = cluster_run("unbroken", train=train | {"runtime": 60})
    unbroken.finish("results/models/all")
    assert states(unbroken, "train") == ["COMPLETED"]
    for name in ("model.safetensors", "training.csv"):
        one, other = (r.folder / "results" / "models" / "all" / name for r in (run, unbroken))
        assert one.read_bytes() == other.read_bytes(), name
    assert not Path(f"{run.folder}/results/models/all.checkpoint").exists()
