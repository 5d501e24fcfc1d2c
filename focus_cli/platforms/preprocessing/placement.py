"""Transform between the H&E and the positions: given by the user or the vendor, or found by registration.

This module uses both slides and alignment, which do not import each other. It returns one transform, stored with
its origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine, Coordinates, System
from focus_cli.platforms.preprocessing.image_fit import SCALE_TOLERANCE
from focus_cli.platforms.preprocessing.options import Placement

if TYPE_CHECKING:
    from anndata import AnnData

    from focus_cli.histology.slides import Slide
    from focus_cli.platforms import RawSample


MIN_INSIDE = 0.95  # share of the locations that must lie within an image whose own statement of scale is followed


@dataclass
class Placed:
    """Full-resolution pixels of the vendor → pixels of the H&E, the origin of the transform, figures and warnings."""

    transform: Affine
    origin: str
    figures: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def place_image(
    slide: Slide,
    thumbnail: np.ndarray,
    sample: RawSample,
    adata: AnnData,
    entry: dict[str, Any],
    placement: Placement,
    *,
    force: bool,
) -> Placed:
    """Decide how the positions lie on the H&E.

    Parameters
    ----------
    slide, thumbnail
        The H&E, and all of it as uint8 (h, w, 3).
    sample, adata
        As read, and its locations in tissue with ``obs["total_counts"]``.
    entry
        The vendor's thumbnails and scale factors.
    placement
        Options of the user.
    force
        Turn the refusal of a poor registration into a warning.

    Raises
    ------
    MissingResourceError, BadInputError
        If a file is not there or cannot be used, or registration fails.
    """
    from focus_cli.platforms.alignment import fit_landmarks, read_landmarks, read_transform
    from focus_cli.platforms.preprocessing.registration import register_image

    if placement.align is not None:
        transform = read_transform(placement.align, placement.align_from or "image")
        placed = Placed(transform, f"{Path(placement.align).name} (--align)")
    elif placement.landmarks is not None:
        name = Path(placement.landmarks).name
        fit = fit_landmarks(
            read_landmarks(placement.landmarks, sample.mpp), sample.mpp, sample.footprint.pitch_um, name
        )
        figures = {
            "kind": fit.kind,
            "residual_um": round(fit.residual_um, 3),
            "left_out_um": round(fit.left_out_um, 3),
            "worst_um": round(fit.worst_um, 3),
            "worst_line": fit.worst,
        }
        placed = Placed(fit.transform, f"{fit.kind} on {name} (--landmarks)", {"landmarks": figures})
    elif placement.register:
        transform, origin, figures, warnings = register_image(slide, sample, adata, entry, force=force)
        placed = Placed(transform, origin, figures, warnings)
    elif placement.orient is not None:
        placed = _oriented(slide, thumbnail, sample, adata, placement.orient)
    elif sample.to_image is not None:
        placed = Placed(sample.image_transform, "the vendor's alignment file")
    else:
        placed = _same_image(slide, thumbnail, sample, adata)
    if (shift := placement.shift()) is not None:
        per_um = placed.transform.scale / sample.mpp
        placed.transform = Affine.scaling(1.0, (shift[0] * per_um, shift[1] * per_um)) @ placed.transform
        placed.origin += f", shifted by {shift[0]:g}, {shift[1]:g} µm (--shift-um)"
    if (stretch := placed.transform.anisotropy - 1) > SCALE_TOLERANCE:
        placed.warnings.append(
            f"the transform from positions to image is sheared or stretched by {100 * stretch:.1f} % ({placed.origin})"
        )
    implied = sample.mpp / placed.transform.scale
    if slide.file_mpp is not None and abs(slide.file_mpp / implied - 1) > SCALE_TOLERANCE:
        placed.warnings.append(
            f"{slide.path.name} states {slide.file_mpp:.4g} µm per pixel, the positions imply {implied:.4g}; "
            "the latter is used"
        )
    return placed


def link(sample: RawSample, adata: AnnData, placed: Placed | None, array: tuple[Affine, float] | None) -> Coordinates:
    """Link the coordinate systems, and re-base positions onto an H&E that is turned or shifted against them.

    Where the transform is more than a scaling, `adata`'s positions become pixels of the H&E and `sample.mpp` its
    µm per pixel; the vendor's are `System.VENDOR` then.

    Parameters
    ----------
    placed
        How the positions lie on the H&E; None without an image.
    array
        (column, row) → the vendor's pixels, and its median residual in them; None where there is no array.
    """
    known = Coordinates()
    rebased = placed is not None and not placed.transform.is_scaling()
    if rebased:
        known.add(System.VENDOR, System.FULLRES, placed.transform, placed.origin)
        adata.obsm[keys.SPATIAL] = placed.transform(adata.obsm[keys.SPATIAL])
        sample.mpp = sample.mpp / placed.transform.scale
        sample.to_image, sample.image_scale = None, 1.0
        known.add(System.FULLRES, System.IMAGE, Affine.scaling(1.0), "positions re-based onto the H&E")
    elif placed is not None:
        sample.to_image, sample.image_scale = None, placed.transform.scale
        known.add(System.FULLRES, System.IMAGE, placed.transform, placed.origin)
    to_um = Affine.scaling(sample.mpp)
    known.add(System.FULLRES, System.UM, to_um, f"{sample.mpp:.6g} µm per pixel")
    if rebased:  # otherwise the reader's own µm stay as they are
        adata.obsm[keys.SPATIAL_UM] = to_um(adata.obsm[keys.SPATIAL])
    if array is not None:
        target = System.VENDOR if rebased else System.FULLRES
        known.add(System.ARRAY, target, array[0], f"fitted on the locations, median residual {array[1]:.3g} px")
    return known


def _same_image(slide: Slide, thumbnail: np.ndarray, sample: RawSample, adata: AnnData) -> Placed:
    """The image that the positions refer to, or a copy of it at the scale that the file states.

    The file is followed where the locations then fit the image better beyond doubt.
    """
    from focus_cli.histology.slides import optical_density, tissue_mask, unmix
    from focus_cli.platforms.alignment import Scales

    transform, origin = sample.image_transform, "the same image"
    implied, stated = sample.mpp / transform.scale, slide.file_mpp
    if stated is None or abs(stated / implied - 1) <= SCALE_TOLERANCE:
        return Placed(transform, origin)
    um_per_px, factor = implied * slide.width / thumbnail.shape[1], implied / stated
    (fit,) = Scales(
        transform(adata.obsm[keys.SPATIAL]) * implied,
        adata.obs[keys.TOTAL_COUNTS].to_numpy(),
        unmix(optical_density(thumbnail))[..., 0],
        tissue_mask(thumbnail, um_per_px),
        um_per_px=um_per_px,
        pitch_um=sample.footprint.pitch_um,
    ).compare([factor])
    if not fit.agreement.significant or fit.agreement.inside < MIN_INSIDE:
        return Placed(transform, origin)
    note = (
        f"{slide.path.name} states {stated:.4g} µm per pixel, the positions imply {implied:.4g}: it is used as a copy "
        f"at {factor:.4g} of the size, at which {fit.agreement.on_tissue:.0%} of the locations lie on tissue"
    )
    return Placed(
        Affine.scaling(factor) @ transform,
        f"a copy of the same image, at the scale that {slide.path.name} states",
        warnings=[note],
    )


def _oriented(slide: Slide, thumbnail: np.ndarray, sample: RawSample, adata: AnnData, name: str) -> Placed:
    """Turn the positions within the frame of the image; of two frames, in that which agrees better with it."""
    from focus_cli.histology.slides import optical_density, tissue_mask, unmix
    from focus_cli.platforms.alignment import ORIENTATIONS, named_orientation, orientation_frame, orientation_transform

    index = named_orientation(name)
    to_image = sample.image_transform
    mpp_image = sample.mpp / to_image.scale
    um_per_px = mpp_image * slide.width / thumbnail.shape[1]
    frame_um = orientation_frame(
        to_image(adata.obsm[keys.SPATIAL]) * mpp_image,
        adata.obs[keys.TOTAL_COUNTS].to_numpy(),
        unmix(optical_density(thumbnail))[..., 0],
        tissue_mask(thumbnail, um_per_px),
        index,
        um_per_px=um_per_px,
        pitch_um=sample.footprint.pitch_um,
    )
    # The thumbnail's sides are whole pixels: of the image's own two sides, the nearer is meant.
    frame = (slide.width, slide.height)
    if abs(frame_um[0] - slide.width * mpp_image) > abs(frame_um[0] - slide.height * mpp_image):
        frame = (slide.height, slide.width)
    return Placed(orientation_transform(*frame, index) @ to_image, f"{ORIENTATIONS[index]} (--orient)")
