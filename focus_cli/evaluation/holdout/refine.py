"""T4: show fine bins only as coarse pseudo-spots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.statistics.pseudospots import assign_spots, hexagonal_grid, sum_by
from focus_cli.core.storage import Footprint
from focus_cli.evaluation.genes import SPATIAL_RULE, spatial_genes
from focus_cli.evaluation.holdout.parts import Source, Split, require_genes, visible_sample
from focus_cli.evaluation.normalise import row_sums
from focus_cli.evaluation.space import pitch_of
from focus_cli.evaluation.truth import make_truth


def merge_bins(source: Source, bin_um: float) -> tuple[sparse.csr_matrix, pd.DataFrame, np.ndarray]:
    """Merge square bins into squares of side `bin_um`.

    Whole squares of the array are merged where the sample has array positions, so that no bin is cut.

    Returns
    -------
    counts
        CSR (m, G).
    obs
        Row and column of each merged bin; names ``bin_ROWxCOL``.
    xy_um
        Centres of the whole squares, also of those at the rim that are not full, (m, 2).

    Raises
    ------
    UsageError
        If `bin_um` is not a multiple of the bins' pitch.
    """
    adata, xy = source.adata, source.xy_um
    pitch = source.info.footprint.pitch_um or pitch_of(xy)
    factor = round(bin_um / pitch)
    if factor < 1 or abs(factor * pitch - bin_um) > 0.01 * pitch:
        raise UsageError(
            f"--truth-bin-um {bin_um:g} is not a multiple of the bins' {pitch:g} µm",
            hint=f"take {pitch * max(1, factor):g}",
        )
    if keys.ARRAY_ROW in adata.obs and keys.ARRAY_COL in adata.obs:
        fine = adata.obs[[keys.ARRAY_COL, keys.ARRAY_ROW]].to_numpy(np.float64)
    else:
        fine = np.rint((xy - xy.min(axis=0)) / pitch)
    coarse = np.floor(fine / factor).astype(np.int64)
    merged, group = np.unique(coarse[:, ::-1], axis=0, return_inverse=True)
    row, col = merged.T
    # Array → µm is affine; fitted on all bins, it gives the centre of a square that is only partly filled.
    design = np.column_stack([fine, np.ones(len(fine))])
    affine, *_ = np.linalg.lstsq(design, xy, rcond=None)
    middle = (factor - 1) / 2
    centres = np.column_stack([col * factor + middle, row * factor + middle, np.ones(len(row))]) @ affine
    names = [f"bin_{r}x{c}" for r, c in merged]
    obs = pd.DataFrame({keys.ARRAY_ROW: row, keys.ARRAY_COL: col}, index=names)
    return sum_by(source.counts, group.ravel(), len(merged)), obs, centres


def split_refine(source: Source, spot_um: float, pitch_um: float, truth_bin_um: float) -> Split:
    """Sum bins into discs on a hexagonal grid; the truth is all bins, merged to `truth_bin_um`.

    A bin belongs to the disc that contains its centre, or to none. The scored genes are selected on the
    pseudo-spots, without the truth.

    Raises
    ------
    UsageError
        If the discs would overlap, or `truth_bin_um` is not a multiple of the bins' pitch.
    BadInputError
        If the locations are too coarse to make spots from.
    """
    from anndata import AnnData

    if not 0 < spot_um <= pitch_um:
        raise UsageError(
            f"spots of {spot_um:g} µm at a pitch of {pitch_um:g} µm overlap", hint="--pitch-um ≥ --spot-um"
        )
    native = source.info.footprint.pitch_um or pitch_of(source.xy_um)
    if native > spot_um / 2:
        raise BadInputError(
            f"{source.info.sample_id}: locations {native:g} µm apart are too coarse for {spot_um:g} µm spots",
            hint="refine needs bins at most half a spot wide (Visium HD)",
        )
    bins, bin_obs, bin_um = merge_bins(source, truth_bin_um)
    centres, row, col = hexagonal_grid(source.xy_um, pitch_um)
    shown = sum_by(source.counts, assign_spots(source.xy_um, centres, spot_um), len(centres))
    filled = row_sums(shown) > 0
    shown, centres, row, col = shown[filled], centres[filled], row[filled], col[filled]
    if len(centres) < 2:
        raise BadInputError("fewer than two pseudo-spots have counts", hint="the section is too small")
    if source.asked_genes is not None:
        genes, rule = source.positions(source.asked_genes), "a given list"
    else:
        genes = require_genes(spatial_genes(shown, centres, source.n_genes))
        rule = f"{len(genes)} genes with the {SPATIAL_RULE}, on the pseudo-spots"
    mpp, var = source.info.mpp, source.adata.var
    bin_data = AnnData(obs=bin_obs, var=var, obsm={keys.SPATIAL: bin_um / mpp, keys.SPATIAL_UM: bin_um})
    truth = make_truth(
        bins,
        bin_data,
        task="refine",
        genes=list(source.adata.var_names[genes]),
        rule=rule,
        seed=source.seed,
        sample_id=source.info.sample_id,
        exposure=row_sums(bins),
        exposure_of="all genes",
        truth_bin_um=float(truth_bin_um),
        spot_um=float(spot_um),
        pitch_um=float(pitch_um),
    )
    spot_obs = pd.DataFrame(
        {keys.IN_TISSUE: 1, keys.ARRAY_ROW: row, keys.ARRAY_COL: col},
        index=[f"spot_{r}x{c}" for r, c in zip(row, col)],
    )
    spots = AnnData(obs=spot_obs, var=var, obsm={keys.SPATIAL: centres / mpp, keys.SPATIAL_UM: centres})
    spots.uns[keys.UNS_SPATIAL] = _rescaled(source.adata.uns.get(keys.UNS_SPATIAL, {}), spot_um / mpp)
    return Split(
        visible_sample(spots, shown),
        truth,
        platform=replace(source.info.platform, name="pseudo_visium", version="", resolution_um=float(spot_um)),
        footprint=Footprint("circle", float(spot_um), float(pitch_um)),
        settings={"spot_um": spot_um, "pitch_um": pitch_um, "truth_bin_um": truth_bin_um},
    )


def _rescaled(libraries: dict, diameter_px: float) -> dict:
    """Scanpy's image record with the pseudo-spots' diameter, so that they are drawn at their own size."""
    out = {}
    for library, record in libraries.items():
        factors = {**record.get("scalefactors", {}), "spot_diameter_fullres": float(diameter_px)}
        out[library] = {**record, "scalefactors": factors}
    return out
