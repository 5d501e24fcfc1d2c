"""Whether two versions of FOCUS write the same arrays: enhanced, refined and analysis files of two sections.

::

    PYTHONPATH=OLD python benchmarks/same_outputs.py make before     # with one version
    PYTHONPATH=NEW python benchmarks/same_outputs.py make after      # with the other
    python benchmarks/same_outputs.py compare before after --renamed focus_own_factors=focus_sample_factors

One section is simulated (Visium, 1.5 mm, 80 genes), the other real (legacy ST, C4 of the breast data, with its H&E and
single-cell reference; left out without ``FOCUS_DATA``). Every array and column of every .h5ad file is compared bit by
bit; what describes the run (``uns``) is not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

DATA = Path(os.environ.get("FOCUS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FOCUS = [sys.executable, "-m", "focus_cli"]


def focus(*words: object) -> None:
    """Run a verb; its log stays on the terminal."""
    subprocess.run([*FOCUS, *map(str, words)], check=True)


def make(out: Path) -> None:
    """Write every file of both sections."""
    out.mkdir(parents=True)
    focus("simulate", out / "study", "--sections", 1, "--size-um", 1500, "--genes", 80)
    study = next((out / "study" / "sections").iterdir())
    sections = {"simulated": (["preprocess", study], out / "study" / "reference.h5ad", [])}
    if (DATA / "st_her2_breast").is_dir():
        raw = DATA / "st_her2_breast"
        counts, image = raw / "ST-cnts" / "C4.tsv.gz", next((raw / "ST-imgs").glob("C/C4/*.jpg"), None)
        words = ["preprocess", counts, *(["--image", image] if image else [])]
        sections["real"] = (words, DATA / "scrna" / "breast_chung2017.h5ad", ["--genes", "measured"])
    for name, (words, cells, genes) in sections.items():
        at = out / name
        at.mkdir()
        focus(*words, "--sample", name, "--out", at / "sample")
        focus("reference", cells, "--out", at / "reference")
        reference = ["--reference", at / "reference"]
        focus("train", at / "sample", *reference, "--out", at / "model", "--max-steps", 60, "--device", "cpu")
        model = ["--model", at / "model"]
        refined = ["--resolution-um", 60, "--refined", at / "refined.h5ad"]
        enhanced = at / "enhanced.h5ad"
        focus("enhance", at / "sample", *model, *reference, *genes, *refined, "--samples", 2, "--out", enhanced)
        focus("embed", at / "sample", *model, *reference, "--out", at / "embedding.h5ad")
        focus("domains", at / "embedding.h5ad", "--out", at / "domains", "--n-domains", 3)
        focus("domains", enhanced, "--out", at / "domains_of_enhanced", "--n-domains", 3)
        focus("celltypes", enhanced, *reference, "--out", at / "celltypes.h5ad")
        focus("patterns", enhanced, "--out", at / "patterns.h5ad")


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every data set of a file but what lies in ``uns``, by its path."""
    found: dict[str, np.ndarray] = {}

    def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset) and not name.startswith("uns/"):
            found[name] = node[()]

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def differences(before: Path, after: Path, renamed: dict[str, str]) -> tuple[int, list[str]]:
    """How many arrays were compared, and what differs."""
    n, found = 0, []
    files = sorted(p.relative_to(before) for p in before.rglob("*.h5ad") if "study" not in p.parts)
    for file in files:
        if not (after / file).exists():
            found.append(f"{file} is missing")
            continue
        old, new = arrays(before / file), arrays(after / file)
        old = {"/".join(renamed.get(part, part) for part in name.split("/")): values for name, values in old.items()}
        found += [f"{file}: {name} is only in one" for name in sorted(old.keys() ^ new.keys())]
        for name in sorted(old.keys() & new.keys()):
            n += 1
            if old[name].dtype.kind in "OSU":
                same = [renamed.get(t, t) for t in _texts(old[name])] == _texts(new[name])
            else:
                same = old[name].dtype == new[name].dtype and np.array_equal(old[name], new[name], equal_nan=True)
            if not same:
                found.append(f"{file}: {name} differs")
    return n, found


def _texts(values: np.ndarray) -> list[str]:
    return [t.decode() if isinstance(t, bytes) else str(t) for t in np.atleast_1d(values).ravel()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("out", type=Path)
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.add_argument("--renamed", action="append", default=[], metavar="OLD=NEW")
    given = parser.parse_args()
    if given.command == "make":
        make(given.out)
        return
    n, found = differences(given.before, given.after, dict(pair.split("=", 1) for pair in given.renamed))
    print(*found, sep="\n")
    print(f"{n} arrays compared, {len(found)} differences")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
