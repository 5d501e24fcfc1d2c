"""A whole slide, far larger than any capture area, as input of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import UsageError
from focus_cli.core.storage import Footprint, PlatformInfo, StoredSample
from focus_cli.model.training import TrainedModel
from focus_cli.platforms.preprocessing import Encoding, encoding_like, preprocess_slide

if TYPE_CHECKING:
    from focus_cli.histology.slides import Slide

FINEST_UM = 50.0  # unless a finer grid is asked for: 4 million cells of 8 µm cover a slide


def slide_sample(
    image: Path,
    out: Path,
    sample_id: str,
    model: TrainedModel,
    *,
    resolution_um: float | None = None,
    mpp: float | None = None,
    encoding: Encoding,
    force: bool = False,
) -> StoredSample:
    """Make a sample of a slide: the tissue on a grid, measured as the model's own training samples were.

    Parameters
    ----------
    image
        The H&E.
    out
        Sample folder to make.
    resolution_um
        Pitch of the grid in µm; where it is not given, the size of a location of the coarsest training platform, but
        not below `FINEST_UM`. Of several platforms in training, the one whose pitch is closest is taken.
    mpp
        µm per pixel, where the file does not state it.
    encoding
        Where the encoder lies that the model sees the image with, and how it runs.
    force
        Continue, with a warning, where the picture is not an H&E.

    Raises
    ------
    UsageError
        If the model sees no image, or needs an encoder that is not given.
    FocusError
        As `preprocess_slide`.
    """
    if not model.image.names:
        raise UsageError("the model was trained without images", hint="use a model trained on samples with an H&E")
    platform, footprint = _measurement(model, resolution_um)
    pitch = resolution_um or max(footprint.size_um, FINEST_UM)
    if pitch < 1:
        raise UsageError(f"--resolution-um {pitch:g} is finer than a cell's parts", hint="give 1 or more")
    prior = model.prior
    encoding = encoding_like(model.image.encoder, encoding)
    encoder = encoding.open()

    def encode(slide: Slide, folder: Path) -> None:
        if encoder is not None:
            encoding.write(encoder, slide, folder)

    return preprocess_slide(
        image,
        out,
        sample_id,
        genes=prior.var[prior.measured],
        platform=platform,
        footprint=footprint,
        pitch_um=pitch,
        mpp=mpp,
        encode=encode,
        force=force,
    )


def _measurement(model: TrainedModel, resolution_um: float | None) -> tuple[PlatformInfo, Footprint]:
    kinds = model.info.get("measurements")
    if not kinds:
        raise UsageError(
            "the model does not state what its training samples were measured with", hint="train it with this FOCUS"
        )
    pitches = np.array([kind["footprint"]["pitch_um"] for kind in kinds])
    wanted = pitches.max() if resolution_um is None else resolution_um
    kind = kinds[int(np.argmin(np.abs(np.log(pitches / wanted))))]
    return PlatformInfo(**kind["platform"]), Footprint(**kind["footprint"])
