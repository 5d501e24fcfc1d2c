"""How raw data become a sample: all that `preprocess` takes besides input, output and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from focus_cli.core.platform_names import AUTO
from focus_cli.platforms.preprocessing.placement import Placing

STEP_UM = 8.0


@dataclass(frozen=True)
class Preparation:
    """Options of `focus_cli.platforms.preprocessing.preprocess` that other stages hand on to it.

    Attributes
    ----------
    reader
        ``platform``, ``image``, ``mpp`` and the other options of `focus_cli.platforms.read`; None means not given.
    use_image
        False leaves the image aside, even where there is one.
    placing
        How image and positions relate.
    step_um
        Pitch of the raster of image features, in µm.
    organ, species
        What the tissue is; conditions of the model.
    force
        Go on where the image is no H&E or does not fit the locations.
    """

    reader: Mapping[str, Any] = field(default_factory=dict)
    use_image: bool = True
    placing: Placing = field(default_factory=Placing)
    step_um: float = STEP_UM
    organ: str = ""
    species: str = ""
    force: bool = False

    def keywords(self) -> dict[str, Any]:
        """Keyword arguments of `focus_cli.platforms.preprocessing.preprocess`."""
        return {
            **self.reader,
            "use_image": self.use_image,
            "step_um": self.step_um,
            "organ": self.organ,
            "species": self.species,
            "force": self.force,
            **{name: getattr(self.placing, name) for name in Placing.__dataclass_fields__},
        }

    def named(self) -> list[str]:
        """The options that were given, as they are written."""
        given = {
            "platform": self.reader.get("platform", AUTO) != AUTO,
            **{name: value is not None for name, value in self.reader.items() if name != "platform"},
            "no_image": not self.use_image,
            "align_from": self.placing.align_from is not None,
            "step_um": self.step_um != STEP_UM,
            "organ": bool(self.organ),
            "species": bool(self.species),
            "force": self.force,
        }
        return [f"--{name.replace('_', '-')}" for name, said in given.items() if said] + self.placing.named()
