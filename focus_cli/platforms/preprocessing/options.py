"""Options of `focus_cli.platforms.preprocessing.preprocess`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import UsageError
from focus_cli.core.platform_names import AUTO

STEP_UM = 8.0


@dataclass(frozen=True)
class Placement:
    """How the H&E and the positions relate; at most one of the first four options is given.

    Attributes
    ----------
    align, align_from
        A file with a 3 × 3 matrix, and the pixels that it maps from: ``"image"`` or ``"positions"``.
    landmarks
        A csv of points on both.
    register
        Register the positions to the image.
    orient
        One of the eight orientations, by name.
    shift_um
        ``"RIGHT,DOWN"`` in µm on the H&E, after everything else.
    """

    align: Path | None = None
    align_from: str | None = None
    landmarks: Path | None = None
    register: bool = False
    orient: str | None = None
    shift_um: str | None = None

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises
        ------
        UsageError
            Naming the options.
        MissingResourceError, BadInputError
            If a file is not there, or holds no transform or landmarks.
        """
        from focus_cli.platforms.alignment import named_orientation, read_landmarks, read_transform

        chosen = [name for name in self.named() if name != "--shift-um"]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} contradict each other", hint="choose one")
        if self.align_from is not None and self.align is None:
            raise UsageError("--align-from has no effect without --align", hint="pass --align FILE too")
        if self.orient is not None:
            named_orientation(self.orient)
        self.shift()
        if self.align is not None:
            read_transform(self.align, self.align_from or "image")
        if self.landmarks is not None:
            read_landmarks(self.landmarks, mpp=1.0)

    def named(self) -> list[str]:
        """The options that place the image, as they are written."""
        given = {
            "--align": self.align,
            "--landmarks": self.landmarks,
            "--register": self.register or None,
            "--orient": self.orient,
            "--shift-um": self.shift_um,
        }
        return [name for name, value in given.items() if value is not None]

    def given(self) -> bool:
        """Whether any of the options is given."""
        return bool(self.named())

    def shift(self) -> tuple[float, float] | None:
        """`shift_um` as numbers."""
        if self.shift_um is None:
            return None
        try:
            right, down = (float(part) for part in re.split(r"[,;\s]+", self.shift_um.strip()))
        except ValueError:
            right = down = np.nan
        if not (abs(right) < 1e6 and abs(down) < 1e6):
            raise UsageError(
                f"--shift-um {self.shift_um!r} is not a shift",
                hint="two lengths in µm, right and down: --shift-um 200,-100",
            )
        return right, down

    def settings(self) -> dict[str, Any]:
        """For the provenance."""
        return {
            "align": self.align and Path(self.align).name,
            "align_from": self.align_from,
            "landmarks": self.landmarks and Path(self.landmarks).name,
            "orient": self.orient,
            "register": self.register,
            "shift_um": self.shift_um,
        }

    def inputs(self) -> dict[str, Path]:
        """Role → file, for the provenance."""
        return {role: Path(path) for role, path in (("alignment", self.align), ("landmarks", self.landmarks)) if path}


@dataclass(frozen=True)
class PreprocessOptions:
    """How a raw folder is read, placed on its image and measured.

    Attributes
    ----------
    reader
        ``platform``, ``image``, ``mpp`` and the other options of `focus_cli.platforms.read`; None means not given.
    use_image
        False ignores the image, even where there is one.
    placement
        How image and positions relate, where the vendor's files do not state it.
    step_um
        Pitch of the raster of image features, in µm.
    organ, species
        The tissue, in the user's words; conditions of the model if it was trained on several. Of a panel of several
        species, the genes of the stated one are kept.
    force
        Continue, with a warning, where the image is not an H&E or does not fit the locations.
    """

    reader: Mapping[str, Any] = field(default_factory=dict)
    use_image: bool = True
    placement: Placement = field(default_factory=Placement)
    step_um: float = STEP_UM
    organ: str = ""
    species: str = ""
    force: bool = False

    @classmethod
    def of(cls, **keywords: Any) -> PreprocessOptions:
        """Options from flat keywords: fields of this class and of `Placement`; all others are for the reader."""
        own, placement = ({f.name for f in fields(c)} & set(keywords) for c in (cls, Placement))
        reader = {name: value for name, value in keywords.items() if name not in own | placement}
        return cls(
            **{"reader": reader, "placement": Placement(**{name: keywords[name] for name in placement})}
            | {name: keywords[name] for name in own}
        )

    @property
    def platform(self) -> str:
        """Name of the platform; ``"auto"`` where none is given."""
        return self.reader.get("platform", AUTO)

    @property
    def reader_options(self) -> dict[str, Any]:
        """Options of the reader, without the platform."""
        return {name: value for name, value in self.reader.items() if name != "platform"}

    @property
    def inputs(self) -> list[Any]:
        """Values of the options that may be paths."""
        return [self.placement.align, self.placement.landmarks, *self.reader_options.values()]

    def check(self) -> None:
        """Refuse values out of range and options that contradict each other.

        Raises
        ------
        UsageError
            Naming the options.
        MissingResourceError, BadInputError
            If the file of a transform or of landmarks is missing or invalid.
        """
        if not 0 < self.step_um <= 1000:
            raise UsageError(
                f"--step-um {self.step_um:g} is not a raster pitch", hint="8 is the default; 4 to 50 is sensible"
            )
        if self.reader.get("image") is not None and not self.use_image:
            raise UsageError("--image and --no-image contradict each other", hint="choose one")
        self.placement.check()
        if self.placement.given() and not self.use_image:
            raise UsageError(f"{self.placement.named()[0]} and --no-image contradict each other", hint="choose one")

    def settings(self) -> dict[str, Any]:
        """All options but the image, for the provenance."""
        return {
            "force": self.force,
            "organ": self.organ,
            "platform": self.platform,
            "species": self.species,
            "step_um": self.step_um,
            "use_image": self.use_image,
            **{name: value for name, value in self.reader_options.items() if name != "image"},
            **self.placement.settings(),
        }

    def named(self) -> list[str]:
        """The options that were given, as they are written."""
        given = {
            "platform": self.platform != AUTO,
            **{name: value is not None for name, value in self.reader_options.items()},
            "no_image": not self.use_image,
            "align_from": self.placement.align_from is not None,
            "step_um": self.step_um != STEP_UM,
            "organ": bool(self.organ),
            "species": bool(self.species),
            "force": self.force,
        }
        return [f"--{name.replace('_', '-')}" for name, stated in given.items() if stated] + self.placement.named()
