"""What comes after enhancement, for `resources.py`: every verb on the samples and enhanced files of one size."""

from __future__ import annotations

import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from resources_bench import Bench, Case

from focus_cli.core.resources import Size, sample_size

PAIRS = 200
DONORS = 20
GENES = 3  # that are explained
DRAWS = 4


def on_answers(bench: Bench, name: str, sample: Path, model: Path, enhanced: Path, reference: Path | None) -> None:
    """Every answer of one sample; its model has seen the sample, which costs tests as much as one that has not."""
    size, at = sample_size(sample), enhanced.parent
    cells = [] if reference is None else ["--reference", str(reference)]
    known = {"reference": reference is not None}
    embedding, domains = at / "embedding.h5ad", at / "domains"
    given = [str(sample), "--model", str(model), *cells]
    words = ["embed", *given, "--samples", str(DRAWS), "--out", str(embedding)]
    if not bench.run(Case("embed", name, words, size, [embedding], known | {"samples": DRAWS})):
        return
    bench.run(Case("domains", name, ["domains", str(embedding), "--out", str(domains)], [size], [domains]))
    words = ["domains", str(enhanced), "--out", str(at / "domains_enhanced")]
    bench.run(Case("domains", f"{name}_enhanced", words, [size], [at / "domains_enhanced"]))
    _annotations(bench, name, embedding, size)
    if size.locations <= 20_000:
        _outcome(bench, name, embedding, size)
    types, patterns, pairs = at / "types.h5ad", at / "patterns.h5ad", at / "pairs.h5ad"
    if reference is not None:
        words = ["celltypes", str(enhanced), *cells, "--out", str(types)]
        bench.run(Case("celltypes", name, words, size, [types]))
    leaning = ["--sample", str(sample), "--model", str(model), *cells]
    words = ["patterns", str(enhanced), *leaning, "--out", str(patterns)]
    bench.run(Case("patterns", name, words, size, [patterns], known))
    table = _table_of_pairs(enhanced, at / "pairs.csv")
    words = ["interactions", str(enhanced), "--pairs", str(table), *leaning, "--out", str(pairs)]
    bench.run(Case("interactions", name, words, size, [pairs], known))
    genes = [word for gene in _genes(enhanced, GENES) for word in ("--gene", gene)]
    words = ["why", *given, *genes, "--location", "spot000007", "--out", str(at / "why.h5ad")]
    bench.run(Case("why", name, words, size, [at / "why.h5ad"], known))
    for kind, out in (("anndata", "all.h5ad"), ("spatialdata", "all.zarr"), ("vitessce", "all.vitessce")):
        answers = [str(path) for path in (types, patterns) if path.exists()]
        words = ["export", str(enhanced), *answers, "--to", kind, "--out", str(at / out)]
        bench.run(Case("export", f"{name}_{kind}", words, size, [at / out], {"layers": 1}))
        _remove(at / out)
    for path in (embedding, domains, at / "domains_enhanced"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _genes(enhanced: Path, n: int) -> list[str]:
    with h5py.File(enhanced) as file:
        return list(file["var"][file["var"].attrs["_index"]].asstr()[:n])


def _table_of_pairs(enhanced: Path, out: Path) -> Path:
    drawn = np.random.default_rng(0).permutation(_genes(enhanced, 2 * PAIRS)).tolist()
    half = len(drawn) // 2
    pd.DataFrame({"ligand": drawn[:half], "receptor": drawn[half : 2 * half]}).to_csv(out, index=False)
    return out


def _annotations(bench: Bench, name: str, embedding: Path, size: Size) -> None:
    """Labels of all locations: two halves of the section, scored on blocks."""
    at, told = embedding.parent, anndata.read_h5ad(embedding, backed="r")
    xy = np.asarray(told.obsm["spatial_um"])
    label = np.where(np.hypot(*(xy % 400 - 200).T) < 120, "round", "else")
    sample = str(told.uns["focus"]["sample_id"])
    table = pd.DataFrame({"sample": sample, "location": told.obs_names, "label": label})
    told.file.close()
    table.to_csv(at / "labels.tsv", sep="\t", index=False)
    head, out = at / "head", at / "annotated.h5ad"
    words = ["annotate", "fit", str(embedding), "--labels", str(at / "labels.tsv"), "--out", str(head)]
    bench.run(Case("fit_annotations", name, [*words, "--leave-out", "block"], [size], [head]))
    words = ["annotate", "apply", str(embedding), "--head", str(head), "--out", str(out)]
    bench.run(Case("annotate", name, words, size, [out]))


def _outcome(bench: Bench, name: str, embedding: Path, size: Size) -> None:
    """The same section as that of several donors, of whom every second responded."""
    at, copies = embedding.parent, []
    for number in range(DONORS):
        copies.append(at / "donors" / f"P{number:02d}.h5ad")
        copies[-1].parent.mkdir(exist_ok=True)
        shutil.copyfile(embedding, copies[-1])
        with h5py.File(copies[-1], "r+") as file:
            file["uns/focus/sample_id"][()] = copies[-1].stem
    table = pd.DataFrame({"sample": [path.stem for path in copies], "response": np.arange(DONORS) % 2})
    table["donor"] = table["sample"]
    table.to_csv(at / "clinical.tsv", sep="\t", index=False)
    head, out, paths = at / "outcome", at / "outcome.tsv", [str(path) for path in copies]
    words = ["outcome", "fit", *paths, "--table", str(at / "clinical.tsv"), "--outcome", "response", "--out", str(head)]
    bench.run(Case("fit_outcome", name, [*words, "--permutations", "1"], [size] * DONORS, [head]))
    words = ["outcome", "apply", *paths, "--head", str(head), "--out", str(out), "--attention", str(at / "attention")]
    bench.run(Case("outcome", name, words, [size] * DONORS, [out]))
    for path in (at / "donors", at / "attention"):
        _remove(path)
