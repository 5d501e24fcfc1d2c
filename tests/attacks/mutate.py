"""Damage to files of ours: by one random number generator each, so that a case can be made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from binary_mutations import damage_hdf5

VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 10**7, 10**30, -(2**63), 1e-300, 1e300, float("nan"), float("inf"), -0.5, 3.7,
    "", "x", "../../../escaped", "/etc/passwd", "a/b", "hf:a/b", "evil.yaml", "x" * 5000,
    "\u202eabc", "=1+1", "\x1b[31m",
    [], {}, [[]], [None], [1e9] * 3, {"a": 1}, {"": None}, [{"a": [1]}], "0" * 64, "NaN", "1",
)  # fmt: skip


def pick(rng: np.random.Generator, values: Any) -> Any:
    """One of several."""
    return values[int(rng.integers(len(values)))]


def damage(file: Path, rng: np.random.Generator) -> str:
    """Damage a file in place by a way that suits its kind; say what was done."""
    if rng.random() < 0.08:
        return damage_entry(file, rng)
    ways: list[Callable[[Path, np.random.Generator], str]] = [damage_bytes]
    if file.suffix == ".json" or file.name in ("zarr.json",):
        ways = [damage_json, damage_json, damage_json, damage_bytes]
    elif file.suffix == ".safetensors":
        ways = [damage_tensors, damage_tensors, damage_tensors, damage_bytes]
    elif file.suffix == ".h5ad":
        ways = [_hdf5, _hdf5, _hdf5, damage_values, damage_bytes]
    elif file.suffix in (".tsv", ".csv", ".txt", ".yaml", ".gmt", ".html"):
        ways = [damage_text, damage_text, damage_bytes]
    return pick(rng, ways)(file, rng)


def _hdf5(file: Path, rng: np.random.Generator) -> str:
    return damage_hdf5(file, rng, file.parent)


def damage_entry(file: Path, rng: np.random.Generator) -> str:
    """Put something else in the place of a file."""
    what = pick(rng, ("missing", "pipe", "folder", "loop", "zeros", "empty", "nowhere"))
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what == "loop":
        file.symlink_to(file.name)
    elif what == "zeros":
        file.symlink_to("/dev/zero")
    elif what == "empty":
        file.touch()
    elif what == "nowhere":
        file.symlink_to("not-there")
    return what


def damage_bytes(file: Path, rng: np.random.Generator) -> str:
    """Lose, change or add bytes."""
    content = bytearray(file.read_bytes())
    what = pick(rng, ("cut", "flip", "flip", "zeros", "ones", "insert", "twice"))
    if len(content) < 4:
        file.write_bytes(b"\x00\xff" * 10)
        return "other bytes"
    at = int(rng.integers(len(content)))
    if what == "cut":
        del content[at:]
    elif what == "flip":
        for _ in range(int(rng.integers(1, 20))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
    elif what in ("zeros", "ones"):
        n = int(rng.integers(1, 4096))
        content[at : at + n] = bytes([0 if what == "zeros" else 255]) * len(content[at : at + n])
    elif what == "insert":
        content[at:at] = bytes(rng.integers(0, 256, 40, dtype=np.uint8))
    else:
        content += bytes(content)
    file.write_bytes(bytes(content))
    return f"{what} at {at}"


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of all parts of a JSON value; of long lists the first parts only."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 4)):
            found += places(value[i], (*path, i))
    return found


def damage_json(file: Path, rng: np.random.Generator) -> str:
    """Change, remove or add one part of a JSON file."""
    if rng.random() < 0.06:
        text = pick(
            rng, ("[" * 5000, '{"a":' * 3000, "", "[]", "3", '"x"', "null", "{}", "NaN", '{"a":"\\ud800"}', "[1,")
        )
        file.write_text(text)
        return f"all is {text[:12]}"
    value = json.loads(file.read_text())
    known = places(value)
    # Few long records would get nearly all of the damage: first a key of the top, then a part below it.
    top = pick(rng, sorted({path[0] for path in known}, key=str)) if known else None
    path = pick(rng, [p for p in known if p[0] == top]) if known else ()
    if not path:
        file.write_text(json.dumps(pick(rng, VALUES)))
        return "another content"
    holder = value
    for part in path[:-1]:
        holder = holder[part]
    what = pick(rng, ("replaced", "replaced", "replaced", "removed", "added", "nested"))
    new = pick(rng, VALUES)
    if what == "replaced":
        holder[path[-1]] = new
    elif what == "removed":
        del holder[path[-1]]
    elif what == "added" and isinstance(holder, dict):
        holder["unheard_of"] = new
    elif what == "added":
        holder.append(new)
    else:
        holder[path[-1]] = [[[holder[path[-1]]]]]
    file.write_text(json.dumps(value))
    return f"{'.'.join(map(str, path))} {what} {str(new)[:30] if what in ('replaced', 'added') else ''}"


def damage_tensors(file: Path, rng: np.random.Generator) -> str:
    """Change one tensor of a safetensors file, or its header."""
    from safetensors.numpy import load_file, save

    arrays = load_file(file)
    name = pick(rng, sorted(arrays)) if arrays else "x"
    array = arrays.get(name, np.zeros(1, np.float32))
    what = pick(
        rng, ("removed", "renamed", "type", "shape", "values", "values", "header", "more", "empty", "last axis")
    )
    if what == "removed":
        arrays.pop(name, None)
    elif what == "renamed":
        arrays[name + "x"] = arrays.pop(name, array)
    elif what == "type":
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(pick(rng, ("float64", "float16", "int64", "uint8", "bool", "int32")))
    elif what == "shape":
        arrays[name] = pick(rng, (array.ravel(), array[None], array[: len(array) // 2] if array.ndim else array[None]))
    elif what == "values":
        bad = pick(rng, (np.nan, np.inf, -np.inf, -1, 0, 1e30, -1e30))
        changed = array.astype(np.float32) if array.dtype.kind not in "fiu" else array.copy()
        with np.errstate(all="ignore"):
            if rng.random() < 0.5:
                changed = np.full_like(changed, bad if changed.dtype.kind == "f" else 0)
            elif changed.size:
                changed.flat[int(rng.integers(changed.size))] = bad if changed.dtype.kind == "f" else 7
        arrays[name] = changed
    elif what == "more":
        arrays["unheard.of"] = np.zeros(3, np.float32)
    elif what == "empty":
        arrays[name] = array[:0] if array.ndim else array
    elif what == "last axis":
        arrays[name] = np.concatenate([array, array], axis=-1) if array.ndim else array
    blob = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    if what == "header":
        length = int.from_bytes(blob[:8], "little")
        header = json.loads(blob[8 : 8 + length])
        path = pick(rng, places(header))
        holder = header
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = pick(rng, VALUES)
        text = json.dumps(header).encode()
        blob = len(text).to_bytes(8, "little") + text + blob[8 + length :]
    file.write_bytes(blob)
    return f"{name} {what}"


def damage_values(file: Path, rng: np.random.Generator) -> str:
    """Change numbers of an HDF5 file and leave its structure."""
    import h5py

    with h5py.File(file, "r+") as h5:
        names: list[str] = []
        h5.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) and o.dtype.kind in "fiu" else None)
        name = pick(rng, names)
        values = np.asarray(h5[name][()])
        bad = pick(rng, (np.nan, np.inf, -1, 0, 1e300, 2**31, -(2**40)))
        if values.dtype.kind != "f":
            bad = pick(rng, (-1, 0, 2**30, 100))
        with np.errstate(all="ignore"):
            bad = np.array(bad).astype(values.dtype)
            if values.ndim == 0 or rng.random() < 0.4:
                values = np.full_like(values, bad)
            elif values.size:
                values.flat[int(rng.integers(values.size))] = bad
        h5[name][()] = values
    return f"{name} holds {bad}"


def damage_text(file: Path, rng: np.random.Generator) -> str:
    """Change lines and fields of a text."""
    text = file.read_text(errors="replace")
    what = pick(rng, ("line lost", "field", "field", "separator", "twice", "head lost", "quote", "crlf", "word"))
    lines = text.split("\n")
    at = int(rng.integers(len(lines)))
    sign = next((s for s in "\t," if s in text), ":" if file.suffix == ".yaml" else " ")
    fields = lines[at].split(sign)
    if what == "line lost":
        del lines[at]
    elif what == "field":
        fields[int(rng.integers(len(fields)))] = str(pick(rng, VALUES))
        lines[at] = sign.join(fields)
    elif what == "separator":
        lines[at] = lines[at].replace(sign, pick(rng, (";", "", sign * 2)))
    elif what == "twice":
        lines.insert(at, lines[at])
    elif what == "head lost":
        lines = lines[1:]
    elif what == "quote":
        lines[at] = '"' + lines[at]
    elif what == "crlf":
        lines = [line + "\r" for line in lines]
    else:
        lines[at] += pick(rng, ("\x00", "\ud7ff", "&a [*a]", "{{", "é" * 100, "\t\t\t", ": :"))
    file.write_text("\n".join(lines))
    return f"line {at} {what}"


def copy(source: Path, target: Path) -> Path:
    """A copy that may be damaged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return target
