"""Measurements: time and peak memory of a command, their growth with its input, and the tables of them.

The command is started by a fresh, small interpreter (this file run as a script), never by the caller: Linux
hands the high-water mark of a process on to what it forks, so a caller that once held 2 GB would make every
command look like 2 GB. The launcher holds about 20 MB: no command reads as less.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# ru_maxrss is in KiB on Linux and in bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
GB = 1e9


@dataclass(frozen=True)
class Measurement:
    """What one command took.

    Attributes
    ----------
    seconds
        Wall time from start to end, start-up of the interpreter included.
    cpu_seconds
        User and system time of the process and the children that it waited for.
    peak_bytes
        Largest resident set that any one process of the tree had at any time.
    exit_code
        Of the command; negative if a signal ended it.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int


def measure(command: Sequence[str], log: Path, cwd: Path | None = None) -> Measurement:
    """Run one command to its end and say what it took.

    Parameters
    ----------
    command
        Program and arguments; no shell.
    log
        Gets standard output and error.
    cwd
        Folder to run in.

    Raises
    ------
    RuntimeError
        If the command could not be started.
    """
    log = Path(log).absolute()
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="measure-") as scratch:
        result = Path(scratch) / "result.json"
        launcher = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(result), str(log)]
        process = subprocess.Popen([*launcher, *command], cwd=cwd, stdin=subprocess.DEVNULL)
        try:
            process.wait()
        finally:
            if process.poll() is None:  # interrupted: the launcher passes it on to the command
                process.terminate()
                process.wait()
        if not result.is_file():
            raise RuntimeError(f"could not run {command[0]}: see {log}")
        return Measurement(**json.loads(result.read_text(encoding="utf-8")))


def _launch(result: str, log: str, *command: str) -> None:
    """Start `command`, wait for it, write its `Measurement` as JSON."""
    with open(log, "wb") as stream:
        started = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
        # Ctrl-C reaches the command by itself; a termination is passed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    taken = {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * _MAXRSS_UNIT,
        "exit_code": child.returncode,
    }
    Path(result).write_text(json.dumps(taken), encoding="utf-8")


@dataclass(frozen=True)
class Growth:
    """How a measure grows with size.

    Attributes
    ----------
    exponent
        Slope of log(value) against log(size) by least squares: 1 is linear, below 1 a fixed cost shows.
    fixed
        Value at size zero of the straight line through (size, value).
    per_100k
        Slope of that line, per 100,000 units of size.
    deviation
        Largest distance of a value from the line, relative to the value; None with only two sizes.
    """

    exponent: float
    fixed: float
    per_100k: float
    deviation: float | None


def growth(sizes: Sequence[float], values: Sequence[float]) -> Growth | None:
    """Fit a power law and a straight line; None with fewer than two different sizes.

    Raises
    ------
    ValueError
        If a size or a value is not above zero.
    """
    import numpy as np

    if len(set(sizes)) < 2:
        return None
    x, y = np.asarray(sizes, np.float64), np.asarray(values, np.float64)
    if not ((x > 0).all() and (y > 0).all()):
        raise ValueError("sizes and values must be above zero")
    exponent = np.polyfit(np.log(x), np.log(y), 1)[0]
    slope, fixed = np.polyfit(x, y, 1)
    deviation = float(np.max(np.abs(fixed + slope * x - y) / y)) if len(set(sizes)) > 2 else None
    return Growth(float(exponent), float(fixed), float(slope * 100_000), deviation)


