"""Damage to images: to their bytes, and to the fields of headers that state sizes and where pixels lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import zarr
from mutate import damage_bytes, damage_entry, damage_json, pick
from PIL import Image

from focus_cli.histology.slides.stain import mix

SIDE = 384
NUMBERS = (0, 1, 2, 3, 7, 16, 255, 256, 4096, 65_535, 65_536, 10**6, 2**31 - 1, 2**31, 2**32 - 1)
_KINDS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q", 6: "b", 7: "B", 8: "h", 9: "i", 10: "q", 11: "f", 12: "d", 16: "Q"}


def picture(seed: int = 0) -> np.ndarray:
    """A round stained section on glass, uint8 (384, 384, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    tissue = np.hypot(x, y) < 0.4 * SIDE
    amounts = np.zeros((SIDE, SIDE, 3))
    amounts[..., 1] = np.where(tissue, 0.2 + 0.1 * rng.random((SIDE, SIDE)), 0.01)
    amounts[tissue & (rng.random((SIDE, SIDE)) < 0.2), 0] = 0.5
    return mix(amounts)


def _pyramid(path: Path, **options) -> None:
    rgb = picture()
    with tifffile.TiffWriter(path) as file:
        common = {"photometric": "rgb", "tile": (64, 64), "compression": "jpeg"}
        file.write(rgb, subifds=2 if "ome" in path.name else None, **common, **options)
        for step in (2, 4):
            more = {"metadata": None} if "ome" not in path.name else {}
            file.write(np.ascontiguousarray(rgb[::step, ::step]), subfiletype=1, **common, **more)


def _zarr(path: Path, version: str) -> None:
    rgb = np.moveaxis(picture(), 2, 0)
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level, step in enumerate((1, 2)):
        data = np.ascontiguousarray(rgb[:, ::step, ::step])
        array = group.create_array(str(level), shape=data.shape, chunks=(3, 128, 128), dtype=np.uint8)
        array[...] = data
        scale = [{"type": "scale", "scale": [1.0, 2.0 * step, 2.0 * step]}]
        datasets.append({"path": str(level), "coordinateTransformations": scale})
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    ngff = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    group.attrs.update({"ome": {"version": "0.5", **ngff}} if version == "0.5" else ngff)


def write_images(folder: Path) -> dict[str, Path]:
    """One image of every format that is read."""
    rgb, tags = picture(), {"resolution": (5000, 5000), "resolutionunit": "CENTIMETER"}
    made = {
        name: folder / name
        for name in (
            *("strips.tif", "tiles.tif", "big.tif", "aperio.svs", "pyramid.ome.tif", "planes.tif", "alpha.tif"),
            *("old.ome.zarr", "new.ome.zarr", "colour.png", "palette.png", "colour.jpg"),
        )
    }
    tifffile.imwrite(made["strips.tif"], rgb, photometric="rgb", rowsperstrip=32, **tags)
    tifffile.imwrite(made["tiles.tif"], rgb, photometric="rgb", tile=(64, 64), compression="deflate", **tags)
    tifffile.imwrite(made["big.tif"], rgb, photometric="rgb", tile=(64, 64), compression="lzw", bigtiff=True, **tags)
    _pyramid(made["aperio.svs"], description="Aperio Image Library|AppMag = 20|MPP = 2.0", metadata=None)
    sizes = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0}
    _pyramid(made["pyramid.ome.tif"], metadata=sizes)
    tifffile.imwrite(made["planes.tif"], np.ascontiguousarray(np.moveaxis(rgb, 2, 0)), photometric="minisblack", **tags)
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    tifffile.imwrite(made["alpha.tif"], rgba, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64), **tags)
    _zarr(made["old.ome.zarr"], "0.4")
    _zarr(made["new.ome.zarr"], "0.5")
    Image.fromarray(rgb).save(made["colour.png"])
    Image.fromarray(rgb).quantize(64).save(made["palette.png"])
    Image.fromarray(rgb).save(made["colour.jpg"], quality=90)
    return made


def damage_image(path: Path, rng: np.random.Generator) -> str:
    """Damage an image in place; say what was done."""
    if path.is_dir():
        file = pick(rng, sorted(p for p in path.rglob("*") if p.is_file()))
        is_json = file.suffix == ".json" or file.name in (".zattrs", ".zarray", ".zgroup")
        ways = (damage_json, damage_json, damage_bytes) if is_json else (damage_bytes, damage_entry)
        return f"{file.name}: {pick(rng, ways)(file, rng)}"
    ways: list[Callable] = [damage_bytes, damage_head]
    if path.suffix in (".tif", ".svs"):
        ways += [damage_tag] * 5 + [damage_chain]
    elif path.suffix == ".png":
        ways += [damage_png] * 3
    elif path.suffix == ".jpg":
        ways += [damage_jpeg] * 3
    return pick(rng, ways)(path, rng)


