"""Commands that are measured once each, and the records of them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from measure import describe_machine, measure
from resources_samples import CELLS, SIZES, make_cells, make_stored

from focus_cli.core.resources import Size, sample_size
from focus_cli.core.resources.estimates import work

PROGRAM = [sys.executable, "-c", "from focus_cli.cli.main import main; main()"]


@dataclass
class Case:
    """One command to measure: a stage, the size that it is given, its options, and what it makes."""

    stage: str
    name: str
    arguments: list[str]
    size: Size | list[Size]
    out: list[Path]
    options: dict[str, Any] = field(default_factory=dict)


class Bench:
    """Measures cases, keeps the records, and makes what they need."""

    def __init__(self, folder: Path, out: Path, stages: set[str]) -> None:
        self.folder, self.out, self.stages = folder, out, stages
        self.file = out / "results.json"
        self.records: list[dict] = json.loads(self.file.read_text())["records"] if self.file.is_file() else []

    def run(self, case: Case) -> bool:
        """Measure it unless it was; False where it failed."""
        if any(r["stage"] == case.stage and r["name"] == case.name for r in self.records):
            return True
        made = all(path.exists() for path in case.out)
        if made and case.stage not in self.stages:
            return True
        log = self.folder / "logs" / f"{case.stage}.{case.name}.log"
        found = measure([*PROGRAM, *case.arguments, "--overwrite"], log)
        if found.exit_code != 0:
            print(f"{case.stage} {case.name}: exit code {found.exit_code}, see {log}", file=sys.stderr)
            return False
        if case.stage in self.stages:
            amounts = work(case.size, **case.options)
            self.records.append({"stage": case.stage, "name": case.name, "work": amounts, **asdict(found)})
            peak = found.peak_bytes / 1e6
            print(f"{case.stage:12} {case.name:14} {peak:7,.0f} MB {found.cpu_seconds:7.1f} s", flush=True)
            self.save()
        return True

    def save(self) -> None:
        """Write the records with what they were measured on."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps({"machine": describe_machine(), "records": self.records}, indent=1) + "\n")

    def stored(self, name: str) -> Path:
        """A drawn sample; made where it is not there."""
        path = self.folder / "samples" / name
        return path if path.exists() else make_stored(self.folder / "samples", name, *SIZES[name])

    def reference(self, name: str) -> Path | None:
        """Measure the making of a reference; its folder."""
        path = self.folder / "cells" / f"{name}.h5ad"
        if not path.exists():
            make_cells(path, *CELLS[name])
        out = self.folder / "references" / name
        case = Case("reference", name, ["reference", str(path), "--out", str(out)], sample_size(path), [out])
        return out if self.run(case) else None
