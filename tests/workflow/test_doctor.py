"""The doctor finds what is wrong, says what to do, and is stopped by nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import types
from pathlib import Path

import imagecodecs
import pytest
import torch
from click.testing import CliRunner

from focus_cli.cli.doctor import command
from focus_cli.core.errors import MissingResourceError
from focus_cli.workflow import health
from focus_cli.workflow.health import FAIL, PASS, WARN, codecs, gpu, limits, schedulers, software, storage, weights


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheduler's job, no hub, and a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("SLURM_JOB_ID", "SLURM_TMPDIR", "TMPDIR", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN_PATH", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "is_reachable", lambda: False)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put programs of these names on an otherwise empty PATH: name → what each prints, or exits with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(**said: str) -> None:
        for name, script in said.items():
            path = folder / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    return make


def one(look) -> health.Check:
    (check,) = look()
    return check


def test_this_machine_is_fit_and_nothing_is_left_behind():
    found = {check.name: check for check in health.checks()}
    for name in ("python", "packages", "torch", "gloo", "codecs", "snakemake", "disk", "locks", "open files"):
        assert found[name].status in (PASS, WARN), found[name]
    assert [entry["name"] for entry in json.loads(health.to_json(list(found.values())))] == list(found)
    assert list(Path.cwd().iterdir()) == []


def test_what_breaks_is_a_finding_and_the_rest_goes_on(monkeypatch):
    def broken():
        raise ImportError("libjpeg.so: cannot open")
        yield

    def refused():
        raise MissingResourceError("no such thing", hint="make it")
        yield

    monkeypatch.setenv("FOCUS_DATA", "/absent")
    results = list(health.checks({"codecs": broken, "x": refused, "FOCUS_DATA": software.data}))
    assert [check.status for check in results] == [FAIL] * 3
    text = "\n".join(map(health.as_text, results))
    assert "libjpeg.so: cannot open" in text and "→ make it" in text and text.count("→") == 3


@pytest.mark.parametrize(("status", "code"), [(PASS, 0), (WARN, 0), (FAIL, 1)])
def test_the_exit_code_is_1_if_anything_fails(monkeypatch, status, code):
    def look():
        yield health.Check("x", status, "seen", "do this")

    monkeypatch.setattr(health, "checks", lambda: look())
    for options in ([], ["--json"]):
        done = CliRunner().invoke(command, options)
        assert done.exit_code == code, done.output
    assert json.loads(done.output) == [{"name": "x", "status": status, "found": "seen", "fix": "do this"}]


# --- PyTorch -------------------------------------------------------------------------------------


def fake_cuda(**more) -> types.SimpleNamespace:
    told = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_name": lambda i: "Fake 100",
        "get_device_capability": lambda i: (9, 0),
        "mem_get_info": lambda i: (70e9, 80e9),
        "get_arch_list": lambda: ["sm_80", "sm_90"],
        "is_bf16_supported": lambda: True,
    }
    return types.SimpleNamespace(**told | more)


def test_a_cpu_build_beside_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(gpu, "_driver", lambda: ["550.1"])
    check = one(gpu.torch_build)
    assert check.status == WARN and "though there is a GPU" in check.found and check.fix
    monkeypatch.setattr(gpu, "_driver", lambda: [])
    assert one(gpu.torch_build).status == PASS


def test_a_build_that_is_too_new_for_the_driver_fails(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "cuda", fake_cuda(is_available=lambda: False))
    monkeypatch.setattr(gpu, "_driver", lambda: ["450.1"])
    monkeypatch.setattr(gpu, "_driver_cuda", lambda torch: "11.0")
    check = one(gpu.torch_build)
    assert check.status == FAIL and "CUDA 11.0 at most" in check.found and "newer driver" in check.fix


@pytest.mark.parametrize(
    ("cuda", "error", "status", "words"),
    [
        ({}, 1e-4, PASS, "agree with the CPU's"),
        ({}, 0.5, FAIL, "off by 0.5"),
        ({}, float("nan"), FAIL, "off by nan"),
        ({"get_arch_list": lambda: ["sm_120"]}, 1e-4, FAIL, "no code for it"),
        ({"is_bf16_supported": lambda: False}, 1e-4, WARN, "no bfloat16"),
    ],
)
def test_a_gpu_must_compute_what_the_cpu_computes(monkeypatch, cuda, error, status, words):
    monkeypatch.setattr(torch, "cuda", fake_cuda(**cuda))
    monkeypatch.setattr(gpu, "_error_of_product", lambda torch, device, dtype: error)
    check = one(gpu.devices)
    assert check.status == status and words in check.found and bool(check.fix) == (status != PASS)


def test_products_on_the_cpu_are_within_the_tolerances():
    for dtype, tolerance in gpu._TOLERANCE.items():
        assert gpu._error_of_product(torch, "cpu", getattr(torch, dtype)) < tolerance
    assert list(gpu.devices()) == [] or torch.cuda.is_available()


def test_a_backend_that_does_not_start_says_which_variable_to_set(monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError("gethostname: no\naddress")

    monkeypatch.setattr(torch.distributed, "init_process_group", refuse)
    check = gpu._all_reduce(torch, "gloo", "cpu")
    assert check.status == WARN and "no address" in check.found and "GLOO_SOCKET_IFNAME" in check.fix


# --- codecs --------------------------------------------------------------------------------------


def test_a_codec_that_breaks_or_lies_is_named(monkeypatch):
    monkeypatch.setattr(codecs, "_round_trip", lambda name: {"lzw": 1}.get(name, 0) if name != "webp" else 1 / 0)
    found = {check.name: check for check in codecs.codecs()}
    assert found["codec lzw"].status == FAIL and "wrongly" in found["codec lzw"].found
    assert found["codec webp"].status == FAIL and "ZeroDivisionError" in found["codec webp"].found
    working = "jpeg, jpeg2000, zstd, deflate"
    assert found["codecs"].found == f"imagecodecs {imagecodecs.__version__} reads tiles of {working}"


# --- schedulers ----------------------------------------------------------------------------------


def test_a_machine_without_a_scheduler_is_no_problem(programs):
    check = one(schedulers.schedulers)
    assert check.status == PASS and "Slurm, LSF, SGE, HTCondor, Kubernetes" in check.found


def test_slurm_tells_partitions_gpus_accounting_and_the_allocation(programs, monkeypatch):
    programs(squeue="", scancel="", srun="", sbatch="")
    programs(sinfo="echo 'cpu*|up|4|(null)|infinite'; echo 'gpu|up|2|gpu:a100:4|1-00:00:00'; echo 'old|down|1|(null)'")
    programs(sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    monkeypatch.setattr(schedulers, "_plugin", lambda names: ("plugin 2.8", ""))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "gpu1")
    found = {check.name: check for check in schedulers.slurm()}
    assert (
        found["slurm"].found
        == "cpu* 4 nodes; gpu 2 nodes, 1-00:00:00 at most (gpu:a100:4); old 1 nodes down; plugin 2.8"
    )
    assert "keep slurm-status-command: squeue" in found["slurm accounting"].found
    assert found["slurm job"].found.startswith("12: node gpu1")
    programs(sacct="")
    assert "sacct may be used" in {c.name: c for c in schedulers.slurm()}["slurm accounting"].found


def test_a_controller_that_does_not_respond_is_reported(programs, monkeypatch):
    programs(squeue="", scancel="", srun="", sbatch="", sinfo="echo 'Unable to contact slurm controller' >&2; exit 1")
    monkeypatch.setattr(schedulers, "_plugin", lambda names: ("plugin 2.8", ""))
    check = one(schedulers.slurm)
    assert check.status == WARN and "Unable to contact" in check.found
    programs(sinfo="exec /bin/sleep 5")
    monkeypatch.setattr(schedulers, "ask", lambda words: health.check.ask(words, patience_s=0.2))
    assert "no response within" in one(schedulers.slurm).found


@pytest.mark.parametrize(
    ("name", "commands", "plugin"),
    [
        ("lsf", ("bsub", "bjobs", "bkill", "bqueues"), "lsf"),
        ("sge", ("qsub", "qstat", "qdel", "qhost"), "cluster-generic"),
        ("htcondor", ("condor_submit", "condor_q", "condor_rm", "condor_status"), "htcondor"),
        ("kubernetes", ("kubectl",), "kubernetes"),
    ],
)
def test_other_schedulers_and_their_plugins(programs, monkeypatch, name, commands, plugin):
    programs(**dict.fromkeys(commands, "exit 0"))
    monkeypatch.setattr(schedulers.metadata, "version", lambda wanted: "1.0")
    found = {check.name: check for check in schedulers.schedulers()}
    assert found[name].status == PASS and f"snakemake-executor-plugin-{plugin} 1.0" in found[name].found

    def absent(wanted):
        raise schedulers.metadata.PackageNotFoundError(wanted)

    monkeypatch.setattr(schedulers.metadata, "version", absent)
    check = {check.name: check for check in schedulers.schedulers()}[name]
    assert check.status == WARN and check.fix == f"pip install snakemake-executor-plugin-{plugin}"


# --- limits and storage --------------------------------------------------------------------------


def test_few_open_files_are_told_with_the_command(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 2048))
    check = one(limits.open_files)
    assert check.status == WARN and check.fix == "ulimit -n 2048"


def test_little_memory_and_what_bounds_it_are_told(monkeypatch):
    monkeypatch.setattr("focus_cli.core.resources.memory.available_mb", lambda: (4000, "SLURM_MEM_PER_NODE"))
    check = one(limits.cores_and_memory)
    assert check.status == WARN and "4 GB of memory (SLURM_MEM_PER_NODE)" in check.found


def test_shared_memory_that_is_absent_or_small(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "_SHARED", tmp_path / "absent")
    assert one(limits.shared_memory).status == WARN
    monkeypatch.setattr(limits, "_SHARED", tmp_path)
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=64e6))
    check = one(limits.shared_memory)
    assert check.status == WARN and "--shm-size" in check.fix


def test_a_folder_that_cannot_be_written_fails(monkeypatch):
    def refuse(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage, "measure", refuse)
    check = next(storage.here())
    assert check.status == FAIL and "No space left" in check.found and check.fix


@pytest.mark.parametrize(
    ("speed", "names"),
    [
        (storage.Speed(500, 5000, 0.0), [("disk", PASS)]),
        (storage.Speed(5, 5000, 0.0), [("disk", WARN)]),
        (storage.Speed(500, 5, 0.0), [("disk", WARN)]),
        (storage.Speed(500, 5000, -40.0), [("disk", PASS), ("clock of disk", WARN)]),
    ],
)
def test_slow_disks_and_wrong_clocks(monkeypatch, speed, names):
    monkeypatch.setattr(storage, "measure", lambda folder: speed)
    monkeypatch.setattr(storage, "_MIN_FREE_GB", 0.0)
    assert [(c.name, c.status) for c in storage.here() if c.name != "locks"] == names


def test_the_clock_of_this_file_system_is_right():
    assert abs(storage.measure(Path.cwd()).ahead_s) < 1


def test_a_file_system_whose_locks_hold_nothing(monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda stream, how: None)
    check = storage._locks(Path.cwd())
    assert check.status == WARN and "two runs could write at once" in check.found

    def no_locks(stream, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert storage._locks(Path.cwd()).status == WARN
    assert list(Path.cwd().iterdir()) == []


def test_scratch_that_is_named_and_absent(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "absent"))
    check = one(storage.scratch)
    assert check.status == WARN and "SLURM_TMPDIR" in check.found
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path))
    assert one(storage.scratch).status == PASS


# --- published encoders --------------------------------------------------------------------------


def test_cached_encoders_are_named_and_tokens_never_read(monkeypatch, tmp_path):
    snapshot = tmp_path / "hub" / "hub" / "models--owkin--phikon" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    assert "in the cache: none" in one(weights.encoders).found
    (snapshot / "model.safetensors").touch()
    check = one(weights.encoders)
    assert check.status == PASS and "in the cache: phikon;" in check.found and "cannot be reached" in check.found
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "offline by HF_HUB_OFFLINE" in one(weights.encoders).found
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(weights, "is_reachable", lambda: True)
    check = one(weights.encoders)
    assert check.status == WARN and "no token" in check.found and "hf auth login" in check.fix
    monkeypatch.setenv("HF_TOKEN", "secret")
    check = one(weights.encoders)
    assert check.status == PASS and "secret" not in check.found
