"""The raster of morphology: right place, right windows, independent of blocks, turning with the slide."""

import numpy as np
import pytest
import tifffile

from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.histology.features import MorphologyRaster, write_morphology
from focus_cli.histology.features.grid import Grid
from focus_cli.histology.features.stream import NAMES, WindowStream
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.stain import mix


def tissue(h, w, seed=0):
    """Blotchy stain at several scales, uint8 (h, w, 3)."""
    from scipy.ndimage import zoom

    rng = np.random.default_rng(seed)
    amounts = np.zeros((h, w, 3))
    for stain, share in ((0, 0.5), (1, 0.4)):
        for cell in (3, 17, 61):
            coarse = rng.random((h // cell + 3, w // cell + 3))
            amounts[..., stain] += share * zoom(coarse, cell, order=0)[:h, :w] / 3
    return mix(amounts)


def slide_of(folder, rgb, name="a.tif", mpp=2.0):
    path = folder / name
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(128, 128), compression="deflate", metadata=None)
    return open_slide(path, mpp)


def raster_of(folder, rgb, name="a", mpp=2.0, **options):
    path = folder / f"{name}.zarr"
    with slide_of(folder, rgb, f"{name}.tif", mpp) as slide:
        attributes = write_morphology(slide, path, mpp_image=mpp, **options)
    return MorphologyRaster(path), attributes


def cells(raster):
    rows, columns = raster.shape
    y, x = np.mgrid[:rows, :columns]
    xy = raster.origin_um + raster.step_um * np.stack([x.ravel(), y.ravel()], axis=1)
    return raster.sample(xy).reshape(rows, columns, -1)


def test_the_group_on_disk_is_what_is_documented(tmp_path):
    import zarr

    raster, attributes = raster_of(tmp_path, tissue(203, 301))
    group = zarr.open_group(str(raster.path), mode="r")
    assert group.metadata.zarr_format == 3
    assert group["features"].shape == (51, 76, len(NAMES))
    assert group["features"].dtype == np.float16
    assert group["tissue"].shape == (51, 76)
    assert group["tissue"].dtype == np.float32
    assert list(group.attrs["names"]) == list(NAMES) == raster.names
    assert group.attrs["step_um"] == 8.0
    # 602 × 406 µm under 76 × 51 cells of 8 µm: what sticks out is the same on both sides.
    assert group.attrs["origin_um"] == [(602 - 75 * 8) / 2, (406 - 50 * 8) / 2] == attributes["origin_um"]
    assert np.isfinite(group["features"][:]).all()
    assert len(set(NAMES)) == len(NAMES) == 57


def test_the_smallest_window_is_the_gaussian_mean_of_its_channel(tmp_path):
    from focus_cli.histology.features.channels import CHANNELS, measure

    rgb = tissue(120, 140)
    raster, _ = raster_of(tmp_path, rgb)
    values, _ = measure(np.pad(rgb, ((40, 40), (40, 40), (0, 0)), mode="symmetric"), 2.0)
    eosin = values[CHANNELS.index("eosin")][40:-40, 40:-40].astype(float)
    x, y = 90.0, 130.0  # µm
    column = int((x - raster.origin_um[0]) // 8)
    row = int((y - raster.origin_um[1]) // 8)
    cx, cy = raster.origin_um + 8.0 * np.array([column, row])
    py, px = np.mgrid[:120, :140] * 2.0 + 1.0
    for name, sigma, tolerance in (("6um", 6, 2e-3), ("20um", 20, 4e-3)):
        weights = np.exp(-((px - cx) ** 2 + (py - cy) ** 2) / (2 * sigma**2))
        weights /= weights.sum()
        mean = (weights * eosin).sum()
        sd = np.sqrt((weights * (eosin - mean) ** 2).sum())
        got = raster.sample(np.array([[cx, cy]]))[0]
        assert got[raster.names.index(f"eosin_mean_{name}")] == pytest.approx(mean, abs=tolerance)
        assert got[raster.names.index(f"eosin_sd_{name}")] == pytest.approx(sd, abs=tolerance)


def test_a_flat_slide_has_flat_features_up_to_its_border(tmp_path):
    rgb = np.broadcast_to(mix(np.array([0.3, 0.3, 0])), (100, 130, 3))
    values = cells(raster_of(tmp_path, np.ascontiguousarray(rgb))[0])
    assert np.ptp(values, axis=(0, 1)).max() < 2e-3


def test_parallel_fibres_are_coherent_and_blobs_are_not(tmp_path):
    y, x = np.mgrid[:150, :150]
    amounts = np.zeros((150, 150, 3))
    amounts[..., 1] = 0.4 + 0.3 * np.sin((x + 0.7 * y) / 3)
    fibres, _ = raster_of(tmp_path, mix(amounts), "fibres")
    blobs, _ = raster_of(tmp_path, tissue(150, 150), "blobs")
    k = NAMES.index("coherence_20um")
    assert np.median(cells(fibres)[..., k]) > 0.9
    assert np.median(cells(blobs)[..., k]) < 0.5


def test_the_result_does_not_depend_on_blocks_or_strips(tmp_path):
    with slide_of(tmp_path, tissue(260, 330)) as slide:
        grid = Grid.over(0, 0, 660, 520, 8.0)
        whole = next(iter(WindowStream(slide, 2.0, grid, block_px=5000).strips(1000)))[1]
        for block, rows in ((40, 7), (101, 20), (5000, 1)):
            parts = [part for _, part in WindowStream(slide, 2.0, grid, block_px=block).strips(rows)]
            np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


TURNS = {
    "quarter": lambda a: np.rot90(a, 1),
    "half": lambda a: np.rot90(a, 2),
    "upside down": np.flipud,
    "mirrored": np.fliplr,
    "transposed": lambda a: a.swapaxes(0, 1),
}


@pytest.mark.parametrize("mpp", [2.0, 0.9], ids=["own scale", "resampled"])
@pytest.mark.parametrize("turn", TURNS)
def test_turning_the_slide_turns_the_raster(tmp_path, turn, mpp):
    turn, rgb = TURNS[turn], tissue(251, 333)
    raster, _ = raster_of(tmp_path, rgb, mpp=mpp)
    turned, _ = raster_of(tmp_path, np.ascontiguousarray(turn(rgb)), "turned", mpp=mpp)
    difference = np.abs(turn(cells(raster)) - cells(turned))
    # float16 holds 11 bits; the rest is one grey level where an average was rounded the other way.
    assert difference.max() < 5e-3
    assert difference.mean() < 1e-4
    assert np.abs(turned._tissue[:] - turn(raster._tissue[:])).mean() < 1e-3


def test_the_same_slide_gives_the_same_bytes(tmp_path):
    rgb = tissue(90, 110)
    first, _ = raster_of(tmp_path, rgb, "first")
    second, _ = raster_of(tmp_path, rgb, "second")
    files = sorted(p.relative_to(first.path) for p in first.path.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(second.path) for p in second.path.rglob("*") if p.is_file())
    assert all((first.path / f).read_bytes() == (second.path / f).read_bytes() for f in files)


def test_a_part_of_the_slide_has_the_values_of_the_whole(tmp_path):
    rgb = tissue(300, 400)
    whole, _ = raster_of(tmp_path, rgb, "whole")  # 800 × 600 µm
    part, attributes = raster_of(tmp_path, rgb, "part", bounds_um=(200, 120, 600, 440))
    assert attributes["shape"] == [40, 50]
    assert part.origin_um.tolist() == [204, 124]  # the same cells as in the whole
    x0, y0 = ((part.origin_um - whole.origin_um) / 8).round().astype(int)
    np.testing.assert_allclose(cells(part), cells(whole)[y0 : y0 + 40, x0 : x0 + 50], atol=1.5e-3)


def test_bounds_are_clipped_to_the_slide(tmp_path):
    _, attributes = raster_of(tmp_path, tissue(60, 80), bounds_um=(-500, -500, 80, 5000))
    assert attributes["shape"] == [15, 10]


def test_features_hardly_depend_on_the_pitch(tmp_path):
    rgb = tissue(200, 200)
    fine, _ = raster_of(tmp_path, rgb, "fine", step_um=4.0)
    usual, _ = raster_of(tmp_path, rgb, "usual")
    coarse, _ = raster_of(tmp_path, rgb, "coarse", step_um=32.0)
    xy = np.random.default_rng(0).uniform(80, 320, (200, 2))
    large = [i for i, name in enumerate(NAMES) if name.endswith("60um")]
    reference = usual.sample(xy)[:, large]
    spread = reference.std(axis=0).max()
    assert np.abs(fine.sample(xy)[:, large] - reference).max() < 0.1 * spread
    assert np.abs(coarse.sample(xy)[:, large] - reference).mean() < 0.1 * spread


def test_a_dot_is_found_where_it_is(tmp_path):
    amounts = np.full((200, 200, 3), [0.05, 0.2, 0.0])
    amounts[120:124, 50:54, 0] = 1.0  # centre at (104, 244) µm
    raster, _ = raster_of(tmp_path, mix(amounts))
    x, y = np.meshgrid(np.arange(60, 150, 2.0), np.arange(200, 290, 2.0))
    xy = np.stack([x.ravel(), y.ravel()], axis=1)
    weight = raster.sample(xy)[:, NAMES.index("basophilia_mean_6um")] - 0.01
    weight = np.maximum(weight, 0)
    assert (xy * weight[:, None]).sum(axis=0) / weight.sum() == pytest.approx([104, 244], abs=1.0)


def test_sampling_is_bilinear_and_clamped(tmp_path):
    raster, _ = raster_of(tmp_path, tissue(150, 180))
    grid = raster._features[:].astype(np.float32)
    xy = raster.origin_um + 8 * np.array([[3, 5], [3.25, 5.5], [-50, 7], [1e6, 1e6]])
    got = raster.sample(xy)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], grid[5, 3], atol=1e-6)
    expected = 0.75 * (grid[5, 3] + grid[6, 3]) / 2 + 0.25 * (grid[5, 4] + grid[6, 4]) / 2
    np.testing.assert_allclose(got[1], expected, atol=1e-4)
    np.testing.assert_allclose(got[2], grid[7, 0], atol=1e-6)
    np.testing.assert_allclose(got[3], grid[-1, -1], atol=1e-6)
    assert raster.sample(np.empty((0, 2))).shape == (0, len(NAMES))


def test_sampling_across_blocks_keeps_the_order(tmp_path, monkeypatch):
    from focus_cli.histology.features import raster as module

    raster, _ = raster_of(tmp_path, tissue(150, 180))
    xy = np.random.default_rng(1).uniform(-20, 400, (500, 2))
    whole = raster.sample(xy)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)  # the least side, 16 cells
    np.testing.assert_array_equal(raster.sample(xy), whole)


