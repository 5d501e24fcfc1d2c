"""Tiles are drawn from tissue, by physical scale, the same ones for the same seed; views and masks keep their sizes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from histology.pretraining.tiny_run import draw_slide
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.pretraining.augment import draw_mask, make_views, resize, turn
from focus_cli.histology.pretraining.batches import batches, view_drawer
from focus_cli.histology.pretraining.sources import find_sources
from focus_cli.histology.pretraining.tiles import SlideSource, TileStream


def stream_of(paths, **options):
    options = {"tile_um": 80, "mpp": 2.0, "seed": 5, **options}
    return TileStream([SlideSource(p, None, p.name) for p in paths], **options)


def test_tiles_lie_on_tissue_and_have_their_size(slides):
    stream = stream_of(slides)
    tiles = np.stack([stream.draw(0, i) for i in range(40)])
    assert tiles.shape == (40, 40, 40, 3)
    stained = (tiles.min(axis=-1) < 230).mean(axis=(1, 2))
    assert stained.min() > 0.4
    assert len({t.tobytes() for t in tiles}) == 40


def test_a_tile_depends_on_seed_step_and_index_alone(slides):
    one, two = stream_of(slides), stream_of(slides)
    asked = [(s, i) for s in range(3) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        by_threads = list(pool.map(lambda a: one.draw(*a), asked))
    for (step, index), tile in reversed(list(zip(asked, by_threads))):
        np.testing.assert_array_equal(two.draw(step, index), tile)
    assert not np.array_equal(stream_of(slides, seed=6).draw(0, 0), by_threads[0])


def test_a_slide_is_met_in_proportion_to_its_tissue(tmp_path):
    large, small = draw_slide(tmp_path / "l.tif", 1, side=700), draw_slide(tmp_path / "s.tif", 2, side=350)
    stream = stream_of([large, small])
    area = [g.area_um2 for g in stream.grounds]
    met = np.mean([stream._choose(np.random.default_rng(i), 0) == 0 for i in range(2000)])
    assert met == pytest.approx(area[0] / sum(area), abs=0.03)
    assert area[0] > 3 * area[1]


def test_the_same_tissue_is_drawn_at_another_resolution(tmp_path):
    # The same picture called twice as coarse is four times the tissue, and a tile covers half as many of its pixels.
    path = draw_slide(tmp_path / "a.tif", 1)
    fine = TileStream([SlideSource(path, 1.0)], tile_um=80, mpp=2.0)
    coarse = TileStream([SlideSource(path, 2.0)], tile_um=80, mpp=2.0)
    assert fine.tile_px == coarse.tile_px == 40
    assert coarse.area_mm2 > 3.5 * fine.area_mm2


def test_few_slides_are_open_at_a_time_and_all_are_met(tmp_path):
    paths = [draw_slide(tmp_path / f"{i}.tif", i, side=300) for i in range(5)]
    stream, again = (stream_of(paths, open_slides=2, steps_per_shelf=2) for _ in range(2))
    met = set()
    for step in range(24):
        stream.draw(step, 0)
        met |= set(stream._opened)
        assert len(stream._opened) <= 2
    assert met == set(range(5))
    np.testing.assert_array_equal(again.draw(17, 3), stream.draw(17, 3))
    stream.close()
    assert not stream._opened


def test_slides_without_tissue_are_passed_over_or_refused(tmp_path, slides):
    empty = draw_slide(tmp_path / "empty.tif", tissue=False)
    assert [g.source.name for g in stream_of([*slides, empty]).grounds] == ["a.tif", "b.tif"]
    with pytest.raises(BadInputError, match="tissue enough"):
        stream_of([empty])
    with pytest.raises(BadInputError, match="tissue enough"):
        stream_of(slides, tile_um=5000)
    with pytest.raises(UsageError, match="given twice"):
        stream_of([slides[0], slides[0]])


def test_scales_come_from_the_file_the_general_value_or_the_slides_own(tmp_path, slides):
    bare = tmp_path / "bare.png"
    from PIL import Image

    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(bare)
    with pytest.raises(MissingResourceError, match=r"scale of .* unknown"):
        find_sources([slides[0], bare])
    assert [s.mpp for s in find_sources([slides[0], bare], ["0.7"])] == [pytest.approx(1.0), 0.7]
    assert [s.mpp for s in find_sources([slides[0], bare], ["0.7", "a.tif=0.9"])] == [0.9, 0.7]
    for wrong in (["x"], ["-1"], ["0.5", "0.6"], ["other.tif=0.5"], ["a.tif=nan"]):
        with pytest.raises(UsageError, match="--mpp"):
            find_sources([slides[0]], wrong)
    with pytest.raises(MissingResourceError, match="no such"):
        find_sources([tmp_path / "none.svs"])
    with pytest.raises(BadInputError, match="no FOCUS sample"):
        find_sources([tmp_path])


def test_views_have_their_sizes_and_one_global_view_is_masked(slides, settings):
    stream = stream_of(slides, tile_um=settings.tile_um, mpp=settings.tile_mpp)
    draw = view_drawer(stream, settings, 8)
    views = draw(0, 1)
    assert views.globals.shape == (2, 32, 32, 3)
    assert views.locals.shape == (2, 16, 16, 3)
    assert sorted(views.mask.any(axis=1)) == [False, True]
    assert settings.mask_share[0] - 0.05 < views.mask.sum() / 16 <= settings.mask_share[1] + 0.05
    again = draw(0, 1)
    for name in ("globals", "locals", "mask"):
        np.testing.assert_array_equal(getattr(views, name), getattr(again, name))


def test_crops_vary_in_scale_within_the_range(settings):
    # A ramp of known slope: the slope in the view is the scale that was drawn.
    plain = settings.model_copy(update={"stain_share": 0.0, "blur_share": 0.0})
    side = round(plain.tile_um / plain.tile_mpp)
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8)[:, None, None] * 4, (side, side, 3))
    slopes = []
    for i in range(60):
        view = (
            make_views(np.ascontiguousarray(ramp), plain, 8, np.random.default_rng(i)).globals[0][..., 0].astype(float)
        )
        slopes.append(max(abs(np.diff(view[4:-4], axis=a).mean()) for a in (0, 1)) / 4 * plain.scale_range[0])
    assert min(slopes) == pytest.approx(plain.scale_range[0], abs=0.06)
    assert max(slopes) == pytest.approx(plain.scale_range[1], abs=0.06)


def test_batches_keep_their_order_whatever_the_threads(slides, settings):
    draw = view_drawer(stream_of(slides, tile_um=settings.tile_um, mpp=settings.tile_mpp), settings, 8)
    one, four = (list(batches(draw, range(3), range(4), threads=n)) for n in (1, 4))
    halves = list(batches(draw, range(3), range(4), threads=2, parts=2))
    for (a,), (b,), (first, _) in zip(one, four, halves):
        assert a.large.shape == (8, 32, 32, 3) and a.mask.shape == (8, 16)
        assert a.large.equal(b.large) and a.small.equal(b.small) and a.mask.equal(b.mask)
        # View by view: tile i's views are i and i + 4 (of four), i and i + 2 (of two).
        assert first.large[0].equal(a.large[0]) and first.large[2].equal(a.large[4])


def test_what_a_drawer_raises_comes_out_where_its_batch_would(slides, settings):
    draw = view_drawer(stream_of(slides, tile_um=settings.tile_um, mpp=settings.tile_mpp), settings, 8)

    def broken(step, index):
        if step == 2:
            raise BadInputError("cannot decode tile 7")
        return draw(step, index)

    taken = batches(broken, range(5), range(2), threads=2)
    next(taken), next(taken)
    with pytest.raises(BadInputError, match="tile 7"):
        next(taken)


@given(n=st.integers(1, 14), share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_masks_hide_the_share_that_was_asked(n, share, seed):
    mask = draw_mask(n, share, np.random.default_rng(seed))
    assert mask.shape == (n, n)
    assert mask.sum() == np.clip(round(share * n * n), 1, max(1, n * n - 1))


def test_masks_are_blocks_and_not_salt():
    rng = np.random.default_rng(0)
    touching = np.mean([(m[1:] & m[:-1]).sum() / m.sum() for m in (draw_mask(14, 0.3, rng) for _ in range(50))])
    assert touching > 0.6  # of salt it would be 0.3


def test_turns_are_the_eight_of_the_square():
    tile = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert len({turn(tile, i).tobytes() for i in range(8)}) == 8


def test_resizing_averages_and_keeps_the_mean():
    rgb = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    small = resize(rgb, 30)
    assert small.shape == (30, 30, 3)
    assert small.mean() == pytest.approx(rgb.mean(), abs=1)
    assert small.std() < 0.6 * rgb.std()
    assert resize(rgb, 90) is rgb


def store(path, image):
    """A stored sample of two locations, with an image or none."""
    import anndata
    from scipy import sparse

    from focus_cli.core.storage import Footprint, ImageInfo, PlatformInfo, SampleInfo, write_sample

    adata = anndata.AnnData(sparse.csr_matrix(np.eye(2, dtype=np.float32)))
    adata.obsm["spatial"] = adata.obsm["spatial_um"] = np.eye(2)
    info = None if image is None else ImageInfo(image, "0" * 64, 600, 600, 1.0, 1.3)
    where = PlatformInfo("visium"), 1.3, Footprint("circle", 55, 100), 2, 2
    return write_sample(path, SampleInfo(path.name, *where, image=info), adata).path


def test_a_samples_image_is_read_at_the_scale_that_was_fitted(tmp_path, slides):
    sample = store(tmp_path / "S1", "../near.tif")
    with pytest.raises(MissingResourceError, match="image of sample S1 is not there"):
        find_sources([sample])
    (tmp_path / "near.tif").write_bytes(slides[0].read_bytes())
    (source,) = find_sources([sample])
    assert (source.path, source.mpp, source.name) == (tmp_path / "near.tif", 1.3, "S1")
    with pytest.raises(BadInputError, match="sample S2 has no image"):
        find_sources([store(tmp_path / "S2", None)])
