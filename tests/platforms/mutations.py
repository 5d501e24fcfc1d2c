"""Damage done to raw folders, one kind at a time, drawn from a seed.

`mutate` changes one file of a folder, or one name in it, as broken copies, spreadsheets, other software and
ill-meaning people do. The same generator makes the same damage.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
from binary_mutations import damage_hdf5, damage_parquet
from odd_words import ESCAPE, NUMBERS, WORDS, pick, tricks
from PIL import Image

TEXT = (".csv", ".tsv", ".txt", ".gem", ".mtx")
JSON = (".json", ".geojson", ".xenium")
HDF5 = (".h5", ".h5ad", ".gef", ".loom", ".hdf5")
IMAGES = (".tif", ".tiff", ".png", ".jpg")


def mutate(folder: Path, rng: np.random.Generator, outside: Path) -> str:
    """Damage one file of `folder` and say what was done.

    Parameters
    ----------
    folder
        A copy of a raw folder; changed in place.
    rng
        Draws file and damage.
    outside
        An existing folder that nothing may be written into; path tricks point there.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    pictures = [p for p in files if p.suffix.lower() in IMAGES]
    data = [p for p in files if p not in pictures] or files
    if pictures and rng.random() < 0.08:
        file, kinds = pick(rng, pictures), [_image, _bytes, _whole_file]
    else:
        file = pick(rng, data)
        kinds = [*_KINDS.get(_kind(file), [_bytes]), *([_bytes, _whole_file] if rng.random() < 0.5 else [])]
    name = file.relative_to(folder)
    done = pick(rng, kinds)(file, rng, outside)
    return f"{name}: {done}"


def _kind(file: Path) -> str:
    name = file.name.lower().removesuffix(".gz")
    for kind, suffixes in (("text", TEXT), ("json", JSON), ("hdf5", HDF5), ("parquet", (".parquet",))):
        if name.endswith(suffixes):
            return kind
    return ""


# ---- whole files ---------------------------------------------------------------------------------------------


def _whole_file(file: Path, rng: np.random.Generator, outside: Path) -> str:
    what = pick(rng, ("missing", "empty", "folder", "renamed", "odd name", "dangling link", "copied", "loop"))
    if what == "missing":
        file.unlink()
    elif what == "empty":
        file.write_bytes(b"")
    elif what == "folder":
        file.unlink()
        file.mkdir()
    elif what == "renamed":
        file.rename(file.with_name("renamed_" + file.name))
    elif what == "odd name":
        file.rename(file.with_name("new\nline\x1b[31m" + file.name))
    elif what == "copied":  # two candidates for one role
        shutil.copy(file, file.with_name("B_" + file.name))
    else:
        file.unlink()
        file.symlink_to(file if what == "loop" else outside / ESCAPE)
    return what


def _bytes(file: Path, rng: np.random.Generator, outside: Path) -> str:
    content = file.read_bytes()
    what = pick(rng, ("truncated", "flipped", "garbage", "appended", "gzipped", "zeroed"))
    if what == "truncated":
        content = content[: int(rng.integers(max(len(content), 1)))]
    elif what == "flipped":
        raw = np.frombuffer(content, np.uint8).copy()
        n = int(pick(rng, (1, 5, 50, 500)))
        if len(raw):
            raw[rng.integers(len(raw), size=n)] = rng.integers(256, size=n)
        content = raw.tobytes()
    elif what == "garbage":
        content = rng.bytes(5000)
    elif what == "appended":
        content += rng.bytes(int(rng.integers(1, 300)))
    elif what == "gzipped":
        content = gzip.compress(content)
    elif len(content):
        start = int(rng.integers(len(content)))
        content = content[:start] + bytes(min(200, len(content) - start)) + content[start + 200 :]
    file.write_bytes(content)
    return what


def _image(file: Path, rng: np.random.Generator, outside: Path) -> str:
    what = pick(rng, ("one pixel", "grey 16 bit", "a PNG", "black", "a strip", "text"))
    if what == "text":
        file.write_text("not an image\n")
        return what
    size = {"one pixel": (1, 1), "a strip": (20_000, 2)}.get(what, (300, 300))
    if what == "grey 16 bit":
        picture = Image.fromarray(rng.integers(0, 2**16, (300, 300)).astype(np.uint16))
    else:
        picture = Image.new("RGB", size, (0, 0, 0) if what == "black" else (230, 200, 220))
    form = "PNG" if what == "a PNG" or file.suffix == ".png" else "TIFF" if file.suffix.startswith(".tif") else "PNG"
    picture.save(file, format=form)
    return f"picture: {what}"


# ---- tables in text ------------------------------------------------------------------------------------------


def _text(file: Path, rng: np.random.Generator, outside: Path) -> str:
    raw = file.read_bytes()
    packed = raw[:2] == b"\x1f\x8b"
    text = (gzip.decompress(raw) if packed else raw).decode("utf-8", "replace")
    lines = text.split("\n")
    separator = "\t" if "\t" in lines[0] else "," if "," in lines[0] else " "
    kinds = (_lines, _columns, _columns, _cells, _cells, _encoding)
    what, content = pick(rng, kinds)(lines, separator, rng, outside)
    file.write_bytes(gzip.compress(content) if packed else content)
    return what


