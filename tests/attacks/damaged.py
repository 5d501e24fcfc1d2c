"""One damaged file of the world, given to every verb that reads it."""

from __future__ import annotations

import os
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mutate
import numpy as np
import running
from verbs import COMMANDS, Command, reading

_OWN = (".json", ".safetensors", ".h5ad", ".tsv", ".csv", ".parquet", ".txt", ".gmt", ".yaml", ".html")


@dataclass(frozen=True)
class Case:
    """One damage and one command.

    Attributes
    ----------
    name
        What of the world is damaged.
    part
        The damaged file, relative to it; empty where it is a file itself.
    seed
        Of the damage.
    """

    name: str
    part: str
    seed: int
    command: Command


@dataclass(frozen=True)
class Result:
    """What became of a case."""

    case: Case
    damage: str
    outcome: running.Outcome
    left: tuple[str, ...]  # files that a refused command left

    def __str__(self) -> str:
        text = f"{self.outcome.kind}: {self.case.name}/{self.case.part} ({self.damage}, seed {self.case.seed}) in "
        text += " ".join(self.case.command.words)[:60]
        return f"{text}: {self.outcome.text} {'left ' + ', '.join(self.left) if self.left else ''}"


def parts(place: Path) -> list[str]:
    """Files of a folder that are worth damage; of many chunks and shards the first few."""
    if place.is_file():
        return [""]
    found = sorted(p for p in place.rglob("*") if p.is_file() and p.stat().st_size)
    named = [p for p in found if p.suffix in _OWN]
    chunks = [p for p in found if p.suffix == ""]
    return [str(p.relative_to(place)) for p in (*named, *chunks[:3])]


def cases(world: dict[str, Path], number: int, names: list[str] | None = None) -> Iterator[Case]:
    """`number` cases for each name, spread over its files and over the commands that read it."""
    for name in names or sorted({name for command in COMMANDS for name in command.reads}):
        files, commands = parts(world[name]), reading(name)
        for i in range(number):
            seed = zlib.crc32(f"{name} {i}".encode())
            yield Case(name, files[i % len(files)], seed, commands[(i // len(files)) % len(commands)])


def try_case(world: dict[str, Path], case: Case, scratch: Path) -> Result:
    """Damage a copy, run the command on it, and look at what is left."""
    folder = scratch / f"{case.name}-{case.seed}-{zlib.crc32(' '.join(case.command.words).encode())}"
    shutil.rmtree(folder, ignore_errors=True)
    copied = mutate.copy(world[case.name], folder / "in" / world[case.name].name)
    damage = mutate.damage(copied / case.part if case.part else copied, np.random.default_rng(case.seed))
    out = folder / "out"
    out.mkdir()
    places = {name: str(path) for name, path in world.items()} | {case.name: str(copied), "out": str(out / "made")}
    words = [word.format(**places) for word in case.command.words]
    outcome = running.run(words, folder)
    left = tuple(sorted(p.name for p in out.iterdir())) if outcome.kind != "done" else ()
    shutil.rmtree(folder, ignore_errors=True)
    return Result(case, damage, outcome, left)


def try_all(world: dict[str, Path], wanted: list[Case], scratch: Path) -> list[Result]:
    """Try all cases, one at a time for each core."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda case: try_case(world, case, scratch), wanted))


def counted(results: list[Result]) -> str:
    """Outcomes by kind and the time of one core, as one line."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(r.outcome.kind for r in results).items()))
    return f"{kinds}; {sum(r.outcome.seconds for r in results):.0f} s of one core"