def test_tissue_fraction_and_grid(tmp_path):
    rgb = np.full((300, 400, 3), 245, np.uint8)
    rgb[:, :200] = tissue(300, 200)
    raster, attributes = raster_of(tmp_path, rgb)
    assert attributes["tissue_fraction"] == pytest.approx(0.5, abs=0.05)
    assert raster.tissue(np.array([[100.0, 300.0], [700.0, 300.0]])) == pytest.approx([1, 0], abs=1e-3)
    xy = raster.tissue_grid(50.0)
    assert np.unique(np.diff(np.unique(xy[:, 0]))) == pytest.approx([50.0])
    assert xy[:, 0].max() < 430
    assert len(xy) == pytest.approx(8 * 12, abs=8)


def test_a_slide_smaller_than_a_cell(tmp_path):
    raster, _ = raster_of(tmp_path, tissue(3, 2))
    assert raster.shape == (1, 1)
    assert np.isfinite(raster.sample(np.array([[2.0, 3.0]]))).all()


def test_what_makes_no_sense_is_refused(tmp_path):
    with slide_of(tmp_path, tissue(40, 40)) as slide:
        target = tmp_path / "out.zarr"
        for options, kind in (
            ({"mpp_image": 0.0}, UsageError),
            ({"mpp_image": 2.0, "step_um": -8.0}, UsageError),
            ({"mpp_image": 2.0, "bounds_um": (5, 5, 5, 9)}, UsageError),
            ({"mpp_image": 2.0, "bounds_um": (500, 500, 900, 900)}, BadInputError),
        ):
            with pytest.raises(kind):
                write_morphology(slide, target, **options)
            assert not target.exists()
        write_morphology(slide, target, mpp_image=2.0)
        with pytest.raises(OutputExistsError):
            write_morphology(slide, target, mpp_image=2.0)
    raster = MorphologyRaster(target)
    with pytest.raises(BadInputError, match="finite"):
        raster.sample(np.array([[np.nan, 1.0]]))
    with pytest.raises(UsageError):
        raster.sample(np.zeros(4))
    with pytest.raises(UsageError):
        raster.tissue_grid(0)
    with pytest.raises(MissingResourceError):
        MorphologyRaster(tmp_path / "none.zarr")
    (tmp_path / "folder.zarr").mkdir()
    with pytest.raises(BadInputError, match="truncated or damaged"):
        MorphologyRaster(tmp_path / "folder.zarr")


