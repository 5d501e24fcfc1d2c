"""Wall time and peak memory of every stage on a Visium HD section: whole, halved and quartered.

    python benchmarks/end_to_end.py --out benchmarks/out/end_to_end

OUT/results.json grows with every stage, so a stopped run goes on where it was; OUT/table.md holds the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from measure import GB, Results, describe_machine, measure, source_hash
from PIL import Image
from scipy import sparse

import focus_cli
from focus_cli.core import keys, provenance
from focus_cli.core.errors import EXIT_INTERRUPTED, FocusError, MissingResourceError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import atomic_directory
from focus_cli.core.storage.kinds import PART_FOLDER
from focus_cli.histology.slides import open_slide
from focus_cli.platforms.images import find_he

REPO = Path(__file__).resolve().parents[1]
STAGES = ("preprocess", "reference", "train", "enhance")
BUDGET_GB = {"preprocess": 6.0, "enhance": 8.0}
MARGIN_UM = 160.0  # image kept around the bins: preprocessing looks 150 µm beyond them
EXIT_OVER_BUDGET = 1
BINS = Path("binned_outputs") / "square_008um"
BYTES_PER_VALUE = 4 * 0.6  # at most: X and each layer are float32 with 19 of 32 bits in use, deflated


def section_size(section: Path) -> dict[str, int]:
    """Bins, genes and non-zero counts of a raw Visium HD folder, from the header of its 8 µm matrix.

    Raises
    ------
    MissingResourceError
        If there is no such matrix.
    """
    path = section / BINS / "filtered_feature_bc_matrix.h5"
    if not path.is_file():
        raise MissingResourceError(
            f"{section}: {path.relative_to(section)} is missing",
            hint="set FOCUS_DATA, or give a raw Visium HD folder with --section",
        )
    with h5py.File(path, "r") as file:
        genes, bins = (int(n) for n in file["matrix/shape"][:])
        return {"bins": bins, "genes": genes, "nonzeros": int(file["matrix/data"].shape[0])}


def crop_section(section: Path, out: Path, fraction: float) -> None:
    """Write the first `fraction` of a section's rows as a raw Visium HD folder of its own.

    The image is cut to what lies around the kept bins, so that its cost shrinks with the region; positions
    are shifted by the cut, scale factors stay. Barcodes, their order and their counts stay as they are.

    Parameters
    ----------
    section
        Raw folder with ``binned_outputs/square_008um`` and a full-resolution H&E beside it.
    out
        Folder to make; replaced if it is there.
    fraction
        Share of the array's rows on tissue, 0 < fraction < 1, counted from the first of them.
    """
    source = section / BINS
    table = pd.read_parquet(source / "spatial" / "tissue_positions.parquet")
    on_tissue = table.loc[table["in_tissue"] == 1, "array_row"]
    first, rows = on_tissue.min(), on_tissue.max() - on_tissue.min() + 1
    table = table[table["array_row"] - first < rows * fraction].reset_index(drop=True)
    factors = json.loads((source / "spatial" / "scalefactors_json.json").read_text(encoding="utf-8"))
    he = find_he([section])
    if he is None:
        raise MissingResourceError(f"{section}: no full-resolution H&E", hint="name it tissue_image.jpg")
    with atomic_directory(out, overwrite=True, kind=PART_FOLDER) as folder:
        spatial = folder / BINS / "spatial"
        spatial.mkdir(parents=True)
        image, x0, y0 = _crop_image(he, table, factors["microns_per_pixel"])
        image.save(folder / "tissue_image.jpg", quality=95, subsampling=0)
        for name in ("hires", "lowres"):
            scale = factors[f"tissue_{name}_scalef"]
            size = tuple(max(1, round(side * scale)) for side in image.size)
            image.resize(size, Image.Resampling.BOX).save(spatial / f"tissue_{name}_image.png")
        shutil.copyfile(source / "spatial" / "scalefactors_json.json", spatial / "scalefactors_json.json")
        table["pxl_col_in_fullres"] -= x0
        table["pxl_row_in_fullres"] -= y0
        table.to_parquet(spatial / "tissue_positions.parquet", index=False)
        name = "filtered_feature_bc_matrix.h5"
        _crop_matrix(source / name, folder / BINS / name, table["barcode"])


def _crop_image(path: Path, positions: pd.DataFrame, mpp: float) -> tuple[Image.Image, int, int]:
    """The image around the positions, and the full-resolution pixel (x, y) where it begins."""
    margin = MARGIN_UM / mpp
    xy = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    with open_slide(path, mpp=mpp) as slide:
        x0, y0 = (int(v) for v in np.maximum(np.floor(xy.min(axis=0) - margin), 0))
        far = np.ceil(xy.max(axis=0) + margin)
        width, height = min(slide.width, int(far[0])) - x0, min(slide.height, int(far[1])) - y0
        return Image.fromarray(slide.read(x0, y0, width, height)), x0, y0


def _crop_matrix(source: Path, target: Path, barcodes: pd.Series) -> None:
    """The columns of a 10x matrix whose barcodes are wanted, in the file's own order."""
    with h5py.File(source, "r") as old, h5py.File(target, "w") as new:
        new.attrs.update(old.attrs)
        had, has = old["matrix"], new.create_group("matrix")
        old.copy("matrix/features", has)
        names = had["barcodes"][:]
        kept = np.flatnonzero(np.isin(names, barcodes.to_numpy(dtype="S")))
        arrays = (had["data"][:], had["indices"][:], had["indptr"][:])
        counts = sparse.csr_matrix(arrays, shape=had["shape"][:][::-1])[kept]
        arrays = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr}
        for name, values in {"barcodes": names[kept], **arrays}.items():
            has.create_dataset(name, data=values.astype(had[name].dtype), compression="gzip", chunks=True)
        has["shape"] = np.array(counts.shape[::-1], had["shape"].dtype)


