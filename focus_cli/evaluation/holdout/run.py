"""The one entry to all hold-outs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.provenance import describe_run
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import StoredSample, atomic_file, check_output, open_sample, write_anndata, write_sample
from focus_cli.core.storage.kinds import SAMPLE, TRUTH
from focus_cli.core.storage.sample import check_sample_id
from focus_cli.core.storage.zarr_folder import require_zarr
from focus_cli.evaluation.holdout.denoise import split_denoise
from focus_cli.evaluation.holdout.histology import split_histology
from focus_cli.evaluation.holdout.impute import split_impute
from focus_cli.evaluation.holdout.parts import Source, Split, find_listed_genes, outside_distance, parse_box
from focus_cli.evaluation.holdout.refine import split_refine
from focus_cli.evaluation.normalise import check_counts
from focus_cli.evaluation.truth import TASKS

DEFAULT_N_GENES = {"denoise": 1000, "impute": 1000, "refine": 200, "histology": 200}
Box = tuple[float, float, float, float]


def hold_out(
    sample_dir: Path,
    task: str,
    out: Path,
    truth: Path,
    *,
    seed: int = 0,
    fraction: float = 0.5,
    n_genes: int | None = None,
    genes_file: Path | None = None,
    reference: Path | None = None,
    spot_um: float = 55.0,
    pitch_um: float = 100.0,
    truth_bin_um: float = 16.0,
    test_fraction: float = 1.0,
    buffer_um: float = 150.0,
    region: Box | None = None,
    crop: Box | None = None,
    sample_id: str | None = None,
    overwrite: bool = False,
) -> StoredSample:
    """Split a stored sample into what a method may see and the truth it is scored against.

    In the visible sample a location whose total is 0 is *not measured*; it is kept.

    Parameters
    ----------
    sample_dir
        A sample folder. It is not changed.
    task
        ``denoise`` (counts thinned), ``impute`` (genes removed), ``refine`` (bins summed to pseudo-spots)
        or ``histology`` (all counts of a part, or of everything, removed).
    out
        Sample folder to write: the visible part, with the image features of the section.
    truth
        H5AD file to write: the hidden counts, CSR, and ``uns["focus_truth"]`` with the task, the scored
        genes, the rule that chose them and the seed.
    seed
        Same seed, same bytes.
    fraction
        denoise: probability that a count stays visible.
    n_genes
        Genes to score (impute: candidates, of which half are hidden). Default 1000, for refine and histology
        200.
    genes_file
        Score (impute: hide) exactly these genes, one a line.
    reference
        impute: hide only genes that this reference folder holds.
    spot_um, pitch_um, truth_bin_um
        refine: diameter and pitch of the pseudo-spots, side of the truth's bins, µm.
    test_fraction, buffer_um, region
        histology: share of the section at one end of its longer axis that is hidden, or the box
        ``(x0, y0, x1, y1)`` in µm that is hidden, and the margin in µm that is hidden but not scored.
    crop
        Use only this box ``(x0, y0, x1, y1)`` of the section, µm.
    sample_id
        Name of the visible sample; that of the source if None.
    overwrite
        Replace `out` and `truth`.

    Returns
    -------
    The visible sample.

    Raises
    ------
    UsageError, BadInputError, MissingResourceError, OutputExistsError
        Before anything is written.
    """
    out, truth, sample_dir = Path(out), Path(truth), Path(sample_dir)
    if task not in TASKS:
        raise UsageError(f"unknown task {task!r}", hint="one of " + ", ".join(TASKS))
    if n_genes is not None and n_genes < 1:
        raise UsageError(f"--n-genes must be at least 1, got {n_genes}")
    _check_places(sample_dir, out, truth)
    if sample_id is not None:
        check_sample_id(sample_id)
    read = [sample_dir, genes_file, reference]
    check_output(out, SAMPLE, inputs=read, outputs=[truth], overwrite=overwrite)
    check_output(truth, TRUTH, inputs=read, overwrite=overwrite, option="--truth")
    sample = open_sample(sample_dir)
    if genes_file is not None and not Path(genes_file).is_file():
        raise MissingResourceError(f"no such list of genes: {genes_file}", hint="one gene name per line")
    if reference is not None:
        from focus_cli.genes.reference import open_reference

        open_reference(Path(reference))
    check_memory("hold_out", sample_size(sample.path), lower="hold out a part of the section with --crop")
    settings: dict[str, Any] = {
        "task": task,
        "genes_file": genes_file and Path(genes_file).name,
        "crop": crop,
    }
    source = _read_source(sample, task, seed, n_genes, genes_file, crop)
    if task == "denoise":
        split = split_denoise(source, fraction)
    elif task == "impute":
        split = split_impute(source, _in_reference(source, reference))
        settings["reference"] = reference and Path(reference).name
    elif task == "refine":
        split = split_refine(source, spot_um, pitch_um, truth_bin_um)
    else:
        region = None if region is None else parse_box(region, "--region")
        split = split_histology(source, test_fraction, buffer_um, region)
    settings = {**settings, **split.settings, "sample_id": sample_id or sample.info.sample_id}
    return _write(sample, split, out, truth, settings, seed, overwrite)


def _check_places(sample_dir: Path, out: Path, truth: Path) -> None:
    source, target, file = sample_dir.resolve(), out.resolve(), truth.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise UsageError(f"--out {out} and the sample {sample_dir} overlap", hint="choose another --out")
    if target == file or target in file.parents or source in file.parents:
        raise UsageError(f"the truth {truth} is inside a sample folder", hint="write it where no method reads it")


def _read_source(
    sample: StoredSample, task: str, seed: int, n_genes: int | None, genes_file: Path | None, crop: Box | None
) -> Source:
    adata = sample.read()
    if not sparse.issparse(adata.X):
        raise BadInputError(f"{sample.counts_path}: counts are dense", hint="run focus preprocess again")
    adata.X = sparse.csr_matrix(adata.X)
    check_counts(adata.X, str(sample.counts_path))
    if crop is not None:
        inside = outside_distance(adata.obsm[keys.SPATIAL_UM], parse_box(crop, "--crop")) == 0
        if not inside.any():
            raise UsageError("--crop holds no location", hint="µm, the system of obsm['spatial_um']")
        adata = adata[inside].copy()
    if adata.X.nnz == 0:
        raise BadInputError(f"{sample.path} has no counts to hold out")
    requested = None if genes_file is None else find_listed_genes(genes_file, adata.var)
    rng = np.random.default_rng(seed)
    return Source(adata, sample.info, rng, seed, n_genes or DEFAULT_N_GENES[task], requested)


def _in_reference(source: Source, reference: Path | None) -> np.ndarray | None:
    """Whether the reference holds each gene of the panel, under its id or its symbol."""
    if reference is None:
        return None
    from focus_cli.genes import match_genes
    from focus_cli.genes.reference import open_reference, reference_for

    cells = reference_for(open_reference(Path(reference)), source.adata.var).cells.var
    return match_genes(source.adata.var, cells) >= 0


def _write(
    sample: StoredSample,
    split: Split,
    out: Path,
    truth: Path,
    settings: dict[str, Any],
    seed: int,
    overwrite: bool,
) -> StoredSample:
    inputs = {"sample": sample.path / keys.SAMPLE_JSON, "counts": sample.counts_path}
    provenance = describe_run("holdout", settings, inputs, seed)
    split.truth.uns[keys.UNS_TRUTH]["focus_version"] = provenance["focus_version"]
    record = split.truth.uns[keys.UNS_TRUTH]
    info = replace(
        sample.info,
        sample_id=settings["sample_id"],
        platform=split.platform or sample.info.platform,
        footprint=split.footprint or sample.info.footprint,
        n_locations=split.visible.n_obs,
        n_genes=split.visible.n_vars,
        warnings=[*sample.info.warnings, f"part of this sample is held out for the task {record['task']}"],
        provenance=provenance,
    )
    if (entry := split.visible.uns.get(keys.UNS_SPATIAL)) is not None:
        split.visible.uns[keys.UNS_SPATIAL] = {info.sample_id: next(iter(entry.values()))}

    def rasters(folder: Path) -> None:
        for path in sample.raster_paths:
            # A copy follows links: none may lead out of the store, to a device without end for instance.
            shutil.copytree(require_zarr(path), folder / path.name)

    # The truth is renamed only when the sample is complete: both are written or neither.
    with atomic_file(truth, overwrite, kind=TRUTH) as temporary:
        write_anndata(split.truth, temporary)
        stored = write_sample(out, info, split.visible, parts=[rasters], overwrite=overwrite)
    print_message(
        f"held out for {record['task']}: {stored.info.n_locations:,} locations × {stored.info.n_genes:,} genes "
        f"are visible; {split.truth.n_obs:,} locations × {len(record['genes']):,} genes are scored"
    )
    return stored
