"""AnnData as laboratories write it: joined sections, planes, named columns, missing ids, stores, other scales."""

import os

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.platforms import describe, detect, read
from focus_cli.platforms.preprocessing import preprocess

pytestmark = pytest.mark.filterwarnings("ignore")  # of anndata and zarr, about their own next releases

RNG = np.random.default_rng(1)
N, GENES = 100, 9
COUNTS = RNG.poisson(2.0, (N, GENES)).astype(np.float32)
ROW, COL = np.divmod(np.arange(N), 10)
XY = np.column_stack([COL * 30.0 + 5, ROW * 21.0])


def make(counts=COUNTS, xy=XY) -> anndata.AnnData:
    adata = anndata.AnnData(sparse.csr_matrix(counts))
    adata.obs_names = [f"c{i}" for i in range(adata.n_obs)]
    adata.var_names = [f"Gene{j}" for j in range(adata.n_vars)]
    adata.obsm["spatial"] = np.asarray(xy)
    return adata


def written(adata, path, name="a.h5ad"):
    adata.write_h5ad(path / name)
    return path / name


def library(mpp):
    return {"images": {}, "scalefactors": {"microns_per_pixel": mpp, "spot_diameter_fullres": 10.0}}


def joined(key="library_id", uns=True, index_unique="-"):
    first, second = make(), make(COUNTS[::-1])
    both = anndata.concat({"left": first, "right": second}, label=key, index_unique=index_unique)
    if uns:
        both.uns["spatial"] = {"left": library(0.5), "right": library(0.25)}
    return both


# ---- several sections ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("uns", [True, False])
@pytest.mark.parametrize("index_unique", ["-", None])
def test_each_section_of_a_joined_file(tmp_path, uns, index_unique):
    path = written(joined(uns=uns, index_unique=index_unique), tmp_path)
    with pytest.raises(UsageError, match=r"left, right") as refused:
        read(path, mpp=1.0)
    assert "--region left" in refused.value.hint
    report = describe(path, mpp=1.0)
    assert report["problems"][0]["exit_code"] == 2 and "left, right" in report["problems"][0]["message"]
    for region, counts, mpp in (("left", COUNTS, 0.5), ("right", COUNTS[::-1], 0.25)):
        sample = read(path, region=region, **({} if uns else {"mpp": mpp}))
        np.testing.assert_array_equal(sample.adata.X.toarray(), counts)
        assert sample.mpp == mpp
        if uns:
            assert list(sample.adata.uns["spatial"]) == [region]


def test_preprocess_of_one_section(tmp_path):
    path = written(joined(), tmp_path)
    with pytest.raises(UsageError, match="left, right"):
        preprocess(path, tmp_path / "out", "S1")
    assert not (tmp_path / "out").exists()
    preprocess(path, tmp_path / "out", "S1", region="right")
    np.testing.assert_array_equal(open_sample(tmp_path / "out").read().X.toarray(), COUNTS[::-1])


def test_libraries_without_a_column(tmp_path):
    adata = joined()
    adata.obs_names = [f"cell{i}" for i in range(adata.n_obs)]
    del adata.obs["library_id"]
    with pytest.raises(UsageError, match="2 libraries"):
        read(written(adata, tmp_path))


def test_a_section_cut_out_of_a_joined_file(tmp_path):
    adata = joined()[:N].copy()
    sample = read(written(adata, tmp_path))
    assert sample.mpp == 0.5 and list(sample.adata.uns["spatial"]) == ["left"]


