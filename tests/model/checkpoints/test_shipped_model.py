"""The model that travels with the package, and how it is made small."""

from __future__ import annotations

import json
from dataclasses import replace

import anndata
import numpy as np
import pytest
from model.training.tiny_cohort import N_GENES, TINY_TRAINING, grow, store_tissue

from focus_cli.core import keys
from focus_cli.core.errors import MissingResourceError
from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.model.checkpoints import shipped_model
from focus_cli.model.checkpoints.pack import CARD, LIMIT_BYTES, pack_model
from focus_cli.model.training import load_model
from focus_cli.model.training.stage import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    settings = folder / "tiny.yaml"
    settings.write_text(json.dumps(TINY_TRAINING.model_dump(mode="json")))
    train([store_tissue(folder / "S1", grow(side=6))], folder / "model", config=settings, device="cpu")
    return folder / "model"


def test_the_shipped_model_is_small_and_holds_nothing_that_can_run():
    files = list(shipped_model().iterdir())
    assert sum(path.stat().st_size for path in files) <= LIMIT_BYTES
    assert {path.suffix for path in files} == {".safetensors", ".json", ".csv", ".md"}


def test_its_card_says_what_it_saw_and_where_it_fails():
    described = json.loads((shipped_model() / keys.MODEL_JSON).read_text())
    card = (shipped_model() / CARD).read_text()
    assert all(sample in card for sample in described["samples"])
    for heading in ("What it saw", "Where it fails", "Licence"):
        assert heading in card


def test_it_is_used_where_no_model_is_named(tmp_path):
    """On a panel of genes that it knows; without an image, since the tiny one's features are not its own."""
    known = load_model(shipped_model()).prior
    abundant = np.argsort(-known.baseline * known.measured)[:N_GENES]
    tissue = replace(grow(side=6), names=np.sort(known.genes[abundant]))
    sample = store_tissue(tmp_path / "S1", tissue, image=False, gene_ids=[""] * N_GENES)
    enhance(sample, tmp_path / "a.h5ad", options=EnhanceOptions(genes="measured", device="cpu"))
    written = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert written.shape == (36, N_GENES) and np.isfinite(written.X).all()
    assert json.loads(written.uns[keys.UNS]["provenance"])["inputs"]["model"]["name"] == "focus-nano"


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(MissingResourceError, match="focus-giant"):
        shipped_model("focus-giant")


def test_packing_rounds_gene_vectors_and_nothing_else(trained, tmp_path):
    pack_model(trained, tmp_path / "out")
    (tmp_path / "out" / CARD).write_text("the card")
    pack_model(trained, tmp_path / "out")
    whole, packed = load_model(trained), load_model(tmp_path / "out")
    assert (tmp_path / "out" / CARD).read_text() == "the card"
    np.testing.assert_allclose(packed.prior.loadings, whole.prior.loadings, rtol=1e-3, atol=1e-5)
    assert packed.prior.loadings.dtype == np.float32
    np.testing.assert_array_equal(packed.prior.baseline, whole.prior.baseline)
    for name, value in whole.net.state_dict().items():
        assert (packed.net.state_dict()[name] == value).all()
    size = (tmp_path / "out" / keys.PRIOR_ARRAYS).stat().st_size
    assert size < (trained / keys.PRIOR_ARRAYS).stat().st_size
