"""Damaged images end in a result or in a refusal of one line, in every verb that reads a slide.

Each mutation is drawn from its own seed and read by one verb in a process of its own, with a limit of time and memory.
``FOCUS_IMAGE_MUTATIONS`` sets how many there are on each format.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_mutations import damage_image, write_images
from running import run

pytestmark = pytest.mark.attack

MUTATIONS = int(os.environ.get("FOCUS_IMAGE_MUTATIONS", 50))
FEWEST = 500
VERBS = (
    "inspect {slide}",
    "inspect {slide} --mpp 2",
    "nuclei {slide} --mpp 2 --out {out}.parquet",
    "features {slide} --mpp 2 --encoder {encoder} --out {out}.zarr --device cpu",
    "preprocess {raw} --sample X --out {out} --step-um 64 --image {slide} --mpp 2",
    "pretrain {slide} --mpp 2 --out {out} --config {pretrain_settings} --max-steps 1 --init {encoder} --device cpu",
    "enhance --histology-only --image {slide} --mpp 2 --model {model} --genes measured --out {out}.h5ad --device cpu",
)
FORMATS = (
    *("strips.tif", "tiles.tif", "big.tif", "aperio.svs", "pyramid.ome.tif", "planes.tif", "alpha.tif"),
    *("old.ome.zarr", "new.ome.zarr", "colour.png", "palette.png", "colour.jpg"),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[str, Path]:
    return write_images(tmp_path_factory.mktemp("images"))


def test_there_are_enough():
    assert len(FORMATS) * MUTATIONS >= FEWEST


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_images_are_read_or_refused(name, images, world, tmp_path):
    assert set(images) == set(FORMATS)
    faults, ended = [], set()
    for seed in range(MUTATIONS):
        place = tmp_path / str(seed)
        place.mkdir()
        slide = place / name
        (shutil.copytree if images[name].is_dir() else shutil.copyfile)(images[name], slide)
        rng = np.random.default_rng([seed, sum(name.encode())])
        done = damage_image(slide, rng)
        verb = VERBS[seed % len(VERBS)]
        places = {key: str(value) for key, value in world.items()} | {"slide": str(slide), "out": str(place / "out")}
        outcome = run([word.format(**places) for word in verb.split()], place)
        ended.add(outcome.kind)
        if outcome.fault or "\n" in outcome.text:
            faults.append(f"seed {seed}, {verb.split()[0]}, {done}: {outcome}")
        # `focus features` goes on from what was extracted before a damaged tile.
        resumed = {".out.zarr.partial"} if verb.startswith("features") else set()
        left = sorted(p.name for p in place.iterdir() if p != slide and not p.name.startswith("out"))
        left = [name for name in left if name not in resumed]
        if left or (outcome.kind == "refused" and any(p.name.startswith("out") for p in place.iterdir())):
            faults.append(f"seed {seed}, {verb.split()[0]}, {done}: it left {left or 'an output'}")
        shutil.rmtree(place)
    assert not faults, f"{len(faults)} of {MUTATIONS}:\n" + "\n".join(faults)
    assert "refused" in ended