def test_positions_within_fields_of_view_as_squidpy_writes_them(tmp_path):
    adata = make(xy=RNG.uniform(0, 4000, (N, 2)))
    adata.obs["fov"] = pd.Categorical(np.repeat(["1", "2"], N // 2))
    adata.uns["spatial"] = {"1": library(0.1), "2": library(0.1)}
    adata.obsm["spatial_fov"] = adata.obsm["spatial"] + np.repeat([[0, 0], [4000, 0]], N // 2, axis=0)
    path = written(adata, tmp_path)
    with pytest.raises(UsageError, match=r"obs\['fov'\] \(1, 2\)"):
        read(path)
    assert read(path, region="2").adata.n_obs == N // 2


# ---- depth ---------------------------------------------------------------------------------------------------


def test_a_third_coordinate(tmp_path):
    z = np.repeat([0.0, 12.5], N // 2)
    planes = np.vstack([XY[::2], XY[::2]])
    path = written(make(xy=np.column_stack([planes, z])), tmp_path)
    with pytest.raises(UsageError, match=r"z=0, z=12\.5"):
        read(path, mpp=1.0)
    np.testing.assert_array_equal(read(path, mpp=1.0, region="z=12.5").adata.X.toarray(), COUNTS[N // 2 :])
    path = written(make(xy=np.column_stack([XY, RNG.uniform(0, 9, N)])), tmp_path, "b.h5ad")
    assert any("z is left out" in line for line in read(path, mpp=1.0).warnings)


# ---- names of columns ----------------------------------------------------------------------------------------

PAIRS = [
    *(("x", "y"), ("X", "Y"), ("imagecol", "imagerow"), ("pxl_col_in_fullres", "pxl_row_in_fullres"), ("col", "row")),
    *(("X_centroid", "Y_centroid"), ("CenterX_global_px", "CenterY_global_px"), ("center_x", "center_y")),
    *(("xcoord", "ycoord"), ("pixel_x", "pixel_y"), ("spatial.x", "spatial.y"), ("X_position", "Y_position")),
    *(("Centroid X px", "Centroid Y px"), ("posX", "posY"), ("coord_x", "coord_y"), ("image_col", "image_row")),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_names_decide_in_obsm(tmp_path, pair, turned):
    adata = make()
    table = pd.DataFrame(XY, columns=list(pair), index=adata.obs_names)
    adata.obsm["spatial"] = table[table.columns[::-1]] if turned else table
    np.testing.assert_array_equal(read(written(adata, tmp_path), mpp=1.0).adata.obsm["spatial"], XY)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_names_decide_in_obs(tmp_path, pair, turned):
    adata = make()
    del adata.obsm["spatial"]
    for i in (1, 0) if turned else (0, 1):
        adata.obs[pair[i]] = XY[:, i]
    adata.obs["Area"], adata.obs["array_row"], adata.obs["array_col"] = 5.0, ROW, COL
    sample = read(written(adata, tmp_path), mpp=1.0)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], XY)
    assert any(f"obs[{pair[0]!r}] (x)" in line for line in sample.warnings)


@pytest.mark.parametrize("names", [("a", "b"), ("centroid-0", "centroid-1"), ("PC1", "second"), ("x", "x_other")])
def test_names_that_do_not_say(tmp_path, names):
    adata = make()
    adata.obsm["spatial"] = pd.DataFrame(XY, columns=list(names), index=adata.obs_names)
    with pytest.raises(BadInputError, match="which of them is x") as refused:
        read(written(adata, tmp_path), mpp=1.0)
    assert "name them 'x' and 'y'" in refused.value.hint


@pytest.mark.parametrize("names", [("0", "1"), ("spatial_1", "spatial_2"), ("spatial1", "spatial2")])
def test_numbered_columns_are_those_of_an_array(tmp_path, names):
    adata = make()
    adata.obsm["spatial"] = pd.DataFrame(XY, columns=list(names), index=adata.obs_names)
    sample = read(written(adata, tmp_path), mpp=1.0)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], XY)
    assert any("taken as x and y" in line for line in sample.warnings)


def test_several_pairs_in_obs(tmp_path):
    adata = make()
    del adata.obsm["spatial"]
    for name in ("nucleus_x", "nucleus_y", "membrane_x", "membrane_y"):
        adata.obs[name] = 1.0 * ROW
    with pytest.raises(BadInputError, match="several columns of obs may be positions"):
        read(written(adata, tmp_path), mpp=1.0)


def test_places_on_the_array_are_no_positions(tmp_path):
    adata = make()
    del adata.obsm["spatial"]
    adata.obs["array_row"], adata.obs["array_col"] = ROW, COL
    with pytest.raises(BadInputError, match="places on the array"):
        read(written(adata, tmp_path), mpp=1.0)


def test_lengths_in_the_names(tmp_path):
    for unit, factor in (("um", 1.0), ("mm", 1000.0)):
        adata = make()
        adata.obsm["spatial"] = pd.DataFrame(XY / factor, columns=[f"x_{unit}", f"y_{unit}"], index=adata.obs_names)
        sample = read(written(adata, tmp_path))
        np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY)
        assert sample.mpp == 1.0
        np.testing.assert_allclose(read(tmp_path / "a.h5ad", mpp=0.5).adata.obsm["spatial"], XY * 2)


@pytest.mark.parametrize("key", ["coords", "X_xy", "positions", "spatial_coords"])
def test_other_keys_of_positions(tmp_path, key):
    adata = make()
    adata.obsm[key] = adata.obsm.pop("spatial")
    adata.obsm["X_umap"] = XY[::-1]
    sample = read(written(adata, tmp_path), mpp=1.0)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], XY)
    assert any(f"obsm[{key!r}]" in line for line in sample.warnings)


