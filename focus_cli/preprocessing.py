"""The stage behind `focus preprocess`: a raw vendor folder becomes a stored sample."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli import keys
from focus_cli.errors import BadInputError, UsageError
from focus_cli.progress import say
from focus_cli.provenance import describe_run
from focus_cli.store import ImageInfo, SampleInfo, StoredSample, is_sample, refuse_existing, write_sample
from focus_cli.store.sample import check_sample_id

if TYPE_CHECKING:
    from anndata import AnnData

    from focus_cli.platforms import RawSample
    from focus_cli.slides import Slide

HIRES_SIDE = 2000  # px, as Space Ranger's
LOWRES_SIDE = 600
MARGIN_UM = 150.0  # image features reach this far beyond the outermost locations
_MPP_TOLERANCE = 0.05


def preprocess(
    raw: Path,
    out: Path,
    sample_id: str,
    *,
    platform: str = "auto",
    image: Path | None = None,
    mpp: float | None = None,
    bin_um: float | None = None,
    step_um: float = 8.0,
    organ: str = "",
    species: str = "",
    overwrite: bool = False,
    force: bool = False,
    use_image: bool = True,
) -> StoredSample:
    """Read a raw sample, check it against its image, and store it.

    Parameters
    ----------
    raw
        What the instrument's software wrote.
    out
        Sample folder to make.
    sample_id
        Letters, digits, dot, dash, underscore.
    platform, image, mpp, bin_um
        As for `focus_cli.platforms.read`.
    step_um
        Pitch of the raster of image features, in µm.
    organ, species
        What the tissue is, in the user's words; a condition of the model where it was trained on several.
    overwrite
        Replace `out` if it exists.
    force
        Go on, with a warning, where the image is not an H&E or does not fit the locations.
    use_image
        False leaves the image aside, even where there is one.

    Returns
    -------
    StoredSample
        With the locations that are in tissue and have at least one molecule.

    Raises
    ------
    OutputExistsError
        If `out` exists and `overwrite` is false.
    UsageError
        If an option makes no sense.
    MissingResourceError
        If a file, or µm per pixel, is not there.
    BadInputError
        If a file's content cannot be used, or the image does not fit the locations.
    """
    from focus_cli import platforms

    raw, out = Path(raw), Path(out)
    check_sample_id(sample_id)
    refuse_existing(out, overwrite)
    if not 0 < step_um <= 1000:
        raise UsageError(f"--step-um {step_um:g} is not a raster pitch", hint="8 is the default; 4 to 50 is sensible")
    if image is not None and not use_image:
        raise UsageError("--image and --no-image contradict each other", hint="choose one")
    if is_sample(raw):
        raise UsageError(
            f"{raw} is a FOCUS sample already", hint="give the folder that the instrument's software wrote"
        )

    sample = platforms.read(raw, platform, image=image, mpp=mpp, bin_um=bin_um)
    warnings = list(sample.warnings)
    inputs = dict(sample.inputs)
    adata, dropped = keep_locations(sample.adata)
    warnings += dropped
    entry = _vendor_entry(adata)
    if not use_image:
        sample.image_path = None
        inputs.pop("image", None)
        warnings.append("the image was left aside (--no-image)")
    settings = {
        "bin_um": bin_um,
        "force": force,
        "mpp": mpp,
        "organ": organ,
        "platform": platform,
        "sample_id": sample_id,
        "species": species,
        "step_um": step_um,
        "use_image": use_image,
    }
    if sample.image_path is None:
        return _store(out, settings, sample, adata, warnings, inputs, entry, overwrite)

    from focus_cli.features import write_morphology
    from focus_cli.slides import open_slide

    mpp_image = sample.mpp / sample.image_scale
    with open_slide(sample.image_path, mpp=mpp_image) as slide:
        figures, entry, notes = fit_image(slide, sample, adata, entry, force=force)
        warnings += notes

        def morphology(path: Path) -> None:
            from focus_cli.alignment import bounding_box

            bounds = bounding_box(adata.obsm[keys.SPATIAL_UM], MARGIN_UM)
            write_morphology(slide, path, mpp_image=mpp_image, step_um=step_um, bounds_um=bounds)

        return _store(
            out,
            settings,
            sample,
            adata,
            warnings,
            inputs,
            entry,
            overwrite,
            slide,
            figures,
            morphology,
        )


def keep_locations(adata: AnnData) -> tuple[AnnData, list[str]]:
    """Keep the locations in tissue that have a molecule, and set ``obs["total_counts"]``.

    Returns
    -------
    adata
        A copy without the others, or `adata` itself if none is dropped.
    warnings
        How many were dropped, and why.

    Raises
    ------
    BadInputError
        If none is left.
    """
    total = np.asarray(adata.X.sum(axis=1, dtype=np.float64)).ravel()
    in_tissue = adata.obs[keys.IN_TISSUE].to_numpy() == 1
    kept = in_tissue & (total > 0)
    warnings = []
    if not in_tissue.all():
        warnings.append(f"{int(np.sum(~in_tissue))} of {adata.n_obs} locations are not in tissue and were left out")
    if empty := int(np.sum(in_tissue & (total == 0))):
        warnings.append(f"{empty} of {adata.n_obs} locations in tissue have no molecule and were left out")
    if not kept.any():
        raise BadInputError(
            f"no spot on tissue: none of {adata.n_obs} locations is in tissue and has a molecule",
            hint="check the in_tissue column of the positions",
        )
    if not kept.all():
        adata = adata[kept].copy()
    adata.obs[keys.TOTAL_COUNTS] = total[kept].astype(np.int64)
    return adata, warnings


def fit_image(
    slide: Slide, sample: RawSample, adata: AnnData, entry: dict[str, Any], *, force: bool
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Check that the slide is the H&E of these locations, and make its thumbnails.

    Returns
    -------
    figures
        For ``sample.json``: agreement in all eight orientations.
    entry
        ``uns["spatial"][sample_id]``: images uint8, scale factors, metadata.
    warnings
        One line each.

    Raises
    ------
    BadInputError
        If it is no H&E, or the locations do not fit it, unless `force`.
    """
    from focus_cli.alignment import check_orientation
    from focus_cli.slides import is_histology, tissue_mask
    from focus_cli.slides.stain import optical_density, unmix

    warnings = []
    mpp_image = sample.mpp / sample.image_scale
    if slide.file_mpp is not None and abs(slide.file_mpp / mpp_image - 1) > _MPP_TOLERANCE:
        warnings.append(
            f"{slide.path.name} states {slide.file_mpp:.4g} µm per pixel, the positions say {mpp_image:.4g}; "
            "the latter is used"
        )
    thumbnail = slide.thumbnail(HIRES_SIDE)
    real, seen = is_histology(thumbnail)
    if not real:
        message = f"{slide.path.name} is not an H&E image: {seen.reason}"
        if not force:
            raise BadInputError(
                message,
                hint="give the H&E with --image, or leave it aside with --no-image; --force overrides",
            )
        warnings.append(f"{message} (forced)")
    um_per_px = mpp_image * slide.width / thumbnail.shape[1]
    figures, notes = check_orientation(
        adata.obsm[keys.SPATIAL_UM],
        adata.obs[keys.TOTAL_COUNTS].to_numpy(),
        unmix(optical_density(thumbnail))[..., 0],
        tissue_mask(thumbnail, um_per_px),
        um_per_px=um_per_px,
        pitch_um=sample.footprint.pitch_um,
        force=force,
    )
    small = _shrink(thumbnail, LOWRES_SIDE)
    full_width = slide.width / sample.image_scale
    factors = {
        **entry.get("scalefactors", {}),
        "tissue_hires_scalef": thumbnail.shape[1] / full_width,
        "tissue_lowres_scalef": small.shape[1] / full_width,
    }
    return (
        figures,
        {"images": {"hires": thumbnail, "lowres": small}, "scalefactors": factors},
        warnings + notes,
    )


