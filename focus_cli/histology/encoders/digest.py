"""One short name for weights and settings together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LENGTH = 12


def digest_of(settings: Mapping[str, Any], module: torch.nn.Module | None = None) -> str:
    """Hash settings and, where there are any, weights (name, type, shape and bytes of each tensor).

    Parameters
    ----------
    settings
        JSON-safe values that shape the features: scale, tile size, normalisation, pooling, precision.
    module
        Holder of the weights.

    Returns
    -------
    str
        12 hex digits.
    """
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    if module is not None:
        import torch

        for name, tensor in sorted(module.state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name}|{values.dtype}|{tuple(values.shape)}|".encode())
            digest.update(values.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:LENGTH]