# ---- missing values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["NA", "", "nan", "unknown", "None", None, np.nan])
@pytest.mark.parametrize("kind", [object, "category", "string"])
def test_a_gene_without_id_goes_by_its_symbol(tmp_path, missing, kind):
    adata = make()
    ids = [f"ENSG{j:011d}" for j in range(GENES)]
    ids[2] = ids[5] = missing
    adata.var["gene_ids"] = pd.Series(ids, index=adata.var_names, dtype=kind)
    anndata.settings.allow_write_nullable_strings, before = True, anndata.settings.allow_write_nullable_strings
    try:
        path = written(adata, tmp_path)
    finally:
        anndata.settings.allow_write_nullable_strings = before
    sample = read(path, mpp=1.0)
    assert list(sample.adata.var["gene_ids"].iloc[[2, 5]]) == ["Gene2", "Gene5"]
    assert sample.adata.var["gene_ids"].iloc[0] == "ENSG00000000000"
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    assert any("2 genes have no id" in line for line in sample.warnings)


def test_symbols_that_repeat_are_named_by_id(tmp_path):
    adata = make()
    adata.var["gene_ids"] = [f"ENSG{j:011d}" for j in range(GENES)]
    adata.var_names = ["TBCE", "TBCE", *[f"Gene{j}" for j in range(2, GENES)]]
    sample = read(written(adata, tmp_path), mpp=1.0)
    assert list(sample.adata.var_names[:3]) == ["ENSG00000000000", "ENSG00000000001", "Gene2"]
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)


def test_an_id_and_none_tell_two_genes_of_one_symbol_apart(tmp_path):
    adata = make()
    adata.var["gene_ids"] = ["ENSG00000000000", None, *[f"ENSG{j:011d}" for j in range(2, GENES)]]
    adata.var_names = ["TBCE", "TBCE", *[f"Gene{j}" for j in range(2, GENES)]]
    assert list(read(written(adata, tmp_path), mpp=1.0).adata.var_names[:2]) == ["ENSG00000000000", "TBCE"]


def test_symbols_of_ids_that_are_missing(tmp_path):
    adata = make()
    adata.var_names = [f"ENSG{j:011d}" for j in range(GENES)]
    adata.var["feature_name"] = ["A", "nan", "", *[f"S{j}" for j in range(3, GENES)]]
    assert list(read(written(adata, tmp_path), mpp=1.0).adata.var_names[:4]) == [
        "A",
        "ENSG00000000001",
        "ENSG00000000002",
        "S3",
    ]