def _shrink(rgb: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    height, width = rgb.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))


def _vendor_entry(adata: AnnData) -> dict[str, Any]:
    """Take the vendor's thumbnails and scale factors out of `uns`; they are stored under the sample's id."""
    spatial = adata.uns.pop(keys.UNS_SPATIAL, {})
    entry = next(iter(spatial.values()), {})
    return {"images": dict(entry.get("images", {})), "scalefactors": dict(entry.get("scalefactors", {}))}


def _store(
    out: Path,
    settings: dict[str, Any],
    sample: RawSample,
    adata: AnnData,
    warnings: list[str],
    inputs: dict[str, Path],
    entry: dict[str, Any],
    overwrite: bool,
    slide: Slide | None = None,
    figures: dict[str, Any] | None = None,
    morphology=None,
) -> StoredSample:
    record, sample_id = describe_run("preprocess", settings, inputs), settings["sample_id"]
    image_info = None
    if slide is not None:
        image_info = ImageInfo(
            # Relative to the sample, so that a study that is moved as a whole stays the same.
            path=Path(os.path.relpath(slide.path, out)).as_posix(),
            sha256=record["inputs"]["image"]["sha256"],
            width=slide.width,
            height=slide.height,
            scale=sample.image_scale,
            mpp=sample.mpp / sample.image_scale,
        )
    factors = {
        **entry["scalefactors"],
        "spot_diameter_fullres": sample.footprint.size_um / sample.mpp,
        "microns_per_pixel": sample.mpp,
    }
    adata.uns[keys.UNS_SPATIAL] = {
        sample_id: {
            "images": entry["images"],
            "scalefactors": {k: float(v) for k, v in sorted(factors.items())},
            "metadata": {},
        }
    }
    info = SampleInfo(
        sample_id=sample_id,
        platform=sample.platform,
        mpp=sample.mpp,
        footprint=sample.footprint,
        n_locations=adata.n_obs,
        n_genes=adata.n_vars,
        image=image_info,
        organ=settings["organ"],
        species=settings["species"],
        alignment=figures or {},
        warnings=warnings,
        provenance=record,
    )
    for warning in warnings:
        say(f"warning: {warning}")
    return write_sample(out, info, adata, write_morphology=morphology, overwrite=overwrite)
