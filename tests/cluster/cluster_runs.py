"""A study that runs on the cluster, as tests start it, watch it and kill it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from local_slurm import Job, LocalSlurm

from focus_cli.workflow.locate import find_profile

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LIMIT_S = 900
FOCUS = [sys.executable, "-c", "from focus_cli.cli.main import main; main()"]
CONFIG = {
    "samples": "study/samples.tsv",
    "reference": {"path": "study/reference.h5ad"},
    "train": {"max_steps": 20, "gpu": 1, "device": "cpu"},
    "enhance": {"samples": 4},
    "evaluate": {"folds": []},
}


class ClusterRun:
    """One study in a folder of its own, run on the cluster by ``focus run``."""

    def __init__(self, folder: Path, study: Path, slurm: LocalSlurm, config: dict) -> None:
        self.folder, self.slurm = folder, slurm
        self.before = max((job.id for job in slurm.jobs()), default=0)
        folder.mkdir()
        shutil.copytree(study, folder / "study")
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        # The profile that we ship, quicker: its partitions are those of this cluster.
        settings = yaml.safe_load((find_profile("slurm") / "config.yaml").read_text())
        settings["slurm-init-seconds-before-status-checks"] = 2
        settings["latency-wait"] = 20
        settings["default-resources"] = {"slurm_partition": "cpu", "runtime": 10, "mem_mb": 1000}
        (folder / "profile").mkdir()
        (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(settings))

    @property
    def log(self) -> str:
        """What every head process so far has said."""
        return (self.folder / "run.log").read_text()

    @property
    def jobs(self) -> list[Job]:
        """Slurm's records of this run's jobs."""
        return [job for job in self.slurm.jobs() if job.id > self.before]

    def start(self, *options: str, **environment: str) -> subprocess.Popen:
        """Start a head process."""
        with open(self.folder / "run.log", "ab") as log:
            return subprocess.Popen(
                [*FOCUS, "run", "--profile", "profile", *options],
                cwd=self.folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )

    def finish(self, *options: str, code: int = 0, **environment: str) -> None:
        """Run to the end."""
        process = self.start(*options, **environment)
        try:
            found = process.wait(timeout=LIMIT_S)
        finally:
            process.kill()
        assert found == code, self.log[-6000:]

    def wait_for(self, what, limit_s: float = 240):
        """Wait until ``what()`` is true, and return it."""
        end = time.monotonic() + limit_s
        while not (found := what()):
            assert time.monotonic() < end, self.log[-6000:]
            time.sleep(0.2)
        return found

    def running(self, rule: str) -> Job:
        """Wait until a job of a rule is running: its command has written to its log."""
        logs = self.folder / "results" / "logs" / rule

        def look():
            spoke = any(path.stat().st_size for path in logs.rglob("*.log")) if logs.exists() else False
            found = [job for job in self.jobs if job.rule == rule and job.state == "RUNNING"]
            return found[-1] if spoke and found else None

        return self.wait_for(look)