@dataclass(frozen=True)
class Plan:
    """What to measure; paths of the work are relative to `work`, where the commands run."""

    out: Path
    section: Path
    reference: Path
    cell_type: str
    fractions: tuple[float, ...]
    stages: tuple[str, ...]
    layers: str
    max_steps: int
    seed: int
    device: str
    keep: bool = False
    again: bool = False

    @property
    def work(self) -> Path:
        """Folder that the commands run in."""
        return self.out / "work"

    def raw(self, fraction: float) -> Path:
        """The raw folder of a region: the section itself, or a cut that lies in `work`."""
        return self.section if fraction == 1 else Path("raw") / f"{fraction:g}"

    def label(self, stage: str) -> str:
        """Name of a stage in the tables; enhancement is measured per choice of layers."""
        if stage != "enhance":
            return stage
        written = "all layers" if self.layers == "default" else ", ".join(["X", *_names(self.layers)])
        return f"enhance ({written})"

    def product(self, stage: str, fraction: float | None) -> Path:
        """What a stage makes."""
        where = {"preprocess": "samples/{}", "train": "models/{}", "enhance": "enhanced/{}.h5ad"}
        return Path(where.get(stage, "reference").format(f"{fraction:g}" if fraction else ""))

    def command(self, stage: str, fraction: float | None) -> list[str]:
        """The arguments of ``focus`` for one stage of one region."""
        made = {s: str(self.product(s, fraction)) for s in STAGES}
        seed, out = ["--seed", str(self.seed)], ["--out", made[stage]]
        if stage == "preprocess":
            return [stage, str(self.raw(fraction)), *out, "--sample", f"region-{fraction:g}"]
        if stage == "reference":
            cell_type = ["--cell-type", self.cell_type] if self.cell_type else []
            return [stage, str(self.reference), *out, *cell_type, *seed]
        sample = [stage, made["preprocess"], *out, "--reference", made["reference"], *seed]
        if stage == "train":
            return [*sample, "--max-steps", str(self.max_steps), "--device", self.device]
        layers = [] if self.layers == "default" else ["--layers", self.layers]
        return [*sample, "--model", made["train"], "--genes", "all", *layers]

    def needs(self, stage: str) -> tuple[str, ...]:
        """Stages whose products a stage reads."""
        return {"train": STAGES[:2], "enhance": STAGES[:3]}.get(stage, ())

    def shown(self, command: list[str]) -> str:
        """A command as a user would type it, without this machine's paths."""
        words = {str(path): _shown_path(path) for path in (self.section, self.reference)}
        return " ".join(["focus", *(words.get(w) or shlex.quote(w) for w in command)])


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]


