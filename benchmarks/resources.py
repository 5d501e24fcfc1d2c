"""What every stage needs at its peak, measured; and the coefficients of `focus_cli.core.resources.costs` from it.

    python benchmarks/resources.py --work DIR --out benchmarks/out/resources

Samples of several sizes are drawn (500 to 50,000 locations, 100 to 18,000 genes), and real ones taken where FOCUS_DATA
has them. Each stage runs on each in a fresh process; its peak is the largest resident set by ``wait4``. Then the
straight line in the amounts of work that lies above every peak, and as close to them as it can, is found by linear
programming; the same for processor seconds. What was measured before is not measured again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import h5py
from resources_answers import on_answers
from resources_bench import Bench, Case
from resources_fit import tables
from resources_samples import CELLS, RAW, SIZES, TABLES, make_raw, make_stored

from focus_cli.core.resources import sample_size
from focus_cli.core.resources.costs import COSTS

STEPS = 24
ANSWERS = {"embed", "domains", "celltypes", "patterns", "interactions", "fit_annotations", "annotate"}
ANSWERS |= {"fit_outcome", "outcome", "why", "export"}
REFERENCED = ("spots", "cells", "bins_wide")  # sizes that are worked on with a reference too
SECTION_GENES = 300  # that are written of a whole section
FINE_VALUES = 3e8  # of a refined file, at most


def on_samples(bench: Bench, name: str, samples: list[Path], reference: Path | None, preset: str = "nano") -> None:
    """Train on samples, enhance the first, hide a part of it, score, report and ask it all there is to ask."""
    sizes = [sample_size(path) for path in samples]
    first, size, with_cells = str(samples[0]), sizes[0], reference is not None
    cells = ["--reference", str(reference)] if with_cells else []
    at = bench.folder / "made" / name
    model, enhanced, fine = at / "model", at / "enhanced.h5ad", at / "fine.h5ad"
    held, truth, scores, page = at / "held", at / "truth.h5ad", at / "scores", at / "page.html"
    at.mkdir(parents=True, exist_ok=True)
    steps = STEPS if preset == "nano" else 3
    trained = Case(
        "train",
        name,
        ["train", *map(str, samples), "--out", str(model), "--max-steps", str(steps), "--preset", preset, *cells],
        sizes,
        [model],
        {"steps": steps, "preset": preset, "reference": with_cells},
    )
    if not bench.run(trained):
        return
    here = ["--model", str(model), *cells]
    known = {"reference": with_cells, "preset": preset, "layers": 1}
    plain = ["enhance", first, "--out", str(enhanced), "--layers", "std", *here]
    bench.run(Case("enhance", name, plain, size, [enhanced], known))
    if preset != "nano":
        return
    finer, files = round(size.pitch_um / min(3.0, (FINE_VALUES / (size.locations * size.genes)) ** 0.5), 3), [enhanced]
    if finer < size.pitch_um / 1.2:
        files, known = [enhanced, fine], {**known, "resolution_um": finer}
        refined = ["--refined", str(fine), "--resolution-um", str(finer)]
        bench.run(Case("enhance", f"{name}_fine", [*plain, *refined], size, files, known))
    hide = ["holdout", first, "--task", "denoise", "--out", str(held), "--truth", str(truth)]
    bench.run(Case("hold_out", name, hide, size, [held, truth]))
    seen = ["--truth", str(truth), "--observed", str(held)]
    training = [argument for path in samples[1:] for argument in ("--training", str(path))]
    bench.run(
        Case(
            "score",
            name,
            ["evaluate", str(enhanced), "--out", str(scores), *seen, *training, *cells],
            size,
            [scores],
            {"reference": with_cells, "training": sizes[1:], "genes": min(1000, size.genes)},
        )
    )
    pages = ["report", *map(str, files), "--scores", str(scores), "--out", str(page)]
    bench.run(Case("report", name, pages, size, [page], {"resolution_um": known.get("resolution_um")}))
    if bench.stages & ANSWERS:
        on_answers(bench, name, samples[0], model, enhanced, reference)
    for path in (enhanced, fine):
        path.unlink(missing_ok=True)


def on_cohort(bench: Bench) -> None:
    """Train on several samples in memory; pack them, and train from the corpus."""
    folder = bench.folder / "samples"
    names = [f"cohort{number}" for number in range(4)]
    for number, name in enumerate(names):
        if not (folder / name).exists():
            make_stored(folder, name, *SIZES["cells_wide"], seed=number)
    paths = [str(folder / name) for name in names]
    sizes, corpus = [sample_size(path) for path in paths], bench.folder / "made" / "corpus"
    bench.run(Case("pack", "cohort", ["corpus", *paths, "--out", str(corpus)], sizes, [corpus]))
    for name, given in (("cohort", paths), ("cohort_corpus", [str(corpus)])):
        out, options = bench.folder / "made" / f"model_{name}", {"steps": STEPS, "corpus": given != paths}
        words = ["train", *given, "--out", str(out), "--max-steps", str(STEPS)]
        bench.run(Case("train", name, words, sizes, [out], options))


def on_raw(bench: Bench, name: str, arguments: list[str], **options: Any) -> None:
    """Preprocess one raw sample."""
    out = bench.folder / "preprocessed" / name

    class Row:
        path, platform, bin_um, image = arguments[0], None, None, None

    for word, column in (("--platform", "platform"), ("--image", "image")):
        if word in arguments:
            setattr(Row, column, arguments[arguments.index(word) + 1])
    command = ["preprocess", *arguments, "--out", str(out), "--sample", name]
    bench.run(Case("preprocess", name, command, sample_size(Row), [out], options))


def simulated(folder: Path, platform: str) -> list[str]:
    """A simulated raw folder, as arguments of ``focus preprocess``."""
    from focus_cli.simulation import simulate

    if not folder.exists():
        simulate(folder, platform=platform, n_sections=1, size_um=3000, n_genes=300, mpp=2.0)
    section = folder / "sections" / "S1"
    return [str(section), "--platform", platform, "--image", str(section / "S1_HE.tif"), "--mpp", "2"]


def main() -> int:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for samples and outputs; may be removed after")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json and table.md")
    parser.add_argument("--stages", default=",".join(COSTS), help="which to measure")
    parser.add_argument(
        "--samples", default=",".join([*CELLS, *RAW, *SIZES, "tables", "cohort", "real", "base"]), help="which sizes"
    )
    parser.add_argument("--fit-only", action="store_true", help="only fit what was measured")
    options = parser.parse_args()
    wanted, bench = options.samples.split(","), Bench(options.work, options.out, set(options.stages.split(",")))
    if not options.fit_only:
        for name in set(CELLS) & set(wanted):
            bench.reference(name)
        for name in (name for name in RAW if name in wanted):
            on_raw(bench, name, make_raw(options.work / "raw", name, *RAW[name]))
        for name in TABLES if "tables" in wanted else ():
            on_raw(bench, name, simulated(options.work / "tables" / name, name))
        for name in (name for name in SIZES if name in wanted):
            on_samples(bench, name, [bench.stored(name)], None)
        for name in REFERENCED if "cells_small" in wanted else ():
            if name in wanted:
                on_samples(bench, f"{name}_ref", [bench.stored(name)], bench.reference("cells_small"))
        if "cohort" in wanted:
            on_cohort(bench)
        if "base" in wanted:
            on_samples(bench, "base", [bench.stored("spots_panel")], None, "base")
        if "real" in wanted:
            on_real(bench)
    text = tables(bench.records)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(text)
    print(text)
    return 0


def on_real(bench: Bench) -> None:
    """Sections and cells of FOCUS_DATA."""
    data = Path(os.environ.get("FOCUS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (data / "README.md").is_file():
        print("no real data: set FOCUS_DATA", file=sys.stderr)
        return
    breast = data / "st_her2_breast"
    for name in ("C2", "C3", "C4"):
        on_raw(bench, name, [str(breast / name), "--platform", "legacy_st"])
    on_raw(bench, "kidney", [str(data / "visium_hd_kidney")])
    reference = bench.folder / "references" / "breast"
    cells = data / "scrna" / "breast_chung2017.h5ad"
    bench.run(
        Case("reference", "breast", ["reference", str(cells), "--out", str(reference)], sample_size(cells), [reference])
    )
    done = bench.folder / "preprocessed"
    on_samples(bench, "breast", [done / name for name in ("C2", "C3", "C4")], reference)
    on_section(bench, "kidney", done / "kidney")


def on_section(bench: Bench, name: str, sample: Path) -> None:
    """Train on a whole section, enhance some of its genes, hide a part of it: what grows with the counts alone."""
    size, at = sample_size(sample), bench.folder / "made" / name
    at.mkdir(parents=True, exist_ok=True)
    genes, model, enhanced, held, truth = (
        at / n for n in ("genes.txt", "model", "enhanced.h5ad", "held", "truth.h5ad")
    )
    words = ["train", str(sample), "--out", str(model), "--max-steps", str(STEPS)]
    bench.run(Case("train", name, words, size, [model], {"steps": STEPS}))
    words = ["holdout", str(sample), "--task", "denoise", "--out", str(held), "--truth", str(truth)]
    bench.run(Case("hold_out", name, words, size, [held, truth]))
    with h5py.File(sample / "counts.h5ad") as file:
        names = file["var"][file["var"].attrs["_index"]].asstr()[:SECTION_GENES]
    genes.write_text("\n".join(names) + "\n")
    words = ["enhance", str(sample), "--model", str(model), "--out", str(enhanced), "--genes", str(genes)]
    known = {"genes": len(names), "layers": 1}
    bench.run(Case("enhance", name, [*words, "--layers", "std"], size, [enhanced], known))


if __name__ == "__main__":
    sys.exit(main())
