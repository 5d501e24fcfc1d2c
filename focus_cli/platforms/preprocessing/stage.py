"""The stage behind `focus preprocess`: a raw vendor folder becomes a stored sample.

The steps are: check the options, read the raw data, check the counts, place the locations on the image, measure the
image, store the sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine, Coordinates, System
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import warn
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
    image_entry,
    image_info,
    note_damage,
    spatial_entry,
)
from focus_cli.platforms.preprocessing.options import PreprocessOptions
from focus_cli.platforms.preprocessing.panel import one_species
from focus_cli.platforms.preprocessing.placement import link, place_image

if TYPE_CHECKING:
    from anndata import AnnData

    from focus_cli.histology import Encoder
    from focus_cli.histology.slides import Slide
    from focus_cli.platforms import RawSample

MARGIN_UM = 150.0  # image features reach this far beyond the outermost locations
_LESS_MEMORY = "give the H&E as a tiled TIFF, which is read piece by piece, or larger bins with --bin-um"


@dataclass
class _Section:
    """A section between two steps.

    Attributes
    ----------
    sample
        As the reader returned it.
    adata
        Locations in tissue that have counts.
    array
        (column, row) → full-resolution pixels of the vendor, and the median residual in them; None without an array.
    entry
        Thumbnails and scale factors of ``uns["spatial"]``.
    inputs
        Role → file, for the provenance.
    warnings
        One line each; writing the image features may add to them.
    figures
        Of registration and of the check of the fit, for ``sample.json``.
    """

    sample: RawSample
    adata: AnnData
    array: tuple[Affine, float] | None
    entry: dict[str, Any]
    inputs: dict[str, Path]
    warnings: list[str]
    figures: dict[str, Any] = field(default_factory=dict)


def preprocess(
    raw: Path,
    out: Path,
    sample_id: str,
    options: PreprocessOptions | None = None,
    *,
    encoding: Encoding | None = None,
    overwrite: bool = False,
    check: Callable[[RawSample], None] | None = None,
    **keywords: Any,
) -> StoredSample:
    """Read a raw sample, check it against its image, and store it.

    Parameters
    ----------
    raw
        Output of the instrument's software.
    out
        Sample folder to make.
    sample_id
        Letters, digits, dot, dash, underscore.
    options
        How the data are read, placed and measured.
    encoding
        The learned encoder that measures the image beside the built-in features; none by default.
    overwrite
        Replace `out` if it exists.
    check
        Called with the sample as it was read, before the image is opened; may refuse it.
    keywords
        In place of `options`: fields of `PreprocessOptions` (``use_image``, ``step_um``, ``organ``, ``species``,
        ``force``), fields of `Placement` (``align``, ``align_from``, ``landmarks``, ``register``, ``orient``,
        ``shift_um``), and ``platform``, ``image``, ``mpp`` and the other options of `focus_cli.platforms.read`.

    Returns
    -------
    StoredSample
        With the locations that are in tissue and have counts.

    Raises
    ------
    OutputExistsError
        If `out` exists and `overwrite` is false.
    UsageError
        If an option is invalid.
    MissingResourceError
        If a file, or µm per pixel, is missing, or memory clearly does not suffice.
    BadInputError
        If the content of a file cannot be used, or the image does not fit the locations.
    TypeError
        If both `options` and `keywords` are given.
    """
    if options is not None and keywords:
        raise TypeError(f"options and {', '.join(keywords)} were given; pass one of the two")
    options = options or PreprocessOptions.of(**keywords)
    encoding = encoding or Encoding()
    raw, out = Path(raw), Path(out)
    encoder = _check_options(raw, out, sample_id, options, encoding, overwrite=overwrite)
    section = _read(raw, options, check)
    settings = {"sample_id": sample_id, **options.settings(), **encoding.settings()}
    if section.sample.image_path is None:
        if options.placement.given() or encoder is not None:
            option = options.placement.named()[0] if options.placement.given() else "--encoder"
            raise UsageError(f"{option} needs an image, and none was found", hint="pass --image")
        coordinates = link(section.sample, section.adata, None, section.array)
        info = _describe(section, settings, coordinates)
        return write_sample(out, info, section.adata, overwrite=overwrite)

    from focus_cli.histology.slides import MAX_DAMAGED, open_slide

    with open_slide(section.sample.image_path, options.reader.get("mpp"), max_damaged=MAX_DAMAGED) as slide:
        thumbnail = slide.thumbnail(HIRES_SIDE)
        coordinates = _place(section, slide, thumbnail, options)
        info = _describe(section, settings, coordinates, slide, out)
        parts = [
            _write_morphology(section, slide, options.step_um),
            _write_encoded(section, slide, encoding, encoder),
            _write_registration(section, slide, thumbnail, coordinates),
        ]
        return write_sample(out, info, section.adata, parts=parts, overwrite=overwrite)


def _check_options(
    raw: Path, out: Path, sample_id: str, options: PreprocessOptions, encoding: Encoding, *, overwrite: bool
) -> Encoder | None:
    """Refuse invalid options before anything is read; returns the opened encoder, if there is one."""
    check_sample_id(sample_id)
    inputs = [raw, *options.inputs, encoding.spec, encoding.store]
    check_output(out, SAMPLE, inputs=inputs, overwrite=overwrite)
    options.check()
    if encoding.spec is not None and not options.use_image:
        raise UsageError("--encoder and --no-image contradict each other", hint="choose one")
    encoder = encoding.open()
    if is_sample(raw):
        raise UsageError(
            f"{raw} is a FOCUS sample already", hint="give the folder that the instrument's software wrote"
        )
    return encoder


def _read(raw: Path, options: PreprocessOptions, check: Callable[[RawSample], None] | None) -> _Section:
    """Read the raw data and keep the genes of one species and the locations with counts."""
    from focus_cli import platforms

    reader = options.reader_options
    size = sample_size(raw, platform=options.platform, image=reader.get("image"), bin_um=reader.get("bin_um"))
    size = size if options.use_image else replace(size, image_px=0, whole_px=0)
    check_memory("preprocess", size, lower=_LESS_MEMORY)
    sample = platforms.read(raw, options.platform, **reader)
    if check is not None:
        check(sample)
    warnings, inputs = list(sample.warnings), dict(sample.inputs)
    array = _fit_array(sample)
    sample.adata, of_panel = one_species(sample.adata, options.species)
    warnings += [line for line in of_panel if line not in warnings]
    adata, dropped = keep_locations(sample.adata)
    warnings += dropped
    entry = _vendor_entry(adata)
    if not options.use_image:
        sample.image_path = None
        inputs.pop("image", None)
        warnings.append("the image was not used (--no-image)")
    return _Section(sample, adata, array, entry, inputs, warnings)


def _place(section: _Section, slide: Slide, thumbnail: np.ndarray, options: PreprocessOptions) -> Coordinates:
    """Place the locations on the image and check the fit; `slide` takes the µm per pixel of the positions."""
    sample, adata, placement, force = section.sample, section.adata, options.placement, options.force
    section.warnings += slide.notes + check_histology(slide.path.name, thumbnail, force=force)
    placed = place_image(slide, thumbnail, sample, adata, section.entry, placement, force=force)
    section.inputs |= placement.inputs()
    mpp_of_vendor = sample.mpp
    coordinates = link(sample, adata, placed, section.array)
    slide.mpp = sample.mpp / coordinates.between(System.FULLRES, System.IMAGE).scale
    direction = None if placement.align is None else placement.align_from or "image"
    figures, notes = check_fit(slide, thumbnail, sample, adata, align_from=direction, force=force)
    section.figures = figures | placed.figures
    section.warnings += placed.warnings + notes
    section.entry = image_entry(section.entry, thumbnail, slide, coordinates, sample.mpp / mpp_of_vendor)
    return coordinates


def _bounds_um(adata: AnnData) -> tuple[float, float, float, float]:
    """Box of the image features, µm."""
    from focus_cli.platforms.alignment import bounding_box

    return bounding_box(adata.obsm[keys.SPATIAL_UM], MARGIN_UM)


def _write_morphology(section: _Section, slide: Slide, step_um: float) -> Callable[[Path], None]:
    from focus_cli.histology.features import write_morphology

    bounds = _bounds_um(section.adata)

    def write(folder: Path) -> None:
        write_morphology(slide, folder / keys.MORPHOLOGY_ZARR, mpp_image=slide.mpp, step_um=step_um, bounds_um=bounds)
        note_damage(slide, section.warnings)

    return write


def _write_encoded(
    section: _Section, slide: Slide, encoding: Encoding, encoder: Encoder | None
) -> Callable[[Path], None]:
    bounds = _bounds_um(section.adata)

    def write(folder: Path) -> None:
        if encoder is not None:
            encoding.write(encoder, slide, folder, bounds)

    return write


def _write_registration(
    section: _Section, slide: Slide, thumbnail: np.ndarray, coordinates: Coordinates
) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        if coordinates.knows(System.VENDOR):
            draw_registration(folder / keys.REGISTRATION_PNG, thumbnail, slide, section.sample, section.adata)

    return write


def _fit_array(sample: RawSample) -> tuple[Affine, float] | None:
    """(column, row) → full-resolution pixels, and the median residual in them; None without an array."""
    from focus_cli.platforms.alignment import fit_array

    obs = sample.adata.obs
    if keys.ARRAY_ROW not in obs or keys.ARRAY_COL not in obs:
        return None
    row, column = (obs[k].to_numpy() for k in (keys.ARRAY_ROW, keys.ARRAY_COL))
    return fit_array(row, column, sample.adata.obsm[keys.SPATIAL])


def keep_locations(adata: AnnData) -> tuple[AnnData, list[str]]:
    """Keep the locations in tissue that have counts, and set ``obs["total_counts"]``.

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
        warnings.append(f"{empty} of {adata.n_obs} locations in tissue have no counts and were left out")
    if not kept.any():
        raise BadInputError(
            f"no spot on tissue: none of {adata.n_obs} locations is in tissue and has counts",
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


def _describe(
    section: _Section,
    settings: dict[str, Any],
    coordinates: Coordinates,
    slide: Slide | None = None,
    out: Path | None = None,
) -> SampleInfo:
    """Fill ``uns["spatial"]``, print the warnings and return the content of ``sample.json``."""
    sample, adata = section.sample, section.adata
    record = describe_run("preprocess", settings, section.inputs)
    image = None
    if slide is not None and out is not None:
        scale = coordinates.between(System.FULLRES, System.IMAGE).scale
        image = image_info(slide, out, record["inputs"]["image"]["sha256"], scale)
    adata.uns[keys.UNS_SPATIAL] = spatial_entry(settings["sample_id"], section.entry, sample.footprint, sample.mpp)
    warn(section.warnings)
    return SampleInfo(
        sample_id=settings["sample_id"],
        platform=sample.platform,
        mpp=sample.mpp,
        footprint=sample.footprint,
        n_locations=adata.n_obs,
        n_genes=adata.n_vars,
        image=image,
        organ=settings["organ"],
        species=settings["species"],
        alignment=section.figures,
        coordinates=coordinates,
        warnings=section.warnings,
        provenance=record,
    )
