"""Which learned encoder measures the image of a sample, beside the built-in morphology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from focus_cli.histology import Encoder
    from focus_cli.histology.slides import Slide


@dataclass(frozen=True)
class Encoding:
    """Options of the encoder.

    Attributes
    ----------
    spec
        As for `focus_cli.histology.encoders.open_encoder`; None: the built-in morphology alone.
    step_um
        Pitch of its raster, µm; half a tile where it is not given, a token of a dense encoder.
    dense
        Patch tokens in place of one vector per tile.
    mpp
        µm per pixel of its tiles, where the encoder does not state it.
    store
        Folder of finished extractions, shared by samples and runs.
    device, precision
        How it runs.
    wanted
        What a model was trained with, as `EncoderInfo` is stored; another encoder is refused.
    """

    spec: str | None = None
    step_um: float | None = None
    dense: bool = False
    mpp: float | None = None
    store: Path | None = None
    device: str = "auto"
    precision: str = "float32"
    wanted: Mapping[str, Any] | None = None

    def settings(self) -> dict[str, Any]:
        """What decides the features' values, for the record; empty without an encoder."""
        if self.spec is None:
            return {}
        return {"encoder": self.spec, "encoder_step_um": self.step_um, "dense": self.dense, "encoder_mpp": self.mpp}

    def open(self) -> Encoder | None:
        """Open the encoder, before anything long is begun.

        Raises
        ------
        UsageError
            If an option of the encoder is given without one.
        BadInputError
            If it is not the encoder that a model was trained with.
        FocusError
            As `open_encoder`.
        """
        if self.spec is None:
            if self.dense or self.step_um is not None or self.store is not None or self.mpp is not None:
                raise UsageError("options of an encoder were given, and no encoder", hint="pass --encoder")
            return None
        from focus_cli.histology.encoders import open_encoder

        encoder = open_encoder(self.spec, device=self.device, dense=self.dense, precision=self.precision, mpp=self.mpp)
        if self.wanted is not None:
            check_encoder(encoder, self.wanted)
        return encoder

    def write(
        self, encoder: Encoder, slide: Slide, folder: Path, bounds_um: tuple[float, float, float, float] | None = None
    ) -> None:
        """Write the encoder's raster into a sample's folder."""
        from focus_cli.histology.features import extract_features

        step_um = self.step_um
        if step_um is None and encoder.info.grid == 1:
            step_um = encoder.info.tile_um / 2
        extract_features(
            slide,
            encoder,
            folder / keys.ENCODER_ZARR,
            mpp_image=slide.mpp,
            step_um=step_um,
            bounds_um=bounds_um,
            store=self.store,
        )


def encoding_like(raster: Mapping[str, Any] | None, options: Encoding) -> Encoding:
    """The encoding that gives the image features of a model.

    Without an encoder of the user's the model's own name for it is taken only where it is the name of a shipped preset:
    a model is data, and data never make FOCUS open a description, a folder or an address.

    Parameters
    ----------
    raster
        What the model's training samples were encoded with: `EncoderInfo` as a dict, with ``step_um``; None for a model
        of built-in features.
    options
        Options of the user: where the encoder lies, how it runs. Its name, pitch and scale come from the model.

    Raises
    ------
    UsageError
        If an encoder is named, and the model sees none; or none is named, and the model's is no shipped preset.
    """
    if raster is None:
        if options.spec is not None:
            raise UsageError(
                f"the model sees the built-in morphology alone, not encoder {options.spec}", hint="leave --encoder away"
            )
        return options
    from focus_cli.histology.encoders import is_shipped_name

    if options.spec is None and not is_shipped_name(raster["name"]):
        raise UsageError(
            f"the model sees the image with encoder {raster['name']!r} (digest {raster['digest']}), which is not one "
            "that FOCUS lists by name",
            hint="pass the encoder of the training with --encoder; only one with the same digest is used",
        )
    return Encoding(
        spec=options.spec or raster["name"],
        step_um=raster["step_um"],
        dense=raster["grid"] > 1,
        mpp=options.mpp,
        store=options.store,
        device=options.device,
        precision=options.precision,
        wanted=raster,
    )


def check_encoder(encoder: Encoder, raster: Mapping[str, Any]) -> None:
    """Refuse another encoder than a model was trained with.

    Raises
    ------
    BadInputError
        Naming what differs.
    """
    info = encoder.info
    if info.dim != raster["dim"]:
        raise BadInputError(
            f"encoder {info.name} gives {info.dim} features, the model was trained with {raster['dim']} of "
            f"{raster['name']}",
            hint="pass the encoder of the training with --encoder",
        )
    if info.digest != raster["digest"]:
        raise BadInputError(
            f"encoder {info.name} has other weights or settings ({info.digest}) than that of the training "
            f"({raster['name']}, {raster['digest']})",
            hint="pass the encoder of the training with --encoder",
        )
