"""A model trained from a corpus is that of the folders, to the byte; and one sample at a time is in memory."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from model.training.reading import weights
from model.training.tiny_cohort import TINY_NET, TINY_TRAINING, write_cells

from focus_cli.core.storage import open_sample
from focus_cli.genes.reference import build_reference
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.corpus import CorpusSample, open_corpus
from focus_cli.model.priors import covariance, fit_prior, matrix_cache
from focus_cli.model.training import fit
from focus_cli.model.training.checkpoint import save_model
from focus_cli.model.training.source import ViewSource
from focus_cli.model.training.views import ViewMaker

CONFIG = TINY_TRAINING.model_copy(update={"view_locations": 100, "max_steps": 9})


@pytest.fixture(scope="module")
def memory(folders):
    return [load_sample_data(open_sample(folder)) for folder in folders]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return build_reference(write_cells(folder / "cells.h5ad"), folder / "out", n_states=4)


@pytest.mark.parametrize("way", ["fitted prior", "given prior"])
def test_the_model_is_the_same_to_the_byte(memory, corpus, reference, tmp_path, way):
    given = {"reference": reference}
    if way == "given prior":
        given["prior"] = fit_prior([(d.genes, d.counts, d.xy_um, 100.0) for d in memory[:1]], 3)
    files = []
    for name, samples in (("folders", memory), ("corpus", open_corpus(corpus))):
        model, log = fit(samples, TINY_NET, CONFIG, seed=5, **given)
        save_model(tmp_path / name, model, log)
        files.append({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()})
    assert files[0] == files[1] and "image.safetensors" in files[0]


def test_an_interrupted_training_from_folders_is_resumed_from_the_corpus(memory, corpus, tmp_path, monkeypatch):
    from model.training.test_fit import Interrupted, interrupt_after

    out = tmp_path / "model"
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit(memory, TINY_NET, CONFIG, out=out)
    resumed = fit(open_corpus(corpus), TINY_NET, CONFIG, out=out, resume=True)
    assert weights(resumed[0]) == weights(fit(memory, TINY_NET, CONFIG)[0])


def test_one_sample_at_a_time_is_in_memory(corpus, monkeypatch):
    alive: weakref.WeakSet = weakref.WeakSet()
    most, original = [], CorpusSample.load

    def counted(sample):
        data = original(sample)
        alive.add(data.counts)  # the part that a prepared copy shares
        most.append(len(alive))
        return data

    monkeypatch.setattr(CorpusSample, "load", counted)
    monkeypatch.setattr(ViewSource.__init__, "__defaults__", (1,))  # byte of makers
    fit(open_corpus(corpus), TINY_NET, CONFIG)
    assert len(most) > 9 and max(most) <= 3  # the one at work, the one before it, and that of the last view


def test_views_do_not_depend_on_which_makers_are_kept_nor_on_threads(memory):
    prior = fit_prior([(d.genes, d.counts, d.xy_um, 100.0) for d in memory[:1]], 3)
    made = []

    def make(sample: int) -> ViewMaker:
        made.append(sample)
        return ViewMaker(memory[sample], prior, np.zeros((0, prior.n_factors), np.float32), CONFIG)

    sizes = [d.n_measured for d in memory]
    roomy, tight = ViewSource(sizes, make), ViewSource(sizes, make, most_bytes=1)

    def views(source: ViewSource, threads: int) -> list[bytes]:
        with ThreadPoolExecutor(threads) as pool:
            drawn = pool.map(lambda i: source.draw(np.random.default_rng(i)), range(12))
            return [view.counts.numpy().tobytes() + view.points.tobytes() for view in drawn]

    expected = views(roomy, 1)
    assert len(made) == len(set(made)) == 3
    made.clear()
    assert views(tight, 1) == expected and len(made) > 3
    assert views(tight, 4) == views(ViewSource.of([make(i) for i in range(3)]), 4) == expected


def test_matrices_cached_on_disk_change_nothing(memory, monkeypatch):
    samples = [(d.genes, d.counts, d.xy_um, 100.0) for d in memory]
    expected = fit_prior(samples, 4)
    on_disk, original = [], matrix_cache.MatrixCache._put
    monkeypatch.setattr(matrix_cache.MatrixCache.__init__, "__defaults__", (0,))
    monkeypatch.setattr(matrix_cache.MatrixCache, "_put", lambda *a: on_disk.append(1) or original(*a))
    monkeypatch.setattr(matrix_cache, "_SEGMENT", 10_000)
    assert covariance.MatrixCache is matrix_cache.MatrixCache
    again = fit_prior(samples, 4)
    assert on_disk
    for name in ("loadings", "baseline", "variance"):
        assert getattr(expected, name).tobytes() == getattr(again, name).tobytes()
