"""Large JPEG pyramids for benchmarks: a BigTIFF written tile by tile, as small on disk as one likes.

The texture is periodic: of the real SVS where `FOCUS_DATA` has it, else haematoxylin-like blobs on eosin. Each
level is the one above, halved, so that every level shows the same slide.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

TILE = 256
QUALITY = 80
MPP = 0.5
_REPO = Path(__file__).resolve().parents[1]
_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return uint8 (height, width, 3) that looks stained."""
    data = Path(os.environ.get("FOCUS_DATA", _REPO.parent / "shared" / "data")) / "wsi" / "cmu_small_region.svs"
    if data.is_file():
        from focus_cli.histology.slides import open_slide

        with open_slide(data) as slide:
            if slide.height >= height and slide.width >= width:
                return slide.read(0, 0, width, height)
    from scipy import ndimage

    from focus_cli.histology.slides.stain import mix

    rng = np.random.default_rng(seed)
    blobs, haze = (ndimage.gaussian_filter(rng.normal(size=(height, width)), sigma, mode="wrap") for sigma in (2.5, 12))
    nuclei = np.clip(blobs / blobs.std() - 0.8, 0, None) * 0.5
    stroma = 0.2 + 0.08 * haze / haze.std() + 0.02 * rng.normal(size=haze.shape)
    return mix(np.stack([nuclei, stroma, np.zeros_like(haze)], axis=2))


def write_pyramid(path: Path, side: int, *, repeated: bool = False, seed: int = 0) -> None:
    """Write a tiled JPEG pyramid of `side` × `side` px at 0.5 µm.

    Parameters
    ----------
    path
        The file; BigTIFF.
    side
        Level-0 px. Levels are halved until they are below 1024 px.
    repeated
        Whether the tiles of a level share the bytes of 64 of them; else each has its own.
    seed
        Of the texture where no real slide is at hand.
    """
    # A period that is no multiple of the tile gives different tiles; 2048 gives 8 × 8 of them.
    image = texture(2048, 2048, seed) if repeated else texture(2944, 2208, seed)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16))
        link, level = 8, 0
        while side >> level >= 1024 or level == 0:
            link = _write_level(file, image, side >> level, level, link)
            image = _halved(image)
            level += 1


def _halved(image: np.ndarray) -> np.ndarray:
    h, w = (n // 2 * 2 for n in image.shape[:2])
    return np.rint(image[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3))).astype(np.uint8)


def _write_level(file, image: np.ndarray, side: int, level: int, link: int) -> int:
    """Append one level and its directory; `link` is where the directory's place is written. Returns the next."""
    import imagecodecs

    across = -(-side // TILE)
    height, width = image.shape[:2]
    tiled = np.pad(image, ((0, TILE), (0, TILE), (0, 0)), mode="wrap") if min(height, width) >= TILE else None
    if tiled is None:  # a period smaller than a tile
        tiled = np.tile(image, (-(-2 * TILE // height) + 1, -(-2 * TILE // width) + 1, 1))
    repeats = max(1, height // TILE) if height == width and height % TILE == 0 else None
    places: dict[tuple[int, int], tuple[int, int]] = {}
    offsets, counts = np.empty(across**2, np.int64), np.empty(across**2, np.int64)
    for number in range(across**2):
        row, column = divmod(number, across)
        key = (row % repeats, column % repeats) if repeats else (row, column)
        if key not in places:
            y, x = row * TILE % height, column * TILE % width
            pixels = np.ascontiguousarray(tiled[y : y + TILE, x : x + TILE])
            data = imagecodecs.jpeg8_encode(pixels, level=QUALITY)
            places[key] = (file.tell(), len(data))
            file.write(data)
        offsets[number], counts[number] = places[key]
    per_cm = (round(10_000 / (MPP * 2**level)), 1)
    return _write_directory(
        file,
        link,
        [
            (254, _LONG, [int(level > 0)]),
            (256, _LONG, [side]),
            (257, _LONG, [side]),
            (258, _SHORT, [8, 8, 8]),
            (259, _SHORT, [7]),  # JPEG
            (262, _SHORT, [6]),  # YCbCr
            (277, _SHORT, [3]),
            (282, _RATIONAL, per_cm),
            (283, _RATIONAL, per_cm),
            (284, _SHORT, [1]),
            (296, _SHORT, [3]),  # cm
            (322, _LONG, [TILE]),
            (323, _LONG, [TILE]),
            (324, _LONG8, offsets),
            (325, _LONG8, counts),
            (530, _SHORT, [2, 2]),
        ],
    )


def _write_directory(file, link: int, tags: list) -> int:
    """Append a BigTIFF directory, write its place at `link`; returns where the next one's place goes."""
    entries = []
    for code, kind, values in tags:
        count = len(values) // (2 if kind == _RATIONAL else 1)
        packed = np.asarray(values, "<" + {_SHORT: "u2", _LONG: "u4", _RATIONAL: "u4", _LONG8: "u8"}[kind]).tobytes()
        if len(packed) > 8:
            file.seek(-(-file.tell() // 8) * 8)
            place = file.tell()
            file.write(packed)
            packed = struct.pack("<Q", place)
        entries.append(struct.pack("<HHQ", code, kind, count) + packed.ljust(8, b"\0"))
    file.seek(-(-file.tell() // 8) * 8)
    place = file.tell()
    file.write(struct.pack("<Q", len(entries)) + b"".join(entries))
    following = file.tell()
    file.write(bytes(8))
    file.seek(link)
    file.write(struct.pack("<Q", place))
    file.seek(0, os.SEEK_END)
    return following
