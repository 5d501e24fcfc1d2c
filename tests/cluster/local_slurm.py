"""A real Slurm on one machine: munge, one controller, one daemon per node, as plain processes without systemd.

One ``cpu`` node and two ``gpu`` nodes, each with a GPU that is one in name only. Memory beyond what was asked for is
killed by the accounting daemon, as on clusters without cgroups.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
NODES = ("cpu1", "gpu1", "gpu2")
# Tests of two environments may run at the same time; the system's configuration and the names of nodes are one.
LOCK = Path(tempfile.gettempdir()) / "focus-tests-slurm.lock"

_CONF = """\
ClusterName=focustest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/run/munge.sock
CredType=cred/munge
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool/%n
SlurmctldPidFile={at}/run/slurmctld.pid
SlurmdPidFile={at}/run/slurmd-%n.pid
SlurmctldLogFile={at}/log/slurmctld.log
SlurmdLogFile={at}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
KillWait=15
MinJobAge=7200
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,default_queue_depth=1000
DefMemPerCPU=500
MailProg=/bin/true
RebootProgram=/bin/true
{nodes}
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=1440 State=UP
PartitionName=gpu Nodes=gpu[1-2] MaxTime=1440 State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no Snakemake executor for Slurm: pip install snakemake-executor-plugin-slurm"
    if os.geteuid() != 0:
        return "Slurm's daemons start jobs for others: only root can run them"
    if SYSTEM_CONF.exists() and not SYSTEM_CONF.is_symlink():
        return f"{SYSTEM_CONF} is there: this machine belongs to a cluster"
    return None


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True)
class Job:
    """What Slurm says of one job."""

    id: int
    rule: str
    state: str
    partition: str
    gpus: int
    node: str
    requeues: int


class LocalSlurm:
    """Started by `start`, stopped by `stop`; everything lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self._lock = None

    def start(self) -> None:
        """Wait for another test's Slurm, write the configuration, start the daemons, wait until every node is idle."""
        self._lock = open(LOCK, "w")  # noqa: SIM115 (held until `stop`)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for name in ("state", "log", "run", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        host, (port, *node_ports) = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
        lines = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={at} CPUs=2 RealMemory=6000 State=UNKNOWN"
            + (" Gres=gpu:fake:1" if node.startswith("gpu") else "")
            for node, at in zip(NODES, node_ports)
        ]
        self.conf.write_text(_CONF.format(host=host, port=port, at=self.folder, nodes="\n".join(lines)))
        (self.folder / "gres.conf").write_text("NodeName=gpu[1-2] Name=gpu Type=fake File=/dev/null\n")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n")
        # The executor takes SLURM_CONF out of the environment of a job's step.
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.unlink(missing_ok=True)
        SYSTEM_CONF.symlink_to(self.conf)
        os.environ["SLURM_CONF"] = str(self.conf)
        run = self.folder / "run"
        subprocess.run(
            ["munged", "--force", f"--key-file={key}", f"--socket={run}/munge.sock", f"--pid-file={run}/munged.pid",
             f"--log-file={self.folder}/log/munged.log", f"--seed-file={run}/munge.seed"],
            check=True, timeout=30,
        )  # fmt: skip
        subprocess.run(["slurmctld", "-c", "-f", self.conf], check=True, timeout=30)
        for node in NODES:
            self.start_node(node)
        self.wait_for_idle()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        subprocess.run(["slurmd", "-N", node, "-f", self.conf], check=True, timeout=30)

    def kill_node(self, node: str) -> None:
        """Kill a node: its daemon, and everything that its jobs run."""
        self._kill(self.folder / "run" / f"slurmd-{node}.pid", signal.SIGKILL)
        for process in _processes():
            if b"slurmstepd" in process.cmdline and f"SLURMD_NODENAME={node}".encode() in process.environ:
                process.kill()
        for process in _processes():
            if f"SLURMD_NODENAME={node}".encode() in process.environ:
                process.kill()

    def wait_for_idle(self, limit_s: float = 60) -> None:
        """Wait until no node is busy or away."""
        end = time.monotonic() + limit_s
        while True:
            states = self.ask("sinfo", "--noheader", "--Node", "--format=%N %t").split("\n")
            if len({line.split()[0] for line in states if line.endswith(" idle")}) == len(NODES):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the nodes are not idle: {states}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End every job and every daemon."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.ask("scancel", "--user=root")
            self.wait_for_idle(30)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            self._kill(self.folder / "run" / f"{name}.pid", signal.SIGTERM)
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink() == self.conf:
            SYSTEM_CONF.unlink()
        os.environ.pop("SLURM_CONF", None)
        if self._lock is not None:
            self._lock.close()

    def ask(self, *command: str) -> str:
        """What a client of Slurm prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    def jobs(self) -> list[Job]:
        """Every job that Slurm remembers, oldest first."""
        found = []
        for line in self.ask("scontrol", "show", "job", "--oneliner").splitlines():
            if not line.startswith("JobId="):
                continue
            told = dict(word.split("=", 1) for word in line.split() if "=" in word)
            asked = " ".join(told.get(key, "") for key in ("TresPerJob", "TresPerNode", "TresPerTask"))
            found.append(
                Job(
                    id=int(told["JobId"]),
                    rule=told.get("Comment", "").removeprefix("rule_").split("_wildcards")[0],
                    state=told["JobState"],
                    partition=told["Partition"],
                    gpus=asked.count("gpu"),
                    node=told.get("NodeList", ""),
                    requeues=int(told.get("Restarts", 0)),
                )
            )
        return sorted(found, key=lambda job: job.id)

    def running(self) -> list[Job]:
        """The jobs that are not over."""
        return [job for job in self.jobs() if job.state in ("RUNNING", "PENDING", "COMPLETING", "CONFIGURING")]

    @staticmethod
    def _kill(pid_file: Path, how: signal.Signals) -> None:
        with contextlib.suppress(OSError, ValueError):
            pid = int(pid_file.read_text())
            os.kill(pid, how)
            end = time.monotonic() + 10
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                time.sleep(0.05)


@dataclass(frozen=True)
class _Process:
    pid: int
    cmdline: bytes
    environ: list[bytes]

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)


def _processes() -> list[_Process]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                cmdline, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes().split(b"\0")
                found.append(_Process(int(entry.name), cmdline, environ))
    return found
