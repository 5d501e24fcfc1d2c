"""From a slide file or a sample folder to a table of nuclei on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core.coordinates import Affine, System
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.progress import warn
from focus_cli.core.provenance import describe_run
from focus_cli.core.storage import atomic_file, check_output, is_sample, open_sample
from focus_cli.core.storage.kinds import NUCLEI
from focus_cli.histology.nuclei.find import find_nuclei
from focus_cli.histology.slides import open_slide

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".parquet", ".csv")


def write_nuclei(
    source: Path,
    out: Path,
    *,
    method: str = "classical",
    mpp: float | None = None,
    region: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> pd.DataFrame:
    """Find the nuclei of a slide or of a sample's image and write them.

    Parameters
    ----------
    source
        A slide, or a folder made by ``focus preprocess``.
    out
        ``.parquet`` (with the run's provenance in ``attrs``) or ``.csv``.
    method, device
        See `find_nuclei`.
    mpp
        µm per level-0 px of a slide whose file does not state it.
    region
        ``"X0,Y0,X1,Y1"`` in µm of the slide (of a sample: of its image).
    overwrite
        Replace `out`.

    Returns
    -------
    pandas.DataFrame
        As `find_nuclei` gives it. Of a sample, ``x_um`` and ``y_um`` are in the sample's own µm, as its locations'.

    Raises
    ------
    UsageError, BadInputError, MissingResourceError
        As `find_nuclei`; also where the sample has no image, or it is gone.
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise UsageError(
            f"--out {out}: not a table that nuclei are written to", hint="end it in " + " or ".join(FORMATS)
        )
    check_output(out, NUCLEI, inputs=[source], overwrite=overwrite)
    box = None if region is None else parse_region(region)
    image, mpp, to_um = _image(Path(source), mpp)
    check_output(out, NUCLEI, inputs=[image], overwrite=overwrite)
    with open_slide(image, mpp) as slide:
        warn(slide.notes)
        nuclei = find_nuclei(slide, method=method, region_um=box, device=device)
        if to_um is not None:
            # Slide µm → image px → the sample's µm.
            place = to_um @ Affine.scaling(1 / slide.require_mpp())
            nuclei[["x_um", "y_um"]] = place(nuclei[["x_um", "y_um"]].to_numpy())
            nuclei["area_um2"] *= place.scale**2
    settings = {"method": method, "mpp": mpp, "region": region}
    nuclei.attrs["provenance"] = describe_run("nuclei", settings, {"image": image})
    with atomic_file(out, overwrite, kind=NUCLEI) as temporary:
        if out.suffix.lower() == ".csv":
            nuclei.to_csv(temporary, lineterminator="\n")
        else:
            nuclei.to_parquet(temporary)
    return nuclei


def parse_region(text: str) -> tuple[float, float, float, float]:
    """Read ``X0,Y0,X1,Y1``.

    Raises
    ------
    UsageError
        If it is not four numbers, or they enclose nothing.
    """
    try:
        x0, y0, x1, y1 = (float(v) for v in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = float("nan")
    if not (x0 < x1 and y0 < y1):
        raise UsageError(f"--region {text}: not a region", hint="X0,Y0,X1,Y1 in µm, for instance 0,0,2000,1500")
    return x0, y0, x1, y1


def _image(source: Path, mpp: float | None) -> tuple[Path, float | None, Affine | None]:
    """The image, its µm per pixel, and for a sample the map from its pixels to the sample's µm."""
    if not is_sample(source):
        return source, mpp, None
    stored = open_sample(source)
    info = stored.info.image
    if mpp is not None:
        raise UsageError("--mpp is for a slide file: a sample has a scale", hint="leave --mpp out")
    if info is None:
        raise BadInputError(
            f"sample {stored.info.sample_id} has no image to find nuclei in", hint="preprocess it with --image"
        )
    image = Path(os.path.realpath(source / info.path))  # stored relative to the folder
    if not image.exists():
        raise MissingResourceError(
            f"the image of sample {stored.info.sample_id} is not there any more: {image}",
            hint="put it back, or give focus nuclei the slide itself",
        )
    known = stored.info.coordinates
    # Samples of older versions state a scale alone.
    to_um = known.between(System.IMAGE, System.UM) if known.knows(System.IMAGE) else Affine.scaling(info.mpp)
    return image, info.mpp, to_um
