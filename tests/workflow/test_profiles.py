"""The profiles of all schedulers name options that the executor has; Snakemake accepts those without Slurm."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

PROFILES = Path(__file__).parents[2] / "workflows" / "profiles"
NEEDS = {
    "lsf": ["snakemake_executor_plugin_lsf"],
    "sge": ["snakemake_executor_plugin_cluster_generic"],
    "htcondor": ["snakemake_executor_plugin_htcondor"],
    "kubernetes": ["snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs"],
}
QUICK = ("--seconds-between-status-checks", "1", "--max-status-checks-per-second", "10")
SNAKEFILE = """
    rule all:
        input: "out/model", "out/small"

    rule train:
        input: "raw.txt"
        output: "out/model"
        threads: 2
        resources: mem_mb=lambda wildcards, attempt: attempt * 6000, runtime=30, gpu=0
        shell: "cat {input} > {output}"

    rule small:
        input: "raw.txt"
        output: "out/small"
        threads: 1
        resources: mem_mb=1000, runtime=5
        shell: "[ ! -e broken ] && cat {input} > {output}"
"""


def needs(name: str) -> None:
    for module in NEEDS[name]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module.replace('_', '-')} is not installed")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A workflow of two jobs, one of which would go to a GPU."""
    (tmp_path / "Snakefile").write_text(textwrap.dedent(SNAKEFILE))
    (tmp_path / "raw.txt").write_text("raw\n")
    return tmp_path


def snakemake(folder: Path, profile: str, *options: str, path: str = "") -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": f"{path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = [sys.executable, "-m", "snakemake", "--profile", str(PROFILES / profile), *options]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("name", sorted(folder.name for folder in PROFILES.iterdir() if folder.name != "local"))
def test_a_profile_names_options_that_the_installed_executor_has(name):
    profile = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    module = f"snakemake_executor_plugin_{profile['executor'].replace('-', '_')}"
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module.replace('_', '-')} is not installed")
    known = {field.name for field in dataclasses.fields(importlib.import_module(module).ExecutorSettings)}
    prefix = f"{profile['executor']}-"
    named = {key.removeprefix(prefix).replace("-", "_") for key in profile if key.startswith(prefix)}
    assert named and named <= known


def test_the_extras_hold_what_profiles_need():
    import tomllib

    told = tomllib.loads((PROFILES.parents[1] / "pyproject.toml").read_text())
    for name in NEEDS:
        extra = " ".join(told["project"]["optional-dependencies"][name])
        for module in NEEDS[name]:
            assert module.replace("_", "-") in extra


@pytest.mark.parametrize("name", sorted(p.name for p in PROFILES.iterdir()))
def test_every_profile_retries_and_cleans_up(name):
    told = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    assert told["rerun-incomplete"] is True and told["keep-going"] is True
    if name != "local":
        assert told["retries"] >= 1


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_snakemake_takes_the_profile(study, name):
    needs(name)
    options = ("--default-storage-prefix", str(study)) if name == "kubernetes" else ()
    done = snakemake(study, name, "--dry-run", *options)
    assert done.returncode == 0, done.stderr
    assert re.search(r"train +1", done.stdout + done.stderr)
    if name == "htcondor":
        assert "htcondor_request_mem_mb=16000" in done.stdout + done.stderr


# --- Grid Engine: commands of ours are in the profile, so they are run ---------------------------

QSUB = """
    printf '%s\\n' "$*" >> asked.txt
    number=$(( $(cat number 2> /dev/null || echo 100) + 1 ))
    echo $number > number
    for script; do :; done
    sh "$script" > /dev/null 2>&1
    echo "$?" > "ended.$number"
    echo $number
"""
QACCT = """
    [ -e "ended.$2" ] || { echo "error: job id $2 not found" >&2; exit 1; }
    echo "jobnumber    $2"
    echo "failed       0"
    echo "exit_status  $(cat ended.$2)"
"""


@pytest.fixture
def grid_engine(study: Path) -> Path:
    """A scheduler that runs what it is given at once, and has it in its accounts."""
    folder = study / "bin"
    folder.mkdir()
    for name, script in {"qsub": QSUB, "qacct": QACCT, "qstat": "exit 1", "qdel": "exit 0"}.items():
        (folder / name).write_text("#!/bin/sh\n" + textwrap.dedent(script))
        (folder / name).chmod(0o755)
    return folder


def test_grid_engine_is_asked_for_slots_memory_per_slot_time_and_gpu(study, grid_engine):
    needs("sge")
    done = snakemake(study, "sge", "--latency-wait", "5", *QUICK, path=str(grid_engine))
    assert done.returncode == 0, done.stderr
    asked = {
        re.search(r"-N focus_(\w+)", line).group(1): line for line in (study / "asked.txt").read_text().splitlines()
    }
    assert "-q all.q -pe smp 2 -l h_vmem=3000M,h_rt=1800 -r no -l gpu=1" in asked["train"]
    assert "-q all.q -pe smp 1 -l h_vmem=1000M,h_rt=300 -r no" in asked["small"] and "gpu" not in asked["small"]


def test_a_job_that_grid_engine_saw_fail_fails(study, grid_engine):
    needs("sge")
    (study / "broken").touch()
    done = snakemake(study, "sge", "--latency-wait", "1", "--retries", "0", *QUICK, path=str(grid_engine))
    assert done.returncode == 1
    assert (study / "out" / "model").exists() and not (study / "out" / "small").exists()


@pytest.mark.parametrize(
    ("qstat", "qacct", "told"),
    [
        ("exit 0", "exit 1", "running"),
        ("exit 1", "exit 1", "running"),  # it left the queue and is not in the accounts yet
        ("exit 1", "echo 'failed 0'; echo 'exit_status 0'", "success"),
        ("exit 1", "echo 'failed 0'; echo 'exit_status 1'", "failed"),
        ("exit 1", "echo 'failed 37 : qmaster enforced h_rt'; echo 'exit_status 0'", "failed"),
        ("exit 1", "echo 'failed 100 : assumedly after job'; echo 'exit_status 137'", "failed"),
    ],
)
def test_the_status_of_a_job_of_grid_engine(tmp_path, qstat, qacct, told):
    for name, script in {"qstat": qstat, "qacct": qacct}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = yaml.safe_load((PROFILES / "sge" / "config.yaml").read_text())["cluster-generic-status-cmd"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(f"{command} '7'", shell=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [told], done.stderr
