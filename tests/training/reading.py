"""How the tests of this room look at logs and weights."""

from __future__ import annotations

import csv
import io

from focus_cli.training.checkpoint import model_tensors


def rows(log: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(log)))


def weights(model) -> dict[str, bytes]:
    found = {name: tensor.numpy().tobytes() for name, tensor in model_tensors(model.net).items()}
    return found | {"prior": model.prior.loadings.tobytes() + model.prior.baseline.tobytes()}
