"""How long a cohort takes to plan: a dry run of FOCUS beside a bare Snakefile with as many rules and jobs.

::

    python benchmarks/planning.py --samples 500 --samples 2000

The cohort is a sheet of samples whose raw folders are empty: planning never opens them. The bare Snakefile has
the same rules, files and dependencies, and nothing else: no configuration, no sheet, no functions, no resources,
no logs. Both are planned by ``snakemake --dry-run --quiet rules``, in turns; the best of the repetitions counts.
Processor time is told beside wall time: on a machine with other work only the former can be compared.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SNAKEFILE = Path(__file__).resolve().parents[1] / "workflows" / "Snakefile"
FOLDS = "evaluate: {folds: [{task: denoise, fraction: 0.5}]}\n"

# The rules of a cohort with one model for all and, with folds, one hold-out for each sample.
BARE = """\
SAMPLES = [line.strip() for line in open("names.txt")]

rule all:
    input:
        expand("out/enhanced/{sample}.h5ad", sample=SAMPLES),
        expand("out/reports/{sample}.html", sample=SAMPLES),
"""
BARE_GATHER = """\
        "out/scores.tsv",

rule gather_scores:
    input: expand("out/folds/{sample}/scores", sample=SAMPLES)
    output: "out/scores.tsv"
    shell: "touch {output}"
"""
BARE_SAMPLE = """
rule preprocess:
    input: "raw/{sample}"
    output: directory("out/samples/{sample}")
    shell: "touch {output}"

rule train:
    input: expand("out/samples/{sample}", sample=SAMPLES)
    output: directory("out/models/all")
    shell: "touch {output}"

rule enhance:
    input: "out/samples/{sample}", "out/models/all"
    output: "out/enhanced/{sample}.h5ad"
    shell: "touch {output}"
"""
BARE_FOLD = """
rule hold_out:
    input: "out/samples/{sample}"
    output: directory("out/folds/{sample}/observed"), "out/folds/{sample}/truth.h5ad"
    shell: "touch {output}"

rule train_fold:
    input: "out/folds/{sample}/observed"
    output: directory("out/folds/{sample}/model")
    shell: "touch {output}"

rule enhance_fold:
    input: "out/folds/{sample}/observed", "out/folds/{sample}/model"
    output: "out/folds/{sample}/enhanced.h5ad"
    shell: "touch {output}"

rule score_fold:
    input: "out/folds/{sample}/enhanced.h5ad", "out/folds/{sample}/truth.h5ad", "out/folds/{sample}/observed"
    output: directory("out/folds/{sample}/scores")
    shell: "touch {output}"
"""


def bare(folds: bool) -> str:
    """The Snakefile to compare with."""
    report = '    input: "out/enhanced/{sample}.h5ad"' + (', "out/folds/{sample}/scores"' if folds else "")
    rules = [
        BARE + (BARE_GATHER if folds else ""),
        BARE_SAMPLE,
        f'\nrule report_sample:\n{report}\n    output: "out/reports/{{sample}}.html"\n    shell: "touch {{output}}"\n',
        BARE_FOLD if folds else "",
    ]
    return "".join(rules)


def write_cohort(folder: Path, n: int, folds: bool) -> None:
    """A sheet of `n` samples, two to a donor, and the bare Snakefile beside it."""
    names = [f"S{i:05d}" for i in range(n)]
    lines = ["sample\tpath\tplatform\tdonor\torgan"]
    for i, name in enumerate(names):
        (folder / "raw" / name).mkdir(parents=True)
        lines.append(f"{name}\traw/{name}\tvisium\tD{i // 2}\tbreast")
    (folder / "samples.tsv").write_text("\n".join(lines) + "\n")
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    (folder / "config.yaml").write_text("samples: samples.tsv\noutput: out\n" + (FOLDS if folds else ""))
    (folder / "Bare").write_text(bare(folds))


def plan(folder: Path, options: list[str]) -> tuple[float, float, float, int]:
    """Processor seconds, wall seconds, peak memory in MB and jobs of one dry run."""
    command = [sys.executable, "-m", "snakemake", *options, "--dry-run", "--quiet", "rules", "--nolock"]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read()
    jobs = re.search(r"^total\s+(\d+)", text, flags=re.M)
    if status or jobs is None:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    return usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss / 1024, int(jobs[1])


def main() -> None:
    """Plan cohorts of every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, action="append", help="size of a cohort; may be given many times")
    parser.add_argument("--repeat", type=int, default=3, help="dry runs of each, of which the quickest counts")
    parser.add_argument("--folds", action="store_true", help="with one hold-out for each sample")
    chosen = parser.parse_args()
    columns = ("samples", "jobs", "bare CPU s", "focus CPU s", "ratio", "bare wall s", "focus wall s")
    columns += ("bare MB", "focus MB")
    print("".join(f"{name:>13}" for name in columns))
    for n in chosen.samples or [500]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_cohort(folder, n, chosen.folds)
            ours, theirs = [], []
            for _ in range(chosen.repeat):
                theirs.append(plan(folder, ["--snakefile", "Bare"]))
                ours.append(plan(folder, ["--snakefile", str(SNAKEFILE), "--configfile", "config.yaml"]))
            bare, focus = min(theirs), min(ours)
            if bare[3] != focus[3]:
                raise SystemExit(f"the bare Snakefile has {bare[3]} jobs, FOCUS {focus[3]}")
            ratio = focus[0] / bare[0]
            values = (f"{n}", f"{bare[3]}", f"{bare[0]:.2f}", f"{focus[0]:.2f}", f"{ratio:.2f}")
            values += (f"{min(t[1] for t in theirs):.2f}", f"{min(o[1] for o in ours):.2f}")
            values += (f"{bare[2]:.0f}", f"{focus[2]:.0f}")
            print("".join(f"{value:>13}" for value in values), flush=True)


if __name__ == "__main__":
    main()