def _bytes_of(lines: list[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _lines(lines, separator, rng, outside):
    what = pick(
        rng, ("cut at a line", "half a line", "shuffled", "doubled", "no header", "header alone", "noise", "long")
    )
    at = int(rng.integers(len(lines)))
    if what == "cut at a line":
        lines = lines[:at]
    elif what == "half a line":
        lines = [*lines[:at], lines[at][: len(lines[at]) // 2]]
    elif what == "shuffled":
        lines = [lines[i] for i in rng.permutation(len(lines))]
    elif what == "doubled":
        lines = lines + lines[1:] if rng.random() < 0.5 else [*lines[: at + 1], *lines[at:]]
    elif what == "no header":
        lines = lines[1:]
    elif what == "header alone":
        lines = lines[:1]
    elif what == "long":
        lines[at] = lines[at] + separator.join("1" for _ in range(20_000))
    else:
        content = _bytes_of(lines[:at]) + b"\n" + rng.bytes(80) + b"\n" + _bytes_of(lines[at:])
        return what, content
    return what, _bytes_of(lines)


def _columns(lines, separator, rng, outside):
    what = pick(rng, ("swapped", "renamed", "removed", "repeated", "filled", "other separator", "header doubled"))
    if what == "other separator":
        return what, _bytes_of([line.replace(separator, pick(rng, ";|\t, ")) for line in lines])
    width = max(len(lines[0].split(separator)), 1)
    first, second = (int(rng.integers(min(width, 12))) for _ in range(2))
    value = pick(rng, (*NUMBERS, *WORDS, *tricks(outside)))[:300]  # in every line
    if what == "header doubled":
        words = lines[0].split(separator)
        words[first % len(words)] = words[second % len(words)]
        return what, _bytes_of([separator.join(words), *lines[1:]])
    changed = []
    for number, line in enumerate(lines):
        words = line.split(separator)
        if max(first, second) < len(words) and line:
            if what == "swapped":
                words[first], words[second] = words[second], words[first]
            elif what == "removed":
                del words[first]
            elif what == "repeated":
                words.append(words[first])
            elif (number == 0) == (what == "renamed"):
                words[first] = value
        changed.append(separator.join(words))
    return f"column {first} {what} ({value[:20]!r})", _bytes_of(changed)


def _cells(lines, separator, rng, outside):
    value = pick(rng, (*NUMBERS, *WORDS, *tricks(outside)))
    row = int(rng.integers(len(lines)))
    words = lines[row].split(separator)
    # Names stand in the first columns.
    column = 0 if rng.random() < 0.4 else int(rng.integers(len(words)))
    words[column] = value
    lines[row] = separator.join(words)
    return f"line {row}, column {column} is {value[:20]!r}", _bytes_of(lines)


def _encoding(lines, separator, rng, outside):
    what = pick(rng, ("utf-16", "utf-16-le", "latin-1", "utf-8-sig", "crlf", "cr", "utf-32", "cp037", "nul"))
    text = "\n".join(lines)
    if what == "crlf":
        return what, text.replace("\n", "\r\n").encode()
    if what == "cr":
        return what, text.replace("\n", "\r").encode()
    if what == "nul":
        return what, text.replace("\n", "\x00\n").encode()
    if what == "latin-1":
        text = text.replace("e", "é").replace("1\n", "1µ\n", 3)
    return what, text.encode(what, "replace")


# ---- JSON ----------------------------------------------------------------------------------------------------


def _json(file: Path, rng: np.random.Generator, outside: Path) -> str:
    if rng.random() < 0.15:
        text = pick(rng, ("[" * 100_000, "{}", "[]", "null", "1", '"text"', '{"a":', "{'a': 1}", "\ufeff{}", "NaN"))
        file.write_text(text)
        return f"JSON is {text[:20]!r}"
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return _bytes(file, rng, outside)
    holders: list[tuple] = []

    def walk(node) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            holders.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(content if isinstance(content, (dict, list)) else [])
    if not holders:
        return _bytes(file, rng, outside)
    node, key = pick(rng, holders)
    if isinstance(node, dict) and rng.random() < 0.25:
        node["renamed" if rng.random() < 0.5 else str(pick(rng, tricks(outside)))] = node.pop(key)
        what = f"{key} renamed"
    else:
        wrong = (None, [], {}, True, -1, 0, 1e308, 10**30, float("nan"), float("inf"), "x", [[1]], {"a": {"b": 1}})
        value = pick(rng, (*wrong, *wrong, *tricks(outside)))
        node[key] = value
        what = f"{key} is {str(value)[:20]!r}"
    file.write_text(json.dumps(content), errors="surrogatepass")
    return what


_KINDS = {"text": [_text] * 3, "json": [_json] * 3, "hdf5": [damage_hdf5] * 3, "parquet": [damage_parquet] * 3}
