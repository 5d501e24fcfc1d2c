"""Whether a slide is the H&E of these locations, and the pictures of it that the sample keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.coordinates import Coordinates, System
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import Footprint, ImageInfo

if TYPE_CHECKING:
    from anndata import AnnData

    from focus_cli.histology.slides import Slide
    from focus_cli.platforms import RawSample
    from focus_cli.platforms.alignment import ScaleFit

HIRES_SIDE = 2000  # px, as Space Ranger's
LOWRES_SIDE = 600
SCALE_TOLERANCE = 0.03  # two statements of one scale, or two axes, that differ by more disagree
MIN_PLACED = 0.5  # share of the locations that a given transform must lay on tissue


def check_histology(name: str, thumbnail: np.ndarray, *, force: bool) -> list[str]:
    """Refuse an image that is not an H&E, or warn where `force` is given.

    Raises
    ------
    BadInputError
        With what it looks like.
    """
    from focus_cli.histology.slides import is_histology

    real, seen = is_histology(thumbnail)
    if real:
        return []
    message = f"{name} is not an H&E image: {seen.reason}"
    if force:
        return [f"{message} (forced)"]
    raise BadInputError(
        message,
        hint="give the H&E with --image, or ignore it with --no-image; --force overrides",
    )


def check_fit(
    slide: Slide,
    thumbnail: np.ndarray,
    sample: RawSample,
    adata: AnnData,
    *,
    align_from: str | None = None,
    force: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Check that the locations lie on this H&E, the right way round and in their place.

    Parameters
    ----------
    align_from
        The direction of the given alignment; None where none was given.
    force
        Let all pass, with warnings.

    Returns
    -------
    figures
        For ``sample.json``: agreement in all eight orientations, and at the best shift.
    warnings
        One line each.

    Raises
    ------
    BadInputError
        If the locations do not fit it, unless `force`.
    """
    from focus_cli.histology.slides import optical_density, tissue_mask, unmix
    from focus_cli.platforms.alignment import (
        BetterOrientationError,
        Scales,
        Signals,
        check_mismatch,
        check_orientation,
        check_shifts,
        compare_shifts,
        compare_with_chance,
    )

    um_per_px = slide.mpp * slide.width / thumbnail.shape[1]
    xy, counts = adata.obsm[keys.SPATIAL_UM], adata.obs[keys.TOTAL_COUNTS].to_numpy()
    nuclei, tissue = unmix(optical_density(thumbnail))[..., 0], tissue_mask(thumbnail, um_per_px)
    scale: dict[str, Any] = {"um_per_px": um_per_px, "pitch_um": sample.footprint.pitch_um}
    scale["signals"] = Signals.of(xy, counts, nuclei, tissue, **scale)
    scales = Scales(xy, counts, nuclei, tissue, **scale)
    chance = compare_with_chance(xy, counts, nuclei, tissue, **scale)
    try:
        figures, warnings = check_orientation(xy, counts, nuclei, tissue, **scale, force=force)
    except BadInputError as refusal:  # at a wrong scale a turn may fit better, and would hide it
        other = scales.search()
        inside = np.all((xy >= 0) & (xy < np.array(thumbnail.shape[1::-1]) * um_per_px))
        if other is None and inside and not _scales_differ(slide) and not isinstance(refusal, BetterOrientationError):
            check_mismatch(chance)
        raise name_scales(slide, refusal, other) from refusal
    if not (warnings and force) and (other := scales.search()) is not None and other.certain:
        refusal = name_scales(slide, BadInputError("the locations fit the image better at another scale"), other)
        if not force:
            raise refusal
        warnings = [f"{refusal.message} (forced)"]
    figures["shift"] = compare_shifts(xy, counts, nuclei, tissue, **scale)
    figures["chance"] = chance
    if align_from is not None:
        check_alignment(figures, align_from, force=force)
    if not any(line.endswith("(forced)") for line in warnings):  # what is wrong already needs no second word
        warnings += check_shifts(figures["shift"], figures, force=force) or check_mismatch(chance, force=force)
    return figures, warnings


