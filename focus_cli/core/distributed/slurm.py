"""Several nodes of the Slurm allocation in which this process runs."""

from __future__ import annotations

import os
import re
import subprocess

from focus_cli.core.errors import MissingResourceError, UsageError

PORTS = range(15000, 30000)  # below those that systems hand out by themselves


def srun_command(nodes: int) -> list[str]:
    """One task on each of `nodes` nodes of this allocation, beside the step that calls; all end when one fails."""
    hosts = _hosts()[:nodes]
    return [
        "srun",
        "--overlap",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--nodelist={','.join(hosts)}",
        "--cpu-bind=quiet,none",
        "--kill-on-bad-exit=1",
    ]


def check_allocation(nodes: int) -> None:
    """Refuse to start where there are no nodes, or too few.

    Raises
    ------
    UsageError
        Outside of an allocation, or in one of fewer nodes.
    """
    if "SLURM_JOB_ID" not in os.environ:
        raise UsageError(
            f"--nodes {nodes} needs a Slurm allocation, and this is none",
            hint=f"start it in a job of {nodes} nodes (sbatch --nodes={nodes} …), or use torchrun on each node",
        )
    given = len(_hosts())
    if given < nodes:
        raise UsageError(
            f"--nodes {nodes}: the Slurm job {os.environ['SLURM_JOB_ID']} has {given}",
            hint=f"request more (sbatch --nodes={nodes} …), or pass --nodes {given}",
        )


def rendezvous() -> tuple[str, str]:
    """A name of this run, and the address at which its nodes meet: the first node's, at a port derived from the job."""
    job = os.environ["SLURM_JOB_ID"]
    first = _hosts()[0]
    # The address by which Slurm itself reaches the node; its name need not be known to the network.
    described = _scontrol("show", "node", first, "--oneliner")
    found = re.search(r"\bNodeAddr=(\S+)", described)
    return job, f"{found[1] if found else first}:{PORTS[int(job) % len(PORTS)]}"


def _hosts() -> list[str]:
    """Nodes of this allocation."""
    listed = os.environ.get("SLURM_JOB_NODELIST")
    if not listed:
        # Snakemake's executor leaves nothing of the allocation in the environment but its number.
        described = _scontrol("show", "job", os.environ["SLURM_JOB_ID"], "--oneliner")
        found = re.search(r" NodeList=(\S+)", described)
        listed = found[1] if found else ""
    return _scontrol("show", "hostnames", listed).split()


def _scontrol(*arguments: str) -> str:
    try:
        return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingResourceError(
            f"Slurm does not respond on this node: scontrol {arguments[1]}: {error}",
            hint="see `focus doctor`, or start torchrun on each node",
        ) from error
