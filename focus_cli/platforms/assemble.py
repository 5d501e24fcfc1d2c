"""From a reader's tables to one sample in memory: every check that holds for all platforms, made once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.platforms import images
from focus_cli.platforms.checks import check_counts, check_named, check_positions, check_unique, name_genes
from focus_cli.platforms.count_scale import clipping_note, intensity_note
from focus_cli.platforms.sample import RawSample

NO_IMAGE = "no H&E image was found (pass --image): image features will be missing"


def assemble(
    *,
    platform: PlatformInfo,
    counts: sparse.spmatrix,
    names: Sequence[str],
    genes: pd.DataFrame,
    xy_px: np.ndarray,
    mpp: float,
    footprint: Footprint,
    where: str,
    inputs: dict[str, Path],
    warnings: Sequence[str] = (),
    obs: pd.DataFrame | None = None,
    image: Path | None = None,
    to_image: Affine | None = None,
    allow_real: bool = False,
) -> RawSample:
    """Check a reader's tables and put them together.

    Parameters
    ----------
    platform
        The instrument.
    counts
        Locations × features, raw counts.
    names
        One unique name for each location: the vendor's barcode or cell id.
    genes
        One row per feature; columns ``id``, ``name``, ``type`` ("Gene Expression" for genes).
    xy_px
        float (n, 2), (x, y) in full-resolution pixels of the vendor's image, y down.
    mpp
        µm per full-resolution pixel.
    footprint
        The area that one location collects from.
    where
        The file to name in messages.
    inputs
        Role → file that was read.
    warnings
        What the reader found on its way.
    obs
        Vendor's columns to keep, in the order of `names`; ``in_tissue``, ``array_row``, ``array_col`` among
        them are used. All locations are in tissue where it is not stated.
    image
        The H&E to tile, checked and found by the reader; None warns.
    to_image
        Full-resolution pixels → pixels of `image`; the identity by default.
    allow_real
        The values are intensities: numbers that are not whole pass, and proteins stay where there is no gene.

    Raises
    ------
    BadInputError
        If names repeat, positions are not finite, or the values are no raw counts.
    """
    n = len(names)
    if counts.shape != (n, len(genes)) or len(xy_px) != n:
        raise BadInputError(
            f"{where}: {counts.shape[0]} × {counts.shape[1]} counts, {n} names, {len(genes)} genes and "
            f"{len(xy_px)} positions do not fit together",
            hint="its files come from different runs, or one is truncated",
        )
    names = np.asarray(names, dtype=object)
    check_named(names, "locations", where)
    names = pd.Index(names.astype(str), dtype=object)
    check_unique(names, "locations", where)
    xy_px = np.asarray(xy_px, dtype=np.float64)
    check_positions(xy_px, where)
    all_warnings = list(warnings)
    var, keep, notes = name_genes(
        list(genes["id"]), list(genes["name"]), list(genes["type"]), where, proteins=allow_real
    )
    all_warnings += notes
    counts = sparse.csr_matrix(counts)
    if not keep.all():
        counts = counts[:, np.flatnonzero(keep)]
    check_counts(counts, where, whole=not allow_real)
    if not allow_real and (note := intensity_note(counts) or clipping_note(counts)):
        all_warnings.append(f"{where}: {note}")
    counts = counts.astype(np.float32, copy=False)
    counts.sort_indices()
    obs = pd.DataFrame(index=names) if obs is None else obs.set_axis(names, axis=0)
    if keys.IN_TISSUE not in obs:
        obs = obs.assign(**{keys.IN_TISSUE: np.int64(1)})
    adata = anndata.AnnData(X=counts, obs=obs, var=var)
    adata.obsm[keys.SPATIAL] = xy_px
    adata.obsm[keys.SPATIAL_UM] = xy_px * mpp
    inputs = dict(inputs)
    if image is None:
        all_warnings.append(NO_IMAGE)
    else:
        inputs["image"] = image
    return RawSample(
        adata=adata,
        platform=platform,
        footprint=footprint,
        mpp=float(mpp),
        image_path=image,
        image_scale=1.0 if to_image is None else to_image.scale,
        to_image=to_image,
        inputs=inputs,
        warnings=all_warnings,
    )


def choose_he(given: Path | None, folders: Sequence[Path]) -> Path | None:
    """The user's image, else an H&E that lies in one of `folders`; see `images.find_he`."""
    return images.check_image(given) if given is not None else images.find_he(folders)


def cell_footprint(xy_um: np.ndarray, area_um2: np.ndarray | None = None) -> Footprint:
    """The footprint of segmented cells or beads: a circle of their median area.

    Without areas, a circle as wide as the median distance to the nearest neighbour.

    Parameters
    ----------
    xy_um
        float (n, 2), centres in µm.
    area_um2
        float (n,), areas in µm²; not finite or not positive ones are passed over.

    Raises
    ------
    BadInputError
        If there are fewer than two cells, or most share their position.
    """
    if len(xy_um) < 2:
        raise BadInputError("a single location has no pitch", hint="give the whole sample")
    pitch = round(float(np.median(cKDTree(xy_um).query(xy_um, k=2)[0][:, 1])), 3)
    if pitch <= 0:
        raise BadInputError("most locations share their position with another", hint="check the positions")
    size = pitch
    if area_um2 is not None:
        known = np.asarray(area_um2, float)
        known = known[np.isfinite(known) & (known > 0)]
        if len(known):
            size = round(float(2 * np.sqrt(np.median(known) / np.pi)), 3)
    return Footprint("circle", size, pitch)