def tables(records: Sequence[dict[str, Any]], budgets_gb: dict[str, float]) -> str:
    """Two Markdown tables: what each stage took on each region, and how that grows with the region.

    Parameters
    ----------
    records
        In the order of the rows. Each has ``stage``, ``label``, ``fraction`` and ``bins`` (None where a stage
        does not depend on the region) and the fields of `Measurement`.
    budgets_gb
        Stage → largest peak allowed, in GB (10⁹ bytes).
    """
    lines = [
        "| stage | region | bins | seconds | CPU seconds | peak GB | s per 100,000 bins | times linear |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for record in records:
        taken = f"{record['seconds']:.1f} | {record['cpu_seconds']:.1f} | {record['peak_bytes'] / GB:.2f}"
        if record["fraction"] is None:
            lines.append(f"| {record['label']} | any | – | {taken} | – | – |")
            continue
        per_bin = record["seconds"] / record["bins"]
        smallest = min((r for r in records if r["label"] == record["label"]), key=lambda r: r["bins"])
        ratio = per_bin / (smallest["seconds"] / smallest["bins"])
        lines.append(
            f"| {record['label']} | {record['fraction']:g} | {record['bins']:,} | {taken} "
            f"| {per_bin * 100_000:.1f} | {ratio:.2f} |"
        )
    lines += [
        "",
        "| stage | regions | exponent | exponent (CPU) | fixed seconds | s per 100,000 bins more "
        "| off the line | peak GB | limit GB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for label in dict.fromkeys(r["label"] for r in records):
        lines.append(_growth_row([r for r in records if r["label"] == label], budgets_gb))
    return "\n".join(lines) + "\n"


def _growth_row(records: list[dict[str, Any]], budgets_gb: dict[str, float]) -> str:
    peak = max(r["peak_bytes"] for r in records) / GB
    limit = budgets_gb.get(records[0]["stage"])
    verdict = "–" if limit is None else f"{limit:g} ({'kept' if peak < limit else '**broken**'})"
    sized = [r for r in records if r["fraction"] is not None]
    sizes = [r["bins"] for r in sized]
    wall = growth(sizes, [r["seconds"] for r in sized])
    cells = ["–"] * 5
    if wall is not None:
        cpu = growth(sizes, [r["cpu_seconds"] for r in sized])
        off = "–" if wall.deviation is None else f"{100 * wall.deviation:.0f} %"
        cells = [
            f"{wall.exponent:.2f}",
            f"{cpu.exponent:.2f}",
            f"{wall.fixed:.1f}",
            f"{wall.per_100k:.1f}",
            off,
        ]
    return f"| {records[0]['label']} | {len(sized) or '–'} | {' | '.join(cells)} | {peak:.2f} | {verdict} |"


class Results:
    """Records of one benchmark, kept in a folder so that a stopped run goes on where it was.

    Parameters
    ----------
    folder
        Holds ``results.json`` and ``table.md``.
    about
        What was run and on what: ``invocation``, ``machine`` and the record of `focus_cli.core.provenance`.
    budgets_gb
        Stage → largest peak allowed, in GB.
    stages
        Order of the rows.

    Raises
    ------
    OutputExistsError
        If the folder holds the results of other inputs.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], budgets_gb: dict[str, float], stages: Sequence[str]
    ) -> None:
        self._folder, self._about = folder, about
        self._budgets, self._stages = budgets_gb, list(stages)
        self.records: list[dict[str, Any]] = []
        if (path := folder / "results.json").is_file():
            former = json.loads(path.read_text(encoding="utf-8"))
            if former["inputs"] != about["inputs"]:
                from focus_cli.core.errors import OutputExistsError

                raise OutputExistsError(f"{path} holds results of other inputs", hint="choose another --out")
            self.records = former["records"]

    def find(self, label: str, fraction: float | None) -> dict[str, Any] | None:
        """The record of a stage and a region, if there is one."""
        return next((r for r in self.records if (r["label"], r["fraction"]) == (label, fraction)), None)

    def drop(self, stages: Sequence[str], fraction: float | None) -> None:
        """Forget the records of `stages` on a region; on all regions if `fraction` is None."""
        self.records = [r for r in self.records if r["stage"] not in stages or fraction not in (None, r["fraction"])]

    def put(self, record: dict[str, Any]) -> None:
        """Add a record in the place of the former one, and save."""
        former = self.find(record["label"], record["fraction"])
        self.records = [r for r in self.records if r is not former] + [record]
        self.records.sort(key=lambda r: (self._stages.index(r["stage"]), r["label"], -(r["fraction"] or 0)))
        self.save()

    def save(self) -> None:
        """Write ``results.json`` and ``table.md``, each whole or not at all."""
        from focus_cli.core.storage import atomic_file
        from focus_cli.core.storage.kinds import PART

        everything = json.dumps({**self._about, "records": self.records}, indent=1, sort_keys=True) + "\n"
        for name, text in {"results.json": everything, "table.md": self.markdown()}.items():
            with atomic_file(self._folder / name, overwrite=True, kind=PART) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def markdown(self) -> str:
        """What was run on what, then the tables."""
        about, machine = self._about, self._about["machine"]
        inputs = ", ".join(entry["name"] for _, entry in sorted(about["inputs"].items()))
        lines = [
            f"`{about['invocation']}`",
            "",
            f"Inputs {inputs}; seed {about['seed']}; {machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_gb']:g} GB, OMP_NUM_THREADS {machine['OMP_NUM_THREADS']}; "
            f"focus {about['focus_version']}, Python {about['versions']['python']}",
            "",
        ]
        if len({r["source"] for r in self.records}) > 1:
            lines += ["The rows measure different states of the code; `--again` measures them anew.", ""]
        return "\n".join(lines) + "\n" + tables(self.records, self._budgets)

    def over_budget(self) -> list[str]:
        """One line per record whose peak reaches the limit of its stage."""
        lines = []
        for record in self.records:
            limit, peak = self._budgets.get(record["stage"], float("inf")), record["peak_bytes"] / GB
            if peak >= limit:
                region = f"{record['label']} of {record['fraction']:g}"
                lines.append(f"{region}: {peak:.2f} GB, the limit is {limit:g} GB")
        return lines


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in GB and the thread setting."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB, 1),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "unset"),
    }


def source_hash(root: Path) -> str:
    """SHA-256 over a package's sources, 12 digits: whether two records measured the same code."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    _launch(*sys.argv[1:])