def test_a_feature_without_any_name_is_left_out_and_reported(tmp_path):
    adata = make()
    adata.var_names = ["nan", *[f"Gene{j}" for j in range(1, GENES)]]
    sample = read(written(adata, tmp_path), mpp=1.0)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[:, 1:])
    assert any("1 features have neither id nor symbol" in line for line in sample.warnings)


@pytest.mark.parametrize("name", ["nan", "", "NA", "None"])
def test_a_barcode_that_is_missing(tmp_path, name):
    adata = make()
    adata.obs_names = [name, *adata.obs_names[1:]]
    with pytest.raises(BadInputError, match=r"1 of 100 locations have no name \(row 1"):
        read(written(adata, tmp_path), mpp=1.0)


# ---- scale ---------------------------------------------------------------------------------------------------


def logged(counts=COUNTS):
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def test_scaled_values_over_log_normalised_ones(tmp_path):
    adata = make(logged())
    adata.raw = adata.copy()
    values = logged()
    adata.X = (values - values.mean(axis=0)) / values.std(axis=0)
    with pytest.raises(BadInputError, match=r"X: .*negative.*scaled or centred.*raw\.X: .*log-normalised.*base e"):
        read(written(adata, tmp_path), mpp=1.0)


@pytest.mark.parametrize("layer", ["raw_counts", "raw", "Counts", "umi"])
def test_counts_in_another_layer(tmp_path, layer):
    adata = make(logged())
    adata.layers[layer] = sparse.csr_matrix(COUNTS)
    sample = read(written(adata, tmp_path), mpp=1.0)
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
    assert any("raw counts are taken from" in line and layer in line for line in sample.warnings)


@pytest.mark.parametrize("half", [np.s_[:50], np.s_[::2]])
def test_half_counts_half_normalised(tmp_path, half):
    values = COUNTS.copy()
    values[half] = logged()[half]
    with pytest.raises(BadInputError, match="blocks of the matrix are on different scales: 50 of 100 locations"):
        read(written(make(values), tmp_path), mpp=1.0)


@pytest.mark.parametrize("how", ["ids", "barcodes", "varm"])
def test_genes_by_locations(tmp_path, how):
    adata = anndata.AnnData(sparse.csr_matrix(COUNTS.T))
    adata.obs_names = [f"ENSG{j:011d}" if how == "ids" else f"Gene{j}" for j in range(GENES)]
    letters = np.array(list("ACGT"))
    barcodes = ["".join(letters[RNG.integers(0, 4, 16)]) + "-1" for _ in range(N)]
    adata.var_names = barcodes if how == "barcodes" else [f"c{i}" for i in range(N)]
    if how == "varm":
        adata.varm["spatial"] = XY
    with pytest.raises(BadInputError, match="transposed") as refused:
        read(written(adata, tmp_path), mpp=1.0)
    assert "adata.T" in refused.value.hint


# ---- stores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dense", [False, True])
def test_zarr_stores(tmp_path, version, dense):
    adata = make()
    if dense:
        adata.X = COUNTS
    adata.var["gene_ids"] = [f"ENSG{j:011d}" for j in range(GENES)]
    before = anndata.settings.zarr_write_format
    anndata.settings.zarr_write_format = version
    try:
        adata.write_zarr(tmp_path / "raw" / "S1.zarr")
    finally:
        anndata.settings.zarr_write_format = before
    for path in (tmp_path / "raw" / "S1.zarr", tmp_path / "raw"):
        assert detect(path).platform == "anndata"
        sample = read(path, mpp=1.0)
        np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS)
        np.testing.assert_array_equal(sample.adata.obsm["spatial"], XY)
        assert list(sample.adata.var["gene_ids"]) == list(adata.var["gene_ids"])
    preprocess(tmp_path / "raw" / "S1.zarr", tmp_path / "out", "S1", mpp=1.0)
    np.testing.assert_array_equal(open_sample(tmp_path / "out").read().X.toarray(), COUNTS)


