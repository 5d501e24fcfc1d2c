"""The stage behind `focus preprocess`: a raw vendor folder becomes a stored sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine, Coordinates, System
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.provenance import describe_run
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import SampleInfo, StoredSample, check_output, is_sample, write_sample
from focus_cli.core.storage.kinds import SAMPLE
from focus_cli.core.storage.sample import check_sample_id
from focus_cli.platforms.preprocessing.encoding import Encoding
from focus_cli.platforms.preprocessing.image_fit import (
    HIRES_SIDE,
    check_fit,
    check_histology,
    draw_registration,
    image_info,
    note_damage,
    picture_entry,
    spatial_entry,
)
from focus_cli.platforms.preprocessing.panel import one_species
from focus_cli.platforms.preprocessing.placement import Placing, link, place_image

if TYPE_CHECKING:
    from anndata import AnnData

    from focus_cli.histology.slides import Slide
    from focus_cli.platforms import RawSample

MARGIN_UM = 150.0  # image features reach this far beyond the outermost locations
_LESS_MEMORY = "give the H&E as a tiled TIFF, which is read piece by piece, or larger bins with --bin-um"


def preprocess(
    raw: Path,
    out: Path,
    sample_id: str,
    *,
    platform: str = "auto",
    step_um: float = 8.0,
    organ: str = "",
    species: str = "",
    overwrite: bool = False,
    force: bool = False,
    use_image: bool = True,
    align: Path | None = None,
    align_from: str | None = None,
    landmarks: Path | None = None,
    register: bool = False,
    orient: str | None = None,
    shift_um: str | None = None,
    encoding: Encoding | None = None,
    check: Callable[[RawSample], None] | None = None,
    **reader: Any,
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
    platform
        As for `focus_cli.platforms.read`.
    step_um
        Pitch of the raster of image features, in µm.
    organ, species
        What the tissue is, in the user's words; a condition of the model where it was trained on several. Of a panel
        of several species, the genes of the stated one are kept.
    overwrite
        Replace `out` if it exists.
    force
        Go on, with a warning, where the image is not an H&E or does not fit the locations.
    use_image
        False leaves the image aside, even where there is one.
    align, align_from, landmarks, register, orient, shift_um
        How image and positions relate, where the vendor's files do not say; see `Placing`.
    encoding
        The learned encoder that measures the image beside the built-in features; none by default.
    check
        Called with what was read, before the image is looked at: may refuse it.
    reader
        ``image``, ``mpp`` and the other options of `focus_cli.platforms.read`.

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
        If a file, or µm per pixel, is not there, or memory clearly does not suffice.
    BadInputError
        If a file's content cannot be used, or the image does not fit the locations.
    """
    from focus_cli import platforms
    from focus_cli.platforms.alignment import bounding_box, fit_array

    raw, out = Path(raw), Path(out)
    check_sample_id(sample_id)
    given = [raw, align, landmarks, *reader.values(), *((encoding.spec, encoding.store) if encoding else ())]
    check_output(out, SAMPLE, inputs=given, overwrite=overwrite)
    if not 0 < step_um <= 1000:
        raise UsageError(f"--step-um {step_um:g} is not a raster pitch", hint="8 is the default; 4 to 50 is sensible")
    if reader.get("image") is not None and not use_image:
        raise UsageError("--image and --no-image contradict each other", hint="choose one")
    how = Placing(align, align_from, landmarks, register, orient, shift_um)
    how.check()
    if how.given() and not use_image:
        raise UsageError(f"{how.named()[0]} and --no-image contradict each other", hint="choose one")
    encoding = encoding or Encoding()
    if encoding.spec is not None and not use_image:
        raise UsageError("--encoder and --no-image contradict each other", hint="choose one")
    encoder = encoding.open()
    if is_sample(raw):
        raise UsageError(
            f"{raw} is a FOCUS sample already", hint="give the folder that the instrument's software wrote"
        )

    size = sample_size(raw, platform=platform, image=reader.get("image"), bin_um=reader.get("bin_um"))
    check_memory("preprocess", size if use_image else replace(size, image_px=0, whole_px=0), lower=_LESS_MEMORY)
    sample = platforms.read(raw, platform, **reader)
    if check is not None:
        check(sample)
    warnings = list(sample.warnings)
    inputs = dict(sample.inputs)
    array = _fit_array(sample, fit_array)
    sample.adata, said = one_species(sample.adata, species)
    warnings += [line for line in said if line not in warnings]
    adata, dropped = keep_locations(sample.adata)
    warnings += dropped
    entry = _vendor_entry(adata)
    if not use_image:
        sample.image_path = None
        inputs.pop("image", None)
        warnings.append("the image was left aside (--no-image)")
    settings = {
        "force": force,
        "organ": organ,
        "platform": platform,
        "sample_id": sample_id,
        "species": species,
        "step_um": step_um,
        "use_image": use_image,
        **{name: value for name, value in reader.items() if name != "image"},
        **how.settings(),
        **encoding.settings(),
    }
    if sample.image_path is None:
        if how.given() or encoder is not None:
            option = how.named()[0] if how.given() else "--encoder"
            raise UsageError(f"{option} needs an image, and none was found", hint="pass --image")
        coordinates = link(sample, adata, None, array)
        return _store(out, settings, sample, adata, coordinates, warnings, inputs, entry, overwrite)

    from focus_cli.histology.features import write_morphology
    from focus_cli.histology.slides import MAX_DAMAGED, open_slide

    with open_slide(sample.image_path, reader.get("mpp"), max_damaged=MAX_DAMAGED) as slide:
        thumbnail = slide.thumbnail(HIRES_SIDE)
        warnings += slide.notes + check_histology(slide.path.name, thumbnail, force=force)
        placed = place_image(slide, thumbnail, sample, adata, entry, how, force=force)
        inputs |= how.inputs()
        old_mpp = sample.mpp
        coordinates = link(sample, adata, placed, array)
        slide.mpp = sample.mpp / coordinates.between(System.FULLRES, System.IMAGE).scale
        direction = None if align is None else align_from or "image"
        figures, notes = check_fit(slide, thumbnail, sample, adata, align_from=direction, force=force)
        warnings += placed.warnings + notes
        bounds = bounding_box(adata.obsm[keys.SPATIAL_UM], MARGIN_UM)
        entry = picture_entry(entry, thumbnail, slide, coordinates, sample.mpp / old_mpp)

        def morphology(folder: Path) -> None:
            write_morphology(
                slide, folder / keys.MORPHOLOGY_ZARR, mpp_image=slide.mpp, step_um=step_um, bounds_um=bounds
            )
            note_damage(slide, warnings)

        def encoded(folder: Path) -> None:
            if encoder is not None:
                encoding.write(encoder, slide, folder, bounds)

        def pictures(folder: Path) -> None:
            if coordinates.knows(System.VENDOR):
                draw_registration(folder / keys.REGISTRATION_PNG, thumbnail, slide, sample, adata)

        return _store(
            out,
            settings,
            sample,
            adata,
            coordinates,
            warnings,
            inputs,
            entry,
            overwrite,
            slide,
            figures | placed.figures,
            [morphology, encoded, pictures],
        )


