"""A trained model made small enough to ship: gene vectors in half precision."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import atomic_directory
from focus_cli.core.storage.kinds import MODEL
from focus_cli.model.training import load_model

LIMIT_BYTES = 10_000_000
HALVED = ("loadings", "reference_loadings")
CARD = "README.md"


def pack_model(model: Path, out: Path) -> None:
    """Copy a model's folder with its gene vectors as float16; a model card that `out` holds stays.

    Half precision rounds a gene's vector by less than 0.05 %, far below its own error.

    Raises
    ------
    BadInputError
        If the result is larger than 10 MB.
    FocusError
        If `model` is none.
    """
    load_model(model)
    model, out = Path(model), Path(out)
    card = (out / CARD).read_text(encoding="utf-8") if (out / CARD).is_file() else None
    with atomic_directory(out, overwrite=True, kind=MODEL) as folder:
        for name in (keys.WEIGHTS, keys.MODEL_JSON, keys.PRIOR_JSON, keys.IMAGE_SPACE, keys.TRAINING_LOG):
            if (model / name).is_file():  # a model without an image has no image space
                shutil.copyfile(model / name, folder / name)
        arrays = load_file(model / keys.PRIOR_ARRAYS)
        halved = {name: a.astype(np.float16) if name in HALVED else a for name, a in arrays.items()}
        (folder / keys.PRIOR_ARRAYS).write_bytes(save(halved))
        if card is not None:
            (folder / CARD).write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > LIMIT_BYTES:
            raise BadInputError(
                f"{model} is {size / 1e6:.1f} MB when packed, more than 10", hint="fewer genes or factors"
            )
        load_model(folder)
