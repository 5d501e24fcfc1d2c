"""What is read from a corpus is what was packed: rows of counts, image features, totals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import open_sample
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.corpus import build_corpus, open_corpus, raster, shards
from focus_cli.model.corpus import counts as stored_counts
from focus_cli.model.corpus.counts import StoredCounts, store_counts
from focus_cli.model.corpus.shards import ShardArray, ShardWriter, shard_path


@pytest.fixture(params=["large pieces", "small pieces"])
def pairs(request, folders, corpus, tmp_path_factory, monkeypatch):
    """Every sample as it is in memory, and from the corpus."""
    if request.param == "small pieces":
        monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
        monkeypatch.setattr(shards, "PIECE_BYTES", 1_000)
        monkeypatch.setattr(stored_counts, "GAP", 10)
        monkeypatch.setattr(stored_counts, "_BLOCK", 500)
        monkeypatch.setattr(raster, "_BAND", 1)
        corpus = build_corpus(folders, tmp_path_factory.mktemp("small") / "corpus")
        assert max(f.stat().st_size for f in corpus.rglob("*.safetensors")) < 30_000
    return [(load_sample_data(open_sample(f)), s.load()) for f, s in zip(folders, open_corpus(corpus), strict=True)]


def same(a: sparse.csr_matrix, b: sparse.csr_matrix) -> bool:
    return a.shape == b.shape and all(
        (getattr(a, part) == getattr(b, part)).all() and getattr(a, part).dtype == getattr(b, part).dtype
        for part in ("data", "indices", "indptr")
    )


def test_rows_are_those_of_the_matrix_in_any_order(pairs):
    rng = np.random.default_rng(0)
    for memory, packed in pairs:
        n = len(memory.xy_um)
        for rows in (np.arange(n), rng.permutation(n)[:17], np.array([3]), np.array([5, 5, 1]), np.arange(0)):
            assert same(memory.counts[rows], packed.counts[rows])
        mask = rng.random(n) < 0.3
        assert same(memory.counts[mask], packed.counts[mask])


def test_positions_molecules_and_genes_are_the_same(pairs):
    for memory, packed in pairs:
        for name in ("xy_um", "exposure", "feature_mean", "feature_sd"):
            a, b = getattr(memory, name), getattr(packed, name)
            assert a.dtype == b.dtype and (a == b).all()
        assert (memory.panel_share() == packed.panel_share()).all()
        pd.testing.assert_frame_equal(memory.genes, packed.genes)
        assert memory.info == packed.info


def test_image_features_are_the_same_at_any_place(pairs):
    rng = np.random.default_rng(1)
    for memory, packed in pairs:
        if memory.raster is None:
            assert packed.raster is None
            continue
        places = rng.uniform(-300, 3000, (500, 2))  # some of them beyond the image
        assert (memory.raster.sample(places) == packed.raster.sample(places)).all()
        assert (memory.features(places[:40]) == packed.features(places[:40])).all()
        assert (memory.raster.tissue(places) == packed.raster.tissue(places)).all()
        assert memory.raster.names == packed.raster.names and memory.raster.encoder == packed.raster.encoder


@pytest.mark.parametrize("values", [[1, 255], [1, 256], [1, 70_000], [1, 2**24 + 2], [0.5, 3], [0, 1]])
def test_counts_of_any_size_are_kept_exactly(tmp_path, values):
    counts = sparse.csr_matrix((np.array(values, np.float32), [1, 0], [0, 1, 1, 2]), shape=(3, 4))
    writer = ShardWriter(tmp_path)
    store_counts(writer, counts, np.array([2, 0, 1]))
    writer.flush()
    paths = [shard_path(tmp_path, shard["sha256"]) for shard in writer.shards]
    stored = StoredCounts({name: ShardArray(paths, a) for name, a in writer.arrays.items()}, 4)
    assert same(counts[np.arange(3)], stored[np.arange(3)]) and stored.nnz == 2
    assert (stored.sum(axis=1) == np.asarray(counts.sum(axis=1)).ravel()).all()


def test_a_shard_that_ends_too_early_or_is_gone_is_refused(folders, tmp_path):
    corpus = build_corpus(folders[:1], tmp_path / "corpus")
    (shard,) = corpus.rglob("*.safetensors")
    sample = open_corpus(corpus)[0].load()
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(BadInputError, match="ends too early"):
        for name in ("features", "tissue"):
            getattr(sample.raster.rasters[0], f"_{name}")[0:10_000]
        sample.counts[np.arange(len(sample.xy_um))]
    shards._opened.cache_clear()
    shard.unlink()
    with pytest.raises(MissingResourceError, match="no such shard"):
        open_corpus(corpus)[0].load()
