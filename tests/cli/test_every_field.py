"""``focus explain`` describes every field of every file that the verbs write: a new field needs a meaning."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from embedding_files import write_embedding

from focus_cli import keys
from focus_cli.cli import cli
from focus_cli.reporting import explain
from focus_cli.reporting.fields import UNKNOWN


def focus(*words: object) -> None:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.exception or done.output)


def write_cohort(folder: Path, n: int = 24) -> tuple[list[Path], Path]:
    """Embeddings of donors whose outcome follows what their tissue holds, and the clinical table."""
    rng = np.random.default_rng(0)
    died = np.arange(n) % 2
    files = [
        write_embedding(folder / f"S{i}.h5ad", f"S{i}", rng.normal(died[i], 1, (30, 4)).astype(np.float32))
        for i in range(n)
    ]
    pd.DataFrame({"sample": [f"S{i}" for i in range(n)], "response": died}).to_csv(
        folder / "table.tsv", sep="\t", index=False
    )
    return files, folder / "table.tsv"


@pytest.fixture(scope="module")
def written(enhanced_study, tmp_path_factory) -> list[Path]:
    """Every kind of file that the verbs write, of the small study."""
    out = tmp_path_factory.mktemp("written")
    s = enhanced_study
    name = next(iter(s.samples))
    sample, enhanced = s.samples[name], s.enhanced[name]
    made_of = ("--model", s.model, "--reference", s.reference)
    symbols = anndata.read_h5ad(enhanced, backed="r").var_names[:4].tolist()
    focus("enhance", sample, "--out", out / "e.h5ad", *made_of, "--samples", 1, "--layers",
          "mean_counts,std,q05,q95,expression", "--resolution-um", 50, "--refined", out / "r.h5ad")  # fmt: skip
    for mode, file in (("joint", "joint.h5ad"), ("expression", "expression.h5ad")):
        focus("embed", sample, "--out", out / file, *made_of, "--mode", mode, "--samples", 1)
    focus("domains", out / "joint.h5ad", "--out", out / "domains")
    focus("celltypes", enhanced, "--reference", s.reference, "--out", out / "celltypes.h5ad")
    tests = ("--sample", sample, *made_of, "--folds", 2)
    focus("patterns", enhanced, "--out", out / "patterns.h5ad", *tests, "--celltypes", out / "celltypes.h5ad")
    pd.DataFrame({"ligand": symbols[:2], "receptor": symbols[2:], "pathway": "p"}).to_csv(out / "pairs.csv")
    focus("interactions", enhanced, "--pairs", out / "pairs.csv", "--out", out / "interactions.h5ad", *tests)
    locations = anndata.read_h5ad(enhanced, backed="r").obs_names
    focus("why", sample, "--gene", symbols[0], "--location", locations[0], "--out", out / "why.h5ad", *made_of)
    pd.DataFrame(
        {"sample": name, "location": locations, "label": np.where(np.arange(len(locations)) % 2, "a", "b")}
    ).to_csv(out / "labels.tsv", sep="\t", index=False)
    focus("annotate", "fit", out / "joint.h5ad", "--labels", out / "labels.tsv", "--leave-out", "block",
          "--out", out / "annotation_head")  # fmt: skip
    focus("annotate", "apply", out / "joint.h5ad", "--head", out / "annotation_head", "--out", out / "annotated.h5ad")
    files, table = write_cohort(out / "cohort")
    focus("outcome", "fit", *files, "--table", table, "--outcome", "response", "--permutations", 0,
          "--out", out / "outcome_head")  # fmt: skip
    focus("outcome", "apply", files[0], "--head", out / "outcome_head", "--out", out / "outcome.tsv",
          "--attention", out / "attention")  # fmt: skip
    for task in ("denoise", "impute", "histology"):
        options = ("--test-fraction", 0.4) if task == "histology" else ("--n-genes", 20)
        focus("holdout", sample, "--task", task, *options, "--out", out / task, "--truth", out / f"{task}.truth.h5ad")
    focus("evaluate", enhanced, "--truth", s.study.truth(name), "--observed", sample, "--out", out / "scores")
    focus("nuclei", sample, "--out", out / "nuclei.parquet")
    focus("prior", sample, "--out", out / "prior")
    focus("corpus", sample, "--out", out / "corpus")
    made = [path for path in out.iterdir() if path.suffix in ("", ".h5ad", ".parquet") and path.name != "cohort"]
    made = [path for path in made if path.name not in ("domains", "attention")]
    inside = [path for folder in ("domains", "attention") for path in (out / folder).glob("*.h5ad")]
    return [
        *made, *inside, out / "domains", out / "outcome.tsv", enhanced, sample, s.reference, s.model,
        s.study.truth(name), s.study.truth(name, fine=True),
    ]  # fmt: skip


@pytest.mark.slow
def test_every_field_that_is_written_has_a_meaning(written):
    unknown = set()
    for path in written:
        told = explain(path)
        for field in told["fields"]:
            if field["meaning"] in ("", UNKNOWN):
                unknown.add((told["kind"], field["place"]))
        assert told["fields"] or told["kind"] == "corpus", f"{path.name} ({told['kind']}): nothing is said of its fields"
    assert not unknown


@pytest.mark.slow
def test_the_fields_are_all_of_those_in_the_file(written):
    for path in written:
        if path.suffix != ".h5ad":
            continue
        adata = anndata.read_h5ad(path)
        held = {f"{group}/{key}" for group in ("obs", "var") for key in getattr(adata, group).columns}
        held |= {f"{group}/{key}" for group in ("layers", "obsm", "varm", "uns") for key in getattr(adata, group)}
        assert held <= {field["place"] for field in explain(path)["fields"]}, path.name


@pytest.mark.slow
def test_parts_of_a_folder_are_described_with_their_fields(written):
    sample = next(path for path in written if (path / keys.SAMPLE_JSON).is_file())
    places = {field["place"] for field in explain(sample)["fields"]}
    assert {keys.COUNTS_H5AD, f"{keys.COUNTS_H5AD}: X", f"{keys.COUNTS_H5AD}: obsm/{keys.SPATIAL}"} <= places
