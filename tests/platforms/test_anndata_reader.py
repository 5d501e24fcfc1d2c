"""AnnData: where raw counts are found, how the scale is learnt, what is refused."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from raw_folders import write_visium
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.platforms import detect, read

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(1.0, (40, 8))
LOGGED = np.log1p(COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4)


def make(tmp_path, x=COUNTS, *, name="a.h5ad", change=None):
    adata = anndata.AnnData(np.asarray(x, dtype=np.float32))
    adata.obs_names = [f"c{i}" for i in range(adata.n_obs)]
    adata.var_names = [f"Gene{j}" for j in range(adata.n_vars)]
    row, col = np.divmod(np.arange(adata.n_obs), 8)
    adata.obsm["spatial"] = np.column_stack([col * 30.0, row * 30.0])
    if change:
        change(adata)
    adata.write_h5ad(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("place", ["X", "dense layer", "sparse layer", "raw"])
def test_raw_counts_are_found(tmp_path, place):
    def change(adata):
        if place.endswith("layer"):
            adata.layers["counts"] = sparse.csc_matrix(COUNTS) if "sparse" in place else COUNTS
        elif place == "raw":
            adata.raw = anndata.AnnData(COUNTS.astype(np.float32), obs=adata.obs, var=adata.var)

    path = make(tmp_path, COUNTS if place == "X" else LOGGED, change=change)
    assert detect(path).platform == "anndata"
    sample = read(path, mpp=0.5)
    assert sample.adata.X.format == "csr"
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], sample.adata.obsm["spatial"] * 0.5)
    assert sample.footprint.pitch_um == pytest.approx(15.0)


def test_log_normalised_data_are_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"a.h5ad X: values look log-normalised"):
        read(make(tmp_path, LOGGED), mpp=0.5)


def test_scale_is_refused_when_nobody_says_it(tmp_path):
    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(make(tmp_path))


def test_scale_from_positions_in_um_and_from_scale_factors(tmp_path):
    def um(adata):
        adata.obsm["spatial_um"] = adata.obsm["spatial"] * 0.25

    def factors(adata):
        adata.uns["spatial"] = {"lib": {"images": {}, "scalefactors": {"microns_per_pixel": 0.3}}}

    assert read(make(tmp_path, change=um)).mpp == pytest.approx(0.25)
    assert read(make(tmp_path, change=factors)).mpp == pytest.approx(0.3)


def test_visium_array_gives_the_scale(tmp_path):
    raw = write_visium(tmp_path / "S", mpp=1.42)
    original = read(raw.path).adata
    del original.obsm["spatial_um"]
    original.write_h5ad(tmp_path / "visium.h5ad")
    sample = read(tmp_path / "visium.h5ad")
    assert sample.mpp == pytest.approx(1.42, rel=1e-6)
    assert (sample.footprint.size_um, sample.footprint.pitch_um) == (55.0, 100.0)


def test_ensembl_index_is_turned_into_symbols(tmp_path):
    def change(adata):
        adata.var["feature_name"] = [f"Sym{j}" for j in range(8)]
        adata.var_names = [f"ENSG{j:011d}" for j in range(8)]

    var = read(make(tmp_path, change=change), mpp=1.0).adata.var
    assert list(var.index[:2]) == ["Sym0", "Sym1"]
    assert var["gene_ids"].iloc[1] == "ENSG00000000001"


def test_inferred_genes_are_not_data(tmp_path):
    def change(adata):
        adata.var["measured"] = [True] * 5 + [False] * 3

    sample = read(make(tmp_path, change=change), mpp=1.0)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[:, :5])
    assert any("inferred" in w for w in sample.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.obsm.pop("spatial"), r"obsm\['spatial'\] is missing"),
        (lambda a: a.obsm.update(spatial=np.full((40, 2), np.nan)), "positions are NaN"),
        (lambda a: setattr(a, "obs_names", pd.Index(["same"] * 40)), "duplicate barcodes"),
        (lambda a: setattr(a, "var_names", pd.Index(["same"] * 8)), "duplicate genes"),
        (lambda a: setattr(a, "X", np.where(COUNTS > 3, np.nan, COUNTS)), "NaN"),
        (lambda a: setattr(a, "X", COUNTS - 1.0), "negative"),
        (lambda a: setattr(a, "X", COUNTS * 100.5), "not whole"),
        (lambda a: setattr(a, "X", COUNTS * 0.0), "no counts"),
    ],
)
def test_bad_files_are_refused(tmp_path, change, message):
    with pytest.raises(BadInputError, match=message):
        read(make(tmp_path, change=change), mpp=0.5)


def test_truncated_file_is_refused(tmp_path):
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInputError, match="truncated or damaged"):
        read(path, mpp=0.5)


def test_a_folder_with_one_file_and_its_image(tmp_path):
    path = make(tmp_path)
    Image.new("RGB", (300, 200), "pink").save(tmp_path / "tissue_image.png")
    for given in (tmp_path, path):
        assert read(given, mpp=0.5).image_path == tmp_path / "tissue_image.png"
    make(tmp_path, name="b.h5ad")
    assert read(path, mpp=0.5).image_path is None  # whose image it is would be a guess
    with pytest.raises(BadInputError, match=r"holds 2 AnnData files \(a.h5ad, b.h5ad\)"):
        detect(tmp_path)


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("key", ["spatial", "X_spatial"])
def test_every_kind_of_matrix_and_key_of_positions(tmp_path, store, key):
    def change(adata):
        adata.X = store(COUNTS.astype(np.float32))
        adata.obsm[key] = pd.DataFrame(adata.obsm.pop("spatial"), index=adata.obs_names, columns=["x", "y"])

    sample = read(make(tmp_path, change=change), mpp=0.5)
    assert sample.adata.X.format == "csr"
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"][9], [30.0, 30.0])


def test_a_dense_matrix_is_read_in_blocks(tmp_path, monkeypatch):
    from focus_cli.platforms.formats import anntable

    monkeypatch.setattr(anntable, "_BLOCK_VALUES", 24)
    np.testing.assert_array_equal(read(make(tmp_path), mpp=0.5).adata.X.toarray(), COUNTS)


def test_what_is_not_needed_is_not_read(tmp_path):
    def change(adata):
        adata.layers["logged"] = LOGGED
        adata.obsm["X_pca"] = np.zeros((40, 2))

    path = make(tmp_path, change=change)
    with h5py.File(path, "r+") as file:
        del file["layers/logged"], file["obsm/X_pca"]
        file["layers/logged"] = "rubbish"
        file["obsm/X_pca"] = np.zeros(3)
    assert read(path, mpp=0.5).adata.n_obs == 40


def damage(place, values):
    def change(path):
        with h5py.File(path, "r+") as file:
            attrs = dict(file[place].attrs)
            del file[place]
            file[place] = values
            file[place].attrs.update(attrs)

    return change


@pytest.mark.parametrize(
    "change",
    [
        damage("X/indices", np.full(COUNTS.astype(bool).sum(), 10**6)),
        damage("X/indices", np.full(COUNTS.astype(bool).sum(), -1)),
        damage("X/indptr", np.arange(41) * 10**6),
        damage("X/data", np.zeros(3)),
        damage("X/data", np.array([b"x"] * int(COUNTS.astype(bool).sum()))),
        damage("obsm/spatial", np.zeros((3, 2))),
        damage("obsm/spatial", np.zeros(40)),
        damage("obs/_index", np.array([b"a"])),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change):
    path = make(tmp_path, change=lambda a: setattr(a, "X", sparse.csr_matrix(COUNTS.astype(np.float32))))
    change(path)
    with pytest.raises(BadInputError):
        read(path, mpp=0.5)


@pytest.mark.parametrize("factor", [np.nan, -1.0, "wide", 0.0])
def test_a_scale_that_is_no_length_is_not_used(tmp_path, factor):
    def change(adata):
        adata.uns["spatial"] = {"lib": {"images": {}, "scalefactors": {"microns_per_pixel": factor}}}
        adata.uns["focus"] = {"mpp": factor}

    with pytest.raises(MissingResourceError, match="µm per pixel is unknown"):
        read(make(tmp_path, change=change))
