"""Every verb that writes, with arguments that make it write, and inputs that are small enough for a process of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

# Verbs that write no file of their own: they look at files, or become Snakemake.
SILENT = {"inspect", "genes", "explain", "doctor", "run", "benchmark"}


# A run of seconds.
_PRETRAIN = """\
mpp: 2.0
global_px: 32
local_px: 16
local_crops: 2
batch: 4
prototypes: 64
head_hidden: 64
head_bottleneck: 32
max_steps: 2
precision: fp32
"""


@dataclass(frozen=True)
class Case:
    """One way to call a verb; ``{out}`` in its arguments is the folder that is written into.

    `outputs` are the names in that folder; a verb that `saves` its state may say so in place of being interrupted.
    """

    name: str
    arguments: list[str]
    outputs: tuple[str, ...]
    saves: bool = field(default=False)

    def command(self, out: Path) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "focus_cli", *self.words(out)]

    def words(self, out: Path) -> list[str]:
        """What follows ``focus``."""
        return [text.replace("{out}", str(out)) for text in self.arguments]

    @property
    def verb(self) -> str:
        return self.arguments[0]


def make_inputs(folder: Path, study, repo: Path) -> dict[str, Path]:
    """Everything that the cases read: made once, in this process where that is quick."""
    from embedding_files import cohort, write_table

    from focus_cli.analysis.annotation.stage import fit_annotation
    from focus_cli.analysis.outcome import fit_outcome
    from focus_cli.evaluation.holdout import hold_out
    from focus_cli.genes.reference import build_reference
    from focus_cli.model.training.stage import train
    from focus_cli.platforms.preprocessing import preprocess

    raw = study.sections[0]
    made = {"raw": raw, "slide": next(raw.glob("*.tif")), "cells": study.reference}
    for section in study.sections:
        preprocess(section, folder / section.name, section.name)
    made["s1"], made["s2"] = (folder / section.name for section in study.sections)
    build_reference(study.reference, folder / "reference", n_states=8)
    made["reference"] = folder / "reference"
    train([made["s1"]], folder / "model", reference=made["reference"], max_steps=2, device="cpu")
    made["model"] = folder / "model"
    hold_out(made["s1"], "denoise", folder / "observed", folder / "truth.h5ad")
    made |= {"observed": folder / "observed", "truth": folder / "truth.h5ad"}
    run(["enhance", made["s1"], "--model", made["model"], "--out", folder / "enhanced.h5ad", "--genes", "measured"])
    made["enhanced"] = folder / "enhanced.h5ad"
    files, labels = cohort(folder / "embeddings", donors=3)
    made["labels"] = write_table(folder / "labels.tsv", labels)
    made |= {f"embedding{i}": file for i, file in enumerate(files)}
    fit_annotation(files, made["labels"], folder / "annotations")
    made["annotations"] = folder / "annotations"
    many, _ = cohort(folder / "slides", donors=24)
    response = ["yes" if i % 2 else "no" for i in range(len(many))]
    clinical = pd.DataFrame({"sample": [f.stem for f in many], "donor": [f.stem for f in many], "response": response})
    made["clinical"] = write_table(folder / "clinical.tsv", clinical)
    made |= {f"slide{i}": file for i, file in enumerate(many)}
    fit_outcome(many, made["clinical"], folder / "outcome", outcome="response", pooling="mean", permutations=0)
    made["outcome"] = folder / "outcome"
    genes = gene_names(made["s1"])
    made["pairs"] = folder / "pairs.tsv"
    made["pairs"].write_text(f"ligand\treceptor\n{genes[0]}\t{genes[1]}\n")
    made["gene"] = Path(str(genes[0]))
    made["settings"] = folder / "pretrain.yaml"
    made["settings"].write_text(_PRETRAIN)
    run(["pretrain", made["slide"], "--mpp", "2", "--config", made["settings"], "--out", folder / "encoder"])
    made["encoder"] = folder / "encoder"
    return made


def gene_names(sample: Path) -> np.ndarray:
    """Genes of a stored sample."""
    import anndata

    return anndata.read_h5ad(sample / "counts.h5ad", backed="r").var_names.to_numpy()


def run(arguments: Iterable[object]) -> None:
    """Call a verb in a process of its own, which must succeed."""
    command = [sys.executable, "-m", "focus_cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr


def environment(scratch: Path | None = None) -> dict[str, str]:
    """The environment of a verb; `scratch` is its TMPDIR."""
    return {**os.environ, **({} if scratch is None else {"TMPDIR": str(scratch)})}


def cases(made: dict[str, Path]) -> list[Case]:
    """All of them, by name."""
    i = {name: str(path) for name, path in made.items()}
    slides = [i[f"slide{n}"] for n in range(24)]
    embeddings = [i[f"embedding{n}"] for n in range(3)]
    head = ["outcome", "fit", *slides, "--table", i["clinical"], "--outcome", "response", "--pooling", "mean"]
    alone = ["--alone", "--max-genes", "50"]
    table = [
        ("simulate", "simulate {out}/study --sections 1 --size-um 600 --genes 40 --mpp 2", ["study"]),
        ("init", "init {out}/new", ["new"]),
        ("preprocess", f"preprocess {i['raw']} --sample S --out {{out}}/s", ["s"]),
        ("reference", f"reference {i['cells']} --states 8 --out {{out}}/ref", ["ref"]),
        ("prior", f"prior {i['s1']} --out {{out}}/prior", ["prior"]),
        ("corpus", f"corpus {i['s1']} {i['s2']} --out {{out}}/corpus", ["corpus"]),
        ("train", f"train {i['s1']} --max-steps 3 --device cpu --out {{out}}/model", ["model"]),
        ("enhance", f"enhance {i['s1']} --model {i['model']} --genes measured --out {{out}}/e.h5ad", ["e.h5ad"]),
        ("embed", f"embed {i['s1']} --model {i['model']} --out {{out}}/emb.h5ad", ["emb.h5ad"]),
        (
            "holdout",
            f"holdout {i['s1']} --task denoise --out {{out}}/obs --truth {{out}}/t.h5ad",
            ["obs", "t.h5ad"],
        ),
        ("evaluate", f"evaluate {i['enhanced']} --truth {i['truth']} --out {{out}}/scores", ["scores"]),
        ("domains", f"domains {i['enhanced']} --n-domains 2 --out {{out}}/domains", ["domains"]),
        ("patterns", f"patterns {i['enhanced']} --out {{out}}/p.h5ad", ["p.h5ad"]),
        ("interactions", f"interactions {i['enhanced']} --pairs {i['pairs']} --out {{out}}/i.h5ad", ["i.h5ad"]),
        ("export", f"export {i['enhanced']} --to anndata --out {{out}}/x.h5ad", ["x.h5ad"]),
        ("export-zarr", f"export {i['enhanced']} --to spatialdata --out {{out}}/x.zarr", ["x.zarr"]),
        ("export-page", f"export {i['enhanced']} --to vitessce --out {{out}}/page", ["page"]),
        ("report", f"report {i['enhanced']} --out {{out}}/r.html", ["r.html"]),
        ("nuclei", f"nuclei {i['slide']} --mpp 2 --out {{out}}/n.parquet", ["n.parquet"]),
        ("nuclei-csv", f"nuclei {i['slide']} --mpp 2 --out {{out}}/n.csv", ["n.csv"]),
        (
            "why",
            f"why {i['s1']} --model {i['model']} --gene {i['gene']} --out {{out}}/w.h5ad --picture {{out}}/w.png",
            ["w.h5ad", "w.png"],
        ),
    ]
    found = [Case(name, words.split(), tuple(outputs), saves=name == "train") for name, words, outputs in table]
    found += [
        Case(
            "celltypes",
            ["celltypes", i["enhanced"], "--reference", i["reference"], *alone, "--out", "{out}/c.h5ad"],
            ("c.h5ad",),
        ),
        Case(
            "pretrain",
            ["pretrain", i["slide"], "--mpp", "2", "--config", i["settings"], "--out", "{out}/enc"],
            ("enc",),
            saves=True,
        ),
        Case(
            "features",
            ["features", i["slide"], "--mpp", "2", "--encoder", i["encoder"], "--out", "{out}/f.zarr"],
            ("f.zarr",),
        ),
        Case(
            "annotate-fit",
            ["annotate", "fit", *embeddings, "--labels", i["labels"], "--out", "{out}/head"],
            ("head",),
        ),
        Case(
            "annotate-apply",
            ["annotate", "apply", embeddings[0], "--head", i["annotations"], "--out", "{out}/a.h5ad"],
            ("a.h5ad",),
        ),
        Case("outcome-fit", [*head, "--permutations", "0", "--out", "{out}/head"], ("head",)),
        Case(
            "outcome-apply",
            [
                "outcome",
                "apply",
                *slides[:2],
                "--head",
                i["outcome"],
                *["--out", "{out}/o.tsv", "--attention", "{out}/att"],
            ],
            ("o.tsv", "att"),
        ),
    ]
    return found