def test_a_store_that_links_out_of_itself(tmp_path):
    make().write_zarr(tmp_path / "S1.zarr")
    other = tmp_path / "secret"
    other.write_text("secret")
    chunk = next(
        p for p in sorted((tmp_path / "S1.zarr" / "X" / "data").rglob("*")) if p.name.isdigit() and p.is_file()
    )
    chunk.unlink()
    chunk.symlink_to(other)
    with pytest.raises(BadInputError, match="link out of the store"):
        read(tmp_path / "S1.zarr", mpp=1.0)


@pytest.mark.parametrize("what", ["chunk", "metadata", "obs", "pickle", "fifo"])
def test_damaged_stores(tmp_path, what):
    make().write_zarr(tmp_path / "S1.zarr")
    store = tmp_path / "S1.zarr"
    chunk = next(p for p in sorted((store / "X" / "data").rglob("*")) if p.name.isdigit() and p.is_file())
    metadata = next(p for p in sorted((store / "X").rglob("*")) if p.name in ("zarr.json", ".zarray"))
    if what == "chunk":
        chunk.write_bytes(b"damaged")
    elif what == "metadata":
        metadata.write_bytes(metadata.read_bytes()[:20])
    elif what == "pickle":
        metadata.write_text('{"filters": [{"id": "pickle"}]}')
    elif what == "fifo":
        chunk.unlink()
        os.mkfifo(chunk)
    else:
        consolidated = [*store.glob(".zmetadata"), *store.glob("zarr.json")]
        for place in [*consolidated, *(store / "obs").glob("zarr.json"), *(store / "obs").glob(".zattrs")]:
            place.write_text("{}")
    with pytest.raises((BadInputError, MissingResourceError)):
        read(store, mpp=1.0, platform="anndata")


# ---- files of others -----------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_positions_in_obs_of_a_real_file(focus_data):
    import h5py

    path = focus_data / "native" / "image_mismatch" / "NCBI858.h5ad"
    sample = read(path, mpp=0.5)
    with h5py.File(path, "r") as file:
        x, y = file["obs/x_pixel"][:], file["obs/y_pixel"][:]
        x_node = file["X"]
        if isinstance(x_node, h5py.Group):
            parts = tuple(x_node[part][:] for part in ("data", "indices", "indptr"))
            counts = sparse.csr_matrix(parts, shape=x_node.attrs["shape"])
        else:
            counts = sparse.csr_matrix(x_node[:])
        genes = file["var"][file["var"].attrs["_index"]][:].astype(str)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], np.column_stack([x, y]))
    assert (counts != sample.adata.X).nnz == 0 and list(sample.adata.var_names) == list(genes)


@pytest.mark.realdata
def test_intensities_of_a_real_file(focus_data, tmp_path):
    path = focus_data / "native" / "cycif" / "example_data.h5ad"
    with pytest.raises(BadInputError, match=r"X: values look log-normalised.*raw\.X: values are not whole") as refused:
        read(path, mpp=0.65)
    assert "var['feature_types']" in refused.value.hint
    adata = anndata.read_h5ad(path)
    adata.var["feature_types"] = "protein"  # what the hint asks for
    sample = read(written(adata, tmp_path), mpp=0.65)
    np.testing.assert_array_equal(sample.adata.obsm["spatial"], adata.obs[["X_position", "Y_position"]])
    np.testing.assert_allclose(sample.adata.X.toarray(), adata.X)
    assert list(sample.adata.var_names) == list(adata.var_names)


# ---- columns and types under other names ---------------------------------------------------------------------


@pytest.mark.parametrize("column", ["Ensembl ID", "Gene ID", "ensembl.gene.id", "GeneIDs"])
def test_ids_whatever_the_case_of_their_column(tmp_path, column):
    adata = make()
    adata.var[column] = [f"ENSG{j:011d}" for j in range(GENES)]
    sample = read(written(adata, tmp_path), mpp=1.0)
    assert sample.adata.var["gene_ids"].tolist() == adata.var[column].tolist()
    assert sample.adata.var_names.tolist() == adata.var_names.tolist()


