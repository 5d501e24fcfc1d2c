"""Methods that find nuclei in a window: the built-in one, and trained ones where their libraries are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core.errors import FocusError, MissingResourceError, UsageError

if TYPE_CHECKING:
    from focus_cli.histology.nuclei.appearance import SlideLook

# (rgb uint8 (h, w, 3), mpp, look of the slide) → labels int32 (h, w), seeds int64 (n, 2): one pixel of each nucleus.
Segmenter = Callable[[np.ndarray, float, "SlideLook"], tuple[np.ndarray, np.ndarray]]
METHODS = ("classical", "instanseg", "cellpose")


def open_method(name: str, device: str = "auto") -> Segmenter:
    """Return the segmenter of a name.

    Raises
    ------
    UsageError
        If there is no such method.
    MissingResourceError
        If its library is not installed, or its weights cannot be loaded.
    """
    if name == "classical":
        from focus_cli.histology.nuclei.classical import segment

        return segment
    if name not in METHODS:
        raise UsageError(f"no method {name!r} to find nuclei", hint="one of " + ", ".join(METHODS))
    library = {"instanseg": "instanseg-torch", "cellpose": "cellpose"}[name]
    try:
        return {"instanseg": _instanseg, "cellpose": _cellpose}[name](device)
    except FocusError:
        raise
    except ImportError as error:
        raise MissingResourceError(
            f"--method {name} needs a library that is not installed: {error}",
            hint=f"pip install {library}, or take --method classical",
        ) from error
    except Exception as error:  # its own downloads and caches fail in ways of their own
        raise MissingResourceError(
            f"{library} could not load its weights: {type(error).__name__}: {error}",
            hint="its first use downloads them: run it once with a network, or take --method classical",
        ) from error


def _instanseg(device: str) -> Segmenter:
    """InstanSeg's brightfield model (Goldsborough et al. 2024)."""
    from instanseg import InstanSeg

    from focus_cli.core.device import choose_device

    model = InstanSeg("brightfield_nuclei", device=choose_device(device), verbosity=0)

    def segmenter(rgb: np.ndarray, mpp: float, look: SlideLook) -> tuple[np.ndarray, np.ndarray]:
        labels, _ = model.eval_small_image(rgb, mpp)
        return _with_seeds(np.asarray(labels).squeeze())

    return segmenter


def _cellpose(device: str) -> Segmenter:
    """Cellpose's default model (Stringer et al. 2021; Pachitariu et al. 2025)."""
    from cellpose import models

    from focus_cli.core.device import choose_device

    model = models.CellposeModel(gpu=choose_device(device) == "cuda")

    def segmenter(rgb: np.ndarray, mpp: float, look: SlideLook) -> tuple[np.ndarray, np.ndarray]:
        return _with_seeds(np.asarray(model.eval(rgb, diameter=8.0 / mpp)[0]))

    return segmenter


def _with_seeds(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number labels from 1 without gaps; a nucleus's seed is its pixel nearest to its centre of mass."""
    from scipy import ndimage

    numbers, flat = np.unique(labels, return_inverse=True)
    flat = flat.reshape(labels.shape) + (0 if numbers[0] == 0 else 1)
    n = int(flat.max())
    centres = np.array(ndimage.center_of_mass(flat > 0, flat, np.arange(1, n + 1))).reshape(n, 2)
    return flat.astype(np.int32), np.rint(centres).astype(np.int64)
