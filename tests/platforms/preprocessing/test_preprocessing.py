"""The stage: raw folder in, sample folder out; what is kept, stored and refused; nothing is half-written."""

import json
import re

import anndata
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from raw_folders import write_visium, write_visium_hd
from scipy import sparse
from turned import turn

from focus_cli.cli.inspect import command as inspect_command
from focus_cli.cli.preprocess import command as preprocess_command
from focus_cli.core.coordinates import Affine, System
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.histology.features import MorphologyRaster
from focus_cli.platforms import read
from focus_cli.platforms.alignment import ORIENTATIONS
from focus_cli.platforms.preprocessing import keep_locations, preprocess

TURN = {"degrees": 140.0, "mirrored": True, "shift": (40, 90)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_visium(tmp_path_factory.mktemp("raw") / "S")


@pytest.fixture(scope="module")
def stored(raw, tmp_path_factory):
    return preprocess(raw.path, tmp_path_factory.mktemp("out") / "S1", "S1", step_um=25.0)


def test_sample_holds_raw_counts_and_positions(raw, stored):
    adata = stored.read()
    np.testing.assert_array_equal(adata.X.toarray(), raw.counts)
    assert sparse.issparse(adata.X) and adata.X.format == "csr" and adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.obs["total_counts"], raw.counts.sum(axis=1))
    np.testing.assert_allclose(adata.obsm["spatial_um"], adata.obsm["spatial"] * raw.mpp, rtol=1e-6)
    assert stored.info.n_locations == len(raw.positions)
    assert stored.info.mpp == pytest.approx(raw.mpp)


def test_locations_off_tissue_or_empty_are_left_out_and_counted():
    adata = anndata.AnnData(sparse.csr_matrix(np.array([[1, 2], [0, 0], [3, 0]], dtype=np.float32)))
    adata.obs["in_tissue"] = [1, 1, 0]
    kept, warnings = keep_locations(adata)
    assert list(kept.obs_names) == ["0"] and list(kept.obs["total_counts"]) == [3]
    assert warnings == [
        "1 of 3 locations are not in tissue and were left out",
        "1 of 3 locations in tissue have no counts and were left out",
    ]
    adata.obs["in_tissue"] = 0
    with pytest.raises(BadInputError, match="no spot on tissue"):
        keep_locations(adata)


def test_image_alignment_and_provenance_are_recorded(raw, stored):
    info = stored.info
    with Image.open(raw.path / "tissue_image.png") as image:
        assert (info.image.width, info.image.height) == image.size
    assert (stored.path / info.image.path).resolve() == (raw.path / "tissue_image.png").resolve()
    assert info.alignment["best_orientation"] == "as given"
    assert info.alignment["on_tissue"] > 0.9 and info.alignment["correlation"] > 0.5
    record = info.provenance
    assert record["command"] == "preprocess"
    assert set(record["inputs"]) >= {"matrix", "positions", "scalefactors", "image"}
    assert info.image.sha256 == record["inputs"]["image"]["sha256"]


def test_features_cover_every_location(stored):
    raster = MorphologyRaster(stored.morphology_path)
    assert raster.step_um == 25.0
    xy = stored.read().obsm["spatial_um"]
    assert np.isfinite(raster.sample(xy)).all()
    assert (raster.tissue(xy) > 0.5).mean() > 0.85
    # 150 µm around the locations, no more than a few cells beyond.
    extent = np.array(raster.shape[1::-1]) * raster.step_um
    assert np.all(np.abs(extent - np.ptp(xy, axis=0) - 300) < 100)


def test_scanpy_draws_the_sample(stored):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy as sc

    adata = stored.read()
    entry = adata.uns["spatial"]["S1"]
    assert entry["images"]["hires"].dtype == np.uint8
    assert max(entry["images"]["hires"].shape) <= 2000
    assert max(entry["images"]["lowres"].shape) <= 600
    assert entry["scalefactors"]["spot_diameter_fullres"] == pytest.approx(55 / stored.info.mpp)
    width = stored.info.image.width * entry["scalefactors"]["tissue_hires_scalef"]
    assert width == pytest.approx(entry["images"]["hires"].shape[1])
    sc.pl.spatial(adata, color="total_counts", show=False)
    plt.close("all")


