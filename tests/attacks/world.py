"""One small file or folder of every kind that FOCUS writes or takes, to be damaged by the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from embedding_files import cohort, write_embedding, write_table


def build(top: Path) -> dict[str, Path]:
    """Make everything in `top`; the path of each by its name."""
    from focus_cli.enhancement import enhance
    from focus_cli.enhancement.stage import EnhanceOptions
    from focus_cli.genes.reference import build_reference
    from focus_cli.model.corpus import build_corpus
    from focus_cli.model.training.stage import train
    from focus_cli.platforms.preprocessing import Encoding, preprocess
    from focus_cli.simulation import simulate

    study = top / "study"
    simulate(study, seed=0, n_sections=2, size_um=900, n_genes=40, mpp=2.0)
    sections = sorted(p for p in (study / "sections").iterdir() if p.is_dir())
    made = {"raw": sections[0], "cells": study / "reference.h5ad"}
    made["encoder"] = _encoder(top / "encoder")
    names = []
    for raw in sections[:2]:
        preprocess(raw, top / raw.name, raw.name, step_um=32.0)
        names.append(top / raw.name)
    made["sample"], made["other_sample"] = names
    made["encoded_sample"] = top / "encoded"
    preprocess(
        made["raw"], top / "encoded", "E1", step_um=32.0,
        encoding=Encoding(spec=str(made["encoder"]), store=top / "store", device="cpu", step_um=64.0),
    )  # fmt: skip
    made["features"] = made["encoded_sample"] / "encoder.zarr"
    made["reference"], made["corpus"] = top / "reference", top / "corpus"
    build_reference(made["cells"], made["reference"], n_states=8, max_cells=200, seed=0)
    build_corpus(names, made["corpus"])
    few = {"batch_points": 64, "genes_per_view": 32, "view_locations": 128, "steps_per_view": 1}
    made["settings"] = top / "train.yaml"
    made["settings"].write_text("".join(f"{key}: {value}\n" for key, value in few.items()))
    made["model"], made["encoder_model"] = top / "model", top / "encoder_model"
    options = {"reference": made["reference"], "config": made["settings"], "max_steps": 2, "device": "cpu"}
    train(names, made["model"], **options)
    train([made["encoded_sample"]], made["encoder_model"], **options)
    made["enhanced"] = top / "enhanced.h5ad"
    enhance(
        made["sample"], made["enhanced"], model=made["model"], reference=made["reference"],
        options=EnhanceOptions(samples=2, device="cpu"),
    )  # fmt: skip
    _lists(top, made)
    _analyses(top, made)
    return made


def _encoder(folder: Path) -> Path:
    import torch

    from focus_cli.histology.encoders.folder import EncoderDescription, write_encoder_files
    from focus_cli.histology.encoders.vit import ViT
    from focus_cli.histology.encoders.vit_config import ViTConfig

    config = ViTConfig(patch_px=8, width=16, layers=1, heads=2, grid=4)
    torch.manual_seed(0)
    folder.mkdir()
    described = EncoderDescription("vit-micro", config.model_dump(), 2.0, 32, (0.7, 0.6, 0.7), (0.2, 0.2, 0.2))
    write_encoder_files(folder, ViT(config), described, "step,loss\n")
    return folder


def _lists(top: Path, made: dict[str, Path]) -> None:
    """Tables and lists as users write them."""
    import anndata

    adata = anndata.read_h5ad(made["sample"] / "counts.h5ad")
    genes = list(adata.var_names)
    xy = adata.obsm["spatial_um"][:10]
    texts = {
        "genes": ("genes.txt", "".join(f"{name}\n" for name in genes[:10])),
        "gene_sets": ("sets.gmt", "".join(f"set{i}\t\t{chr(9).join(genes[i * 5 : i * 5 + 5])}\n" for i in range(3))),
        "pairs": ("pairs.tsv", "ligand\treceptor\n" + "".join(f"{a}\t{b}\n" for a, b in zip(genes[:5], genes[5:10]))),
        "points": ("points.csv", "name,x_um,y_um\n" + "".join(f"p{i},{x},{y}\n" for i, (x, y) in enumerate(xy))),
        "gene_table": (
            "table.tsv",
            "symbol\tensembl_id\tprevious\talias\torthologue\tspecies\n" + f"{genes[0]}\t\t\t\t\thuman\n",
        ),
        "align": ("align.csv", "1,0,0\n0,1,0\n0,0,1\n"),
        "landmarks": ("landmarks.csv", "x_image,y_image,x,y\n0,0,0,0\n100,0,100,0\n0,100,0,100\n100,100,100,100\n"),
        "pretrain_settings": ("pretrain.yaml", "mpp: 2.0\nbatch: 2\nprototypes: 8\n"),
        "encoder_yaml": (
            "net.yaml",
            "name: net\nfactory: torch.nn:Identity\nmpp: 2.0\ntile_px: 8\ndim: 3\npooling: output\n",
        ),
    }
    for key, (name, text) in texts.items():
        made[key] = top / name
        made[key].write_text(text)


def _analyses(top: Path, made: dict[str, Path]) -> None:
    from focus_cli.analysis.annotation import apply_annotation, fit_annotation
    from focus_cli.analysis.outcome import apply_outcome, fit_outcome
    from focus_cli.cli.main import cli

    def focus(*words: object) -> None:
        cli.main([str(word) for word in words], standalone_mode=False)

    made |= {name: top / f"{name}.h5ad" for name in ("embedding", "celltypes", "patterns", "interactions", "why")}
    focus("embed", made["sample"], "--model", made["model"], "--out", made["embedding"], "--device", "cpu")
    focus("celltypes", made["enhanced"], "--reference", made["reference"], "--out", made["celltypes"])
    focus("patterns", made["enhanced"], "--out", made["patterns"])
    focus("interactions", made["enhanced"], "--pairs", made["pairs"], "--out", made["interactions"])
    gene = (made["genes"].read_text().splitlines())[0]
    focus("why", made["sample"], "--gene", gene, "--model", made["model"], "--out", made["why"], "--device", "cpu")
    made["domains"] = top / "domains"
    focus("domains", made["enhanced"], "--n-domains", 2, "--out", made["domains"])
    made["truth"], made["observed"] = top / "truth.h5ad", top / "observed"
    focus("holdout", made["sample"], "--task", "denoise", "--out", made["observed"], "--truth", made["truth"])
    made["scores"] = top / "scores"
    focus(
        "evaluate", made["enhanced"], "--truth", made["truth"], "--observed", made["observed"], "--out", made["scores"]
    )
    made["prior"], made["report"], made["nuclei"] = top / "prior", top / "report.html", top / "nuclei.parquet"
    focus("prior", made["sample"], "--factors", 4, "--out", made["prior"])
    focus("report", made["enhanced"], "--viewer-mb", 0, "--out", made["report"])
    focus("nuclei", made["sample"], "--out", made["nuclei"])
    files, table = cohort(top / "cohort", 3, n=60)
    made["labelled"], made["labels"] = files[0], write_table(top / "labels.tsv", table)
    fit_annotation(files, made["labels"], top / "annotation_head")
    made["annotation_head"], made["annotation"] = top / "annotation_head", top / "annotation.h5ad"
    apply_annotation(files[0], made["annotation_head"], made["annotation"])
    rng = np.random.default_rng(0)
    slides, rows = [], []
    for i in range(30):
        slides.append(write_embedding(top / "slides" / f"P{i}.h5ad", f"P{i}", rng.normal(i % 2, 1, (20, 4))))
        rows.append({"sample": f"P{i}", "response": i % 2, "age": 50 + i})
    made["slide"], made["clinical"] = slides[0], write_table(top / "clinical.tsv", pd.DataFrame(rows))
    options = {"outcome": "response", "covariates": ["age"], "permutations": 0}
    for pooling in ("mean", "attention"):
        made[f"outcome_{pooling}"] = top / f"outcome_{pooling}"
        fit_outcome(slides, made["clinical"], made[f"outcome_{pooling}"], pooling=pooling, **options)
    made["outcomes"] = top / "outcomes.tsv"
    apply_outcome(slides[:1], made["outcome_mean"], made["outcomes"], table=made["clinical"])


def save(made: dict[str, Path], path: Path) -> None:
    """Note where everything lies."""
    path.write_text(json.dumps({name: str(place) for name, place in made.items()}, indent=1))


def load(path: Path) -> dict[str, Path]:
    """What `save` noted."""
    return {name: Path(place) for name, place in json.loads(path.read_text()).items()}
