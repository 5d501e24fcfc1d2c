"""Assembling the enhanced AnnData: small tables by anndata, large matrices streamed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.progress import print_message, task
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.core.storage import SampleInfo, atomic_file, write_anndata, write_elements
from focus_cli.core.storage.kinds import ENHANCED, REFINED
from focus_cli.enhancement.calibration import Calibration
from focus_cli.enhancement.decode import GeneDecoder, Pooled, ResidualPooler, expression_and_sd, expression_layers
from focus_cli.enhancement.genes import OutputGenes
from focus_cli.enhancement.infer import Latents
from focus_cli.enhancement.mixture import Mixed, Mixture
from focus_cli.enhancement.reliability import ABSTAIN, Moments, location_reliability
from focus_cli.enhancement.writer import DenseWriter
from focus_cli.experts import Points


@dataclass(frozen=True)
class Outputs:
    """Everything of an output file but its genes."""

    kind: str  # "enhanced" or "refined"
    info: SampleInfo
    obs: pd.DataFrame
    obs_names: np.ndarray
    exposure: np.ndarray
    counted: np.ndarray  # bool: the location has counts of its own
    uninformed: np.ndarray  # bool: neither counts nor an image within the training distribution
    ood_score: np.ndarray | None  # of the image, see `OodReference.score`
    counts: sparse.csr_matrix | None
    panel_var: pd.DataFrame
    uns_spatial: dict | None
    latents: Latents
    points: Points
    state_names: np.ndarray | None
    resolution_um: float | None = None


def _var(genes: OutputGenes, panel_var: pd.DataFrame) -> pd.DataFrame:
    var = pd.DataFrame(index=pd.Index(genes.names, name=panel_var.index.name))
    for column in panel_var:
        values = panel_var[column].reindex(genes.names)
        if panel_var[column].dtype.kind == "b":
            values = values.fillna(False).astype(bool)
        var[column] = values.astype(str).where(values.notna(), "") if values.dtype.kind not in "ifb" else values
    # A slide alone has a panel that the model may speak of, and measured nothing of it.
    claimed = panel_var.get(keys.MEASURED, pd.Series(True, panel_var.index)).reindex(genes.names).fillna(False)
    var[keys.MEASURED] = genes.measured & claimed.to_numpy(bool)
    return var


def _counts_layer(counts: sparse.csr_matrix | None, genes: OutputGenes, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Raw counts on the output's genes: chosen panel genes come first, in panel order, then zeros."""
    if counts is None:
        return sparse.csr_matrix(shape, dtype=np.float32)
    written = genes.panel_columns >= 0
    chosen = counts if written.all() else counts[:, written].tocsr()
    return sparse.csr_matrix((chosen.data, chosen.indices, chosen.indptr), shape=shape)


