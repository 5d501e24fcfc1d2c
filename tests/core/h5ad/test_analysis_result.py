"""Analysis results keep the names, positions and images of the file that they were made from."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import BadInputError, OutputExistsError
from focus_cli.core.h5ad.analysis_result import require_kind, same_locations, write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile


@pytest.fixture
def source(tmp_path):
    adata = ad.AnnData(np.ones((5, 3), np.float32), obs=pd.DataFrame(index=[f"l{i}" for i in range(5)]))
    adata.obsm["spatial"] = np.arange(10.0).reshape(5, 2)
    adata.obsm["spatial_um"] = 2 * adata.obsm["spatial"]
    adata.uns["spatial"] = {
        "S1": {
            "images": {"hires": np.zeros((4, 4, 3), np.uint8), "lowres": np.zeros((2, 2, 3), np.uint8)},
            "scalefactors": {"tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.25},
        }
    }
    adata.uns["focus"] = {"kind": "enhanced", "sample_id": "S1", "mpp": 2.0, "pitch_um": 100.0}
    adata.write_h5ad(tmp_path / "source.h5ad")
    return tmp_path / "source.h5ad"


def test_an_answer_stands_on_the_locations_of_its_source(source, tmp_path):
    out = tmp_path / "answer.h5ad"
    with SpatialFile(source) as file:
        obs = pd.DataFrame({"domain": pd.Categorical(list("aabba"))}, index=file.obs.index)
        facts = {"resolution": 0.5, "scores": [1, 2]}
        write_analysis_result(out, file, "domains", {"command": "domains"}, obs=obs, obsm={"p": np.eye(5)}, facts=facts)
    read = ad.read_h5ad(out)
    assert list(read.obs_names) == [f"l{i}" for i in range(5)] and list(read.obs["domain"]) == list("aabba")
    assert np.array_equal(read.obsm["spatial_um"], 2 * read.obsm["spatial"]) and read.n_vars == 0
    # The larger picture stays with the enhanced file.
    assert {name: image.shape for name, image in read.uns["spatial"]["S1"]["images"].items()} == {"lowres": (2, 2, 3)}
    with SpatialFile(out) as file:
        assert file.kind == "domains"
        assert file.focus["sample_id"] == "S1" and file.focus["pitch_um"] == 100.0 and file.focus["scores"] == [1, 2]
        require_kind(file, "domains", "focus domains")
        with pytest.raises(BadInputError, match="'domains', not 'embedding'"):
            require_kind(file, "embedding", "focus embed")


def test_an_answer_is_not_written_over(source, tmp_path):
    with SpatialFile(source) as file, pytest.raises(OutputExistsError):
        write_analysis_result(source, file, "domains", {})


def test_locations_are_found_by_name_and_a_stranger_is_refused(source, tmp_path):
    turned = ad.read_h5ad(source)[::-1].copy()
    turned.write_h5ad(tmp_path / "turned.h5ad")
    turned[:3].copy().write_h5ad(tmp_path / "part.h5ad")
    with SpatialFile(source) as file:
        with SpatialFile(tmp_path / "turned.h5ad") as other:
            assert same_locations(other, file).tolist() == [4, 3, 2, 1, 0]
        with SpatialFile(tmp_path / "part.h5ad") as other, pytest.raises(BadInputError, match="2 of the 5 locations"):
            same_locations(other, file)
