"""Strong scaling of training: the same steps of the same views by one process and by two.

    python benchmarks/scaling.py                                       # a simulated section, nano, on CPUs
    python benchmarks/scaling.py --samples samples/S1 --preset base --processes 1 2 4 --device cuda
    python benchmarks/scaling.py --parallel fsdp --precision bf16

Every run is `focus train --processes N` with the same ``views_per_step``. Its time is that of its steps alone: two runs
of different length are started, and the difference of their times is the time of the steps between. On CPUs every
process has one thread, so that two processes have twice the cores of one. Prints seconds per step, the speed beside one
process, the efficiency (speed / processes), and the loss of the last row, which is the same within rounding.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml


def simulated_sample(work: Path) -> Path:
    """A stored section of a simulated study."""
    from focus_cli.simulation import simulate

    simulate(work / "study", seed=0, size_um=4000, n_genes=1000, mpp=2.0)
    raw = sorted(p for p in (work / "study" / "sections").iterdir() if p.is_dir())[0]
    out = work / "sample"
    subprocess.run([sys.executable, "-m", "focus_cli", "preprocess", str(raw), "--out", str(out)], check=True)
    return out


def train(
    options: argparse.Namespace, samples: list[Path], work: Path, processes: int, steps: int
) -> tuple[float, str]:
    """Seconds of a whole training, and the last row of its log."""
    out, config = work / f"model{processes}-{steps}", work / "settings.yaml"
    settings = {"views_per_step": options.views, "parallel": options.parallel, "precision": options.precision}
    config.write_text(yaml.safe_dump(settings | {"checkpoint_every": 10**6}))
    command = [sys.executable, "-m", "focus_cli", "train", *map(str, samples), "--out", str(out)]
    command += ["--config", str(config), "--max-steps", str(steps), "--preset", options.preset]
    command += ["--device", options.device, "--processes", str(processes), "--overwrite"]
    start = time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return time.monotonic() - start, (out / "training.csv").read_text().splitlines()[-1]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", nargs="+", type=Path, help="Stored samples; a simulated one if not given.")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--views", type=int, default=2, help="Views per step: a multiple of every number of processes.")
    parser.add_argument("--steps", nargs=2, type=int, default=[20, 120], help="Lengths of the two runs.")
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--parallel", default="ddp", choices=["ddp", "fsdp"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        samples = options.samples or [simulated_sample(work)]
        print("processes  s/step  speed  efficiency  loss")
        alone = None
        for processes in options.processes:
            short, long = (train(options, samples, work, processes, steps) for steps in options.steps)
            seconds = (long[0] - short[0]) / (options.steps[1] - options.steps[0])
            alone = alone or seconds * processes
            speed = alone / seconds
            print(f"{processes:9d}  {seconds:6.4f}  {speed:5.2f}  {speed / processes:10.2f}  {long[1].split(',')[-1]}")


if __name__ == "__main__":
    main()
