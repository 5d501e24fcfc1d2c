"""Arithmetic for cohorts larger than any at hand, from unit costs that other benchmarks measured.

::

    python benchmarks/scale.py

Every unit cost names the command that measures it; change one with ``--set name=value``. What is assumed and not
measured (utilisation of a GPU, prices) is in a table of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

COHORTS = {"paper: 1.7 M locations, 5.8 M cells": (1.7e6, 5.8e6), "100 times that": (1.7e8, 5.8e8)}
LOCATIONS_PER_SECTION = 4000.0
PASSES = 50.0  # how often training visits a location


@dataclass(frozen=True)
class Unit:
    """One unit cost: its value, what it counts, and the command that measures it."""

    value: float
    what: str
    source: str


MEASURED = {
    "sample_bytes": Unit(22_170, "bytes per location of a stored sample", "loader.py"),
    "corpus_bytes": Unit(26_140, "bytes per location of a corpus", "loader.py"),
    "cell_bytes": Unit(3_386, "bytes per cell of a reference .h5ad (sparse, gzip)", "loader.py"),
    "enhanced_bytes": Unit(5 * 4 * 2_000, "bytes per location enhanced: X and 4 layers of 2,000 genes", "its format"),
    "preprocess_s": Unit(12, "core seconds to preprocess a section of 4,000 spots", "resources.py"),
    "pack_s": Unit(249e-6, "core seconds to pack a location", "loader.py"),
    "reference_s": Unit(34e-6, "core seconds per cell of a reference, beyond 9 s", "docs/corpus.md"),
    "view_s": Unit(0.69, "core seconds to draw a view from a corpus", "loader.py"),
    "visits_per_view": Unit(6 * 192, "locations scored per view", "docs/training.md"),
    "nano_flop": Unit(14.9e6, "operations per location and visit, nano", "training_cost.py"),
    "base_flop": Unit(5.08e9, "operations per location and visit, base", "training_cost.py"),
    "enhance_per_s": Unit(900, "locations enhanced per core second, 2,000 genes, nano", "speed.py"),
    "job_s": Unit(4.2, "core seconds of Snakemake in a Slurm job", "overhead.py --slurm"),
    "jobs_per_section": Unit(4, "jobs per section: preprocess, enhance, report; pack", "docs/cohorts.md"),
    "plan_s": Unit(9.3 / 2000, "seconds to plan a section", "planning.py"),
}
ASSUMED = {
    "gpu_flops": Unit(3e14, "operations a second of one H100 in bf16, at 30 % of its peak", "assumed, not measured"),
    "gpu_price": Unit(2.5, "USD per GPU hour", "assumed"),
    "core_price": Unit(0.04, "USD per core hour", "assumed"),
    "gb_month_price": Unit(0.02, "USD per GB and month", "assumed"),
}


def rows(unit: dict[str, float], locations: float, cells: float) -> list[tuple[str, str, float]]:
    """Lines of the table: what, in words, and its price in USD."""
    sections = locations / LOCATIONS_PER_SECTION
    visits = PASSES * locations
    stored = {
        "stored samples": locations * unit["sample_bytes"],
        "corpus": locations * unit["corpus_bytes"],
        "references": cells * unit["cell_bytes"],
        "enhanced files": locations * unit["enhanced_bytes"],
    }
    cores = {
        "preprocess": sections * unit["preprocess_s"],
        "pack": locations * unit["pack_s"],
        "references": cells * unit["reference_s"],
        "draw views for training": visits / unit["visits_per_view"] * unit["view_s"],
        "enhance": locations / unit["enhance_per_s"],
        "Snakemake in the jobs": sections * unit["jobs_per_section"] * unit["job_s"],
    }
    gpus = {f"train {name}": visits * unit[f"{name}_flop"] / unit["gpu_flops"] for name in ("nano", "base")}
    table = [(f"{name}, stored", size(n), n / 1e9 * unit["gb_month_price"]) for name, n in stored.items()]
    table += [(f"{name}, cores", hours(s), s / 3600 * unit["core_price"]) for name, s in cores.items()]
    table += [(f"{name}, one GPU", hours(s), s / 3600 * unit["gpu_price"]) for name, s in gpus.items()]
    needed = cores["draw views for training"] / gpus["train base"]
    table.append(("cores needed to supply one GPU, base", f"{needed:.0f}", 0.0))
    table.append(("planning the DAG", hours(sections * unit["plan_s"]), 0.0))
    return table


def size(n_bytes: float) -> str:
    """Bytes in words."""
    return f"{n_bytes / 1e12:.1f} TB" if n_bytes >= 1e12 else f"{n_bytes / 1e9:.0f} GB"


def hours(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"


def main() -> None:
    """Print the unit costs and the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    units = MEASURED | ASSUMED
    unit = {name: told.value for name, told in units.items()}
    for word in options.parse_args().set:
        name, _, value = word.partition("=")
        if name not in unit:
            options.error(f"no unit cost is called {name}; one of {', '.join(unit)}")
        unit[name] = float(value)
    print("| unit cost | value | measured by |\n|---|---|---|")
    for name, told in units.items():
        print(f"| {told.what} | {unit[name]:.4g} | {told.source} |")
    columns = [rows(unit, *amounts) for amounts in COHORTS.values()]
    print(f"\n| | {' | '.join(f'{name} | USD' for name in COHORTS)} |\n|---|" + "---|" * 2 * len(COHORTS))
    for lines in zip(*columns):
        cells = " | ".join(f"{said} | {price:,.0f}" if price else f"{said} | " for _, said, price in lines)
        print(f"| {lines[0][0]} | {cells} |")


if __name__ == "__main__":
    main()
