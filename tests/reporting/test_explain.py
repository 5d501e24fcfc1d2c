"""What a file is: told from the file itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import anndata
import fake_enhanced
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.provenance import describe_path, describe_run
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, write_sample
from focus_cli.reporting import explain, write_report
from focus_cli.reporting.explanation_text import explain_text
from focus_cli.reporting.fields import FIELDS, field_meaning
from focus_cli.reporting.run_record import flat


def test_an_enhanced_file_tells_its_genes_fields_and_making(study: Path) -> None:
    told = explain(study / "S1.h5ad")
    assert told["kind"] == "enhanced"
    assert (told["facts"]["genes_measured"], told["facts"]["genes_imputed"]) == (30, 6)
    assert told["made_by"]["seed"] == 7 and told["made_by"]["settings"] == {"genes": "all", "samples": 30}
    fields = {f["name"]: f for f in told["fields"]}
    assert fields["layers/counts"]["shape"] == [144, 36] and fields["layers/counts"]["dtype"].endswith("csr")
    assert fields["layers/q05"]["meaning"].startswith("5 % quantile")
    assert fields["obsm/spatial_um"]["unit"] == "µm"
    assert "obs/_index" not in fields
    assert json.loads(json.dumps(told)) == told


def test_every_field_of_an_enhanced_file_has_a_meaning(study: Path) -> None:
    nothing = field_meaning("obs/no such field").text
    for name in ("S1.h5ad", "S1.refined.h5ad"):
        for field in explain(study / name)["fields"]:
            assert field["meaning"] != nothing, field["name"]


def test_the_table_of_fields_knows_every_key() -> None:
    """A key that is added to keys.py must be given a meaning."""
    groups = {
        "obs": ("IN_TISSUE", "ARRAY_ROW", "ARRAY_COL", "TOTAL_COUNTS", "OBS_RELIABILITY", "PARENT"),
        "var": ("GENE_ID", "SYMBOL", "FEATURE_TYPE", "MEASURED", "VAR_RELIABILITY"),
        "obsm": ("SPATIAL", "SPATIAL_UM", "LATENT", "STATE_ATTENTION"),
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
        "The locations of this file were not measured",
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
    assert told["fields"][0]["meaning"] == "held-out raw counts"


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
    with pytest.raises(BadInputError, match="that FOCUS did not write"):
        explain(tmp_path / "other.h5ad")
    with pytest.raises(BadInputError, match="that FOCUS did not write"):
        explain(tmp_path)
    with pytest.raises(MissingResourceError):
        explain(tmp_path / "nowhere")
    (tmp_path / "text.h5ad").write_text("x")
    with pytest.raises(BadInputError, match="not an HDF5"):
        explain(tmp_path / "text.h5ad")
    (tmp_path / keys.MODEL_JSON).write_text("{")
    with pytest.raises(BadInputError, match="not JSON"):
        explain(tmp_path)


def model_folder(folder: Path, name: str, **inputs: Path) -> Path:
    """A model as `explain` sees one: its description, with the record of its inputs."""
    path = folder / "models" / name
    path.mkdir(parents=True)
    record = describe_run(
        "train", {"preset": "nano"}, {role.replace("_", ":"): p for role, p in inputs.items()}, seed=1
    )
    (path / keys.MODEL_JSON).write_text(json.dumps({"provenance": record}))
    return path


def sample_folder(path: Path, raw: Path) -> Path:
    """A stored sample that was made of one raw file."""
    path.mkdir(parents=True)
    record = describe_run("preprocess", {}, {"counts": raw})
    info = SampleInfo(path.name, PlatformInfo("visium"), 0.5, Footprint("circle", 55.0, 100.0), 4, 4, provenance=record)
    (path / keys.SAMPLE_JSON).write_text(info.to_json())
    (path / keys.COUNTS_H5AD).write_bytes(raw.read_bytes() * 2)
    return path


def states(entries: list[dict], found: dict | None = None) -> dict[str, str]:
    """Name of every input upstream → its state."""
    found = {} if found is None else found
    for entry in entries:
        found[entry["name"]] = entry["state"]
        states(entry.get("upstream", []), found)
    return found


def test_inputs_are_followed_upstream_and_compared(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    raw = tmp_path / "raw" / "counts.tsv"
    raw.write_text("raw counts")
    sample = sample_folder(tmp_path / "samples" / "S1", raw)
    model = model_folder(tmp_path, "S1", sample_S1=sample)

    def jobs_of(path: Path) -> list[dict]:
        return [{"rule": "preprocess", "input": [str(raw.parent)]}] if path == sample else []

    # A model and a sample of one name: the sample is found, not the model itself.
    told = explain(model, jobs_of=jobs_of)
    assert states(told["upstream"]) == {"S1": "same size", "counts.tsv": "same size"}
    assert told["upstream"][0]["path"] == str(sample)
    assert states(explain(model, verify=True, jobs_of=jobs_of)["upstream"]) == {"S1": "agrees", "counts.tsv": "agrees"}

    (sample / ".snakemake_timestamp").touch()  # Snakemake's stamp is no change
    assert states(explain(model, verify=True, jobs_of=jobs_of)["upstream"])["S1"] == "agrees"
    raw.write_text("RAW counts")  # of the same size: only a hash sees it
    assert states(explain(model, jobs_of=jobs_of)["upstream"])["counts.tsv"] == "same size"
    assert states(explain(model, verify=True, jobs_of=jobs_of)["upstream"])["counts.tsv"] == "differs"
    assert "CHANGED" in explain_text(explain(model, verify=True, jobs_of=jobs_of))
    (sample / keys.COUNTS_H5AD).write_text("longer than it was before")
    assert states(explain(model)["upstream"])["S1"] == "differs"
    raw.unlink()
    assert states(explain(model, jobs_of=jobs_of)["upstream"])["counts.tsv"] == "not found"


def test_an_input_that_is_in_the_tree_is_not_listed_twice(tmp_path: Path) -> None:
    raw = tmp_path / "raw.tsv"
    raw.write_text("raw counts")
    sample = sample_folder(tmp_path / "samples" / "S1", raw)
    prior = tmp_path / "prior"
    prior.mkdir()
    record = describe_run("prior", {}, {"sample:S1": sample})
    (prior / keys.PRIOR_JSON).write_text(json.dumps({"provenance": record}))
    told = explain(model_folder(tmp_path, "all", prior=prior, sample_S1=sample))
    of_prior, again = told["upstream"]
    assert of_prior["upstream"][0]["upstream"] and again["repeated"] and "upstream" not in again
    assert "see above" in explain_text(told)


def test_what_only_shares_a_name_is_not_taken_for_an_input(tmp_path: Path) -> None:
    raw = tmp_path / "raw.tsv"
    raw.write_text("raw counts")
    sample = sample_folder(tmp_path / "samples" / "S1", raw)
    model = model_folder(tmp_path, "all", sample_S1=sample)
    for path in sorted(sample.iterdir()):
        path.unlink()
    sample.rmdir()
    for other in ("truth", "enhanced"):  # two of the name and of another size
        (tmp_path / other).mkdir()
        (tmp_path / other / "S1").write_text("x")
    assert states(explain(model)["upstream"]) == {"S1": "not found"}


@pytest.mark.parametrize(("name", "kind"), [(keys.ENCODER_JSON, "encoder"), (keys.PRIOR_JSON, "prior")])
def test_encoders_and_priors(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text(json.dumps({"provenance": {"command": "x", "seed": 1}}))
    assert explain(tmp_path)["kind"] == kind


def test_a_corpus_names_the_samples_that_it_was_packed_from(tmp_path: Path) -> None:
    raw = tmp_path / "raw.tsv"
    raw.write_text("raw counts")
    corpus = tmp_path / "corpus"
    (corpus / "samples").mkdir(parents=True)
    (corpus / keys.CORPUS_JSON).write_text("{}")
    for name in ("S1", "S2"):
        record = describe_run("corpus", {}, {"sample": sample_folder(tmp_path / "samples" / name, raw)})
        (corpus / "samples" / f"{name}.json").write_text(json.dumps({"provenance": record}))
    told = explain(corpus, verify=True)
    assert told["kind"] == "corpus" and told["facts"]["samples"] == 2
    assert [(e["role"], e["state"]) for e in told["upstream"]] == [("sample:S1", "agrees"), ("sample:S2", "agrees")]


def test_a_model_that_holds_a_prior_is_a_model(tmp_path: Path) -> None:
    for name in (keys.MODEL_JSON, keys.PRIOR_JSON):
        (tmp_path / name).write_text("{}")
    assert explain(tmp_path)["kind"] == "model"


def test_a_report_names_the_records_that_it_shows(study: Path, tmp_path: Path) -> None:
    write_report([study / "S1.h5ad"], tmp_path / "S1.html")
    told = explain(tmp_path / "S1.html", jobs_of=lambda path: [{"rule": "r", "input": [str(study / "S1.h5ad")]}])
    assert told["kind"] == "report" and told["facts"]["shows"] == ["focus enhance, FOCUS 0.1.0"]
    assert told["upstream"][0]["made_by"]["command"] == "enhance"
    (tmp_path / "other.html").write_text("<html></html>")
    with pytest.raises(BadInputError, match="that FOCUS did not write"):
        explain(tmp_path / "other.html")


def test_a_table_of_scores_and_tables_of_others(tmp_path: Path) -> None:
    (tmp_path / "scores.tsv").write_text("fold\ttask\tmethod\tpcc_mean\nf\tt\tm\t0.5\n")
    assert explain(tmp_path / "scores.tsv")["facts"] == {"rows": 1, "columns": 4}
    (tmp_path / "samples.tsv").write_text("sample\tpath\nS1\tx\n")
    with pytest.raises(BadInputError, match="that FOCUS did not write"):
        explain(tmp_path / "samples.tsv")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadInputError, match="not a file written by FOCUS"):
        explain(tmp_path / "notes.txt")


def test_the_report_of_a_cohort(tmp_path: Path) -> None:
    (tmp_path / "cohort.html").write_text("<html><head><title>FOCUS cohort · 2 samples</title></head></html>")
    assert explain(tmp_path / "cohort.html")["kind"] == "cohort report"
    (tmp_path / "cohort.tsv").write_text("sample\tstatus\trule\tmessage\tlog\nS1\tdone\t\t\t\n")
    assert explain(tmp_path / "cohort.tsv")["kind"] == "cohort table"


def test_the_parts_of_a_hold_out(tmp_path: Path) -> None:
    adata = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype=np.float32)))
    adata.uns["focus_truth"] = {"task": "denoise", "genes": ["0"], "kind": "counts", "focus_version": "0.1.0"}
    fake_enhanced.write(adata, tmp_path / "truth.h5ad")
    (tmp_path / "genes.txt").write_text("A\nB\n")
    raw = tmp_path / "raw.tsv"
    raw.write_text("raw counts")
    assert explain(tmp_path / "genes.txt")["made_by"] == {"command": "holdout", "focus_version": "0.1.0"}
    observed = sample_folder(tmp_path / "observed", raw)
    told = json.loads((observed / keys.SAMPLE_JSON).read_text())
    told["provenance"]["command"] = "holdout"
    (observed / keys.SAMPLE_JSON).write_text(json.dumps(told))
    fold = explain(tmp_path)
    assert fold["kind"] == "hold-out" and [f["name"] for f in fold["fields"]] == [
        "observed",
        "truth.h5ad",
        "genes.txt",
    ]
    for name in (".", "truth.h5ad", "genes.txt"):
        assert states(explain(tmp_path / name)["upstream"]) == {"raw.tsv": "same size"}
    (observed / keys.MORPHOLOGY_ZARR).mkdir()
    with pytest.raises(BadInputError, match="part of a folder"):
        explain(observed / keys.MORPHOLOGY_ZARR)


def test_nuclei_and_features(tmp_path: Path) -> None:
    nuclei = pd.DataFrame({"x_um": [1.0]})
    nuclei.attrs["provenance"] = {"command": "nuclei", "inputs": {}}
    nuclei.to_parquet(tmp_path / "nuclei.parquet")
    assert explain(tmp_path / "nuclei.parquet")["made_by"]["command"] == "nuclei"
    raster = tmp_path / "0123.zarr"
    raster.mkdir()
    attributes = {"encoder": "vit", "slide_sha256": "ab" * 32, "names": ["a", "b"], "step_um": 56.0}
    (raster / "zarr.json").write_text(json.dumps({"attributes": attributes}))
    told = explain(raster)
    assert told["kind"] == "features" and told["facts"]["features"] == 2
    assert told["upstream"][0] | {"sha256": ""} == {
        "role": "slide", "name": "", "sha256": "", "path": None, "state": "not found"
    }  # fmt: skip


def test_a_folder_has_one_hash_however_it_is_read(tmp_path: Path) -> None:
    """The digest that records hold: names and hashes of the files, in sorted order."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("1")
    (tmp_path / "a").write_text("22")
    digests = [hashlib.sha256(text).hexdigest() for text in (b"22", b"1")]
    whole = hashlib.sha256(f"a{digests[0]}b/x{digests[1]}".encode()).hexdigest()
    assert describe_path(tmp_path) == {"name": tmp_path.name, "bytes": 3, "sha256": whole}


def test_a_head_and_its_table_are_known(tmp_path):
    import numpy as np

    from focus_cli.analysis.heads.folder import write_head

    told = {"provenance": {"command": "annotate fit", "focus_version": "0"}, "space": "abc/joint"}
    write_head(tmp_path / "head", "annotate", told, {"weight": np.ones(2, np.float32)})
    said = explain(tmp_path / "head")
    assert (said["kind"], said["facts"]["space"], said["made_by"]["command"]) == ("head", "abc/joint", "annotate fit")
    table = tmp_path / "outcomes.tsv"
    table.write_text("sample\tlocations\tscore\tprobability\tunlike_training\nS1\t9\t0.1\t0.5\t0\n")
    assert explain(table)["kind"] == "outcome table"


def test_a_table_whose_names_are_gone_is_damaged(tmp_path):
    import h5py

    from focus_cli.reporting.explained_h5ad import _shape

    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file.create_group("obs").attrs["_index"] = "gone"
        with pytest.raises(BadInputError, match="obs has no names"):
            _shape(file)
