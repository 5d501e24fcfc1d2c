"""What can be known is refused before the work of a verb begins, and nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import sparse

from focus_cli.cli.main import VERBS, cli
from focus_cli.core import keys
from focus_cli.core.errors import FocusError

# What takes long in each verb. None of it may be reached by a mistake that could be known before.
WORK = (
    "focus_cli.histology.features.write_morphology",
    "focus_cli.histology.features.encoded.extract_features",
    "focus_cli.enhancement.stage.Inference",
    "focus_cli.enhancement.stage.build_reference",
    "focus_cli.enhancement.attribution.stage.Inference",
    "focus_cli.enhancement.attribution.stage.build_reference",
    "focus_cli.analysis.embedding.stage.represent",
    "focus_cli.model.training.stage.fit",
    "focus_cli.model.priors.build.fit_prior",
    "focus_cli.model.corpus.pack._pack",
    "focus_cli.genes.reference.prototypes.build_prototypes",
    "focus_cli.analysis.celltypes.stage.find_types",
    "focus_cli.analysis.significance.section_test.read_observed_counts",
    "focus_cli.evaluation.stage.Scorer",
    "focus_cli.evaluation.holdout.run._read_source",
    "focus_cli.histology.nuclei.stage.find_nuclei",
    "focus_cli.histology.pretraining.stage.TileStream",
    "focus_cli.reporting.export.stage.join_analyses",
    "focus_cli.reporting.html._sections",
    "focus_cli.simulation.simulate",
    "focus_cli.workflow.starting.start_run",
)


@pytest.fixture
def no_work(monkeypatch):
    """Let every piece of work fail the test."""
    import importlib

    for place in WORK:
        module, name = place.rsplit(".", 1)
        importlib.import_module(module)

        def reached(*_, place=place, **__):
            pytest.fail(f"{place} was reached")

        faces = [m for m in (module.rsplit(".", n)[0] for n in (1, 2)) if m.count(".")]
        for package in [m for m in faces if name in getattr(importlib.import_module(m), "__all__", ())] + [module]:
            monkeypatch.setattr(sys.modules[package], name, reached)


@pytest.fixture
def names(enhanced_study, tmp_path, monkeypatch) -> dict[str, str]:
    """What cases may name; the working directory is empty but for broken inputs."""
    monkeypatch.chdir(tmp_path)
    study = enhanced_study
    name = next(iter(study.samples))
    Path("in").mkdir()
    Path("in/empty.txt").write_text("\n")
    Path("in/points.csv").write_text("a,b\n1,2\n")
    Path("in/bad.csv").write_text("1,2,3\n")
    Path("in/genes.txt").write_text("NOSUCHGENE\n")
    Path("in/labels.tsv").write_text("sample\tlabel\nx\ty\n")
    Path("in/bad.yaml").write_text("max_stesp: 1\n")
    return {
        "RAW": str(study.study.sections[0]),
        "SAMPLE": str(study.samples[name]),
        "MODEL": str(study.model),
        "REF": str(study.reference),
        "CELLS": str(study.study.reference),
        "ENH": str(study.enhanced[name]),
        "TRUTH": str(study.study.truth(name)),
    }


CASES = [
    # verb and options, exit code, what is said
    ("preprocess RAW --out out --sample S/1", 2, "S/1"),
    ("preprocess RAW --out out --sample S1 --image nowhere.tif", 4, "nowhere.tif"),
    ("preprocess RAW --out out --sample S1 --align nowhere.csv", 4, "nowhere.csv"),
    ("preprocess RAW --out out --sample S1 --align in/bad.csv", 3, "not a transform"),
    ("preprocess RAW --out out --sample S1 --landmarks in/points.csv", 3, "x_image"),
    ("preprocess RAW --out out --sample S1 --register --orient unturned", 2, "contradict"),
    ("preprocess RAW --out out --sample S1 --no-image --register", 2, "contradict"),
    ("preprocess RAW --out out --sample S1 --encoder nosuch", 2, "nosuch"),
    ("preprocess RAW --out out --sample S1 --dense", 2, "encoder"),
    ("preprocess SAMPLE --out out --sample S1", 2, "sample already"),
    ("enhance RAW --out e.h5ad --reference nowhere.h5ad", 4, "nowhere.h5ad"),
    ("enhance RAW --out e.h5ad --reference in", 4, "reference"),
    ("enhance RAW --out e.h5ad --model nowhere", 4, "nowhere"),
    ("enhance RAW --out e.h5ad --genes nowhere.txt", 2, "nowhere.txt"),
    ("enhance RAW --out e.h5ad --genes in/empty.txt", 3, "no gene"),
    ("enhance RAW --out e.h5ad --model MODEL --genes in/genes.txt", 2, "NOSUCHGENE"),
    ("enhance SAMPLE --out e.h5ad --model MODEL --reference REF --genes in/genes.txt", 2, "NOSUCHGENE"),
    ("enhance RAW --out e.h5ad --points nowhere.csv --refined r.h5ad", 4, "nowhere.csv"),
    ("enhance RAW --out e.h5ad --points in/points.csv --refined r.h5ad", 3, "x_um"),
    ("enhance RAW --out e.h5ad --layers std,sdt", 2, "sdt"),
    ("enhance RAW --out e.csv", 2, ".h5ad"),
    ("enhance RAW --out e.h5ad --resolution-um 5 --refined e.h5ad", 2, "written as well"),
    ("enhance RAW --out e.h5ad --model MODEL --resolution-um 5000 --refined r.h5ad", 2, "5000"),
    ("enhance RAW --out e.h5ad --model MODEL --no-image --histology-only", 3, "no image"),
    ("enhance RAW --out e.h5ad --max-steps 5", 2, "--max-steps"),
    ("enhance RAW --out e.h5ad --cell-type x", 2, "--reference"),
    ("enhance RAW --out e.h5ad --reference REF --cell-type x", 2, "prepared"),
    ("enhance RAW --out e.h5ad --picture p.jpg", 2, ".png"),
    ("enhance SAMPLE --out e.h5ad --model MODEL --image x.tif", 2, "--image"),
    ("enhance SAMPLE --out e.h5ad --model MODEL --organ breast", 2, "--organ"),
    ("enhance nowhere --out e.h5ad --model MODEL", 4, "nowhere"),
    ("enhance --histology-only --image x.tif --register --out e.h5ad", 2, "--register"),
    ("embed SAMPLE --out e.h5ad --model nowhere", 4, "nowhere"),
    ("embed SAMPLE --out e.h5ad --model MODEL --reference nowhere", 4, "nowhere"),
    ("embed SAMPLE --out e.csv --model MODEL", 2, ".h5ad"),
    ("embed SAMPLE --out e.h5ad --model MODEL --mpp 1", 2, "--mpp"),
    ("embed SAMPLE --out e.h5ad --model MODEL --widths-um 1,x", 2, "--widths-um"),
    ("embed --histology-only --image nowhere.tif --out e.h5ad --model MODEL", 4, "nowhere.tif"),
    ("train SAMPLE --out m --reference nowhere", 4, "nowhere"),
    ("train SAMPLE --out m --prior nowhere", 4, "nowhere"),
    ("train SAMPLE --out m --config in/bad.yaml", 2, "max_stesp"),
    ("train SAMPLE SAMPLE --out m", 2, "twice"),
    ("reference nowhere.h5ad --out r", 4, "nowhere.h5ad"),
    ("reference CELLS --out r --cell-type nosuch", 2, "nosuch"),
    ("prior SAMPLE --out p --reference nowhere", 4, "nowhere"),
    ("prior SAMPLE --out p --gene-sets nowhere.gmt", 4, "nowhere.gmt"),
    ("prior --out p", 2, "samples"),
    ("corpus --out c", 2, "no sample"),
    ("corpus SAMPLE nowhere --out c", 4, "nowhere"),
    ("holdout SAMPLE --task impute --out h --truth t.h5ad --reference nowhere", 4, "nowhere"),
    ("holdout SAMPLE --task denoise --out h --truth t.h5ad --genes-file nowhere.txt", 4, "nowhere.txt"),
    ("holdout SAMPLE --task histology --out h --truth t.h5ad --region 1,2", 2, "--region"),
    ("holdout SAMPLE --task denoise --out h --truth h", 2, "h"),
    ("evaluate ENH --truth nowhere.h5ad --out s", 4, "nowhere.h5ad"),
    ("evaluate nowhere.h5ad --truth TRUTH --out s", 4, "nowhere.h5ad"),
    ("evaluate ENH --truth TRUTH --out s --also magic=nowhere.h5ad", 4, "nowhere.h5ad"),
    ("evaluate ENH --truth TRUTH --out s --also magic", 2, "NAME=FILE"),
    ("evaluate ENH --truth TRUTH --out s --training nowhere", 4, "nowhere"),
    ("evaluate ENH --truth TRUTH --out s --reference in", 4, "in"),
    ("celltypes ENH --reference nowhere --out c.h5ad", 4, "nowhere"),
    ("celltypes nowhere.h5ad --reference REF --out c.h5ad", 4, "nowhere.h5ad"),
    ("patterns ENH --out p.h5ad --sample SAMPLE", 2, "--model"),
    ("patterns ENH --out p.h5ad --reference REF", 2, "--reference"),
    ("patterns ENH --out p.h5ad --sample SAMPLE --model nowhere", 4, "nowhere"),
    ("patterns ENH --out p.h5ad --sample SAMPLE --model MODEL --reference nowhere", 4, "nowhere"),
    ("patterns ENH --out p.h5ad --celltypes nowhere.h5ad", 4, "nowhere.h5ad"),
    ("interactions ENH --pairs nowhere.csv --out i.h5ad", 4, "nowhere.csv"),
    ("interactions ENH --pairs in/points.csv --out i.h5ad", 3, "ligand"),
    ("interactions ENH --pairs in/points.csv --sample SAMPLE --out i.h5ad", 2, "--model"),
    ("domains nowhere.h5ad --out d", 4, "nowhere.h5ad"),
    ("domains --out d", 2, ""),
    ("why SAMPLE --gene NOSUCHGENE --out w.h5ad --model MODEL", 2, "NOSUCHGENE"),
    ("why SAMPLE --gene G0001 --location nowhere --out w.h5ad --model MODEL --reference CELLS", 3, "nowhere"),
    ("why SAMPLE --gene G0001 --out w.h5ad --model MODEL --reference nowhere", 4, "nowhere"),
    ("why SAMPLE --gene G0001 --out w.h5ad --model MODEL --picture w.jpg", 2, ".png"),
    ("annotate fit ENH --labels nowhere.tsv --out h", 4, "nowhere.tsv"),
    ("annotate fit ENH --labels in/labels.tsv --out h", 3, "location"),
    ("annotate apply ENH --head nowhere --out a.h5ad", 4, "nowhere"),
    ("outcome fit ENH --table nowhere.tsv --outcome x --out h", 4, "nowhere.tsv"),
    ("outcome fit ENH --table in/labels.tsv --out h", 2, "--outcome"),
    ("outcome apply ENH --head nowhere --out a.tsv", 4, "nowhere"),
    ("export ENH --to nosuch --out x.h5ad", 2, "nosuch"),
    ("export ENH nowhere.h5ad --to anndata --out x.h5ad", 4, "nowhere.h5ad"),
    ("export ENH --to anndata --out x.zarr", 2, ".h5ad"),
    ("report ENH --out r.txt", 2, ".html"),
    ("report ENH --out r.html --scores nowhere", 4, "nowhere"),
    ("report ENH --out r.html --genes NOSUCHGENE", 2, "NOSUCHGENE"),
    ("report ENH --out r.html --analysis nowhere.h5ad", 4, "nowhere.h5ad"),
    ("nuclei nowhere.tif --out n.csv", 4, "nowhere.tif"),
    ("nuclei SAMPLE --out n.txt", 2, "n.txt"),
    ("nuclei SAMPLE --out n.csv --region 1,2,3", 2, "--region"),
    ("features nowhere.tif --encoder imagenet-lite0 --out f.zarr", 4, "nowhere.tif"),
    ("features --out f.zarr", 2, "SLIDE"),
    ("pretrain nowhere.tif --out e", 4, "nowhere.tif"),
    ("pretrain SAMPLE --out e --config in/bad.yaml", 2, "max_stesp"),
    ("pretrain SAMPLE --out e --init nowhere", 4, "nowhere"),
    ("inspect nowhere", 4, "nowhere"),
    ("genes nowhere.txt", 4, "nowhere.txt"),
    ("genes in/genes.txt --reference nowhere", 4, "nowhere"),
    ("explain nowhere", 4, "nowhere"),
    ("run --configfile nowhere.yaml", 4, "nowhere.yaml"),
    ("benchmark nowhere.yaml", 4, "nowhere.yaml"),
    ("benchmark --quick --peers nowhere", 4, "nowhere"),
    ("benchmark --quick --profile nowhere", 4, "nowhere"),
]


@pytest.mark.parametrize(("line", "code", "said"), CASES, ids=[line for line, *_ in CASES])
def test_a_mistake_is_refused_before_the_work(no_work, names, line, code, said):
    before = sorted(map(str, Path().rglob("*")))
    done = CliRunner().invoke(cli, [names.get(word, word) for word in line.split()])
    error = done.exception
    if isinstance(error, FocusError):
        assert (error.exit_code, "\n" in error.message) == (code, False), error.message
        assert said in f"{error.message} {error.hint}"
    else:
        assert (done.exit_code, code) == (code, 2), (done.output, error)
        assert said in done.output
    assert sorted(map(str, Path().rglob("*"))) == before


def test_every_verb_has_a_case():
    assert set(VERBS) - {line.split()[0] for line, *_ in CASES} == {"doctor", "init", "simulate"}


@pytest.mark.parametrize("options", ["--sections 0", "--size-um 1", "--genes 1", "--mpp 0", "--platform nosuch"])
def test_a_study_that_cannot_be_simulated_is_refused(tmp_path, options):
    done = CliRunner().invoke(cli, ["simulate", str(tmp_path / "study"), *options.split()])
    assert done.exception.exit_code == 2
    assert not list(tmp_path.iterdir())


# --- species -----------------------------------------------------------------------------------------------


def write_section(path: Path, species: str, n_genes: int = 200) -> Path:
    """An AnnData of a section whose genes are of a species."""
    from focus_cli.genes import load_table

    rng = np.random.default_rng(0)
    side = 6
    table = load_table(species)
    var = pd.DataFrame(index=[name for name in table.symbol.tolist() if name][:n_genes])
    adata = anndata.AnnData(sparse.csr_matrix(rng.poisson(2, (side * side, n_genes)).astype(np.float32)), var=var)
    adata.obs_names = [f"l{i}" for i in range(adata.n_obs)]
    adata.obsm[keys.SPATIAL] = 100.0 * np.stack(np.divmod(np.arange(adata.n_obs), side), 1)
    adata.write_h5ad(path)
    return path


def test_a_mouse_sample_under_the_human_model_is_refused_once_its_counts_are_read(no_work, tmp_path, monkeypatch):
    raw = write_section(tmp_path / "mouse.h5ad", "mouse")
    monkeypatch.setattr("focus_cli.platforms.preprocessing.stage.keep_locations", lambda *_: pytest.fail("it went on"))
    done = CliRunner().invoke(
        cli, ["enhance", str(raw), "--mpp", "1", "--no-orthologues", "--out", str(tmp_path / "e.h5ad")]
    )
    assert done.exception.exit_code == 3
    assert "mouse" in done.exception.message and "human" in done.exception.message
    assert [path.name for path in tmp_path.iterdir()] == ["mouse.h5ad"]


def test_a_mouse_reference_of_a_human_sample_is_refused_before_it_is_prepared(no_work, tmp_path, monkeypatch):
    raw = write_section(tmp_path / "human.h5ad", "human")
    cells = write_section(tmp_path / "mouse.h5ad", "mouse")
    monkeypatch.setattr("focus_cli.platforms.preprocessing.stage.keep_locations", lambda *_: pytest.fail("it went on"))
    options = ["--mpp", "1", "--no-orthologues", "--reference", str(cells), "--out", str(tmp_path / "e.h5ad")]
    done = CliRunner().invoke(cli, ["enhance", str(raw), *options])
    assert done.exception.exit_code == 3
    assert "the reference is mouse" in done.exception.message
    assert "orthologues" in done.exception.hint


def test_memory_of_a_raw_sample_is_looked_at_first(no_work, study, tmp_path, monkeypatch):
    monkeypatch.setattr("focus_cli.core.resources.memory.available_mb", lambda: (10.0, "a limit"))
    done = CliRunner().invoke(cli, ["enhance", str(study.sections[0]), "--out", str(tmp_path / "e.h5ad")])
    assert done.exception.exit_code == 4 and "memory" in done.exception.message
    assert not list(tmp_path.iterdir())
