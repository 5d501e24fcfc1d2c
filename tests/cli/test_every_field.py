"""``focus explain`` describes every field of every file that the verbs write: a new field needs a meaning.

What `focus annotate` and `focus outcome` write is looked at where heads are fitted, in their own tests.
"""

from __future__ import annotations

from pathlib import Path

import anndata
import pandas as pd
import pytest
from click.testing import CliRunner

from focus_cli.cli.main import cli
from focus_cli.core import keys
from focus_cli.reporting import explain
from focus_cli.reporting.fields import UNKNOWN


def focus(*words: object) -> None:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.exception or done.output)


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
    for task in ("denoise", "impute", "histology"):
        options = ("--test-fraction", 0.4) if task == "histology" else ("--n-genes", 20)
        focus("holdout", sample, "--task", task, *options, "--out", out / task, "--truth", out / f"{task}.truth.h5ad")
    focus("evaluate", enhanced, "--truth", s.study.truth(name), "--observed", sample, "--out", out / "scores")
    focus("nuclei", sample, "--out", out / "nuclei.parquet")
    focus("prior", sample, "--out", out / "prior")
    focus("corpus", sample, "--out", out / "corpus")
    analyses = (out / "patterns.h5ad", out / "celltypes.h5ad", out / "interactions.h5ad", out / "why.h5ad")
    focus("export", enhanced, *analyses, "--to", "anndata", "--out", out / "exported.h5ad")
    made = [path for path in out.iterdir() if path.suffix in ("", ".h5ad", ".parquet")]
    return [
        *made, *(out / "domains").glob("*.h5ad"), enhanced, sample, s.reference, s.model, s.study.truth(name),
        s.study.truth(name, fine=True),
    ]  # fmt: skip


@pytest.mark.slow
def test_every_field_that_is_written_has_a_meaning(written):
    unknown = set()
    for path in written:
        told = explain(path)
        for field in told["fields"]:
            if field["meaning"] in ("", UNKNOWN):
                unknown.add((told["kind"], field["name"]))
        assert told["fields"] or told["kind"] == "corpus", f"{path.name}: no field of {told['kind']}"
    assert not unknown


@pytest.mark.slow
def test_the_fields_are_all_of_those_in_the_file(written):
    for path in written:
        if path.suffix != ".h5ad":
            continue
        adata = anndata.read_h5ad(path)
        held = {f"{group}/{key}" for group in ("obs", "var") for key in getattr(adata, group).columns}
        held |= {f"{group}/{key}" for group in ("layers", "obsm", "varm", "uns") for key in getattr(adata, group)}
        assert held <= {field["name"] for field in explain(path)["fields"]}, path.name


@pytest.mark.slow
def test_parts_of_a_folder_are_described_with_their_fields(written):
    sample = next(path for path in written if (path / keys.SAMPLE_JSON).is_file())
    places = {field["name"] for field in explain(sample)["fields"]}
    assert {keys.COUNTS_H5AD, f"{keys.COUNTS_H5AD}: X", f"{keys.COUNTS_H5AD}: obsm/{keys.SPATIAL}"} <= places
