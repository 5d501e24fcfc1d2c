"""Features of an encoder on a grid: right place, resumable to the byte, reused, refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from focus_cli.core.errors import BadInputError, OutputExistsError, UsageError
from focus_cli.histology import EncoderInfo
from focus_cli.histology.features import MorphologyRaster
from focus_cli.histology.features.encoded import extract_features
from focus_cli.histology.features.encoded_plan import make_plan
from focus_cli.histology.slides import open_slide

MPP = 1.0


class Colours:
    """Mean colour of `grid` × `grid` parts of a tile, in grey levels: what it should be is known."""

    def __init__(self, tile_px=32, grid=1, mpp=1.0, digest="c0ffee000000", stop_after=None, scale=1.0):
        self.info = EncoderInfo("colours", digest, mpp, tile_px, (0.0,) * 3, (1.0,) * 3, 3, grid, "none", "test")
        self.calls, self.stop_after, self.scale = 0, stop_after, scale

    def encode(self, tiles):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        n, side, grid = len(tiles), self.info.tile_px, self.info.grid
        parts = tiles.reshape(n, grid, side // grid, grid, side // grid, 3)
        return self.scale * parts.mean(axis=(2, 4), dtype=np.float32)


def picture(height=768, width=1024):
    """Glass with a disc of stained tissue: red falls from left to right, green from top to bottom, with texture."""
    y, x = np.mgrid[:height, :width]
    rgb = np.full((height, width, 3), 244, np.uint8)
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (0.4 * height) ** 2
    texture = 20 * ((x // 8 + y // 8) % 2)
    colour = np.stack([210 - 90 * x / width, 60 + 90 * y / height, 0 * x + 170], -1) + texture[..., None]
    rgb[disc] = np.clip(colour[disc], 0, 255)
    return rgb, disc


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "s.tif"
    tifffile.imwrite(path, picture()[0], photometric="rgb", tile=(128, 128), compression="deflate", metadata=None)
    return path


def extract(slide_path, out, encoder=None, **options):
    with open_slide(slide_path, MPP) as slide:
        return extract_features(slide, encoder or Colours(), out, mpp_image=MPP, **{"batch": 16, **options})


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def test_cells_hold_the_tile_that_is_centred_on_them(slide_path, tmp_path):
    made = extract(slide_path, tmp_path / "f.zarr", step_um=16)
    raster = MorphologyRaster(tmp_path / "f.zarr")
    rgb, _ = picture()
    assert raster.names[0] == "colours@c0ffee000000/0000"
    assert (raster.n_features, raster.step_um, list(raster.shape)) == (3, 16, made["shape"])
    for row, column in ((20, 30), (24, 32), (30, 25)):
        x, y = raster.origin_um + raster.step_um * np.array([column, row])
        left, top = round(x - 16), round(y - 16)
        expected = rgb[top : top + 32, left : left + 32].reshape(-1, 3).mean(0)
        np.testing.assert_allclose(raster.sample(np.array([[x, y]]))[0], expected, atol=0.1)


def test_sampling_on_tissue_never_meets_an_empty_cell(slide_path, tmp_path):
    extract(slide_path, tmp_path / "f.zarr", step_um=16)
    raster = MorphologyRaster(tmp_path / "f.zarr")
    _, disc = picture()
    y, x = np.nonzero(disc)
    chosen = np.random.default_rng(0).choice(len(x), 2000, replace=False)
    values = raster.sample(np.stack([x[chosen], y[chosen]], 1) + 0.5)
    assert values.min() > 40  # every colour of the disc is; zeros would drag it down
    corner = raster.sample(np.array([[8.0, 8.0]]))
    assert np.isnan(corner).all()  # nothing was computed there


def test_chunks_away_from_tissue_are_not_stored(tmp_path):
    rgb = np.full((1024, 3072, 3), 244, np.uint8)
    rgb[200:800, 2100:2900] = picture()[0][84:684, 112:912]
    tifffile.imwrite(tmp_path / "s.tif", rgb, photometric="rgb", tile=(128, 128), compression="deflate", metadata=None)
    extract(tmp_path / "s.tif", tmp_path / "f.zarr", step_um=8)
    # 128 × 384 cells: the right one of two shards alone.
    assert [p.name for p in sorted((tmp_path / "f.zarr/features/c/0").iterdir())] == ["1"]


@pytest.mark.parametrize("grid", [4, 7])
def test_dense_tokens_lie_where_they_look(slide_path, tmp_path, grid):
    encoder = Colours(tile_px=grid * 8, grid=grid)
    extract(slide_path, tmp_path / "f.zarr", encoder)
    raster = MorphologyRaster(tmp_path / "f.zarr")
    rgb, _ = picture()
    assert raster.step_um == 8
    for row, column in ((40, 50), (41, 51), (42, 60), (57, 77), (60, 48)):
        x, y = raster.origin_um + 8 * np.array([column, row])
        left, top = round(x - 4), round(y - 4)
        expected = rgb[top : top + 8, left : left + 8].reshape(-1, 3).mean(0)
        np.testing.assert_allclose(raster.sample(np.array([[x, y]]))[0], expected, atol=0.1)


def test_dense_features_have_the_pitch_of_the_tokens(slide_path, tmp_path):
    with pytest.raises(UsageError, match="tokens 8 µm apart"):
        extract(slide_path, tmp_path / "f.zarr", Colours(32, 4), step_um=16)
    plan = make_plan(Colours(112, 14).info, (0, 0, 1000, 1000), None)
    assert (plan.used, plan.margin, plan.grid.step) == (8, 3, 8.0)
    assert plan.shard % plan.chunk == plan.chunk % plan.used == 0


def test_the_samples_scale_decides_not_the_files(slide_path, tmp_path):
    with open_slide(slide_path, 1.0) as slide:  # the file says 1 µm, the sample 2
        made = extract_features(slide, Colours(32, mpp=2.0), tmp_path / "f.zarr", mpp_image=2.0, batch=16)
    raster = MorphologyRaster(tmp_path / "f.zarr")
    assert made["step_um"] == 64
    x, y = raster.origin_um + 64 * np.array([16, 12])
    left, top = round(x / 2 - 16), round(y / 2 - 16)
    expected = picture()[0][top : top + 32, left : left + 32].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(raster.sample(np.array([[x, y]]))[0], expected, atol=0.1)


def test_a_part_is_that_part(slide_path, tmp_path):
    extract(slide_path, tmp_path / "all.zarr", step_um=16)
    made = extract(slide_path, tmp_path / "part.zarr", step_um=16, bounds_um=(320, 320, 640, 480))
    assert made["shape"] == [10, 20]
    xy = np.array([[400.0, 376.0], [520.0, 440.0]])
    whole, part = (MorphologyRaster(tmp_path / f"{name}.zarr").sample(xy) for name in ("all", "part"))
    np.testing.assert_allclose(whole, part, atol=0.2)


def test_batches_and_threads_do_not_matter(slide_path, tmp_path):
    rasters = []
    for k, (batch, threads) in enumerate(((16, 1), (16, 3), (5, 2))):
        extract(slide_path, tmp_path / f"{k}.zarr", batch=batch, threads=threads)
        rasters.append(contents(tmp_path / f"{k}.zarr"))
    assert rasters[0] == rasters[1] == rasters[2]


@pytest.mark.parametrize("stop_after", [0, 1, 7])
def test_stopped_and_started_again_ends_with_the_same_bytes(slide_path, tmp_path, stop_after, monkeypatch):
    from focus_cli.histology.features import encoded_plan

    monkeypatch.setattr(encoded_plan, "SHARD", 32)  # several shards
    extract(slide_path, tmp_path / "whole.zarr", step_um=16)
    with pytest.raises(KeyboardInterrupt):
        extract(slide_path, tmp_path / "f.zarr", Colours(stop_after=stop_after), step_um=16)
    assert not (tmp_path / "f.zarr").exists()
    again = Colours()
    extract(slide_path, tmp_path / "f.zarr", again, step_um=16)
    whole = Colours()
    extract(slide_path, tmp_path / "w2.zarr", whole, step_um=16)
    assert again.calls == whole.calls - stop_after  # nothing was done twice
    assert contents(tmp_path / "f.zarr") == contents(tmp_path / "whole.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.zarr", "w2.zarr", "whole.zarr"]


def test_half_a_record_is_cut_off(slide_path, tmp_path):
    extract(slide_path, tmp_path / "whole.zarr")
    with pytest.raises(KeyboardInterrupt):
        extract(slide_path, tmp_path / "f.zarr", Colours(stop_after=2))
    (records,) = (tmp_path / ".f.zarr.partial").glob("shard-*")
    with records.open("ab") as stream:
        stream.write(b"\1\2\3\4\5\6\7\10\11")
    extract(slide_path, tmp_path / "f.zarr")
    assert contents(tmp_path / "f.zarr") == contents(tmp_path / "whole.zarr")


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_encoded_extraction import Colours, extract
class Killer(Colours):
    def encode(self, tiles):
        if self.calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(tiles)
extract({slide!r}, {out!r}, Killer())
"""