def name_scales(slide: Slide, refusal: BadInputError, other: ScaleFit | None) -> BadInputError:
    """A refusal that names the scales of positions and image first, where they may be its cause.

    Parameters
    ----------
    slide
        The H&E; its `mpp` is what the positions state.
    refusal
        Why positions and image do not fit.
    other
        Another scale at which they do.
    """
    stated, differ = slide.file_mpp, _scales_differ(slide)
    if other is None and not differ:
        return refusal
    scales = f"by the positions {slide.path.name} has {slide.mpp:.4g} µm per pixel"
    if differ:
        scales += f", the file states {stated:.4g}"
    if other is None:
        hint = "is it another copy of the image that the positions refer to? give that one, or --align or --landmarks"
        return BadInputError(f"{scales}; {refusal.message}", hint=f"{hint}; --force continues regardless")
    how = other.agreement
    message = (
        f"{scales}; the locations fit it at {slide.mpp / other.factor:.4g} µm per pixel: {how.on_tissue:.0%} "
        f"on tissue, correlation with nuclei {how.correlation:.2f}"
    )
    copy = f"a copy {'reduced' if other.factor < 1 else 'enlarged'} to {other.factor:.3g} of the size"
    return BadInputError(
        message,
        hint=f"it looks like {copy}: give the image that the positions refer to, or a TIFF that states its µm per "
        "pixel, or pass --register; --force continues regardless",
    )


def _scales_differ(slide: Slide) -> bool:
    """Whether the file states another scale than the positions give its image."""
    return slide.file_mpp is not None and abs(slide.file_mpp / slide.mpp - 1) > SCALE_TOLERANCE


def check_alignment(figures: dict[str, Any], align_from: str, *, force: bool) -> None:
    """Refuse a table of numbers that lays most locations beside the tissue: it may map the other way.

    Parameters
    ----------
    figures
        As `check_fit` gives them.
    align_from
        The direction that was taken.
    force
        Let it pass.

    Raises
    ------
    BadInputError
        Naming the option that takes the other direction.
    """
    if figures["on_tissue"] >= MIN_PLACED or force:  # `check_fit` has warned of it
        return
    message = f"--align lays {figures['on_tissue']:.0%} of the locations on tissue"
    other = "positions" if align_from == "image" else "image"
    raise BadInputError(
        message, hint=f"does it map the other way? try --align-from {other}; --force continues regardless"
    )


def image_entry(
    entry: dict[str, Any], thumbnail: np.ndarray, slide: Slide, coordinates: Coordinates, shrunk: float
) -> dict[str, Any]:
    """``uns["spatial"][sample_id]``: images uint8 and scale factors per full-resolution pixel.

    `shrunk` is µm per pixel now over µm per pixel as the vendor's factors mean it.
    """
    from focus_cli.platforms.alignment import shrink

    small = shrink(thumbnail, LOWRES_SIDE)
    factors = dict(entry.get("scalefactors", {}))
    if coordinates.knows(System.VENDOR):  # lengths in pixels follow the pixels; factors of other pictures go
        factors = {k: v / shrunk for k, v in factors.items() if k.endswith("_fullres")}
    full_width = slide.width / coordinates.between(System.FULLRES, System.IMAGE).scale
    factors |= {
        "tissue_hires_scalef": thumbnail.shape[1] / full_width,
        "tissue_lowres_scalef": small.shape[1] / full_width,
    }
    return {"images": {"hires": thumbnail, "lowres": small}, "scalefactors": factors}


def image_info(slide: Slide, out: Path, sha256: str, scale: float) -> ImageInfo:
    """``image`` of the ``sample.json`` in folder `out`; `scale` is image pixels per full-resolution pixel."""
    return ImageInfo(
        # Relative to the sample, so that a study that is moved as a whole stays the same.
        path=Path(os.path.relpath(slide.path, out)).as_posix(),
        sha256=sha256,
        width=slide.width,
        height=slide.height,
        scale=scale,
        mpp=slide.mpp,
    )


def spatial_entry(sample_id: str, entry: dict[str, Any], footprint: Footprint, mpp: float) -> dict[str, Any]:
    """``uns["spatial"]`` of a sample, as scanpy and squidpy read it: pictures, factors, the size of a location."""
    factors = {
        **entry["scalefactors"],
        "spot_diameter_fullres": footprint.size_um / mpp,
        "microns_per_pixel": mpp,
    }
    factors = {name: float(value) for name, value in sorted(factors.items())}
    return {sample_id: {"images": entry["images"], "scalefactors": factors, "metadata": {}}}


def note_damage(slide: Slide, warnings: list[str]) -> None:
    """Add to `warnings` how many tiles could not be decoded, now that all of them were read."""
    if damage := slide.damage():
        print_message(f"warning: {damage}")
        warnings.append(damage)


def draw_registration(path: Path, thumbnail: np.ndarray, slide: Slide, sample: RawSample, adata: AnnData) -> None:
    """Draw the locations over the H&E they were laid on; the same sample gives the same bytes."""
    from PIL import Image

    from focus_cli.platforms.alignment import draw_locations

    per_um = thumbnail.shape[1] / (slide.width * slide.mpp)
    xy, radius = adata.obsm[keys.SPATIAL_UM] * per_um, sample.footprint.size_um / 2 * per_um
    Image.fromarray(draw_locations(thumbnail, xy, adata.obs[keys.TOTAL_COUNTS].to_numpy(), radius)).save(path)
