"""The Snakefile as Snakemake sees it: schemas, style, the demo's graph, refusals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from focus_cli.workflow.schemas import MODELS, schema_text

BIN = Path(sys.executable).parent
DEMO_JOBS = {
    "build_reference": 1,
    "preprocess": 2,
    "hold_out": 1,
    "train": 1,
    "train_fold": 1,
    "enhance": 2,
    "enhance_fold": 1,
    "score_fold": 1,
    "score_truth": 2,
    "score_truth_fine": 2,
    "embed": 2,
    "domains": 1,
    "celltypes": 2,
    "patterns": 2,
    "report_sample": 2,
    "gather_scores": 1,
    "all": 1,
}


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


def snakemake(repo: Path, cwd: Path, *options: str) -> subprocess.CompletedProcess:
    return run(str(BIN / "snakemake"), "-s", str(repo / "workflows" / "Snakefile"), *options, cwd=cwd)


def jobs_of(text: str) -> dict[str, int]:
    found = re.search(r"^-{3,}.*?\n(.*?)^total", text, flags=re.M | re.S)
    assert found, text
    return {name: int(count) for name, count in (line.split() for line in found[1].splitlines())}


@pytest.fixture
def workplace(tmp_path, repo):
    """The shipped configs, and empty files where the demo's study would be."""
    (tmp_path / "config").symlink_to(repo / "config")
    study = tmp_path / "demo" / "study"
    for section in ("S1", "S2"):
        (study / "sections" / section).mkdir(parents=True)
    (study / "truth").mkdir()
    (study / "reference.h5ad").touch()
    lines = ["sample\tpath\tplatform\ttruth\ttruth_fine"]
    for section in ("S1", "S2"):
        for name in (f"{section}.h5ad", f"{section}.fine.h5ad"):
            (study / "truth" / name).touch()
        lines.append(f"{section}\tsections/{section}\tvisium\ttruth/{section}.h5ad\ttruth/{section}.fine.h5ad")
    (study / "samples.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_schemas_on_disk_are_those_of_the_models(repo, name):
    written = (repo / "workflows" / "schemas" / name).read_text(encoding="utf-8")
    # Compared by content: how a number is spelt depends on the version of pydantic.
    assert json.loads(written) == json.loads(schema_text(name)), "run `make schemas`"


def test_lint_has_nothing_to_say(repo):
    done = run(str(BIN / "snakemake"), "--lint", cwd=repo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good condition" in done.stdout + done.stderr


def test_snakefmt_has_nothing_to_change(repo):
    pytest.importorskip("snakefmt")
    done = run(str(BIN / "snakefmt"), "--check", "workflows/Snakefile", "rules", cwd=repo)
    assert done.returncode == 0, done.stderr


def test_every_rule_has_a_log_a_benchmark_and_a_version(repo):
    for path in sorted((repo / "rules").glob("*.smk")):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.M)[1:]:
            rule = re.split(r"^use rule", rule, flags=re.M)[0]
            for part in ("log:", "benchmark:", "stage_version=", "mem_mb=", "runtime=", "threads:"):
                assert part in rule, f"{part} is missing in {path.name}: {rule.splitlines()[0]}"


def test_partitions_and_accounts_belong_to_profiles(repo):
    for path in (repo / "rules").glob("*.smk"):
        assert not re.search(r"partition|account|\bgres\b|gpu_model|slurm", path.read_text()), path.name
    assert not (repo / "workflows" / "profiles" / "default").exists()


def test_the_demo_has_these_jobs(repo, workplace):
    done = snakemake(repo, workplace, "--configfile", "config/demo.yaml", "-n", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs_of(done.stdout + done.stderr) == DEMO_JOBS


def test_without_reference_folds_and_truth_there_is_less_to_do(repo, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "samples.tsv").write_text("sample\tpath\nS1\traw\n")
    (tmp_path / "config.yaml").write_text("samples: samples.tsv\n")
    done = snakemake(repo, tmp_path, "--configfile", "config.yaml", "-n", "-p")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert jobs_of(said) == {"preprocess": 1, "train": 1, "enhance": 1, "report_sample": 1, "all": 1}
    assert "--reference" not in said
    assert "--refined" not in said


def test_what_the_sheet_and_config_say_reaches_the_verbs(repo, tmp_path):
    for name in ("raw one", "he.tif", "ref.h5ad", "genes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "samples.tsv").write_text(
        "sample\tpath\tplatform\timage\tmpp\tbin_um\nS1\traw one\tvisium_hd\the.tif\t0.25\t16\n"
    )
    (tmp_path / "config.yaml").write_text(
        "samples: samples.tsv\noutput: out\nseed: 7\npreprocess: {step_um: 4}\n"
        "reference: {path: ref.h5ad, cell_type: kind}\ntrain: {max_steps: 9, device: cpu}\n"
        "enhance: {genes: genes.txt, samples: 3}\n"
        "evaluate: {folds: [{task: refine, truth_bin_um: 24, seed: 5},"
        " {task: histology, test_fraction: 0.4}]}\n"
    )
    done = snakemake(repo, tmp_path, "--configfile", "config.yaml", "-n", "-p")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for part in (
        "focus preprocess 'raw one' --out out/samples/S1 --sample S1"
        " --platform visium_hd --image he.tif --mpp 0.25 --bin-um 16 --step-um 4 ",
        "focus reference ref.h5ad --out out/references/ref --cell-type kind ",
        "focus train out/samples/S1 --out out/models/all --reference out/references/ref"
        " --preset nano --max-steps 9 --device cpu --seed 7 --resume-or-anew ",
        "--genes genes.txt",
        "--task refine --truth-bin-um 24 --seed 5 ",
        "--resolution-um 24 --refined out/folds/S1.refine/refined.h5ad",
        "focus evaluate out/folds/S1.refine/refined.h5ad",
        "--task histology --test-fraction 0.4 --seed 7 ",
        "--genes out/folds/S1.histology/genes.txt --histology-only",
        "--samples 3 ",
    ):
        assert part in said, part


def test_the_snakefile_refuses_in_words_of_its_own(repo, workplace):
    done = snakemake(
        repo, workplace, "--configfile", "config/demo.yaml", "--config", "sede=1", "-n", "--quiet", "rules"
    )
    assert done.returncode == 1
    assert "unknown key sede; did you mean seed?" in done.stdout + done.stderr


# --- cohorts -----------------------------------------------------------------------------------------------

COHORT = ("S1\traw/S1\ta\ttrain", "S2\traw/S2\tb\ttrain", "S3\traw/S3\tb\ttrain")


def write_cohort_sheet(folder: Path, *lines: str) -> None:
    (folder / "samples.tsv").write_text("\n".join(["sample\tpath\tgroup\tsplit", *lines]) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three samples and two groups that is over, as far as Snakemake can tell."""
    folder = tmp_path_factory.mktemp("cohort")
    for name in ("S1", "S2", "S3", "S4"):
        (folder / "raw" / name).mkdir(parents=True)
    write_cohort_sheet(folder, *COHORT)
    (folder / "config.yaml").write_text(
        "samples: samples.tsv\ntrain: {scope: group}\nevaluate: {folds: [{task: denoise}]}\n"
    )
    out = folder / "results"
    made = [f"samples/S{n}" for n in (1, 2, 3)] + ["models/a", "models/b"]
    made += [f"folds/S{n}.denoise/{part}" for n in (1, 2, 3) for part in ("observed", "model", "scores")]
    for path in made:
        (out / path).mkdir(parents=True)
    files = [f"{part}/S{n}.{kind}" for n in (1, 2, 3) for part, kind in (("enhanced", "h5ad"), ("reports", "html"))]
    parts = ("truth.h5ad", "genes.txt", "enhanced.h5ad")
    files += [f"folds/S{n}.denoise/{part}" for n in (1, 2, 3) for part in parts]
    for path in [*files, "scores.tsv"]:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).touch()
    repo = Path(__file__).resolve().parents[2]
    done = snakemake(repo, folder, "--configfile", "config.yaml", "--touch", "--cores", "1", "--quiet", "all")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_finished_cohort_has_nothing_to_do(finished, repo):
    write_cohort_sheet(finished, *COHORT)
    done = snakemake(repo, finished, "--configfile", "config.yaml", "-n")
    assert "Nothing to be done" in done.stdout + done.stderr, done.stdout


def jobs_for(said: str) -> set[tuple[str, str]]:
    """(rule, wildcard) of every job that a dry run lists."""
    blocks = re.split(r"^(?=(?:local)?rule )", said, flags=re.M)[1:]
    found = set()
    for block in blocks:
        rule = re.match(r"(?:local)?rule (\w+)", block)[1]
        wildcard = re.search(r"^    wildcards: \w+=(\S+)", block, flags=re.M)
        found.add((rule, wildcard[1] if wildcard else ""))
    return found - {("all", ""), ("everything", "")}


OF_S4 = {("preprocess", "S4"), ("enhance", "S4"), ("report_sample", "S4"), ("gather_scores", "")}
OF_S4 |= {(rule, "S4.denoise") for rule in ("hold_out", "enhance_fold", "score_fold")}


def test_a_training_sample_added_later_is_learnt_from_by_its_group_alone(finished, repo):
    write_cohort_sheet(finished, *COHORT, "S4\traw/S4\tb\ttrain")
    done = snakemake(repo, finished, "--configfile", "config.yaml", "-n")
    again = {("train", "b"), *((rule, name) for rule in ("enhance", "report_sample") for name in ("S2", "S3"))}
    assert jobs_for(done.stdout + done.stderr) == OF_S4 | {("train_fold", "S4.denoise")} | again


def test_a_test_sample_added_later_runs_nothing_but_its_own_jobs(finished, repo):
    write_cohort_sheet(finished, *COHORT, "S4\traw/S4\tb\ttest")
    done = snakemake(repo, finished, "--configfile", "config.yaml", "-n")
    assert jobs_for(done.stdout + done.stderr) == OF_S4


def test_references_groups_corpora_and_nodes_reach_the_verbs(repo, tmp_path):
    for name in ("raw", "a.h5ad", "b.h5ad"):
        (tmp_path / name).mkdir()
    (tmp_path / "samples.tsv").write_text("sample\tpath\treference\tgroup\nS1\traw\ta.h5ad\tg\nS2\traw\tb.h5ad\th\n")
    (tmp_path / "config.yaml").write_text(
        "samples: samples.tsv\ntrain: {scope: group, corpus: true, processes: 2, nodes: 3, mem_mb: 7000}\n"
    )
    done = snakemake(repo, tmp_path, "--configfile", "config.yaml", "-n", "-p")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for part in (
        "focus reference a.h5ad --out results/references/a ",
        "focus reference b.h5ad --out results/references/b ",
        "focus corpus results/samples/S2 --out results/corpora/S2 ",
        "focus train results/corpora/S1 --out results/models/g --reference results/references/a ",
        "--processes 2 --nodes 3 --resume-or-anew ",
        "focus enhance results/samples/S2 --model results/models/h ",
        "--reference results/references/b ",
        "mem_mb=7000",
    ):
        assert part in said, part


def test_an_unknown_sample_is_refused_in_words(repo, workplace):
    done = snakemake(repo, workplace, "--configfile", "config/demo.yaml", "-n", "demo/results/samples/S9")
    assert done.returncode == 1
    assert "S9" in done.stdout + done.stderr