def damage_head(path: Path, rng: np.random.Generator) -> str:
    """Change a few of the first bytes."""
    content = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 5))):
        content[int(rng.integers(min(600, len(content))))] = int(rng.integers(256))
    path.write_bytes(content)
    return "first bytes"


def _directories(path: Path) -> tuple[str, bool, list[tifffile.TiffPage]]:
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        pages += [sub for page in pages if page.subifds for sub in page.pages]
        pages = [page for page in pages if isinstance(page, tifffile.TiffPage)]
        return file.byteorder, file.is_bigtiff, pages


def damage_tag(path: Path, rng: np.random.Generator) -> str:
    """Change the value, the count, the type or the code of one tag of one directory."""
    order, big, pages = _directories(path)
    page = pick(rng, pages)
    tag = pick(rng, list(page.tags))
    content = bytearray(path.read_bytes())
    what = pick(rng, ("value", "value", "value", "count", "type", "code"))
    number = int(pick(rng, NUMBERS))
    if what == "value":
        kind = _KINDS.get(int(tag.dtype), "I")
        size = struct.calcsize(kind)
        index = int(rng.integers(max(1, min(tag.count, tag.valuebytecount // size))))
        if kind in "fd":
            packed = struct.pack(order + kind, pick(rng, (0.0, -1.0, float("nan"), 1e300 if kind == "d" else 1e30)))
        elif kind == "Q" and int(tag.dtype) == 5:
            packed = struct.pack(order + "II", number % 2**32, int(pick(rng, NUMBERS)) % 2**32)
        else:
            packed = struct.pack(order + kind.upper(), number % 2 ** (8 * size))
        at = tag.valueoffset + index * size
    elif what == "count":
        packed = struct.pack(order + ("Q" if big else "I"), number)
        at = tag.offset + 4
    else:
        packed = struct.pack(order + "H", number % 65_536 if what == "code" else int(rng.integers(0, 20)))
        at = tag.offset + (0 if what == "code" else 2)
    content[at : at + len(packed)] = packed
    path.write_bytes(content)
    return f"{tag.name} of directory {page.index}: {what} {number}"


def damage_chain(path: Path, rng: np.random.Generator) -> str:
    """Let a directory be followed by itself, by another one, or by a place outside of the file."""
    order, big, pages = _directories(path)
    page = pick(rng, pages)
    tag = list(page.tags)[-1]
    at = max(one.offset for one in page.tags) + (20 if big else 12)
    target = int(pick(rng, (pages[0].offset, page.offset, 8, 2**31, tag.offset)))
    content = bytearray(path.read_bytes())
    packed = struct.pack(order + ("Q" if big else "I"), target)
    content[at : at + len(packed)] = packed
    path.write_bytes(content)
    return f"directory {page.index} is followed by {target}"


def damage_png(path: Path, rng: np.random.Generator) -> str:
    """Another size, depth or kind of colour, with its checksum right; or another chunk in front."""
    content = path.read_bytes()
    head = bytearray(content[16:29])
    what = pick(rng, ("width", "height", "both", "depth", "colour", "interlace", "text"))
    number = int(pick(rng, NUMBERS))
    extra = b""
    if what in ("width", "both"):
        head[0:4] = struct.pack(">I", number)
    if what in ("height", "both"):
        head[4:8] = struct.pack(">I", number)
    if what == "depth":
        head[8] = pick(rng, (0, 1, 2, 4, 16, 200))
    elif what == "colour":
        head[9] = pick(rng, (0, 2, 3, 4, 6, 7))
    elif what == "interlace":
        head[12] = 1
    elif what == "text":
        data = b"Comment\0\0" + zlib.compress(bytes(80 << 20))
        extra = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    chunk = b"IHDR" + bytes(head)
    path.write_bytes(content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + extra + content[33:])
    return f"{what} {number}"


def damage_jpeg(path: Path, rng: np.random.Generator) -> str:
    """Another size or number of colours in the frame's header."""
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xc0")
    what = pick(rng, ("height", "width", "both", "colours", "precision"))
    number = int(pick(rng, NUMBERS)) % 65_536
    if what in ("height", "both"):
        content[at + 5 : at + 7] = struct.pack(">H", number)
    if what in ("width", "both"):
        content[at + 7 : at + 9] = struct.pack(">H", number)
    if what == "colours":
        content[at + 9] = pick(rng, (0, 1, 2, 4, 255))
    elif what == "precision":
        content[at + 4] = pick(rng, (0, 12, 16))
    path.write_bytes(content)
    return f"{what} {number}"
