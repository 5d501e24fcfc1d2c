"""What image encoders tell of expression: ridge on their features, on two real tissues.

    python benchmarks/encoders.py --work results/encoders --encoder morphology --encoder imagenet-lite0 …

Breast: sections C2–C5 of one tumour (100 µm spots), leave one section out; the 200 most expressed genes that all four
share. Kidney: Visium HD merged to 24 µm bins, trained on the upper half and tested on the lower one with a gap between
them; the 200 genes of the highest spatial autocorrelation on the training part, by the rule of `focus holdout`. Mean
Pearson r over genes of log1p CP10k. Features are standardised within each section (breast) or on the training part
(kidney), clipped at six standard deviations and put on their leading 256 principal components, as everywhere in the
field; the ridge penalty of each gene is chosen by cross-validation within the training part. Nothing of the test part
is used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import sparse

from focus_cli.core.storage import StoredSample, open_sample
from focus_cli.evaluation.baselines.image import _reduce, _standardise
from focus_cli.evaluation.baselines.ridge import block_folds, fit_ridge
from focus_cli.evaluation.genes import spatial_genes
from focus_cli.evaluation.normalise import log1p_cp10k, row_sums
from focus_cli.evaluation.space import spatial_blocks
from focus_cli.histology.encoders import open_encoder
from focus_cli.histology.features import RasterStack
from focus_cli.histology.features.encoded import extract_features
from focus_cli.histology.slides import open_slide
from focus_cli.model.conditioning.sample import centre_and_ring

SECTIONS = ("C2", "C3", "C4", "C5")
N_GENES = 200
STEP_UM = {"breast": 56.0, "kidney": 24.0}
KIDNEY_BIN_UM = 24.0
TRAIN_SHARE, GAP_UM = 0.5, 320.0
CLIP = 6.0


def preprocessed(work: Path, data: Path) -> dict[str, StoredSample]:
    """Stored samples of both tissues, made once."""
    raw = {name: [data / "st_her2_breast/ST-cnts" / f"{name}.tsv.gz"] for name in SECTIONS}
    raw["kidney"] = [data / "visium_hd_kidney", "--bin-um", str(KIDNEY_BIN_UM)]
    samples = {}
    for name, arguments in raw.items():
        out = work / "samples" / name
        if not out.exists():
            command = [Path(sys.executable).with_name("focus"), "preprocess", *map(str, arguments), "--sample", name]
            subprocess.run([*command, "--out", str(out)], check=True)
        samples[name] = open_sample(out)
    return samples


def features_of(sample: StoredSample, xy_um: np.ndarray, spec: str, dense: bool, mpp: float | None, work: Path):
    """Features at places, float32 (n, F), through the raster that `focus preprocess --encoder` writes."""
    if spec == "morphology":
        return RasterStack.open([sample.morphology_path]).sample(xy_um)
    encoder = open_encoder(spec, dense=dense, precision="bfloat16" if spec.startswith("random") else "float32", mpp=mpp)
    tissue = "kidney" if sample.info.sample_id == "kidney" else "breast"
    out = work / "rasters" / f"{sample.info.sample_id}.{encoder.info.name.replace('/', '_')}.{encoder.info.digest}"
    if not out.exists():
        from focus_cli.platforms.alignment import bounding_box

        image = (sample.path / sample.info.image.path).resolve()
        with open_slide(image, sample.info.image.mpp) as slide:
            step = None if encoder.info.grid > 1 else STEP_UM[tissue]
            bounds = bounding_box(sample.read().obsm["spatial_um"], 60.0)
            extract_features(slide, encoder, out, mpp_image=slide.mpp, step_um=step, bounds_um=bounds)
    values = RasterStack.open([out]).sample(xy_um)
    return np.where(np.isnan(values), np.nanmean(values, axis=0), values)


def standardised(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """In standard deviations of `like`, within ±`CLIP`: a feature that is still there may leap elsewhere."""
    return np.clip(_standardise(values, like), -CLIP, CLIP)


def correlations(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson r of each column; NaN for a constant one."""
    p, t = predicted - predicted.mean(axis=0), truth - truth.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (p * t).sum(axis=0) / np.sqrt((p**2).sum(axis=0) * (t**2).sum(axis=0))


