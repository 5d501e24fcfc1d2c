"""The codecs of slides: a tile of each is written into a TIFF and read back."""

from __future__ import annotations

import io
from collections.abc import Iterator

from focus_cli.workflow.health.check import FAIL, PASS, Check

# Compression as tifffile names it → largest difference that it may make.
_CODECS = {"jpeg": 24, "jpeg2000": 24, "webp": 24, "lzw": 0, "zstd": 0, "deflate": 0}
_SIDE = 256
_FIX = "pip install --force-reinstall imagecodecs tifffile"


def codecs() -> Iterator[Check]:
    """One result for all codecs, and one for each that does not reproduce its input."""
    import imagecodecs

    working = []
    for name, tolerance in _CODECS.items():
        try:
            difference = _round_trip(name)
        except Exception as error:
            # Whatever a broken library raises: that it does is the finding.
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(f"codec {name}", FAIL, f"a tile cannot be read: {problem}", _FIX)
            continue
        if difference > tolerance:
            yield Check(f"codec {name}", FAIL, f"a tile is decoded wrongly, by up to {difference}", _FIX)
        else:
            working.append(name)
    if working:
        yield Check("codecs", PASS, f"imagecodecs {imagecodecs.__version__} reads tiles of {', '.join(working)}")


def _round_trip(compression: str) -> int:
    """Largest difference of a pixel (0 to 255) after a smooth coloured tile was written and read."""
    import numpy as np
    import tifffile

    ramp = np.linspace(0, 255, _SIDE)
    tile = np.stack([ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None], 255 - ramp[:, None] + 0 * ramp], axis=-1)
    tile = tile.astype(np.uint8)
    stream = io.BytesIO()
    photometric = "rgb"
    tifffile.imwrite(stream, tile, tile=(_SIDE // 2, _SIDE // 2), compression=compression, photometric=photometric)
    stream.seek(0)
    return int(np.abs(tifffile.imread(stream).astype(int) - tile).max())