@pytest.mark.parametrize("columns", [("Gene Symbol", "Ensembl Gene ID"), ("gene", "id"), ("1", "0")])
def test_a_table_of_features_whose_rows_were_counted(tmp_path, columns):
    symbols = ["TP53", "GAPDH", "ACTB", "EPCAM", "PTPRC", "CD3E", "CD19", "KRT8", "VIM"]
    adata = make()
    adata.var_names = [str(j) for j in range(GENES)]
    adata.var[columns[0]], adata.var[columns[1]] = symbols, [f"ENSG{j + 1:011d}" for j in range(GENES)]
    sample = read(written(adata, tmp_path), mpp=1.0)
    assert sample.adata.var_names.tolist() == symbols
    assert sample.adata.var["gene_ids"].tolist() == adata.var[columns[1]].tolist()


@pytest.mark.parametrize("kind", ["gene expression", "Gene", "gene", "RNA", "GENE_EXPRESSION", "GEX"])
@pytest.mark.parametrize("column", ["feature_types", "feature_type"])
@pytest.mark.parametrize("other", ["Negative Control Probe", "protein"])
def test_types_of_features_under_other_names(tmp_path, kind, column, other):
    adata = make()
    adata.var[column] = [kind] * 7 + [other] * 2
    sample = read(written(adata, tmp_path), mpp=1.0)
    assert sample.adata.var_names.tolist() == [f"Gene{j}" for j in range(7)]
    assert set(sample.adata.var["feature_types"]) == {"Gene Expression"}
    np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[:, :7])


def test_controls_by_their_names_are_no_genes(tmp_path):
    adata = make()
    controls = ["Blank-1", "NegPrb3", "NegControlProbe_00042", "SystemControl7", "antisense_ADCY4"]
    adata.var_names = ["TP53", "BLNK", "NEGR1", "ACTB", *controls]
    sample = read(written(adata, tmp_path), mpp=1.0)
    assert sample.adata.var_names.tolist() == ["TP53", "BLNK", "NEGR1", "ACTB"]
    assert any("not gene expression were left out" in line for line in sample.warnings)


def test_counts_of_half_precision(tmp_path):
    adata = make()
    adata.X = COUNTS.astype(np.float16)
    np.testing.assert_array_equal(read(written(adata, tmp_path), mpp=1.0).adata.X.toarray(), COUNTS)


def test_truth_values_are_no_counts(tmp_path):
    adata = make()
    adata.X = sparse.csr_matrix(COUNTS > 0)
    with pytest.raises(BadInputError, match="true and false"):
        read(written(adata, tmp_path), mpp=1.0)


@pytest.mark.parametrize(("unit", "um"), [("nm", 0.001), ("mm", 1000.0), ("um", 1.0), ("cm", 10_000.0)])
def test_lengths_of_other_units(tmp_path, unit, um):
    adata = make()
    adata.obsm["spatial"] = pd.DataFrame(XY[:, ::-1] / um, index=adata.obs_names, columns=[f"y_{unit}", f"x_{unit}"])
    sample = read(written(adata, tmp_path))
    np.testing.assert_allclose(sample.adata.obsm["spatial_um"], XY)


def test_an_embedding_is_no_position(tmp_path):
    adata = make()
    adata.obsm["spatial"] = pd.DataFrame(XY, index=adata.obs_names, columns=["UMAP_1", "UMAP_2"])
    with pytest.raises(BadInputError, match="do not state which"):
        read(written(adata, tmp_path), mpp=1.0)


@pytest.mark.parametrize("where", ["obs", "obsm"])
def test_positions_within_fields_of_view_alone(tmp_path, where):
    adata = make()
    del adata.obsm["spatial"]
    if where == "obsm":
        adata.obsm["spatial_fov"] = XY
    else:
        adata.obs["x_local"], adata.obs["y_local"] = XY.T
    with pytest.raises(BadInputError, match="within fields of view") as refused:
        read(written(adata, tmp_path), mpp=1.0)
    assert "global" in refused.value.hint
