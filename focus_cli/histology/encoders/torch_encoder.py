"""Any PyTorch network as an encoder: normalisation, batches, precision, device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.histology.encoder import EncoderInfo, check_tiles
from focus_cli.histology.encoders.digest import digest_of

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Runtime:
    """How a network is run.

    Attributes
    ----------
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    precision
        ``"float32"``, or ``"bfloat16"`` or ``"float16"`` by autocast.
    batch
        Tiles that go through the network at a time.
    compile
        Whether to use ``torch.compile``: slow to start, pays on long runs.
    """

    device: str = "auto"
    precision: str = "float32"
    batch: int = 64
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        if self.batch < 1:
            raise UsageError(f"a batch needs at least one tile, not {self.batch}")


@dataclass(frozen=True)
class Description:
    """What is known of a network before it runs; `dim` None is measured. `settings` go into the digest besides."""

    name: str
    mpp: float
    tile_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    source: str
    dim: int | None = None
    settings: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mpp) and self.mpp > 0) or self.tile_px < 1:
            raise UsageError(
                f"encoder {self.name}: tiles of {self.tile_px} px at {self.mpp} µm per pixel make no sense"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not min(self.std) > 0:
            raise UsageError(f"encoder {self.name}: mean and std take three numbers each, std above 0")


class TorchEncoder:
    """A network as an `Encoder`.

    Values of one tile do not depend on its batch beyond rounding (relative 1e-4 in float32).

    Parameters
    ----------
    module
        The network; put into evaluation mode and moved to the device.
    forward
        Takes normalised tiles, float32 (n, 3, tile_px, tile_px), gives (n, grid, grid, dim).
    description
        Its facts.
    runtime
        How to run it.

    Raises
    ------
    BadInputError
        If the network gives another number of features than was stated, or refuses tiles of the stated size.
    MissingResourceError
        If ``cuda`` is requested and there is none.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        forward: Callable[[torch.Tensor], torch.Tensor],
        description: Description,
        runtime: Runtime,
    ) -> None:
        import torch

        from focus_cli.core.device import choose_device

        self._device = torch.device(choose_device(runtime.device))
        self._runtime = runtime
        d = description
        digest = digest_of(_settings(d, runtime), module)
        module.requires_grad_(False).eval().to(self._device, memory_format=torch.channels_last)
        self._forward = torch.compile(forward) if runtime.compile else forward
        scale = 1 / (255 * np.array(d.std, np.float64))
        shift = -np.array(d.mean, np.float64) / np.array(d.std, np.float64)
        self._scale, self._shift = (
            torch.tensor(v, dtype=torch.float32, device=self._device).view(1, 3, 1, 1) for v in (scale, shift)
        )
        grid, dim = self._probe(d)
        if d.dim is not None and d.dim != dim:
            raise BadInputError(
                f"encoder {d.name} gives {dim} features, {d.dim} were stated", hint="the weights are of another model"
            )
        self.info = EncoderInfo(
            d.name, digest, float(d.mpp), int(d.tile_px), tuple(d.mean), tuple(d.std), dim, grid, d.licence, d.source
        )

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self._device.type

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """Encode tiles, uint8 (n, tile_px, tile_px, 3), as float32 (n, grid, grid, dim).

        Raises
        ------
        UsageError
            If the tiles have another size or type.
        """
        check_tiles(tiles, self.info)
        grid, dim, step = self.info.grid, self.info.dim, self._runtime.batch
        out = np.empty((len(tiles), grid, grid, dim), np.float32)
        for first in range(0, len(tiles), step):
            out[first : first + step] = self._run(tiles[first : first + step]).cpu().numpy()
        return out

    def _run(self, tiles: np.ndarray) -> torch.Tensor:
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(tiles))
        if self._device.type == "cuda":
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        # (n, 3, h, w) with channels last in memory: no copy, and what convolutions like best.
        pixels = pixels.permute(0, 3, 1, 2).to(torch.float32).mul_(self._scale).add_(self._shift)
        half = self._runtime.precision != "float32"
        cast = torch.autocast(self._device.type, getattr(torch, self._runtime.precision)) if half else nullcontext()
        with torch.inference_mode(), cast:
            return self._forward(pixels).float()

    def _probe(self, d: Description) -> tuple[int, int]:
        """(grid, dim), from one white tile."""
        try:
            shape = tuple(self._run(np.full((1, d.tile_px, d.tile_px, 3), 255, np.uint8)).shape)
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadInputError(
                f"encoder {d.name} cannot encode tiles of {d.tile_px} px: {reason}", hint="check the tile size"
            ) from error
        if len(shape) != 4 or shape[1] != shape[2]:
            raise BadInputError(f"encoder {d.name} gives values of shape {shape}, which are no features")
        return shape[1], shape[3]


def _settings(d: Description, runtime: Runtime) -> dict[str, Any]:
    return {
        "mpp": float(d.mpp),
        "tile_px": int(d.tile_px),
        "mean": [float(v) for v in d.mean],
        "std": [float(v) for v in d.std],
        "precision": runtime.precision,
        **(d.settings or {}),
    }