def data_folder() -> Path:
    """The folder with the real data."""
    return Path(os.environ.get("FOCUS_DATA", REPO.parent / "shared" / "data")).expanduser().resolve()


def _shown_path(path: Path) -> str:
    data = data_folder()
    return f"${{FOCUS_DATA}}/{path.relative_to(data)}" if path.is_relative_to(data) else path.name


def run(plan: Plan) -> Results:
    """Measure what has not been measured yet, the smallest region first; return all results."""
    section_size(plan.section)  # refuses before anything is written
    if not plan.reference.is_file():
        raise MissingResourceError(f"no such reference: {plan.reference}", hint="give one with --reference")
    results = Results(plan.out, _describe(plan), BUDGET_GB, STAGES)
    if "reference" in plan.stages:
        _measure_stage(plan, results, "reference", None)
    for fraction in sorted(plan.fractions):
        for stage in plan.stages:
            if stage != "reference":
                _measure_stage(plan, results, stage, fraction)
    results.save()
    return results


def _measure_stage(plan: Plan, results: Results, stage: str, fraction: float | None) -> None:
    command, product = plan.command(stage, fraction), plan.work / plan.product(stage, fraction)
    label, shown = plan.label(stage), plan.shown(command)
    name = label if fraction is None else f"{label} of {fraction:g}"
    known = results.find(label, fraction)
    same = known is not None and known["command"] == shown
    if same and not plan.again and (stage == "enhance" or product.exists()):
        return print_message(f"{name}: measured before, {known['seconds']:.1f} s")
    for needed in plan.needs(stage):
        if not (plan.work / plan.product(needed, fraction)).exists():
            raise MissingResourceError(f"{name}: no product of {needed}", hint=f"add {needed} to --stages")
    if stage == "preprocess" and fraction != 1 and not (raw := plan.work / plan.raw(fraction)).exists():
        crop_section(plan.section, raw, fraction)
    size = {} if fraction is None else section_size(plan.work / plan.raw(fraction))
    if stage == "enhance":
        _check_disk(plan, size["bins"], fraction)
    product.parent.mkdir(parents=True, exist_ok=True)
    # A run that was killed leaves its private siblings behind (see focus_cli.core.storage.atomic).
    for stale in [product, *product.parent.glob(f".{product.stem}.*.tmp*")]:
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
    print_message(f"{name}: {shown}")
    log = plan.out / "logs" / f"{stage}{'' if fraction is None else f'-{fraction:g}'}.log"
    program = [sys.executable, "-c", "from focus_cli.cli.main import main; main()"]
    taken = measure([*program, *command], log, cwd=plan.work)
    if taken.exit_code:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise FocusError(f"{name} ended with {taken.exit_code}: {' | '.join(last)}", hint=f"its log is {log}")
    if not same:  # what was made from the former product no longer describes this chain
        results.drop([s for s in STAGES if stage in plan.needs(s)], fraction)
    made = {**_product_size(product), "source": source_hash(Path(focus_cli.__file__).parent)}
    key = {"stage": stage, "label": label, "fraction": fraction, "command": shown}
    results.put({**key, **size, **asdict(taken), **made})
    print_message(f"{name}: {taken.seconds:.1f} s, {taken.peak_bytes / GB:.2f} GB")
    if stage == "enhance" and not plan.keep:
        product.unlink()


