"""A finer picture of the slide than the thumbnail of an enhanced file: read from the H&E of a stored sample."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from focus_cli.core.coordinates import System
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import open_sample
from focus_cli.histology.slides import open_slide
from focus_cli.reporting.maps import Frame


class FinerPicture:
    """The H&E of a stored sample.

    Parameters
    ----------
    folder
        A stored sample, as ``focus preprocess`` writes one.

    Raises
    ------
    BadInputError
        If the sample has no H&E, or the H&E is not the one that the sample was made with.
    """

    @classmethod
    def of(cls, folder: Path) -> FinerPicture | None:
        """The H&E of a sample; None, and a word about it, where the thumbnail has to do."""
        info = open_sample(folder).info
        if info.image is None:
            return None
        if not (Path(folder) / info.image.path).is_file():
            print_message(f"report: the H&E of {folder} is no longer at its place; the thumbnail is shown")
            return None
        return cls(folder)

    def __init__(self, folder: Path) -> None:
        info = open_sample(folder).info
        if info.image is None:
            raise BadInputError(f"{folder} has no H&E")
        self.sample_id = info.sample_id
        self._path = Path(os.path.realpath(Path(folder) / info.image.path))  # stored relative to the folder
        self._size = (info.image.width, info.image.height)
        self._mpp = info.image.mpp
        self._way = info.coordinates.between(System.FULLRES, System.IMAGE)

    def __call__(self, frame: Frame, side: int) -> np.ndarray:
        """The picture in a frame of full-resolution pixels, uint8 (rows, columns, 3), `side` px at most.

        White outside of the slide.
        """
        from PIL import Image

        with open_slide(self._path, self._mpp) as slide:
            if (slide.width, slide.height) != self._size:
                raise BadInputError(
                    f"{self._path} has {slide.width} × {slide.height} px, the sample was made with {self._size[0]} × "
                    f"{self._size[1]}",
                    hint="leave --sample out, or run focus preprocess again",
                )
            # No finer than the slide is.
            step = max(1 / self._way.scale, max(frame.width, frame.height) / side)
            columns, rows = max(1, round(frame.width / step)), max(1, round(frame.height / step))
            corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * [frame.width, frame.height] + [frame.x0, frame.y0]
            on_slide = self._way(corners)
            low, high = on_slide.min(axis=0), on_slide.max(axis=0)
            coarse = step * self._way.scale  # px of the slide per px of the picture
            pixels = slide.read(*low, *(high - low), mpp=coarse * slide.require_mpp())
        # From a pixel of the picture to one of what was read: turned, mirrored or neither.
        per_read = (high - low) / [pixels.shape[1], pixels.shape[0]]
        origin, right, down = (
            (self._way(np.array([[frame.x0 + dx, frame.y0 + dy]]))[0] - low) / per_read
            for dx, dy in ((0, 0), (step, 0), (0, step))
        )
        across, along = right - origin, down - origin
        values = (across[0], along[0], origin[0], across[1], along[1], origin[1])
        turned = Image.fromarray(pixels).transform(
            (columns, rows), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR, fillcolor=(255, 255, 255)
        )
        return np.asarray(turned)