def test_a_slide_that_breaks_halfway_leaves_nothing(tmp_path):
    with slide_of(tmp_path, tissue(300, 300)) as slide:
        level = slide._source.levels[0]

        def broken(number):
            if number == 7:
                raise BadInputError("cannot decode tile 7 of a.tif")
            return type(level)._decode(level, number)

        level._decode = broken
        with pytest.raises(BadInputError, match="tile 7"):
            write_morphology(slide, tmp_path / "out.zarr", mpp_image=2.0)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_memory_does_not_grow_with_the_slide(tmp_path, monkeypatch):
    import tracemalloc

    from focus_cli.histology.slides import tiff

    monkeypatch.setattr(tiff, "CACHE_BYTES", 8 * 2**20)
    kinds = [tissue(512, 512, seed) for seed in range(3)]
    peaks = []
    for rows in (2048, 8192):
        path = tmp_path / f"{rows}.tif"
        tifffile.imwrite(
            path,
            (kinds[i % 3] for i in range(rows // 512 * 2)),
            shape=(rows, 1024, 3),
            dtype=np.uint8,
            photometric="rgb",
            tile=(512, 512),
            compression="jpeg",
            metadata=None,
        )
        with open_slide(path, 2.0) as slide:
            tracemalloc.start()
            write_morphology(slide, tmp_path / f"{rows}.zarr", mpp_image=2.0)
            peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
            tracemalloc.stop()
    assert peaks[1] < 150  # MiB; the features of every working pixel would be 1.8 GiB
    assert peaks[1] < 1.25 * peaks[0]


@pytest.mark.realdata
def test_nuclei_of_the_kidney_hold_more_molecules(focus_data, tmp_path):
    """Image and counts were measured apart: that they agree best in place says where the raster lies."""
    import h5py
    import pandas as pd

    folder = focus_data / "visium_hd_kidney" / "binned_outputs" / "square_008um"
    mpp = 2.005558977993242  # scalefactors_json.json
    positions = pd.read_parquet(folder / "spatial" / "tissue_positions.parquet").set_index("barcode")
    with h5py.File(folder / "filtered_feature_bc_matrix.h5") as file:
        barcodes = file["matrix/barcodes"].asstr()[:]
        totals = np.add.reduceat(file["matrix/data"][:].astype(np.int64), file["matrix/indptr"][:-1])
    positions = positions.loc[barcodes]
    xy = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * mpp
    inside = ((xy > 1500) & (xy < 2500)).all(axis=1)
    with open_slide(folder.parents[1] / "tissue_image.jpg", mpp) as slide:
        bounds = (1450, 1450, 2550, 2550)
        write_morphology(slide, tmp_path / "k.zarr", mpp_image=mpp, bounds_um=bounds)
    raster = MorphologyRaster(tmp_path / "k.zarr")

    def agreement(shift):
        nuclei = raster.sample(xy[inside] + shift)[:, NAMES.index("granules_2um_mean_6um")]
        return np.corrcoef(nuclei, np.log1p(totals[inside]))[0, 1]

    in_place = agreement([0, 0])
    assert in_place > 0.3
    for shift in ([24, 0], [-24, 0], [0, 24], [0, -24]):
        assert agreement(shift) < in_place - 0.05