def spots_of(xy_um: np.ndarray, size_um: float, read) -> np.ndarray:
    """Features averaged over seven points of a spot."""
    points = (xy_um[:, None] + centre_and_ring(0.33 * size_um)).reshape(-1, 2)
    return read(points).reshape(len(xy_um), 7, -1).mean(axis=1)


def breast(samples, read) -> dict[str, np.ndarray]:
    """r of every gene for each left-out section."""
    content = {name: samples[name].read() for name in SECTIONS}
    shared = sorted(set.intersection(*(set(a.var_names) for a in content.values())))
    total = sum(np.asarray(a[:, shared].X.sum(axis=0)).ravel() for a in content.values())
    genes = [shared[i] for i in np.argsort(-total, kind="stable")[:N_GENES]]
    x, y = {}, {}
    for name, adata in content.items():
        xy = adata.obsm["spatial_um"]
        raw = spots_of(xy, samples[name].info.footprint.size_um, lambda points, s=samples[name]: read(s, points))
        x[name] = standardised(raw, raw)
        y[name] = log1p_cp10k(adata[:, genes].X.tocsr(), row_sums(adata.X))
    found = {}
    for test in SECTIONS:
        others = [name for name in SECTIONS if name != test]
        train, here = _reduce(np.concatenate([x[n] for n in others]), x[test])
        folds = np.repeat(np.arange(len(others)), [len(x[n]) for n in others])
        model = fit_ridge(train, sparse.csr_matrix(sparse.vstack([y[n] for n in others])), folds)
        found[test] = correlations(model.columns(here, np.arange(N_GENES)), y[test].toarray())
    return found


def kidney(sample, read) -> dict[str, np.ndarray]:
    """r of every gene on the test rows."""
    adata = sample.read()
    xy, counts = adata.obsm["spatial_um"], sparse.csr_matrix(adata.X)
    down = xy[:, 1] - xy[:, 1].min()
    edge = TRAIN_SHARE * down.max()
    train, test = np.flatnonzero(down < edge), np.flatnonzero(down > edge + GAP_UM)
    genes = spatial_genes(counts[train], xy[train], N_GENES)
    y = log1p_cp10k(counts[:, genes], row_sums(counts))
    raw = read(sample, xy)
    a, b = _reduce(standardised(raw[train], raw[train]), standardised(raw[test], raw[train]))
    model = fit_ridge(a, y[train], block_folds(spatial_blocks(xy[train]), 0))
    return {"kidney": correlations(model.columns(b, np.arange(N_GENES)), y[test].toarray())}


def main() -> None:
    """Print one row per encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="Keeps samples and encoded slides.")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOCUS_DATA", "../shared/data")))
    parser.add_argument(
        "--encoder", action="append", required=True, metavar="LABEL=SPEC[,dense][,mpp=X]", help="Repeatable; + joins."
    )
    parser.add_argument("--tissue", choices=["breast", "kidney", "both"], default="both")
    options = parser.parse_args()
    samples = preprocessed(options.work, options.data)
    columns = [*SECTIONS, "breast", "kidney"]
    print("| encoder | features | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 2), flush=True)
    for text in options.encoder:
        label, _, specs = text.partition("=")
        parts = [part.split(",") for part in (specs or label).split("+")]
        width = 0

        def read(sample: StoredSample, xy: np.ndarray, parts=parts) -> np.ndarray:
            nonlocal width
            values = []
            for spec, *settings in parts:
                mpp = next((float(s[4:]) for s in settings if s.startswith("mpp=")), None)
                values.append(features_of(sample, xy, spec, "dense" in settings, mpp, options.work))
            values = np.concatenate(values, axis=1)
            width = values.shape[1]
            return values

        found = {} if options.tissue == "kidney" else breast(samples, read)
        if found:
            found["breast"] = np.mean(list(found.values()), axis=0)
        if options.tissue != "breast":
            found |= kidney(samples["kidney"], read)
        cells = [f"{np.nanmean(found[c]):.3f}" if c in found else "–" for c in columns]
        print(f"| {label} | {width} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
