"""Pipes, devices, endless and far-reaching files in the place of every file that every verb reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from mutate import copy
from running import run
from verbs import COMMANDS, Command

pytestmark = pytest.mark.attack

_TIMEOUT_S = 300


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _zeros(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _deep_json(file: Path) -> None:
    file.write_text('{"a":' * 100_000)


def _alias_bomb(file: Path) -> None:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    file.write_text("\n".join(lines))


def _deep_yaml(file: Path) -> None:
    file.write_text("[" * 100_000)


def _external_link(file: Path) -> None:
    with h5py.File(file, "r+") as h5:
        h5["uns/beyond"] = h5py.ExternalLink("/etc/hostname", "/")


def _link_to_a_pipe(file: Path) -> None:
    os.mkfifo(file.with_name("pipe.h5"))
    with h5py.File(file, "r+") as h5:
        del h5["obs"]
        h5["obs"] = h5py.ExternalLink(str(file.with_name("pipe.h5")), "/obs")


def _external_storage(file: Path) -> None:
    with h5py.File(file, "r+") as h5:
        names = h5[f"var/{h5['var'].attrs['_index']}"]
        n = len(names)
        del h5["var"][h5["var"].attrs["_index"]]
        h5["var"].create_dataset(h5["var"].attrs["_index"], (n,), "S4", external=[("/etc/passwd", 0, 4 * n)])


def _virtual(file: Path) -> None:
    with h5py.File(file, "r+") as h5:
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
        h5.create_virtual_dataset("uns/beyond", layout)


def _circle(file: Path) -> None:
    with h5py.File(file, "r+") as h5:
        h5["uns/again"] = h5["uns"] if "uns" in h5 else h5["/"]


def _claims(file: Path) -> None:
    with h5py.File(file, "r+") as h5:
        h5.create_dataset("uns/large", (1 << 42,), "f8", chunks=(1 << 16,), compression="gzip")


def _gzip_bomb(file: Path) -> None:
    import gzip

    block = gzip.compress(bytes(64 << 20), 9)
    file.write_bytes(block * 200)  # 13 GB in 13 MB: members follow each other


_ANY: dict[str, Callable[[Path], None]] = {"pipe": _pipe, "zeros": _zeros, "loop": _loop}
KINDS: dict[str, dict[str, Callable[[Path], None]]] = {
    ".json": _ANY | {"deep": _deep_json},
    ".safetensors": _ANY,
    ".h5ad": _ANY
    | {
        "external link": _external_link,
        "link to a pipe": _link_to_a_pipe,
        "external storage": _external_storage,
        "virtual data set": _virtual,
        "circle": _circle,
        "claims": _claims,
    },
    ".yaml": _ANY | {"alias bomb": _alias_bomb, "deep": _deep_yaml},
    ".tsv": _ANY | {"gzip bomb": _gzip_bomb},
    ".csv": _ANY | {"gzip bomb": _gzip_bomb},
    ".txt": _ANY | {"gzip bomb": _gzip_bomb},
    ".gmt": _ANY | {"gzip bomb": _gzip_bomb},
    ".parquet": _ANY,
    ".html": _ANY,
    "": _ANY,  # chunks
}
# Files beside the ones that a command needs; it may do without.
_OPTIONAL = ("training.csv", "factors.tsv", "registration.png", "scores.json", "README.md", "cells.parquet")


def targets(place: Path) -> list[str]:
    """One file of each kind and name in a folder, or the file itself."""
    if place.is_file():
        return [""]
    found: dict[str, str] = {}
    for file in sorted(p for p in place.rglob("*") if p.is_file() and p.stat().st_size and p.suffix in KINDS):
        found.setdefault(file.name if file.suffix else f"{file.parent.parent.name}/chunk", str(file.relative_to(place)))
    return [part for part in found.values() if Path(part).name not in _OPTIONAL]


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(c.words)[:60] for c in COMMANDS])
def test_nothing_hangs_and_nothing_else_is_read(world, tmp_path, command: Command):
    problems = []
    for name in sorted(command.reads - {"raw", "image", "gene"}):
        for part in targets(world[name]):
            file = Path(part or world[name])
            for kind, make in KINDS[file.suffix].items():
                outcome, left = _try(world, tmp_path, command, name, part, make)
                if outcome.fault or left:
                    problems.append(f"{kind} as {name}/{part}: {outcome} {left}")
    assert not problems, "\n".join(problems)


def _try(world, tmp_path: Path, command: Command, name: str, part: str, make: Callable[[Path], None]):
    folder = tmp_path / "case"
    shutil.rmtree(folder, ignore_errors=True)
    copied = copy(world[name], folder / "in" / Path(world[name]).name)
    make(copied / part if part else copied)
    (folder / "out").mkdir()
    places = dict(world) | {name: copied, "out": folder / "out" / "made"}
    outcome = run([word.format(**places) for word in command.words], folder, _TIMEOUT_S)
    return outcome, [] if outcome.kind == "done" else sorted(p.name for p in (folder / "out").iterdir())


NAMES = (
    "../../../escaped",
    "/tmp/escaped",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "-x",
    "a" * 300,
    "a\nb",
    "é",
    "a b",
    ".hidden",
)


_USED = {
    "sample": ("corpus {sample} --out {out}", "enhance {sample} --model {model} --genes measured --out {out}.h5ad"),
    "corpus": ("train {corpus} --out {out} --config {settings} --max-steps 1", "corpus --out {corpus} --verify"),
    "enhanced": ("domains {enhanced} --n-domains 2 --out {out}",),
    "slide": ("outcome apply {slide} --head {outcome_attention} --out {out}.tsv --attention {out}",),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["sample", "corpus", "enhanced", "slide"])
def test_ids_in_files_never_lead_elsewhere(world, tmp_path, kind, name):
    import json

    (tmp_path / "in").mkdir()
    copied = copy(world[kind], tmp_path / "in" / Path(world[kind]).name)
    if kind == "sample":
        described = json.loads((copied / "sample.json").read_text())
        (copied / "sample.json").write_text(json.dumps(described | {"sample_id": name}))
    elif kind == "corpus":
        entry = next((copied / "samples").glob("*.json"))
        described = json.loads(entry.read_text())
        described["panel"], described["shards"][0]["sha256"] = name, name
        entry.write_text(json.dumps(described))
    else:
        with h5py.File(copied, "r+") as h5:
            del h5["uns/focus/sample_id"]
            h5["uns/focus/sample_id"] = name.replace("\0", "")
            h5["uns/focus/sample_id"].attrs.update({"encoding-type": "string", "encoding-version": "0.2.0"})
    before = _listing(tmp_path)
    for number, text in enumerate(_USED[kind]):
        places = dict(world) | {kind: copied, "out": tmp_path / "in" / f"out{number}"}
        outcome = run([word.format(**places) for word in text.split()], tmp_path, _TIMEOUT_S)
        assert outcome.kind == "refused", outcome
    assert _listing(tmp_path) == before


def _listing(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}


def test_a_model_runs_no_code(world, tmp_path):
    """A model whose encoder is named as a description beside it neither opens nor imports it."""
    import json

    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (tmp_path / "evil.yaml").write_text("name: evil\nfactory: evil:x\nmpp: 0.5\ntile_px: 8\ndim: 3\n")
    model = copy(world["encoder_model"], tmp_path / "model")
    described = json.loads((model / "model.json").read_text())
    for name in ("evil.yaml", str(tmp_path / "evil.yaml"), "./evil.yaml", str(tmp_path), "hf:evil/evil", "timm:evil"):
        described["encoder"]["name"] = name
        (model / "model.json").write_text(json.dumps(described))
        for verb in ("enhance {raw} --genes measured --out", "enhance --histology-only --image {image} --mpp 2 --out",
                     "embed --histology-only --image {image} --mpp 2 --out"):  # fmt: skip
            words = f"{verb} {tmp_path / 'out.h5ad'} --model {model} --device cpu".format(**world).split()
            outcome = run(words, tmp_path, _TIMEOUT_S)
            assert outcome.kind == "refused" and "encoder" in outcome.text, (name, verb, outcome)
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out.h5ad").exists()


def test_numbers_of_another_file_never_become_values(tmp_path):
    """What a link would have brought in is nowhere in the refusal either."""
    from focus_cli.core.errors import BadInputError
    from focus_cli.core.storage.hdf5 import open_hdf5

    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET00" * 4)
    with h5py.File(tmp_path / "x.h5", "w") as h5:
        h5.create_dataset("x", (4,), "S8", external=[(str(secret), 0, 32)])
        h5["y"] = np.arange(3)
    with pytest.raises(BadInputError) as caught:
        open_hdf5(tmp_path / "x.h5")
    assert "SECRET" not in caught.value.message