def _fit_array(sample: RawSample, fit_array) -> tuple[Affine, float] | None:
    obs = sample.adata.obs
    if keys.ARRAY_ROW not in obs or keys.ARRAY_COL not in obs:
        return None
    row, column = (obs[k].to_numpy() for k in (keys.ARRAY_ROW, keys.ARRAY_COL))
    return fit_array(row, column, sample.adata.obsm[keys.SPATIAL])


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
    coordinates: Coordinates,
    warnings: list[str],
    inputs: dict[str, Path],
    entry: dict[str, Any],
    overwrite: bool,
    slide: Slide | None = None,
    figures: dict[str, Any] | None = None,
    parts: Sequence[Callable[[Path], None]] = (),
) -> StoredSample:
    record, sample_id = describe_run("preprocess", settings, inputs), settings["sample_id"]
    image = None
    if slide is not None:
        scale = coordinates.between(System.FULLRES, System.IMAGE).scale
        image = image_info(slide, out, record["inputs"]["image"]["sha256"], scale)
    adata.uns[keys.UNS_SPATIAL] = spatial_entry(sample_id, entry, sample.footprint, sample.mpp)
    info = SampleInfo(
        sample_id=sample_id,
        platform=sample.platform,
        mpp=sample.mpp,
        footprint=sample.footprint,
        n_locations=adata.n_obs,
        n_genes=adata.n_vars,
        image=image,
        organ=settings["organ"],
        species=settings["species"],
        alignment=figures or {},
        coordinates=coordinates,
        warnings=warnings,
        provenance=record,
    )
    for warning in warnings:
        print_message(f"warning: {warning}")
    return write_sample(out, info, adata, parts=parts, overwrite=overwrite)
