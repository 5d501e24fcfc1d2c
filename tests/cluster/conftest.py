"""A real Slurm for each file of tests, and studies that run on it."""

from __future__ import annotations

import subprocess

import pytest
from cluster_runs import CONFIG, ClusterRun
from local_slurm import LocalSlurm, why_not


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm of three nodes on this machine; the test skips, with the reason, where none can be started."""
    if (reason := why_not()) is not None:
        pytest.skip(f"no Slurm: {reason}")
    cluster = LocalSlurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster_run(slurm, study, tmp_path):
    """Make runs; those that a failed test leaves behind are ended."""
    made: list[ClusterRun] = []

    def make(name: str = "run", **changes) -> ClusterRun:
        made.append(ClusterRun(tmp_path / name, study.path, slurm, CONFIG | changes))
        return made[-1]

    yield make
    for run in made:
        for job in run.jobs:
            if job.state in ("RUNNING", "PENDING"):
                subprocess.run(["scancel", str(job.id)], check=False, timeout=30)