def _check_disk(plan: Plan, bins: int, fraction: float) -> None:
    prior = plan.work / plan.product("train", fraction) / keys.PRIOR_JSON
    genes = len(json.loads(prior.read_text(encoding="utf-8"))["genes"])
    matrices = 5 if plan.layers == "default" else 1 + len(_names(plan.layers))
    wanted, free = bins * genes * matrices * BYTES_PER_VALUE, shutil.disk_usage(plan.out).free
    if free < wanted:
        raise MissingResourceError(
            f"the enhanced file may take {wanted / GB:.0f} GB, {free / GB:.0f} GB are free",
            hint="choose fewer --layers, or an --out on a larger disk",
        )


def _product_size(product: Path) -> dict[str, Any]:
    if product.is_dir():
        return {"product_bytes": sum(p.stat().st_size for p in product.rglob("*") if p.is_file())}
    with h5py.File(product, "r") as file:
        return {"product_bytes": product.stat().st_size, "shape": list(file["X"].shape)}


def _describe(plan: Plan) -> dict[str, Any]:
    paths = {"section": plan.section, "reference": plan.reference}
    settings = {k: v for k, v in asdict(plan).items() if k not in ("out", "keep", "again")}
    settings |= {role: _shown_path(path) for role, path in paths.items()}
    return {
        "invocation": " ".join(["python benchmarks/end_to_end.py", *map(shlex.quote, sys.argv[1:])]),
        **provenance.describe_run("benchmarks/end_to_end", settings, paths, plan.seed),
        "machine": describe_machine(),
    }


def parse(arguments: list[str] | None = None) -> Plan:
    """Read the command line.

    Raises
    ------
    UsageError
        If a fraction or a stage makes no sense.
    """
    data = data_folder()
    reference = data / "scrna" / "kidney_immune_stewart2019.h5ad"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="Folder for results, logs and the work; made if needed.")
    add("--fractions", default="1,0.5,0.25", help="Shares of the array's rows (default: %(default)s).")
    add("--stages", default=",".join(STAGES), help="Stages to measure (default: %(default)s).")
    add("--layers", default="", help="Layers of enhance; 'default' means its own (default: X alone).")
    add("--max-steps", type=int, default=200, help="Steps of training (default: %(default)s).")
    add("--seed", type=int, default=0, help="Seed of every stage (default: %(default)s).")
    add("--device", default="cpu", help="Where to train: auto, cpu or cuda (default: %(default)s).")
    add("--section", type=Path, default=data / "visium_hd_kidney", help="Raw Visium HD folder.")
    add("--reference", type=Path, default=reference, help="scRNA .h5ad.")
    add("--cell-type", default="", help="Column of cell types in the reference; guessed if not given.")
    add("--keep", action="store_true", help="Keep the enhanced files (tens of GB).")
    add("--again", action="store_true", help="Measure again what was measured before.")
    given = vars(parser.parse_args(arguments))
    try:
        fractions = tuple(float(f) for f in _names(given["fractions"]))
    except ValueError:
        fractions = ()
    if not all(0 < f <= 1 for f in fractions or [0]):
        raise UsageError(f"--fractions {given['fractions']}: not shares of 1", hint="for instance 1,0.5,0.25")
    stages = tuple(s for s in STAGES if s in _names(given["stages"]))
    if unknown := sorted(set(_names(given["stages"])) - set(STAGES)):
        raise UsageError(f"--stages: unknown stage {unknown[0]!r}", hint=f"stages: {', '.join(STAGES)}")
    paths = {name: given[name].expanduser().resolve() for name in ("out", "section", "reference")}
    return Plan(**{**given, **paths, "fractions": fractions, "stages": stages})


def main() -> int:
    """Measure, write and print the tables; 1 if a stage needed more memory than it may."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the running stage too
    try:
        plan = parse()
        results = run(plan)
    except FocusError as error:
        print_message(f"end_to_end: error: {error.message}" + (f"\n  hint: {error.hint}" if error.hint else ""))
        return error.exit_code
    except KeyboardInterrupt:
        print_message("end_to_end: interrupted; the same command goes on from here")
        return EXIT_INTERRUPTED
    print(results.markdown())
    for line in (broken := results.over_budget()):
        print_message(f"over the limit: {line}")
    return EXIT_OVER_BUDGET if broken else 0


if __name__ == "__main__":
    sys.exit(main())
