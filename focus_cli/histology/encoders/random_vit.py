"""FOCUS's own vision transformer with random weights: what pretraining has to beat."""

from __future__ import annotations

from focus_cli.core.errors import UsageError
from focus_cli.histology.encoders.pooling import vit_forward
from focus_cli.histology.encoders.presets import IMAGENET_MEAN, IMAGENET_STD
from focus_cli.histology.encoders.torch_encoder import Description, Runtime, TorchEncoder

MPP = 0.5
TILE_PX = 112


def open_random(spec: str, runtime: Runtime, dense: bool = False, mpp: float = MPP) -> TorchEncoder:
    """Open an untrained transformer.

    Parameters
    ----------
    spec
        A size (``"tiny"``, ``"small"``, ``"base"``), with a seed if one is wanted: ``"tiny:3"``.

    Raises
    ------
    UsageError
        If there is no such size, or the seed is no whole number.
    """
    import torch

    from focus_cli.histology.encoders.vit import ViT
    from focus_cli.histology.encoders.vit_config import VIT_PRESETS

    size, _, seed = spec.partition(":")
    if size not in VIT_PRESETS or (seed and not seed.isdigit()):
        raise UsageError(
            f"random:{spec} is no untrained encoder",
            hint=f"random:SIZE or random:SIZE:SEED, SIZE: {', '.join(VIT_PRESETS)}",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed or 0))
        module = ViT(VIT_PRESETS[size])
    description = Description(
        name=f"random-{size}",
        mpp=mpp,
        tile_px=TILE_PX,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence="BSD-3-Clause",
        source=f"random weights, seed {int(seed or 0)}",
        settings={"dense": dense},
    )
    return TorchEncoder(module, vit_forward(module, dense), description, runtime)