def test_same_input_same_bytes(raw, stored, tmp_path):
    again = preprocess(raw.path, tmp_path / "S1", "S1", step_um=25.0)
    ours, theirs = (json.loads((s.path / "sample.json").read_text()) for s in (again, stored))
    for record in (ours, theirs):
        record["image"].pop("path")  # relative to where the sample lies
    assert ours == theirs
    assert again.counts_path.read_bytes() == stored.counts_path.read_bytes()
    a, b = (MorphologyRaster(s.morphology_path) for s in (again, stored))
    xy = stored.read().obsm["spatial_um"]
    np.testing.assert_array_equal(a.sample(xy), b.sample(xy))


def test_hires_png_of_the_vendor_serves_where_there_is_no_other(tmp_path):
    raw = write_visium(tmp_path / "S", image=None)
    stored = preprocess(raw.path, tmp_path / "out", "S", step_um=25.0)
    assert stored.info.image.scale == pytest.approx(0.25, rel=0.01)
    assert stored.info.image.mpp == pytest.approx(raw.mpp / stored.info.image.scale)
    assert stored.morphology_path is not None
    assert any("tissue_hires_image.png" in w for w in stored.info.warnings)


@pytest.mark.parametrize("thumbnails", [True, False])
def test_without_an_image_it_works_with_a_warning(tmp_path, thumbnails):
    raw = write_visium(tmp_path / "S", image=None)
    (raw.path / "spatial" / "tissue_hires_image.png").unlink()
    if not thumbnails:
        (raw.path / "spatial" / "tissue_lowres_image.png").unlink()
    stored = preprocess(raw.path, tmp_path / "out", "S")
    assert stored.info.image is None and stored.morphology_path is None
    assert any("no H&E" in w for w in stored.info.warnings)
    assert set(stored.read().uns["spatial"]["S"]["images"]) == ({"lowres"} if thumbnails else set())


def test_hd_bins_are_merged_into_the_sample(tmp_path):
    raw = write_visium_hd(tmp_path / "S", sizes=(2,))
    stored = preprocess(raw.path, tmp_path / "out", "S", bin_um=6)
    assert stored.info.footprint.size_um == 6.0
    assert stored.read().X.sum() == raw.counts.sum()
    assert open_sample(tmp_path / "out").info == stored.info


def turned(raw, tmp_path, how):
    with Image.open(raw.path / "tissue_image.png") as image:
        image.transpose(how).save(tmp_path / "turned.png")
    return tmp_path / "turned.png"


def test_coordinates_are_stored_and_lead_everywhere(raw, stored):
    known, adata = stored.info.coordinates, stored.read()
    xy = adata.obsm["spatial"]
    np.testing.assert_allclose(known.between(System.FULLRES, System.UM)(xy), adata.obsm["spatial_um"], rtol=1e-6)
    np.testing.assert_allclose(known.between(System.FULLRES, System.IMAGE)(xy), xy)
    places = adata.obs[["array_col", "array_row"]].to_numpy()
    assert np.abs(known.between(System.ARRAY, System.FULLRES)(places) - xy).max() < 1.0
    assert not known.knows(System.VENDOR) and not (stored.path / "registration.png").exists()
    assert stored.info.alignment["shift"]["best_um"] == [0.0, 0.0]