def write_enhanced(
    out: Path,
    outputs: Outputs,
    genes: OutputGenes,
    decoder: GeneDecoder,
    pooler: ResidualPooler | None,
    mixture: Mixture | None,
    calibration: Calibration,
    evidence: np.ndarray,
    layers: tuple[str, ...],
    record: dict,
    *,
    overwrite: bool = False,
) -> None:
    """Write one output file; memory is bounded by a block of rows, whatever the number of genes.

    `evidence` for the vectors of the genes is that of `holdout_calibration.evidence`.
    """
    n, shape = len(outputs.obs_names), (len(outputs.obs_names), len(genes.names))
    obs = outputs.obs.copy()
    obs.index = pd.Index(outputs.obs_names)
    obs[keys.EXPOSURE] = outputs.exposure.astype(np.float32)
    obs[keys.OBS_RELIABILITY] = location_reliability(outputs.latents)
    obs[keys.ABSTAIN] = (obs[keys.OBS_RELIABILITY] < ABSTAIN) | outputs.uninformed
    if outputs.ood_score is not None:
        obs[keys.OOD_SCORE] = outputs.ood_score
    adata = AnnData(obs=obs, var=_var(genes, outputs.panel_var))
    level_sd = decoder.level_sd * calibration.levels.value
    adata.var[keys.LEVEL_SD] = level_sd.numpy()
    adata.obsm[keys.SPATIAL] = outputs.points.xy_um / outputs.info.mpp
    adata.obsm[keys.SPATIAL_UM] = outputs.points.xy_um
    shared = outputs.latents.mean.shape[1] - outputs.latents.n_sample_factors
    for name, columns in ((keys.LATENT, slice(0, shared)), (keys.SAMPLE_FACTORS, slice(shared, None))):
        if columns.start == 0 or outputs.latents.n_sample_factors:
            adata.obsm[name] = outputs.latents.mean[:, columns]
            adata.obsm[f"{name}_sd"] = outputs.latents.sd[:, columns]
    if outputs.state_names is not None:
        total = outputs.latents.attention.sum(axis=1, keepdims=True)
        adata.obsm[keys.STATE_ATTENTION] = pd.DataFrame(
            outputs.latents.attention / np.maximum(total, 1e-12), index=obs.index, columns=outputs.state_names
        )
    if outputs.latents.samples is not None:
        for draw, latent in enumerate(outputs.latents.samples):
            adata.obsm[f"{keys.LATENT}_sample_{draw}"] = latent
    # The share of a gene is share_link(latent @ loadings.T) * baseline, for a mean as for a draw.
    adata.varm[keys.LOADINGS] = decoder.loadings.numpy()
    adata.var[keys.BASELINE] = decoder.baseline.numpy()
    adata.layers[keys.COUNTS] = _counts_layer(outputs.counts, genes, shape)
    adata.uns[keys.UNS] = {
        "kind": outputs.kind,
        "sample_id": outputs.info.sample_id,
        "mpp": outputs.info.mpp,
        "platform": outputs.info.platform.name,
        "footprint_shape": outputs.info.footprint.shape if outputs.kind == "enhanced" else "square",
        "footprint_um": outputs.info.footprint.size_um,
        "pitch_um": outputs.info.footprint.pitch_um,
        "n_measured": int(adata.var[keys.MEASURED].sum()),
        "n_imputed": int((~adata.var[keys.MEASURED]).sum()),
        "scale_of_X": "posterior mean of log1p of counts per 10,000 of the panel, as measured at obs['exposure']",
        "calibration": json.dumps(calibration.record(), sort_keys=True),
        "alignment": json.dumps(outputs.info.alignment, sort_keys=True, default=str),
        "warnings": json.dumps(outputs.info.warnings),
        "provenance": json.dumps(record, sort_keys=True, default=str),
    }
    if mixture is not None:
        adata.uns[keys.UNS]["experts"] = json.dumps(mixture.record(), sort_keys=True)
        adata.var[keys.NETWORK_WEIGHT] = mixture.network_weight(len(genes.names), outputs.counted.any())
    if outputs.resolution_um is not None:
        adata.uns[keys.UNS]["resolution_um"] = outputs.resolution_um
    if outputs.uns_spatial is not None:
        adata.uns[keys.UNS_SPATIAL] = _spatial_uns(outputs)
    with atomic_file(out, overwrite, kind=ENHANCED if outputs.kind == "enhanced" else REFINED) as temporary:
        write_anndata(adata, temporary)
        moments = Moments(*shape)
        measured = torch.from_numpy(genes.measured)

        def tile(
            mean, sd, counted, reading, pooled: Pooled | None, mixed: list[Mixed], columns: slice
        ) -> dict[str, np.ndarray]:
            """X and layers of a block's rows at a range of genes; the moments take them in on the way."""
            share, share_sd = decoder.share_and_sd(mean, sd, columns)
            if pooled is not None:
                pooled.update(share, share_sd, columns)
            for experts in mixed:
                experts.update(share, share_sd, columns)
            share_sd *= calibration.of_shares(counted, measured[columns])
            moments.add(columns, *expression_and_sd(share, share_sd))
            values = expression_layers(share, share_sd, reading, layers, level_sd[columns])
            return {name: value.numpy() for name, value in values.items()}

        with (
            DenseWriter(temporary, ["X", *layers], shape) as writer,
            task(f"writing {outputs.kind} expression", n) as progress,
        ):
            for start in range(0, n, writer.block_rows):
                rows = slice(start, min(start + writer.block_rows, n))
                mean, sd = outputs.latents.mean[rows], outputs.latents.sd[rows]
                reading = LogNormReading(outputs.exposure[rows])
                pooled = pooler.around(outputs.points.xy_um[rows]) if pooler is not None else None
                mixed = [] if mixture is None else mixture.at(outputs.points.take(rows), outputs.counted[rows])
                writer.write(start, partial(tile, mean, sd, outputs.counted[rows], reading, pooled, mixed))
                progress.advance(rows.stop - rows.start)
        _write_gene_reliability(temporary, _judged(moments.reliability(), genes.measured, calibration, evidence))
    print_message(
        f"{outputs.kind}: {n:,} locations × {shape[1]:,} genes "
        f"({adata.uns[keys.UNS]['n_measured']:,} measured, {adata.uns[keys.UNS]['n_imputed']:,} inferred) → {out}"
    )


def _spatial_uns(outputs: Outputs) -> dict:
    spatial = {key: dict(value) for key, value in outputs.uns_spatial.items()}
    if outputs.kind == "refined":
        for library in spatial.values():
            factors = dict(library["scalefactors"])
            factors["spot_diameter_fullres"] = outputs.resolution_um / outputs.info.mpp
            library["scalefactors"] = factors
    return spatial


def _judged(
    stated: np.ndarray, measured: np.ndarray, calibration: Calibration, evidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reliability per gene, and whether it is too low: what is stated, and what was learnt of genes not measured."""
    if calibration.reliability is None:
        return stated, (stated < ABSTAIN) | ~measured
    reliability = np.where(measured, stated, calibration.reliability(evidence))
    return reliability, reliability < ABSTAIN


def _write_gene_reliability(path: Path, judged: tuple[np.ndarray, np.ndarray]) -> None:
    """Add ``var["reliability"]`` and ``var["abstain"]``, known only after all rows went by."""
    from anndata.io import read_elem

    from focus_cli.core.storage.hdf5 import open_hdf5

    with open_hdf5(path, "r+") as file:
        var = read_elem(file["var"])
        var[keys.VAR_RELIABILITY], var[keys.ABSTAIN] = judged[0].astype(np.float32), judged[1]
        write_elements(file, "", {"var": var})
