"""What a file is: told from the file itself."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import fake_enhanced
import numpy as np
import pytest
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import BadInputError, MissingResourceError
from focus_cli.reporting import explain
from focus_cli.reporting.explain_text import explain_text
from focus_cli.reporting.fields import FIELDS, field_meaning
from focus_cli.reporting.run_record import flat
from focus_cli.store import Footprint, PlatformInfo, SampleInfo, write_sample


def test_an_enhanced_file_tells_its_genes_fields_and_making(study: Path) -> None:
    told = explain(study / "S1.h5ad")
    assert told["kind"] == "enhanced"
    assert (told["facts"]["genes_measured"], told["facts"]["genes_imputed"]) == (30, 6)
    assert told["made_by"]["seed"] == 7 and told["made_by"]["settings"] == {"genes": "all", "samples": 30}
    fields = {f["place"]: f for f in told["fields"]}
    assert fields["layers/counts"]["shape"] == [144, 36] and fields["layers/counts"]["dtype"].endswith("csr")
    assert fields["layers/q05"]["meaning"].startswith("5 % quantile")
    assert fields["obsm/spatial_um"]["unit"] == "µm"
    assert "obs/_index" not in fields
    assert json.loads(json.dumps(told)) == told


def test_every_field_of_an_enhanced_file_has_a_meaning(study: Path) -> None:
    nothing = field_meaning("obs/no such field").text
    for name in ("S1.h5ad", "S1.refined.h5ad"):
        for field in explain(study / name)["fields"]:
            assert field["meaning"] != nothing, field["place"]


def test_the_table_of_fields_knows_every_key() -> None:
    """A key that is added to keys.py must be given a meaning."""
    groups = {
        "obs": ("IN_TISSUE", "ARRAY_ROW", "ARRAY_COL", "TOTAL_COUNTS", "OBS_RELIABILITY", "PARENT"),
        "var": ("GENE_ID", "SYMBOL", "FEATURE_TYPE", "MEASURED", "VAR_RELIABILITY"),
        "obsm": ("SPATIAL", "SPATIAL_UM", "LATENT", "PROPORTIONS"),
        "layers": ("COUNTS", "MEAN_COUNTS", "STD"),
        "uns": ("UNS", "UNS_SPATIAL"),
    }
    for group, names in groups.items():
        for name in names:
            assert f"{group}/{getattr(keys, name)}" in FIELDS


def test_every_field_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    for place in FIELDS:
        group, _, key = place.partition("/")
        if key != "focus_truth":
            assert (f'{group}["{key}"]' if key else f"`{group}`") in page, place


def test_text_names_the_essentials(study: Path) -> None:
    text = explain_text(explain(study / "S1.refined.h5ad"))
    for word in (
        "refined",
        "obs/parent",
        "focus enhance, FOCUS 0.1.0, seed 7",
        "No location of this file was measured",
    ):
        assert word in text
    assert max(map(len, text.splitlines())) <= 100


def test_nested_settings_are_flat_and_without_the_records_of_inputs() -> None:
    settings = {
        "model": {"preset": "nano", "training": {"steps": 8}, "provenance": {"seed": 1}},
        "genes": "all",
    }
    assert flat(settings) == {"model.preset": "nano", "model.training.steps": "8", "genes": "all"}


def test_a_truth_file(tmp_path: Path) -> None:
    adata = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype=np.float32)))
    adata.uns["focus_truth"] = {"task": "denoise", "genes": ["0", "1"], "kind": "counts", "seed": 3}
    told = explain(fake_enhanced.write(adata, tmp_path / "truth.h5ad"))
    assert told["kind"] == "truth" and told["facts"]["task"] == "denoise" and told["facts"]["genes_scored"] == 2
    assert told["fields"][0]["meaning"] == "raw counts that were hidden"


def test_a_sample_folder(tmp_path: Path) -> None:
    adata = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype=np.float32)))
    adata.obsm[keys.SPATIAL] = adata.obsm[keys.SPATIAL_UM] = np.zeros((4, 2))
    info = SampleInfo("S1", PlatformInfo("visium", "2.0"), 0.5, Footprint("circle", 55.0, 100.0), 4, 4, warnings=["w"])
    write_sample(tmp_path / "S1", info, adata)
    told = explain(tmp_path / "S1")
    assert told["kind"] == "sample" and told["facts"]["platform"] == "Visium 2.0" and told["warnings"] == ["w"]
    with pytest.raises(BadInputError, match="part of a folder") as caught:
        explain(tmp_path / "S1" / keys.COUNTS_H5AD)
    assert "S1" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "kind"),
    [(keys.REFERENCE_JSON, "reference"), (keys.MODEL_JSON, "model"), ("scores.json", "scores")],
)
def test_other_folders(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text(json.dumps({"preset": "nano", "provenance": {"command": "x", "seed": 1}}))
    told = explain(tmp_path)
    assert told["kind"] == kind and told["facts"] == {"preset": "nano"} and told["made_by"]["seed"] == 1
    assert explain_text(told).startswith(tmp_path.name)


def test_what_focus_did_not_write_is_refused(tmp_path: Path) -> None:
    anndata.AnnData(np.ones((3, 2), np.float32)).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(BadInputError, match="none that FOCUS wrote"):
        explain(tmp_path / "other.h5ad")
    with pytest.raises(BadInputError, match="none that FOCUS wrote"):
        explain(tmp_path)
    with pytest.raises(MissingResourceError):
        explain(tmp_path / "nowhere")
    (tmp_path / "text.h5ad").write_text("x")
    with pytest.raises(BadInputError, match="not an HDF5"):
        explain(tmp_path / "text.h5ad")
    (tmp_path / keys.MODEL_JSON).write_text("{")
    with pytest.raises(BadInputError, match="not JSON"):
        explain(tmp_path)
