"""Analyses after enhancement: off by default, enabled by the config, each made of the inputs that it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from focus_cli.core.errors import UsageError
from focus_cli.workflow.cohort import cohort_jobs
from focus_cli.workflow.config import SampleRow, check_config
from focus_cli.workflow.plan import Plan

BIN = Path(sys.executable).parent
EVERYTHING = {
    "reference": {"path": "cells.h5ad"},
    "embed": {"enabled": True},
    "domains": {"enabled": True},
    "celltypes": {"enabled": True},
    "patterns": {"enabled": True},
    "interactions": {"pairs": "pairs.csv"},
    "annotate": {"labels": "labels.tsv"},
    "outcome": {"table": "clinical.tsv", "response": "responded"},
    "why": {"genes": ["EPCAM"]},
    "export": {"to": ["anndata", "spatialdata", "vitessce"]},
    "report": {"together": True},
}


def plan(samples="S1 S2", sheet=None, **config) -> Plan:
    """`sheet`: sample → further columns."""
    rows = [SampleRow(sample=name, path=f"raw/{name}", **(sheet or {}).get(name, {})) for name in samples.split()]
    return Plan(check_config({"evaluate": {"folds": []}, **config}), rows)


def test_nothing_is_made_unless_it_is_asked_for():
    made = plan()
    assert not made.analyses.stages and not made.analyses.embedded and not made.analyses.targets
    assert made.analyses.of_sample("S1") == made.analyses.made_for("S1") == []
    assert not [job.rule for sample in cohort_jobs(made).samples for job in sample.jobs if job.rule == "embed"]


def test_domains_are_found_over_all_samples_of_a_model_and_bring_their_embeddings():
    sheet = {"S1": {"group": "a"}, "S2": {"group": "b"}, "S3": {"group": "a", "split": "test"}}
    made = plan("S1 S2 S3", sheet, train={"scope": "group"}, domains={"enabled": True})
    assert made.analyses.embedded
    assert made.analyses.embeddings_of("a") == ["results/embeddings/S1.h5ad", "results/embeddings/S3.h5ad"]
    assert made.analyses.of_sample("S3") == ["results/domains/a/S3.h5ad"]
    assert made.analyses.made_for("S3") == ["results/domains/a"]
    assert made.analyses.targets == ["results/domains/a", "results/domains/b"]


def test_domains_of_enhanced_expression_need_no_embeddings():
    made = plan("S1 S2", domains={"enabled": True, "of": "enhanced"})
    assert not made.analyses.embedded
    assert made.analyses.divided_into_domains("all") == [made.enhanced("S1"), made.enhanced("S2")]
    assert plan(domains={"enabled": True}).analyses.divided_into_domains("all")[0] == "results/embeddings/S1.h5ad"


def test_heads_learn_from_training_samples_alone_and_speak_of_all():
    made = plan("S1 S2 S3", {"S3": {"split": "test"}}, annotate={"labels": "labels.tsv"})
    assert made.analyses.training_embeddings_of("all") == ["results/embeddings/S1.h5ad", "results/embeddings/S2.h5ad"]
    assert made.analyses.of_sample("S3") == ["results/annotations/S3.h5ad"]
    assert made.analyses.head_of("annotations")("S3") == "results/heads/annotations/all"


def test_a_head_of_the_users_own_is_taken_as_it_is():
    made = plan(annotate={"head": "tumour"})
    assert made.analyses.head_of("annotations")("S1") == "tumour"
    assert "fit_annotations" not in [rule for rule, _, _ in made.analyses.jobs_of("S1")]


def test_cell_types_are_for_samples_with_a_reference():
    made = plan(sheet={"S1": {"reference": "cells.h5ad"}}, train={"scope": "self"}, celltypes={"enabled": True})
    assert made.analyses.of_sample("S1") == ["results/celltypes/S1.h5ad"]
    assert made.analyses.of_sample("S2") == []
    with pytest.raises(UsageError, match="no sample has a reference"):
        plan(celltypes={"enabled": True})


def _dry_run(repo, folder, **changes) -> str:
    """What Snakemake would do with everything asked for."""
    import yaml

    for name in ("S1", "S2"):
        (folder / "raw" / name).mkdir(parents=True)
    for name in ("cells.h5ad", "pairs.csv", "labels.tsv", "clinical.tsv"):
        (folder / name).touch()
    (folder / "samples.tsv").write_text("sample\tpath\nS1\traw/S1\nS2\traw/S2\n")
    config = {"samples": "samples.tsv", "evaluate": {"folds": []}, **EVERYTHING, **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [BIN / "snakemake", "-s", repo / "workflows" / "Snakefile", "--configfile", "config.yaml", "-n", "-p"]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"domains": {"n_domains": 1}}, "domains.n_domains"),
        ({"domains": {"of": "counts"}}, "domains.of"),
        ({"annotate": {"labels": "a", "head": "b"}}, "contradict"),
        ({"outcome": {"table": "t.tsv"}}, "either response, or time and event"),
        ({"outcome": {"table": "t.tsv", "time": "t"}}, "time and event go together"),
        ({"export": {"to": ["anndata", "anndata"]}}, "twice"),
        ({"export": {"to": ["loupe"]}}, "export.to"),
    ],
)
def test_contradictions_are_told_in_one_line(config, told):
    with pytest.raises(UsageError, match=told) as refusal:
        check_config(config)
    assert "\n" not in refusal.value.message


def test_outputs_never_lie_inside_one_another():
    made = plan(**EVERYTHING)
    paths = {path for sample in cohort_jobs(made).samples for job in sample.jobs for path in job.outputs}
    assert not [(a, b) for a in paths for b in paths if a != b and b.startswith(a + "/")]


def test_the_workflow_makes_all_of_it(repo, tmp_path):
    said = _dry_run(repo, tmp_path)
    table = re.search(r"^-{3,}.*?\n(.*?)^total", said, flags=re.M | re.S)[1]
    counted = {name: int(count) for name, count in (line.split() for line in table.splitlines())}
    of_both = ("embed", "celltypes", "patterns", "interactions", "annotate", "why")
    assert counted == {
        **dict.fromkeys(("build_reference", "train", "domains", "fit_annotations", "fit_outcome", "outcome", "all"), 1),
        "report_of_all": 1,
        **dict.fromkeys(("preprocess", "enhance", "report_sample", *of_both), 2),
        **dict.fromkeys(("export_anndata", "export_spatialdata", "export_vitessce"), 2),
    }
    assert "--analysis results/domains/all/S1.h5ad --analysis results/celltypes/S1.h5ad" in said
    assert "--gene EPCAM" in said and "--outcome responded" in said


def test_a_head_without_covariates_is_not_asked_about_them(repo, tmp_path):
    applied = re.compile(r"focus outcome apply .*")
    outcome = {"table": "clinical.tsv", "response": "responded"}
    (tmp_path / "plain").mkdir()
    assert "--table" not in applied.search(_dry_run(repo, tmp_path / "plain"))[0]
    (tmp_path / "with").mkdir()
    said = _dry_run(repo, tmp_path / "with", outcome={**outcome, "covariates": ["age"]})
    assert "--table clinical.tsv" in applied.search(said)[0]


def test_tests_lean_on_estimates_only_where_the_model_has_not_met_the_sample():
    made = plan("S1 S2", {"S2": {"split": "test"}}, patterns={"enabled": True})
    assert made.analyses.tested_with("S1") == []
    assert made.analyses.tested_with("S2") == ["results/samples/S2", "results/models/all"]
