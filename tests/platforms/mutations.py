"""Damage done to raw folders, one kind at a time, drawn from a seed.

`mutate` changes one file of a folder, or one name in it, as broken copies, spreadsheets, other software and
ill-meaning people do. The same generator makes the same damage.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

# Where a path trick would lead to, if a name ever became a path.
ESCAPE = "escaped"
TEXT = (".csv", ".tsv", ".txt", ".gem", ".mtx")
JSON = (".json", ".xenium")
HDF5 = (".h5", ".h5ad", ".gef", ".loom", ".hdf5")
IMAGES = (".tif", ".tiff", ".png", ".jpg")

NUMBERS = ("", "nan", "NaN", "inf", "-inf", "-1", "1e400", "1e38", "9" * 40, "2147483648", "3.7", "0x10", "1,5", "1_0")
WORDS = ("True", "None", "#REF!", "é", "\ufeff", "'", '"', '"unclosed', "\t", " ", "=1+1", "𝕏" * 3)


def tricks(outside: Path) -> tuple[str, ...]:
    """Names that would leave a folder, end a string, break a line or fill a path."""
    return (
        f"../../{ESCAPE}",
        f"../{ESCAPE}",
        f"..\\..\\{ESCAPE}",
        f"{outside}/{ESCAPE}",
        f"file://{outside}/{ESCAPE}",
        f"~/{ESCAPE}",
        f"$(touch {ESCAPE})",
        "..",
        ".",
        "/",
        "a/b",
        "nul\x00nul",
        "new\nline",
        "carriage\rreturn",
        "\x1b[31mred\x07",
        "\u202eright to left",
        "ä" * 300,
        "x" * 100_000,
        "__categories",
        "%s%n{0}",
    )


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
        file, kinds = _pick(rng, pictures), [_image, _bytes, _whole_file]
    else:
        file = _pick(rng, data)
        kinds = [*_KINDS.get(_kind(file), [_bytes]), *([_bytes, _whole_file] if rng.random() < 0.5 else [])]
    name = file.relative_to(folder)
    done = _pick(rng, kinds)(file, rng, outside)
    return f"{name}: {done}"


def _pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def _kind(file: Path) -> str:
    name = file.name.lower().removesuffix(".gz")
    for kind, suffixes in (("text", TEXT), ("json", JSON), ("hdf5", HDF5), ("parquet", (".parquet",))):
        if name.endswith(suffixes):
            return kind
    return ""


# ---- whole files ---------------------------------------------------------------------------------------------


def _whole_file(file: Path, rng: np.random.Generator, outside: Path) -> str:
    what = _pick(rng, ("missing", "empty", "folder", "renamed", "odd name", "dangling link", "copied", "loop"))
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
    what = _pick(rng, ("truncated", "flipped", "garbage", "appended", "gzipped", "zeroed"))
    if what == "truncated":
        content = content[: int(rng.integers(max(len(content), 1)))]
    elif what == "flipped":
        raw = np.frombuffer(content, np.uint8).copy()
        n = int(_pick(rng, (1, 5, 50, 500)))
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
    what = _pick(rng, ("one pixel", "grey 16 bit", "a PNG", "black", "a strip", "text"))
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
    what, content = _pick(rng, kinds)(lines, separator, rng, outside)
    file.write_bytes(gzip.compress(content) if packed else content)
    return what


def _bytes_of(lines: list[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _lines(lines, separator, rng, outside):
    what = _pick(
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
    what = _pick(rng, ("swapped", "renamed", "removed", "repeated", "filled", "other separator", "header doubled"))
    if what == "other separator":
        return what, _bytes_of([line.replace(separator, _pick(rng, ";|\t, ")) for line in lines])
    width = max(len(lines[0].split(separator)), 1)
    first, second = (int(rng.integers(min(width, 12))) for _ in range(2))
    value = _pick(rng, (*NUMBERS, *WORDS, *tricks(outside)))
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
    value = _pick(rng, (*NUMBERS, *WORDS, *tricks(outside)))
    row = int(rng.integers(len(lines)))
    words = lines[row].split(separator)
    # Names stand in the first columns.
    column = 0 if rng.random() < 0.4 else int(rng.integers(len(words)))
    words[column] = value
    lines[row] = separator.join(words)
    return f"line {row}, column {column} is {value[:20]!r}", _bytes_of(lines)


def _encoding(lines, separator, rng, outside):
    what = _pick(rng, ("utf-16", "utf-16-le", "latin-1", "utf-8-sig", "crlf", "cr", "utf-32", "cp037", "nul"))
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
        text = _pick(rng, ("[" * 100_000, "{}", "[]", "null", "1", '"text"', '{"a":', "{'a': 1}", "\ufeff{}", "NaN"))
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
    node, key = _pick(rng, holders)
    if isinstance(node, dict) and rng.random() < 0.25:
        node["renamed" if rng.random() < 0.5 else str(_pick(rng, tricks(outside)))] = node.pop(key)
        what = f"{key} renamed"
    else:
        wrong = (None, [], {}, True, -1, 0, 1e308, 10**30, float("nan"), float("inf"), "x", [[1]], {"a": {"b": 1}})
        value = _pick(rng, (*wrong, *wrong, *tricks(outside)))
        node[key] = value
        what = f"{key} is {str(value)[:20]!r}"
    file.write_text(json.dumps(content), errors="surrogatepass")
    return what


# ---- HDF5 ----------------------------------------------------------------------------------------------------


def _hdf5(file: Path, rng: np.random.Generator, outside: Path) -> str:
    with h5py.File(file, "r+") as h5:
        datasets: list[str] = []
        groups: list[str] = []
        h5.visititems(lambda n, o: (datasets if isinstance(o, h5py.Dataset) else groups).append(n))
        what = _pick(rng, ("removed", "no group", "replaced", "replaced", "one value", "text", "attributes", "moved"))
        name = _pick(rng, groups) if what == "no group" and groups else _pick(rng, datasets)
        if what in ("removed", "no group"):
            del h5[name]
        elif what == "moved":
            h5.move(name, name + "x")
            link = _pick(rng, ("none", "soft", "external", "group"))
            if link == "soft":
                h5[name] = h5py.SoftLink("/" + name)
            elif link == "external":
                h5[name] = h5py.ExternalLink(str(outside / ESCAPE), "/x")
            elif link == "group":
                h5.create_group(name)
        elif what == "attributes":
            return f"{_attributes(h5, _pick(rng, [*datasets, *groups, '/']), rng)} of {name}"
        else:
            names = [n for n in datasets if h5[n].dtype.kind in "OS"] if what == "text" else datasets
            name = _pick(rng, names or datasets)
            held = h5[name]
            attributes, before = dict(held.attrs), np.asarray(held[()])
            after = (_other if what == "replaced" else _value)(before, rng, outside)
            if after is not before:
                del h5[name]
                h5[name] = after
                if rng.random() < 0.8:
                    h5[name].attrs.update(attributes)
        return f"{name} {what}"


def _other(before: np.ndarray, rng: np.random.Generator, outside: Path) -> np.ndarray:
    """The same dataset of another type or shape."""
    shape = before.shape or (1,)
    ways: tuple[Callable[[], np.ndarray], ...] = (
        lambda: before.ravel()[: before.size // 2],
        lambda: before.ravel()[:0],
        lambda: np.concatenate([before.ravel(), before.ravel()]),
        lambda: np.zeros(shape, "S4"),
        lambda: np.full(shape, np.nan),
        lambda: np.full(shape, -7),
        lambda: np.full(shape, 2**62),
        lambda: np.full(shape, 1.5, np.float16),
        lambda: np.zeros(shape, np.complex64),
        lambda: np.zeros(shape, bool),
        lambda: np.zeros((2, 2, 2)),
        lambda: np.float64(3.0),
        lambda: np.array([str(outside / ESCAPE).encode()] * int(np.prod(shape))),
        lambda: before.reshape(1, -1),
    )
    return _pick(rng, ways)()


def _value(before: np.ndarray, rng: np.random.Generator, outside: Path) -> np.ndarray:
    """The same dataset with one or all of its values changed."""
    if not before.size:
        return before
    after = np.array(before)
    at = slice(None) if rng.random() < 0.3 else int(rng.integers(after.size))
    flat = after.reshape(-1)
    if after.dtype.names:
        field = _pick(rng, after.dtype.names)
        if after.dtype[field].kind in "iu":
            flat[field][at] = _pick(rng, (0, 1, np.iinfo(after.dtype[field]).max))
    elif after.dtype.kind in "OS":
        words = [w.replace("\x00", "?").encode() for w in (*tricks(outside), *NUMBERS, *WORDS)]
        other = [v if isinstance(v, bytes) else str(v).encode() for v in flat.tolist()]
        chosen = _pick(rng, [*words, b"\xff\xfe\xfd", other[0]])
        other[at] = [chosen] * len(other) if isinstance(at, slice) else chosen
        return np.array(other, dtype=object if before.dtype.kind == "O" else None).reshape(before.shape)
    elif after.dtype.kind == "f":
        flat[at] = _pick(rng, (np.nan, np.inf, -3, 1e30, 0.5, 0))
    elif after.dtype.kind in "iu":
        limits = np.iinfo(after.dtype)
        flat[at] = _pick(rng, (0, 1, limits.max, limits.min))
    return after


def _attributes(h5: h5py.File, name: str, rng: np.random.Generator) -> str:
    held = h5[name].attrs
    for key in list(held):
        if rng.random() < 0.4:
            del held[key]
        elif rng.random() < 0.5:
            values = (b"x", "x", "../x", np.array([-1.5]), np.nan, np.array([1e300]), -1, "0.0.0", "csc_matrix", 2**62)
            held[key] = _pick(rng, values)
    return f"attributes of {name}"


# ---- Parquet -------------------------------------------------------------------------------------------------


def _parquet(file: Path, rng: np.random.Generator, outside: Path) -> str:
    table = pd.read_parquet(file)
    column = _pick(rng, list(table.columns))
    what = _pick(rng, ("removed", "renamed", "swapped", "filled", "one", "doubled", "empty", "as text"))
    if what == "removed":
        table = table.drop(columns=column)
    elif what == "renamed":
        table = table.rename(columns={column: _pick(rng, ("other", *(t[:200] for t in tricks(outside))))})
    elif what == "swapped":
        other = _pick(rng, list(table.columns))
        table = table.rename(columns={column: other, other: column})
    elif what == "doubled":
        table = pd.concat([table, table])
    elif what == "empty":
        table = table.iloc[:0]
    elif what == "as text":
        table[column] = table[column].astype(str)
    else:
        values = (None, "x", [1, 2], {"a": 1}, b"\xff\xfe", 1e300, -1, np.nan, np.inf, pd.Timestamp("2020"), True, 2**62)
        value = _pick(rng, (*values, *tricks(outside)))
        cells = table[column].tolist()
        if what == "filled":
            cells = [value] * len(cells)
        elif cells:
            cells[int(rng.integers(len(cells)))] = value
        table[column] = pd.Series(cells, index=table.index, dtype=object)
        what = f"{what} ({str(value)[:20]!r})"
    try:
        table.to_parquet(file)
    except (ValueError, TypeError, OverflowError):  # pyarrow cannot hold the mixture: damage of another kind
        file.write_bytes(file.read_bytes()[:-100])
        what = "end cut"
    return f"column {column} {what}"


_KINDS = {"text": [_text] * 3, "json": [_json] * 3, "hdf5": [_hdf5] * 3, "parquet": [_parquet] * 3}
