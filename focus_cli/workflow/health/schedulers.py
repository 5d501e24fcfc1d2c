"""Schedulers: available commands, whether they respond, and Snakemake's plugins for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import metadata

from focus_cli.workflow.health.check import PASS, WARN, Check, ask

_PLUGIN = "snakemake-executor-plugin-"
# Scheduler → commands that a run needs, the plugins of which one will do, a query that shows that it responds.
_OTHERS = {
    "lsf": (("bsub", "bjobs", "bkill"), ("lsf",), ["bqueues", "-w"]),
    "sge": (("qsub", "qstat", "qdel"), ("cluster-generic",), ["qhost"]),
    "htcondor": (("condor_submit", "condor_q", "condor_rm"), ("htcondor",), ["condor_status", "-total"]),
    "kubernetes": (("kubectl",), ("kubernetes",), ["kubectl", "version", "--request-timeout=5s"]),
}
_SLURM = ("sbatch", "squeue", "scancel", "srun")


def schedulers() -> Iterator[Check]:
    """Results for each scheduler with available commands, and one for all others."""
    absent = []
    if shutil.which("sbatch"):
        yield from slurm()
    else:
        absent.append("Slurm")
    for name, (commands, plugins, question) in _OTHERS.items():
        if shutil.which(commands[0]):
            yield _other(name, commands, plugins, question)
        else:
            absent.append({"lsf": "LSF", "sge": "SGE", "htcondor": "HTCondor", "kubernetes": "Kubernetes"}[name])
    if absent:
        yield Check("schedulers", PASS, f"not on this machine: {', '.join(absent)} (focus run works without)")


def _plugin(names: tuple[str, ...]) -> tuple[str | None, str]:
    """The installed executor plugin with its version, and how to install the first."""
    for name in names:
        try:
            return f"{_PLUGIN}{name} {metadata.version(_PLUGIN + name)}", ""
        except metadata.PackageNotFoundError:
            continue
    return None, f"pip install {_PLUGIN}{names[0]}"


def _missing(commands: tuple[str, ...]) -> list[str]:
    return [command for command in commands if not shutil.which(command)]


def _other(name: str, commands: tuple[str, ...], plugins: tuple[str, ...], question: list[str]) -> Check:
    if lacking := _missing(commands):
        return Check(name, WARN, f"no {', '.join(lacking)}", "load the scheduler's module")
    plugin, fix = _plugin(plugins)
    if plugin is None:
        return Check(name, WARN, "commands found, no Snakemake executor", fix)
    code, output = ask(question)
    if code != 0:
        return Check(name, WARN, f"{plugin}; {' '.join(question)}: {_first(output)}", "contact the administrator")
    return Check(name, PASS, f"commands found and working, {plugin}")


def _first(output: str) -> str:
    return (output.splitlines() or ["no output"])[0]


def slurm() -> Iterator[Check]:
    """Commands, controller, partitions with their GPUs, accounting, and the allocation that this process is in."""
    if lacking := _missing(_SLURM):
        yield Check("slurm", WARN, f"no {', '.join(lacking)}", "load the scheduler's module")
        return
    plugin, _ = _plugin(("slurm",))
    if plugin is None:
        yield Check("slurm", WARN, "commands found, no Snakemake executor", 'pip install "focus-st[slurm]"')
    code, output = ask(["sinfo", "--noheader", "--format=%P|%a|%D|%G|%l"])
    if code != 0:
        yield Check(
            "slurm", WARN, f"sinfo: {_first(output)}", "contact the administrator: the controller does not respond"
        )
        return
    partitions = [_partition(line) for line in dict.fromkeys(output.splitlines())]
    if not partitions:
        yield Check("slurm", WARN, "no partition is open to you", "contact the administrator")
    elif plugin is not None:
        yield Check("slurm", PASS, f"{'; '.join(partitions)}; {plugin}")
    yield _accounting()
    if job := os.environ.get("SLURM_JOB_ID"):
        yield _allocation(job)


def _partition(line: str) -> str:
    name, state, nodes, gres, limit = ([part.strip() for part in line.split("|")] + [""] * 5)[:5]
    words = f"{name} {nodes} nodes"
    # A job that requests more time than this is never started.
    words += f", {limit} at most" if limit and limit != "infinite" else ""
    words += f" ({gres})" if gres and gres != "(null)" else ""
    return words if state in ("up", "") else f"{words} {state}"


def _accounting() -> Check:
    code, output = ask(["sacct", "--noheader", "--allocations", "--starttime=now-1minutes"])
    if code == 0:
        return Check("slurm accounting", PASS, "sacct responds: slurm-status-command: sacct may be used")
    why = "no sacct" if code == 127 else _first(output)
    return Check("slurm accounting", PASS, f"{why}: keep slurm-status-command: squeue in the profile")


def _allocation(job: str) -> Check:
    values = {
        "node": os.environ.get("SLURMD_NODENAME"),
        "partition": os.environ.get("SLURM_JOB_PARTITION"),
        "cpus": os.environ.get("SLURM_CPUS_ON_NODE"),
        "MB": os.environ.get("SLURM_MEM_PER_NODE"),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    words = ", ".join(f"{name} {value}" for name, value in values.items() if value)
    return Check("slurm job", PASS, f"{job}: {words}")
