"""Encoders that ``focus pretrain`` made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core.errors import UsageError

if TYPE_CHECKING:
    from focus_cli.histology.encoders.torch_encoder import TorchEncoder


def open_own(
    path: str | Path,
    device: str = "auto",
    dense: bool = False,
    *,
    batch: int = 64,
    precision: str = "float32",
    tile_px: int | None = None,
) -> TorchEncoder:
    """Open an encoder folder.

    Parameters
    ----------
    path
        Folder written by ``focus pretrain``, or the ``.checkpoint`` folder of a run that is not finished.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    dense
        True: the patch tokens, on the grid that they come from. False: one vector for the tile, its class token
        followed by the mean of its patch tokens (each alone is less informative; see docs/pretraining.md).
    batch, precision
        As in `focus_cli.histology.encoders.torch_encoder.Runtime`.
    tile_px
        Another side than the tiles of training, a multiple of the patch; position codes are interpolated.

    Raises
    ------
    MissingResourceError, BadInputError
        If the folder is no encoder, or is damaged.
    UsageError
        If `tile_px` is no multiple of the patch.
    """
    from focus_cli.histology.encoders.folder import read_encoder
    from focus_cli.histology.encoders.pooling import vit_forward
    from focus_cli.histology.encoders.torch_encoder import Description, Runtime, TorchEncoder

    net, described = read_encoder(Path(path))
    side = described.tile_px if tile_px is None else tile_px
    if side < 1 or side % net.config.patch_px:
        raise UsageError(f"tiles of {side} px do not divide into patches of {net.config.patch_px} px")

    description = Description(
        name=described.name,
        mpp=described.mpp,
        tile_px=side,
        mean=described.mean,
        std=described.std,
        licence=described.licence,
        source=f"focus pretrain ({described.training.get('steps', '?')} steps)",
        dim=net.config.width * (1 if dense else 2),
        settings={"dense": dense, "config": described.config},
    )
    return TorchEncoder(net, vit_forward(net, dense), description, Runtime(device, precision, batch))
