"""The whole workflow with all that comes after enhancement, on a simulated study: raw folders to a report of all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
import yaml

BIN = Path(sys.executable).parent


@pytest.mark.slow
def test_raw_folders_become_analyses_reports_and_exports(study, repo, tmp_path):
    labels, measured = [], []
    for section in ("S1", "S2"):
        truth = ad.read_h5ad(study.truth(section))
        some = truth.obs.sample(60, random_state=0)
        labels += [(section, name, domain, section) for name, domain in zip(some.index, some["domain"].astype(str))]
        measured = truth.var_names[truth.var["measured"]]
    columns = ["sample", "location", "label", "donor"]
    pd.DataFrame(labels, columns=columns).to_csv(tmp_path / "labels.tsv", sep="\t", index=False)
    pd.DataFrame({"ligand": measured[:10], "receptor": measured[10:20]}).to_csv(tmp_path / "pairs.csv", index=False)
    config = {
        "samples": str(study.sheet),
        "reference": {"path": str(study.reference)},
        "train": {"max_steps": 40},
        "enhance": {"genes": "all", "samples": 2},
        "evaluate": {"folds": []},
        "embed": {"enabled": True, "samples": 2},
        "domains": {"enabled": True, "n_domains": 3},
        "celltypes": {"enabled": True},
        "patterns": {"enabled": True},
        "interactions": {"pairs": "pairs.csv"},
        "annotate": {"labels": "labels.tsv"},
        "why": {"genes": [str(measured[0])]},
        "export": {"to": ["anndata", "spatialdata", "vitessce"]},
        "report": {"together": True},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [BIN / "focus", "run", "--configfile", "config.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    results = tmp_path / "results"
    joined = ad.read_h5ad(results / "exports" / "S1.h5ad")
    assert {"domain", "cell_type", "annotation"} <= set(joined.obs)
    assert list(joined.obs_names) == list(ad.read_h5ad(results / "enhanced" / "S1.h5ad").obs_names)
    assert set(joined.obs["domain"].dropna()) <= {"D1", "D2", "D3"}
    page = (results / "report.html").read_text()
    assert "S1" in page and "S2" in page and "Spatial domains" in page
    cohort = pd.read_csv(results / "cohort.tsv", sep="\t")
    assert list(cohort["status"]) == ["done", "done"]
