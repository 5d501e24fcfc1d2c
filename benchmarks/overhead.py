"""What a job costs before and beside its work: the start of every verb, and what Snakemake adds to a job.

::

    python benchmarks/overhead.py
    python benchmarks/overhead.py --slurm           # with a Slurm of its own, as tests/cluster starts it (root)

A verb's overhead is the time that a process takes to start and to import every module that the verb has imported by its
end. Beside it stands the whole verb on the smallest section that can be simulated. What Snakemake adds is the life of a
job, by the scheduler's clock, less the verb's own seconds (Snakemake's benchmark files). Medians of the repetitions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
FOCUS = [sys.executable, "-m", "focus_cli"]

# The modules that a verb imports by the end of its work, imported at its start: what is left is work.
TO_WORK = """
import json, sys, time
before = set(sys.modules)
from focus_cli.cli.main import cli
cli.main({arguments!r}, standalone_mode=False)
print("MODULES " + json.dumps(sorted(set(sys.modules) - before)))
"""
START = """
import importlib, sys
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except Exception:
        pass
"""


def verbs(work: Path) -> dict[str, list[str]]:
    """The verbs of the workflow on the smallest study, each after those that it needs."""
    section = work / "study" / "sections" / "S1"
    s, out = str(work / "S1"), work / "out"
    return {
        "preprocess": ["preprocess", str(section), "--out", s, "--sample", "S1", "--mpp", "2"],
        "reference": ["reference", str(work / "study" / "reference.h5ad"), "--out", str(work / "reference")],
        "train": ["train", s, "--out", str(out / "model"), "--max-steps", "1", "--device", "cpu"],
        "enhance": ["enhance", s, "--model", str(out / "model"), "--out", str(out / "S1.h5ad"), "--device", "cpu"],
        "holdout": ["holdout", s, "--task", "denoise", "--out", str(out / "seen"), "--truth", str(out / "t.h5ad")],
        "report": ["report", str(out / "S1.h5ad"), "--out", str(out / "S1.html")],
    }


def timed(command: list[str], **options) -> tuple[float, str]:
    """Wall seconds of a command, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, **options)
    return time.perf_counter() - start, done.stdout


def measure_verbs(work: Path, repeat: int) -> None:
    """Print, for each verb, seconds to useful work and seconds of the whole smallest job."""
    print("| verb | process start to useful work, s | whole smallest job, s |\n|---|---|---|")
    for name, arguments in verbs(work).items():
        whole, said = timed([sys.executable, "-c", TO_WORK.format(arguments=arguments)])
        modules = next(line for line in said.splitlines() if line.startswith("MODULES ")).removeprefix("MODULES ")
        script = START.format(modules=json.loads(modules))
        starts = [timed([sys.executable, "-c", script])[0] for _ in range(repeat)]
        print(f"| {name} | {statistics.median(starts):.1f} | {whole:.1f} |", flush=True)


def verb_seconds(results: Path) -> dict[str, float]:
    """Seconds of every job's own command, by rule and what it worked on."""
    found = {}
    for path in (results / "benchmarks").rglob("*.tsv"):
        header, row = path.read_text().splitlines()[:2]
        found[str(path.relative_to(results / "benchmarks").with_suffix(""))] = float(
            dict(zip(header.split("\t"), row.split("\t")))["s"]
        )
    return found


def measure_local(work: Path) -> None:
    """Print what a job costs beside its verb, on this machine."""
    folder = study_folder(work, "local")
    wall, _ = timed([*FOCUS, "run", "--cores", "1"], cwd=folder)
    planning, _ = timed([*FOCUS, "run", "--cores", "1", "--dry-run"], cwd=folder)
    seconds = verb_seconds(folder / "results")
    beside = (wall - planning - sum(seconds.values())) / len(seconds)
    print(
        f"\nlocal: {len(seconds)} jobs, {wall:.0f} s; planning {planning:.1f} s; beside the verb {beside:.2f} s a job"
    )


def study_folder(work: Path, name: str) -> Path:
    """A folder of its own with the study and a configuration."""
    folder = work / name
    folder.mkdir()
    shutil.copytree(work / "study", folder / "study")
    (folder / "config.yaml").write_text(
        "samples: study/samples.tsv\nreference: {path: study/reference.h5ad}\n"
        "train: {max_steps: 1, device: cpu}\nevaluate: {folds: []}\n"
    )
    return folder


def measure_slurm(work: Path) -> None:
    """Print what a job costs beside its verb on a real Slurm: two Snakemakes and a step start before it."""
    sys.path.insert(0, str(REPO / "tests" / "cluster"))
    from local_slurm import LocalSlurm, why_not

    if reason := why_not():
        print(f"\nSlurm: not measured: {reason}")
        return
    slurm = LocalSlurm(work / "slurm")
    try:
        slurm.start()
        folder = study_folder(work, "on_slurm")
        profile = (REPO / "workflows" / "profiles" / "slurm" / "config.yaml").read_text()
        (folder / "profile").mkdir()
        (folder / "profile" / "config.yaml").write_text(profile)
        wall, _ = timed([*FOCUS, "run", "--profile", "profile", "--jobs", "1"], cwd=folder)
        seconds = verb_seconds(folder / "results")
        lives = [
            int(minutes) * 60 + int(rest)
            for line in slurm.ask("scontrol", "show", "job", "--oneliner").splitlines()
            for minutes, rest in [line.split("RunTime=")[1].split()[0].split(":")[-2:]]
        ]
        beside = (sum(lives) - sum(seconds.values())) / len(lives)
        print(
            f"\nSlurm: {len(lives)} jobs one after the other, {wall:.0f} s; in a job, beside its verbs {beside:.1f} s; "
            f"between jobs {(wall - sum(lives)) / len(lives):.1f} s"
        )
    finally:
        slurm.stop()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--slurm", action="store_true", help="also on a Slurm of its own")
    chosen = options.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(REPO):
        work = Path(folder)
        from focus_cli.simulation import simulate

        simulate(work / "study", seed=0, size_um=1500, n_genes=120, mpp=2.0)
        measure_verbs(work, chosen.repeat)
        measure_local(work)
        if chosen.slurm:
            measure_slurm(work)


if __name__ == "__main__":
    main()