def test_killed_and_started_again_ends_with_the_same_bytes(slide_path, tmp_path):
    out = tmp_path / "f.zarr"
    code = KILLED.format(tests=os.path.dirname(__file__), slide=str(slide_path), out=str(out))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -9
    assert not out.exists()
    encoder, whole = Colours(), Colours()
    extract(slide_path, out, encoder)
    extract(slide_path, tmp_path / "whole.zarr", whole)
    assert encoder.calls == whole.calls - 3
    assert contents(out) == contents(tmp_path / "whole.zarr")


def test_what_is_left_of_another_extraction_is_not_used(slide_path, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        extract(slide_path, tmp_path / "f.zarr", Colours(stop_after=2, scale=0.5, digest="0ther0000000"))
    extract(slide_path, tmp_path / "f.zarr")
    assert "starting anew" in capsys.readouterr().err
    extract(slide_path, tmp_path / "whole.zarr")
    assert contents(tmp_path / "f.zarr") == contents(tmp_path / "whole.zarr")


def test_two_at_once_are_refused(slide_path, tmp_path):
    import fcntl

    folder = tmp_path / ".f.zarr.partial"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process is extracting"):
            extract(slide_path, tmp_path / "f.zarr")


def test_the_store_makes_nothing_twice(slide_path, tmp_path):
    first, second, other = Colours(), Colours(), Colours(digest="0ther0000000")
    assert not extract(slide_path, tmp_path / "a.zarr", first, store=tmp_path / "store")["reused"]
    assert extract(slide_path, tmp_path / "b.zarr", second, store=tmp_path / "store")["reused"]
    assert first.calls > 0
    assert second.calls == 0
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")
    extract(slide_path, tmp_path / "c.zarr", other, store=tmp_path / "store")
    extract(slide_path, tmp_path / "d.zarr", Colours(), store=tmp_path / "store", step_um=64)
    assert other.calls > 0
    assert len(list((tmp_path / "store").iterdir())) == 3
    # The same slide elsewhere is the same slide.
    (tmp_path / "moved.tif").write_bytes(slide_path.read_bytes())
    assert extract(tmp_path / "moved.tif", tmp_path / "e.zarr", store=tmp_path / "store")["reused"]


def test_outputs_are_not_replaced_unasked(slide_path, tmp_path):
    extract(slide_path, tmp_path / "f.zarr")
    encoder = Colours()
    with pytest.raises(OutputExistsError):
        extract(slide_path, tmp_path / "f.zarr", encoder)
    assert encoder.calls == 0
    extract(slide_path, tmp_path / "f.zarr", Colours(digest="0ther0000000"), overwrite=True)
    assert "0ther0000000" in MorphologyRaster(tmp_path / "f.zarr").names[0]


def test_the_encoder_is_written_down(slide_path, tmp_path):
    extract(slide_path, tmp_path / "f.zarr")
    attributes = json.loads((tmp_path / "f.zarr" / "zarr.json").read_text())["attributes"]
    assert attributes["encoder"]["name"] == "colours"
    assert attributes["encoder"]["licence"] == "none"
    assert attributes["damaged_tiles"] == 0
    assert len(attributes["slide_sha256"]) == 64


def test_refusals(slide_path, tmp_path):
    for options, message in (
        ({"step_um": 0}, "step_um"),
        ({"batch": 0}, "batch"),
        ({"bounds_um": (5, 5, 1, 9)}, "box"),
    ):
        with pytest.raises(UsageError, match=message):
            extract(slide_path, tmp_path / "f.zarr", **options)
    with open_slide(slide_path, MPP) as slide, pytest.raises(UsageError, match="mpp_image"):
        extract_features(slide, Colours(), tmp_path / "f.zarr", mpp_image=0)
    with pytest.raises(BadInputError, match="not finite in half precision"):
        extract(slide_path, tmp_path / "f.zarr", Colours(scale=1e4))
    blank = np.full((512, 512, 3), 245, np.uint8)
    tifffile.imwrite(tmp_path / "blank.tif", blank, photometric="rgb", tile=(128, 128))
    with pytest.raises(BadInputError, match="no tissue"):
        extract(tmp_path / "blank.tif", tmp_path / "g.zarr")
    assert not (tmp_path / "f.zarr").exists()
    assert not (tmp_path / "g.zarr").exists()


def test_too_many_damaged_tiles_are_refused_and_some_are_counted(tmp_path):
    path, rgb = tmp_path / "s.tif", picture()[0]
    options = {"photometric": "rgb", "tile": (128, 128), "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        tif.write(rgb, subifds=1, **options)
        tif.write(rgb[::2, ::2], subfiletype=1, **options)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        middle = 3 * 8 + 4
        offset, count = page.dataoffsets[middle], page.databytecounts[middle]
    data = bytearray(path.read_bytes())
    data[offset + 2 : offset + count - 2] = b"\0" * (count - 4)
    path.write_bytes(data)
    with open_slide(path, MPP) as slide:
        # The mask is made of the whole slide's thumbnail: from the lower level, which is sound.
        slide.thumbnail = lambda side: np.ascontiguousarray(rgb[::2, ::2])
        with pytest.raises(BadInputError, match="cannot be decoded"):
            extract_features(slide, Colours(), tmp_path / "f.zarr", mpp_image=MPP, batch=16)
        made = extract_features(slide, Colours(), tmp_path / "f.zarr", mpp_image=MPP, batch=16, max_damaged=0.5)
    assert 0 < made["damaged_tiles"] < made["tiles"] / 2


def test_the_command(slide_path, tmp_path):
    from click.testing import CliRunner

    from focus_cli.cli.features import command

    run = CliRunner().invoke(command, ["--list"])
    assert run.exit_code == 0
    assert "CC-BY-NC-ND-4.0" in run.output
    out = tmp_path / "f.zarr"
    options = ["--mpp", "1", "--encoder", "morphology", "--batch", "8", "--device", "cpu"]
    run = CliRunner().invoke(command, [str(slide_path), *options, "--out", str(out)], catch_exceptions=False)
    assert run.exit_code == 0
    assert MorphologyRaster(out).n_features == 57
    assert isinstance(CliRunner().invoke(command, [str(slide_path)]).exception, UsageError)
