"""Tiles come in order, equal to what `Slide.read` gives, bounded in number, and survive damage."""

import threading
import time
import weakref

import numpy as np
import pytest
import tifffile
from PIL import Image

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.histology.slides import Tiling, iterate_tiles, open_slide, tile_slide
from focus_cli.histology.slides.tiled import TiledLevel

RNG = np.random.default_rng(11)


def smooth(height, width):
    """A picture that JPEG does not ruin."""
    coarse = RNG.integers(40, 250, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


BASE = smooth(500, 700)
LEVELS = [BASE, np.ascontiguousarray(BASE[::2, ::2]), np.ascontiguousarray(BASE[::4, ::4])]


def write(path, compression="jpeg", tile=(64, 64)):
    with tifffile.TiffWriter(path) as file:
        for i, level in enumerate(LEVELS):
            file.write(
                level,
                subfiletype=int(i > 0),
                tile=tile,
                photometric="rgb",
                compression=compression,
                metadata=None,
                resolution=(2e4 / 2**i, 2e4 / 2**i),
                resolutionunit="CENTIMETER",
            )
    return path


@pytest.fixture
def slide(tmp_path):
    with open_slide(write(tmp_path / "a.tif")) as opened:
        assert opened.mpp == pytest.approx(0.5)
        yield opened


def together(batches):
    batches = list(batches)
    return (np.concatenate([getattr(b, name) for b in batches]) for name in ("index", "pixels", "damaged"))


@pytest.mark.parametrize("compression", ["jpeg", "deflate"])
@pytest.mark.parametrize("level", [0, 1])
def test_native_tiles_are_what_tifffile_decodes(tmp_path, compression, level):
    path = write(tmp_path / "a.tif", compression)
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        whole = file.series[0].levels[level].asarray() if level < len(file.series[0].levels) else None
        whole = file.pages[level].asarray() if whole is None else whole
        tiling = tile_slide(slide, 64, 0.5 * 2**level)
        index, pixels, damaged = together(iterate_tiles(slide, tiling, batch=7, threads=3))
    padded = np.full((512, 768, 3), 255, np.uint8)
    padded[: whole.shape[0], : whole.shape[1]] = whole
    np.testing.assert_array_equal(index, np.arange(len(tiling)))
    assert not damaged.any()
    for tile, (x, y) in zip(pixels, (tiling.centres / 2**level - 32).astype(int)):
        np.testing.assert_array_equal(tile, padded[y : y + 64, x : x + 64])


@pytest.mark.parametrize(("tile_px", "mpp"), [(64, 0.5), (50, 0.5), (48, 0.83), (32, 1.0), (40, 1.3), (56, 5.0)])
def test_tiles_are_what_read_gives(slide, tile_px, mpp):
    tiling = tile_slide(slide, tile_px, mpp)
    side = tile_px * mpp / 0.5
    for batch in iterate_tiles(slide, tiling, batch=5):
        for row, tile in zip(batch.index, batch.pixels):
            x, y = tiling.centres[row] - side / 2
            expected = slide.read(x, y, side, side, mpp=mpp)
            assert np.abs(tile.astype(int) - expected).max() <= 1


def test_tiles_at_odd_places_are_copied_from_the_nearest_pixel(slide):
    tiling = Tiling(64, 0.5, np.array([[100.3, 80.6], [10.0, 495.0]]))
    _, pixels, _ = together(iterate_tiles(slide, tiling))
    np.testing.assert_array_equal(pixels[0], slide.read(68, 49, 64, 64))
    np.testing.assert_array_equal(pixels[1], slide.read(-22, 463, 64, 64))


def test_finer_than_the_slide_is_bicubic(slide):
    tiling = Tiling(64, 0.25, np.array([[200.0, 200.0]]))
    _, pixels, _ = together(iterate_tiles(slide, tiling))
    region = Image.fromarray(slide.read(150, 150, 100, 100))
    expected = np.asarray(region.resize((200, 200), Image.Resampling.BICUBIC))[68:132, 68:132]
    assert np.abs(pixels[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("tile_px", "mpp"), [(64, 0.5), (40, 1.3)])
def test_threads_batches_and_prefetch_do_not_change_a_byte(tmp_path, tile_px, mpp):
    seen = set()
    for batch, threads, ahead in ((64, 1, 1), (3, 4, 2), (11, 8, 9)):
        with open_slide(write(tmp_path / "a.tif")) as slide:
            tiles = iterate_tiles(slide, tile_slide(slide, tile_px, mpp), batch=batch, threads=threads, ahead=ahead)
            index, pixels, _ = together(tiles)
            seen.add((index.tobytes(), pixels.tobytes()))
    assert len(seen) == 1


def test_one_slide_read_by_many_threads_gives_the_same_windows(slide):
    boxes = [(int(x), int(y), 150, 90) for x, y in RNG.integers(-40, 600, (60, 2))]
    expected = [slide.read(*box) for box in boxes]
    scaled = slide.read_scaled((111, 133))
    slide._source.cache.clear()
    slide._source.cache.limit_bytes = 5 * 64 * 64 * 3
    wrong = []

    def work(offset):
        for i in range(len(boxes)):
            k = (i + offset) % len(boxes)
            if not np.array_equal(slide.read(*boxes[k]), expected[k]):
                wrong.append(k)
        if not np.array_equal(slide.read_scaled((111, 133)), scaled):
            wrong.append(-1)

    threads = [threading.Thread(target=work, args=(7 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    cache = slide._source.cache
    assert cache.held_bytes == sum(tile.nbytes for tile in cache._tiles.values()) <= cache.limit_bytes


def test_rows_are_taken_once_and_in_order(slide):
    tiling = tile_slide(slide, 64, 0.5)
    index, pixels, _ = together(iterate_tiles(slide, tiling, rows=np.array([9, 2, 9, 30]), batch=2))
    np.testing.assert_array_equal(index, [2, 9, 30])
    np.testing.assert_array_equal(pixels[0], slide.read(128, 0, 64, 64))
    assert list(iterate_tiles(slide, tiling, rows=np.array([], int))) == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_batches_are_decoded_than_stated(slide, monkeypatch, ahead):
    started, live, most = [], weakref.WeakSet(), []

    class Counted(np.ndarray):  # arrays themselves have no hash
        __hash__ = object.__hash__

    empty = np.empty

    def counting(shape, *rest):
        array = empty(shape, *rest)
        if len(shape) == 4:
            array = array.view(Counted)
            live.add(array)
            most.append(len(live))
        return array

    monkeypatch.setattr("focus_cli.histology.slides.prefetch.np.empty", counting)
    decode = TiledLevel.read_tile
    monkeypatch.setattr(TiledLevel, "read_tile", lambda self, *a: started.append(a[:2]) or decode(self, *a))
    tiling = tile_slide(slide, 64, 0.5)
    for taken, _batch in enumerate(iterate_tiles(slide, tiling, batch=4, threads=4, ahead=ahead), 1):
        if taken % 5 == 0:
            time.sleep(0.02)  # the threads would run away if nothing held them
        assert len(started) <= 4 * (taken + ahead)
    assert len(started) == len(tiling)
    assert max(most) <= ahead + 1


def test_leaving_half_way_stops_the_threads(slide):
    tiles = iterate_tiles(slide, tile_slide(slide, 16, 0.5), batch=8, threads=3)
    next(tiles)
    tiles.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tiles")]


def damage(path, numbers, how="zeros"):
    """Spoil tiles of level 0."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = [(page.dataoffsets[n], page.databytecounts[n]) for n in numbers]
    data = bytearray(path.read_bytes())
    for offset, count in places:
        if how == "zeros":
            data[offset : offset + 60] = bytes(min(60, count))
        else:  # the second half was never written
            data[offset + count // 2 : offset + count] = bytes(count - count // 2)
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["zeros", "half"])
@pytest.mark.parametrize("tile_px", [64, 100])
def test_damaged_tiles_are_white_counted_and_said(tmp_path, capsys, how, tile_px):
    path = write(tmp_path / "a.tif")
    damage(path, [5, 40], how)
    with open_slide(path) as slide, open_slide(write(tmp_path / "whole.tif")) as whole:
        tiling = tile_slide(slide, tile_px, 0.5)
        index, pixels, damaged = together(iterate_tiles(slide, tiling, max_damaged=0.5))
        corners = tiling.centres - tile_px / 2
        for row in index:
            x, y = corners[row]
            expected = np.array(whole.read(x, y, tile_px, tile_px))
            touched = False
            for n in (5, 40):
                left, top = n % 11 * 64 - x, n // 11 * 64 - y
                a, b = max(0, int(left)), max(0, int(top))
                c, d = min(tile_px, int(left) + 64), min(tile_px, int(top) + 64)
                if a < c and b < d:
                    touched = True
                    expected[b:d, a:c] = 255
            assert damaged[row] == touched
            np.testing.assert_array_equal(pixels[row], expected)
        said = capsys.readouterr().err
        assert f"{damaged.sum()} of {len(tiling)} tiles could not be decoded" in said
        with pytest.raises(BadInputError, match="cannot decode tile 5"):
            slide.read(0, 0, 700, 64)


def test_too_much_damage_stops_the_run(tmp_path):
    path = write(tmp_path / "a.tif")
    damage(path, range(0, 88, 8))
    with open_slide(path) as slide:
        with pytest.raises(BadInputError, match=r"at least 2 of 88 tiles of .*a\.tif cannot be decoded") as caught:
            list(iterate_tiles(slide, tile_slide(slide, 64, 0.5), batch=16, max_damaged=0.02))
        assert caught.value.hint
        assert not [t for t in threading.enumerate() if t.name.startswith("tiles")]
        assert len(list(iterate_tiles(slide, tile_slide(slide, 64, 0.5), max_damaged=0.125))) == 2


def test_a_cut_file_opens_only_on_purpose(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, BASE, photometric="rgb", tile=(64, 64), compression="jpeg", metadata=None)
    with tifffile.TiffFile(path) as file:
        end = file.pages[0].dataoffsets[80]
    path.write_bytes(path.read_bytes()[: end + 5])
    with pytest.raises(BadInputError, match="truncated"):
        open_slide(path)
    with open_slide(path, mpp=0.5, cut=True) as slide:
        _, pixels, damaged = together(iterate_tiles(slide, tile_slide(slide, 64, 0.5), max_damaged=0.1))
        np.testing.assert_array_equal(np.flatnonzero(damaged), np.arange(80, 88))
        assert (pixels[damaged] == 255).all()


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"ahead": 0}, {"threads": 0}, {"max_damaged": 2}, {"rows": [88]}])
def test_what_makes_no_sense_is_refused_at_once(slide, wrong):
    with pytest.raises(UsageError):
        iterate_tiles(slide, tile_slide(slide, 64, 0.5), **wrong)


@pytest.mark.realdata
def test_the_real_svs_as_openslide_reads_it(focus_data):
    openslide = pytest.importorskip("openslide")
    path = focus_data / "wsi" / "cmu_small_region.svs"
    with open_slide(path) as slide, openslide.OpenSlide(path) as other:
        tiling = tile_slide(slide, 256, 0.5)  # 0.499 by the file: taken as it is
        for batch in iterate_tiles(slide, tiling, batch=16):
            for row, tile in zip(batch.index, batch.pixels):
                x, y = (tiling.centres[row] - 128).astype(int)
                expected = np.full((256, 256, 3), 255, np.uint8)
                w, h = min(256, slide.width - x), min(256, slide.height - y)
                expected[:h, :w] = np.asarray(other.read_region((x, y), 0, (w, h)))[..., :3]
                np.testing.assert_array_equal(tile, expected)


def test_batches_that_are_kept_are_never_written_over(slide):
    tiling = tile_slide(slide, 32, slide.mpp)
    kept = [(b.pixels, b.pixels.copy()) for b in iterate_tiles(slide, tiling, batch=3, ahead=2)]
    views = [b.pixels[0, :2] for b in iterate_tiles(slide, tiling, batch=3, ahead=2)]
    assert len(kept) > 6
    for (pixels, copy), view in zip(kept, views):
        np.testing.assert_array_equal(pixels, copy)
        np.testing.assert_array_equal(view, copy[0, :2])


def test_memory_of_batches_that_were_let_go_is_used_again(slide):
    tiling = tile_slide(slide, 32, slide.mpp)
    places = set()
    for batch in iterate_tiles(slide, tiling, batch=3, ahead=2):
        places.add(batch.pixels.__array_interface__["data"][0])
        del batch
    assert len(tiling) // 3 > 6 >= len(places)
