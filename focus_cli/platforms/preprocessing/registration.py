"""Registration of a slide on a sample: the pictures that are compared, and at which scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError

if TYPE_CHECKING:
    from anndata import AnnData

    from focus_cli.histology.slides import Slide
    from focus_cli.platforms import RawSample
    from focus_cli.platforms.alignment.placement import Points, Slice

_SEARCH_SIDE = 1200  # px of the picture in which the place is searched
_NEAR_SIDE = 1600  # px of the part of the H&E on which it is refined
_SEARCH_UM = 100.0
_FINE_UM = 50.0
_PICTURE_STEPS = 80  # points along the longer side of a vendor's picture


def register_image(
    slide: Slide, sample: RawSample, adata: AnnData, entry: dict[str, Any], *, force: bool
) -> tuple[Affine, str, dict[str, Any], list[str]]:
    """Register the H&E on the vendor's picture, where there is another one, else on the locations.

    Parameters
    ----------
    slide
        The H&E; its `mpp` is set to the file's own, or to a guess where the file states nothing.
    sample, adata, entry, force
        As for `focus_cli.platforms.preprocessing.placement.place_image`.

    Returns
    -------
    transform, origin, figures, warnings
        The vendor's pixels → pixels of the H&E, and what is known of it.

    Raises
    ------
    BadInputError
        If the place cannot be trusted.
    """
    from focus_cli.platforms.alignment.placement import Points
    from focus_cli.platforms.alignment.registration import SCALES_UNKNOWN, check_registration, register

    xy_um = adata.obsm[keys.SPATIAL] * sample.mpp
    counts, pitch = adata.obs[keys.TOTAL_COUNTS].to_numpy(), sample.footprint.pitch_um
    sides = [("locations", *(Points.of_locations(xy_um, counts, pitch, um) for um in (_SEARCH_UM, _FINE_UM)))]
    if (picture := _picture_points(sample, entry)) is not None:
        sides.insert(0, ("the vendor's picture", picture, picture))
    refused = None
    for number, (name, points, fine) in enumerate(sides):
        scales: tuple[float, ...] = (1.0,)
        if slide.file_mpp is None:  # the scale is guessed from the tissue's area, then searched
            slide.mpp, scales = _guessed_mpp(slide, points), SCALES_UNKNOWN
        else:
            slide.mpp = slide.file_mpp
        whole = _whole(slide)

        def closer(bounds: tuple[float, float, float, float]) -> Slice:
            return _part(slide, bounds)

        found = register(points, fine, whole, scales=scales, closer=closer)
        try:
            last = number == len(sides) - 1
            warnings = check_registration(found, slide.path.name, force=force and last)
        except BadInputError as error:
            refused = error
            if slide.file_mpp is None:
                advice = "the image states no µm per pixel: a TIFF or SVS that does is easier to place"
                refused = BadInputError(error.message, hint=f"{advice}; or {error.hint}")
            continue
        transform = Affine.scaling(1 / slide.mpp) @ found.transform @ Affine.scaling(sample.mpp)
        figures = {"registration": {"on": name} | found.figures()}
        return transform, f"registered on {name} (--register)", figures, warnings
    raise refused


def _whole(slide: Slide) -> Slice:
    rgb = slide.thumbnail(_SEARCH_SIDE)
    return _slice(rgb, slide.require_mpp() * slide.width / rgb.shape[1], (0.0, 0.0))


def _part(slide: Slide, bounds_um: tuple[float, float, float, float]) -> Slice:
    """The part of the H&E within bounds, at a scale that fine windows need and memory bears."""
    mpp = slide.require_mpp()
    x0, y0 = (max(0, int(low / mpp)) for low in bounds_um[:2])
    x1, y1 = (min(side, int(high / mpp) + 1) for side, high in zip((slide.width, slide.height), bounds_um[2:]))
    if x1 <= x0 or y1 <= y0:
        return _whole(slide)
    shrunk = max(1.0, max(x1 - x0, y1 - y0) / _NEAR_SIDE)
    rgb = slide.read(x0, y0, x1 - x0, y1 - y0, mpp=mpp * shrunk)
    return _slice(rgb, mpp * (x1 - x0) / rgb.shape[1], (x0 * mpp, y0 * mpp))


def _slice(rgb: np.ndarray, um_per_px: float, origin_um: tuple[float, float]) -> Slice:
    from focus_cli.histology.slides import optical_density, tissue_mask, unmix
    from focus_cli.platforms.alignment.placement import Slice

    return Slice(unmix(optical_density(rgb))[..., 0], tissue_mask(rgb, um_per_px), um_per_px, origin_um)


def _guessed_mpp(slide: Slide, points: Points) -> float:
    from focus_cli.histology.slides import tissue_mask

    rgb = slide.thumbnail(_SEARCH_SIDE)
    area_px = tissue_mask(rgb, 10.0).sum() * (slide.width / rgb.shape[1]) ** 2
    return float(np.sqrt(len(points.xy_um) * points.spacing_um**2 / max(area_px, 1.0)))


def _picture_points(sample: RawSample, entry: dict[str, Any]) -> Points | None:
    """The vendor's own picture as points whose level is its nuclei: stained on an H&E, bright in fluorescence."""
    from focus_cli.histology.slides import is_histology, optical_density, tissue_mask, unmix
    from focus_cli.platforms.alignment.agreement import pool, standard_ranks
    from focus_cli.platforms.alignment.placement import Points

    rgb = entry.get("images", {}).get("hires")
    factor = entry.get("scalefactors", {}).get("tissue_hires_scalef")
    if rgb is None or not factor or sample.inputs.get("thumbnail_hires") == sample.image_path:
        return None
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.dtype != np.uint8:
        return None
    um = sample.mpp / float(factor)
    if is_histology(rgb[..., :3])[0]:
        nuclei, tissue = unmix(optical_density(rgb[..., :3]))[..., 0], tissue_mask(rgb[..., :3], um)
    else:
        from skimage.filters import gaussian, threshold_otsu

        nuclei = rgb[..., :3].max(axis=2).astype(np.float32)
        smooth = gaussian(nuclei, 20 / um)
        if nuclei.mean() > 128 or np.ptp(smooth) < 1:  # neither an H&E nor fluorescence
            return None
        tissue = smooth > threshold_otsu(smooth) / 2
    row, column = np.nonzero(tissue)
    if len(row) < 1000:
        return None
    xy = (np.column_stack([column, row]) + 0.5) * um
    spacing = max(_FINE_UM, float(np.ptp(xy, axis=0).max()) / _PICTURE_STEPS)
    xy, level = pool(xy, np.maximum(nuclei[row, column], 0).astype(float), spacing, um)
    return Points(xy, standard_ranks(level), spacing)
