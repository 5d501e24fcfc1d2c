"""Which slides a run reads, and at what scale: files as they are named, and the images of samples."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.progress import warn
from focus_cli.core.storage import is_sample, open_sample
from focus_cli.histology.pretraining.tiles import SlideSource
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.omezarr import is_omezarr


def find_sources(inputs: Sequence[Path], mpp: Sequence[str] = ()) -> list[SlideSource]:
    """Resolve inputs to slides with a scale each.

    Parameters
    ----------
    inputs
        Slide files and sample folders.
    mpp
        ``"0.5"`` for slides that state none, ``"NAME=0.5"`` for the slide of that file name, whatever it states.

    Raises
    ------
    MissingResourceError
        If a file is not there, or a slide's scale is unknown.
    BadInputError
        If a file is no slide, or a folder is no sample or has no image.
    UsageError
        If `mpp` cannot be read, or names a slide that is not among the inputs.
    """
    general, named = _scales(mpp)
    sources, used = [], set()
    for path in map(Path, inputs):
        if path.is_dir() and not is_omezarr(path):
            sources.append(_of_sample(path))
            continue
        used.add(path.name)
        given = named.get(path.name)
        with open_slide(path, given) as slide:
            scale = slide.mpp if slide.mpp is not None else general
            warn(slide.notes)
        if scale is None:
            raise MissingResourceError(
                f"the scale of {path} is unknown: the file states no µm per pixel",
                hint=f"pass --mpp VALUE, or --mpp {path.name}=VALUE",
            )
        sources.append(SlideSource(path, scale, path.name))
    if unused := sorted(set(named) - used):
        raise UsageError(f"--mpp names {unused[0]!r}, which is not among the slides", hint="use the file's own name")
    names = [s.name for s in sources]
    # Equal names in different folders are distinguished by their number.
    return [
        SlideSource(s.path, s.mpp, s.name if names.count(s.name) == 1 else f"{s.name}#{i}")
        for i, s in enumerate(sources)
    ]


def _scales(texts: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    general, named = None, {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            scale = float(value)
        except ValueError:
            scale = math.nan
        if not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"--mpp {text}: not µm per pixel", hint="for instance 0.5, or slide.jpg=0.5")
        if name in named or (not name and general is not None):
            raise UsageError("--mpp was given twice", hint="one value for all slides, or NAME=VALUE for each")
        if name:
            named[name] = scale
        else:
            general = scale
    return general, named


def _of_sample(path: Path) -> SlideSource:
    if not is_sample(path):
        raise BadInputError(f"{path} is a folder and no FOCUS sample", hint="name slide files, or folders of samples")
    info = open_sample(path).info
    if info.image is None:
        raise BadInputError(f"sample {info.sample_id} has no image", hint="preprocess it with --image, or leave it out")
    image = Path(os.path.realpath(path / info.image.path))  # stored relative to the folder
    if not image.exists():
        raise MissingResourceError(
            f"the image of sample {info.sample_id} is not there any more: {image}",
            hint="put it back, or name the slide itself with --mpp",
        )
    return SlideSource(image, info.image.mpp, info.sample_id)