class TestAnImageImagedApart:
    """Its place is given or found; positions move onto it, and the vendor's can be had back."""

    @pytest.fixture(scope="class")
    def apart(self, raw, tmp_path_factory):
        folder = tmp_path_factory.mktemp("apart")
        with Image.open(raw.path / "tissue_image.png") as image:
            picture, to_image = turn(np.asarray(image), **TURN)
        Image.fromarray(picture).save(folder / "apart.png")
        return folder, to_image

    def check(self, raw, stored, to_image, within_um=1e-3):
        adata, known, info = stored.read(), stored.info.coordinates, stored.info
        vendor = raw.positions.loc[adata.obs_names, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
        off = np.linalg.norm(adata.obsm["spatial"] - to_image(vendor), axis=1) * info.mpp
        assert np.sqrt(np.mean(off**2)) < within_um
        np.testing.assert_allclose(
            known.between(System.FULLRES, System.VENDOR)(adata.obsm["spatial"]), vendor, atol=1e-6
        )
        np.testing.assert_allclose(adata.obsm["spatial_um"], adata.obsm["spatial"] * info.mpp)
        assert info.mpp == pytest.approx(raw.mpp / to_image.scale, rel=0.05) and info.image.scale == 1.0
        places = adata.obs[["array_col", "array_row"]].to_numpy()
        assert np.abs(known.between(System.ARRAY, System.VENDOR)(places) - vendor).max() < 1.0
        assert info.alignment["correlation"] > 0.5 and info.alignment["on_tissue"] > 0.85
        raster = MorphologyRaster(stored.morphology_path)
        assert (raster.tissue(adata.obsm["spatial_um"]) > 0.5).mean() > 0.8
        entry = adata.uns["spatial"]["S1"]
        side = entry["images"]["hires"].shape[1] / entry["scalefactors"]["tissue_hires_scalef"]
        assert side == pytest.approx(info.image.width)
        with Image.open(stored.path / "registration.png") as drawn:
            assert np.abs(np.asarray(drawn).astype(int) - entry["images"]["hires"]).max() > 50

    def run(self, raw, apart, tmp_path, **options):
        return preprocess(
            raw.path, tmp_path / "out", "S1", image=apart[0] / "apart.png", step_um=50.0, overwrite=True, **options
        )

    @pytest.mark.parametrize("align_from", ["image", "positions"])
    def test_by_a_file(self, raw, apart, tmp_path, align_from):
        matrix = apart[1].inverse() if align_from == "image" else apart[1]
        (tmp_path / "a.csv").write_text("\n".join(",".join(map(repr, row)) for row in matrix.matrix))
        stored = self.run(raw, apart, tmp_path, align=tmp_path / "a.csv", align_from=align_from)
        self.check(raw, stored, apart[1])
        assert "alignment" in stored.info.provenance["inputs"]
        assert stored.info.provenance["settings"]["align"] == "a.csv"

    def test_the_wrong_direction_is_refused(self, raw, apart, tmp_path):
        (tmp_path / "a.csv").write_text("\n".join(",".join(map(repr, row)) for row in apart[1].matrix))
        with pytest.raises(BadInputError, match="43% of the locations on tissue") as refusal:
            self.run(raw, apart, tmp_path, align=tmp_path / "a.csv")
        assert "--align-from positions" in refusal.value.hint
        assert not (tmp_path / "out").exists()

    def test_by_landmarks(self, raw, apart, tmp_path):
        xy = raw.positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)[[0, 9, 90, 130, 197]]
        rows = np.column_stack([apart[1](xy), xy * raw.mpp])
        lines = ["x_image,y_image,x_um,y_um", *(",".join(f"{v:.3f}" for v in row) for row in rows)]
        (tmp_path / "l.csv").write_text("\n".join(lines))
        stored = self.run(raw, apart, tmp_path, landmarks=tmp_path / "l.csv")
        self.check(raw, stored, apart[1], within_um=0.1)
        assert stored.info.alignment["landmarks"]["left_out_um"] < 0.1

    @pytest.mark.full
    def test_by_itself(self, raw, apart, tmp_path):
        stored = self.run(raw, apart, tmp_path, register=True)
        self.check(raw, stored, apart[1], within_um=40.0)
        figures = stored.info.alignment["registration"]
        assert figures["mirrored"] and figures["margin"] > 0.2

    @pytest.mark.full
    def test_an_image_of_other_tissue_is_not_registered(self, raw, tmp_path):
        other = write_visium(tmp_path / "other", seed=5)
        with Image.open(other.path / "tissue_image.png") as image:
            noise = np.asarray(image)[::-1]
            picture = np.concatenate([noise[:200], noise[::-1][200:]])[:, ::-1]
        Image.fromarray(np.rot90(picture[: picture.shape[0] // 2])).save(tmp_path / "t.png")
        with pytest.raises(BadInputError, match=r"t\.png cannot be registered") as refusal:
            preprocess(raw.path, tmp_path / "out", "S1", image=tmp_path / "t.png", register=True)
        assert "--landmarks" in refusal.value.hint and not (tmp_path / "out").exists()

    @pytest.mark.parametrize("k", [1, 5, 7])
    def test_the_refusal_names_the_option_that_helps(self, raw, tmp_path, k):
        how = (None, 0, 1, 3, 5, 4, 2, 6)[k]  # PIL's number of the same turn
        image = turned(raw, tmp_path, Image.Transpose(how))
        with pytest.raises(BadInputError) as refusal:
            preprocess(raw.path, tmp_path / "out", "S1", image=image)
        name = refusal.value.hint.split('"')[1]
        assert name == ORIENTATIONS[k]
        stored = preprocess(raw.path, tmp_path / "out", "S1", image=image, orient=name, step_um=50.0)
        assert stored.info.alignment["best_orientation"] == "as given"
        with Image.open(image) as picture:
            to_image = orientation(*picture.size, k)
        self.check(raw, stored, to_image)

    def test_a_shifted_image_is_refused_with_the_shift_that_helps(self, raw, tmp_path):
        with Image.open(raw.path / "tissue_image.png") as image:
            rgb = np.asarray(image)
        glass = np.full_like(rgb[: round(200 / raw.mpp)], 248)
        Image.fromarray(np.concatenate([glass, rgb])).save(tmp_path / "down.png")
        with pytest.raises(BadInputError, match=r"µm down: .* on tissue") as refusal:
            preprocess(raw.path, tmp_path / "out", "S1", image=tmp_path / "down.png")
        named = re.search(r"--shift-um (\S+),(\S+),", refusal.value.hint)
        assert np.abs(np.array([float(v) for v in named.groups()]) - (0, 200)).max() <= 25  # a quarter spacing
        options = {"image": tmp_path / "down.png", "step_um": 50.0}
        forced = preprocess(raw.path, tmp_path / "forced", "S1", force=True, **options)
        assert any("µm down" in w and "forced" in w for w in forced.info.warnings)
        stored = preprocess(raw.path, tmp_path / "out", "S1", shift_um="0,200", **options)
        self.check(raw, stored, Affine.scaling(1.0, (0.0, 200 / raw.mpp)))

    def test_a_stretched_transform_and_another_scale_warn(self, raw, apart, tmp_path):
        stretched = apart[1] @ Affine.of([[1.05, 0, -20], [0, 1, 0]])
        (tmp_path / "a.csv").write_text("\n".join(",".join(map(repr, row)) for row in stretched.matrix))
        stored = self.run(raw, apart, tmp_path, align=tmp_path / "a.csv", align_from="positions", force=True)
        assert any("sheared or stretched by 5.0 %" in w for w in stored.info.warnings)

    def test_options_that_contradict_each_other(self, raw, tmp_path):
        for options, words in (
            ({"align": "a.csv", "register": True}, "--align and --register contradict"),
            ({"orient": "as given", "landmarks": "l.csv"}, "--landmarks and --orient contradict"),
            ({"align_from": "image"}, "--align-from has no effect"),
            ({"orient": "sideways"}, "--orient 'sideways' is unknown"),
            ({"shift_um": "far"}, "--shift-um 'far' is not a shift"),
            ({"shift_um": "1,2,3"}, "is not a shift"),
            ({"shift_um": "nan,0"}, "is not a shift"),
            ({"register": True, "use_image": False}, "--register and --no-image contradict"),
        ):
            with pytest.raises(UsageError, match=words):
                preprocess(raw.path, tmp_path / "out", "S1", **options)
        with pytest.raises(MissingResourceError, match=r"no such file: .*none\.csv"):
            preprocess(raw.path, tmp_path / "out", "S1", align=tmp_path / "none.csv")
        bare = write_visium(tmp_path / "bare", image=None)
        (bare.path / "spatial" / "tissue_hires_image.png").unlink()
        with pytest.raises(UsageError, match="--register needs an image"):
            preprocess(bare.path, tmp_path / "out", "S1", register=True)
        assert not (tmp_path / "out").exists()


def orientation(width, height, k):
    from focus_cli.platforms.alignment import orientation_transform

    return orientation_transform(width, height, k)


class TestRefusals:
    """Each leaves nothing behind."""

    def refuse(self, raw, tmp_path, kind, words, **options):
        with pytest.raises(kind, match=words):
            preprocess(raw.path, tmp_path / "out", "S1", step_um=25.0, **options)
        assert not (tmp_path / "out").exists()
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]

    def test_flipped_image(self, raw, tmp_path):
        image = turned(raw, tmp_path, Image.Transpose.FLIP_LEFT_RIGHT)
        self.refuse(raw, tmp_path, BadInputError, "better flipped left-right", image=image)
        forced = preprocess(raw.path, tmp_path / "out", "S1", image=image, step_um=25.0, force=True)
        assert any("forced" in w for w in forced.info.warnings)

    def test_rotated_image(self, raw, tmp_path):
        image = turned(raw, tmp_path, Image.Transpose.ROTATE_180)
        self.refuse(raw, tmp_path, BadInputError, "better rotated by 180 degrees", image=image)

    @pytest.mark.parametrize("kind", ["fluorescence", "grey", "blank"])
    def test_not_an_he(self, raw, tmp_path, kind):
        rng = np.random.default_rng(0)
        with Image.open(raw.path / "tissue_image.png") as image:
            rgb = np.asarray(image)
        if kind == "fluorescence":
            rgb = np.stack([rng.integers(0, 20, rgb.shape[:2])] * 2 + [255 - rgb[..., 0]], axis=-1).astype(np.uint8)
        elif kind == "grey":
            rgb = np.repeat(rgb[..., 1:2], 3, axis=2)
        else:
            rgb = np.full_like(rgb, 240)
        Image.fromarray(rgb).save(tmp_path / "other.png")
        self.refuse(raw, tmp_path, BadInputError, "not an H&E", image=tmp_path / "other.png")

    @pytest.mark.realdata
    @pytest.mark.parametrize(
        "picture",
        [
            "merscope/images/mosaic_PolyT_z0.tif",
            "merscope_cellbound/images/mosaic_DAPI_z2.tif",
            "merscope_cellbound/images/mosaic_Cellbound1_z3.tif",
            "xenium/morphology_mip.ome.tif",
            "xenium/morphology_focus.ome.tif",
            "visium_v2/spatial/aligned_fiducials.jpg",
            "visium_v2/spatial/detected_tissue_image.jpg",
        ],
    )
    def test_a_real_picture_that_is_no_he(self, raw, tmp_path, focus_data, picture):
        path = focus_data / "native" / picture
        if not path.exists():
            pytest.skip(f"no {picture} among the real data")
        for name in (path.name, f"HE{path.suffix}"):  # under its own name, and under an innocent one
            (tmp_path / name).write_bytes(path.read_bytes())
            with pytest.raises(BadInputError) as refusal:
                preprocess(raw.path, tmp_path / "out", "S1", image=tmp_path / name)
            assert "\n" not in refusal.value.message and name in refusal.value.message
            assert not (tmp_path / "out").exists()

    def test_image_too_small(self, raw, tmp_path):
        with Image.open(raw.path / "tissue_image.png") as image:
            image.crop((0, 0, image.width // 2, image.height)).save(tmp_path / "crop.png")
        self.refuse(raw, tmp_path, BadInputError, "outside the image", image=tmp_path / "crop.png")

    def test_truncated_image(self, raw, tmp_path):
        content = (raw.path / "tissue_image.png").read_bytes()
        (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
        self.refuse(raw, tmp_path, BadInputError, r"cut\.png", image=tmp_path / "cut.png")

    def test_options(self, raw, stored, tmp_path):
        for sample_id in ("../x", "", "a/b", ".hidden"):
            with pytest.raises(UsageError, match="sample id"):
                preprocess(raw.path, tmp_path / "out", sample_id)
        with pytest.raises(UsageError, match="FOCUS sample already"):
            preprocess(stored.path, tmp_path / "out", "S")
        self.refuse(raw, tmp_path, UsageError, "contradict", image=tmp_path / "a.png", use_image=False)

    def test_existing_output(self, raw, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("keep")
        with pytest.raises(OutputExistsError):
            preprocess(raw.path, tmp_path / "out", "S")
        assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
        with pytest.raises(OutputExistsError, match="not a sample that FOCUS wrote"):
            preprocess(raw.path, tmp_path / "out", "S", overwrite=True, use_image=False)
        assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
        (tmp_path / "out" / "mine.txt").unlink()
        preprocess(raw.path, tmp_path / "out", "S", overwrite=True, use_image=False)
        assert open_sample(tmp_path / "out").info.sample_id == "S"


class TestCommands:
    def test_preprocess(self, raw, tmp_path):
        out = tmp_path / "S1"
        arguments = [str(raw.path), "--out", str(out), "--sample", "S1", "--no-image"]
        result = CliRunner().invoke(preprocess_command, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        assert result.stdout.strip() == str(out)
        assert open_sample(out).info.n_genes == 30

    def test_inspect_tells_what_is_there(self, raw):
        result = CliRunner().invoke(inspect_command, [str(raw.path), "--json"], catch_exceptions=False)
        report = json.loads(result.stdout)
        sample = read(raw.path)
        assert result.exit_code == 0 and report["problems"] == []
        assert (report["platform"], report["locations"], report["genes"]) == (
            "visium",
            sample.adata.n_obs,
            30,
        )
        assert report["counts"] == raw.counts.sum()
        assert report["mpp"] == pytest.approx(raw.mpp)
        assert report["image"]["path"].endswith("tissue_image.png")
        words = CliRunner().invoke(inspect_command, [str(raw.path)], catch_exceptions=False)
        assert "visium" in words.stdout and "no problem found" in words.stdout

    def test_inspect_reports_problems_and_exits_with_their_code(self, tmp_path):
        broken = write_visium(tmp_path / "S", n_rows=12, n_cols=10)
        (broken.path / "filtered_feature_bc_matrix.h5").write_bytes(b"cut")
        result = CliRunner().invoke(inspect_command, [str(broken.path), "--json"], catch_exceptions=False)
        report = json.loads(result.stdout)
        assert result.exit_code == report["problems"][0]["exit_code"] == 3
        assert report["platform"] == "visium"
        assert "filtered_feature_bc_matrix.h5" in report["problems"][0]["message"]

    def test_inspect_knows_a_stored_sample(self, stored):
        result = CliRunner().invoke(inspect_command, [str(stored.path), "--json"], catch_exceptions=False)
        report = json.loads(result.stdout)
        assert (report["kind"], report["sample_id"]) == ("sample", "S1")
        assert CliRunner().invoke(inspect_command, [str(stored.path)]).exit_code == 0
