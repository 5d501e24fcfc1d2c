"""Peak memory and time of each stage per unit of what it works on.

Fitted by ``benchmarks/resources.py``, which measures every stage in a separate process on samples of several sizes:
the straight line that lies above every measured peak and as close to them as it can, one thread.
"""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """Of one unit: bytes at the peak, seconds of one thread."""

    bytes: float = 0.0
    seconds: float = 0.0


# Of the network. Training holds weights, gradients and the optimiser's two moments of each, float32: 16 bytes.
PARAMETERS = {"nano": 0.2e6, "base": 61e6, "large": 564e6}

_CUDA = Cost(3e9, 30)  # an allowance for the libraries of a GPU in host memory, not measured

_TRAIN = {
    "gpu": _CUDA,
    "start": Cost(700e6, 13),
    "nonzero": Cost(0, 5e-7),
    "held_nonzero": Cost(30, 0),
    "largest_nonzero": Cost(12, 0),
    "corpus": Cost(2.2e9, 0),  # an allowance: what is kept of the samples that are streamed
    "window_value": Cost(6.1, 2e-7),
    "held_location": Cost(300, 0),
    "location": Cost(50, 1e-5),
    "reference": Cost(350e6, 4),
    "parameter": Cost(40, 0),
    "parameter_step": Cost(0, 1.8e-7),
    "step": Cost(0, 0.1),
}
_ENHANCE = {
    "gpu": _CUDA,
    "start": Cost(740e6, 7),
    "nonzero": Cost(38, 2.6e-6),
    "location": Cost(500, 1.2e-4),
    "window_value": Cost(12, 6e-7),
    "value": Cost(0, 2.5e-8),
    "fine_place": Cost(1100, 2e-4),
    "fine_value": Cost(0, 2.7e-8),
    "draw": Cost(256, 1e-5),
    "reference": Cost(340e6, 7),
    "parameter": Cost(16, 0),
    "parameter_place": Cost(0, 1.3e-9),
    "parameter_step": Cost(0, 1.8e-7),
    "step": Cost(0, 0.1),
}
_EVALUATE = {
    "start": Cost(570e6, 8),
    "block_value": Cost(96, 0),
    "value": Cost(1.2, 6e-7),
    "nonzero": Cost(10, 1.8e-6),
    "location": Cost(1200, 0),
    "training_nonzero": Cost(110, 1.1e-6),
    "reference": Cost(220e6, 5),
}

COSTS: dict[str, dict[str, Cost]] = {
    "preprocess": {
        "gpu": _CUDA,
        "start": Cost(340e6, 5),
        "nonzero": Cost(26, 7e-7),
        "location": Cost(300, 0),
        "raw_byte": Cost(6, 4e-8),
        "pixel": Cost(0.03, 2e-8),
        "whole_pixel": Cost(3.9, 6e-8),
        "encoder": Cost(1.5e9, 20),  # an allowance, as is the time of its pixels
        "encoded_pixel": Cost(0, 2e-6),
    },
    "reference": {
        "start": Cost(460e6, 5),
        "kept_nonzero": Cost(36, 0),
        "nonzero": Cost(0, 3e-7),
        "location": Cost(100, 2.1e-5),
        "gene": Cost(4300, 2.1e-4),
    },
    "train": _TRAIN,
    "train_fold": _TRAIN,
    "enhance": _ENHANCE,
    "enhance_fold": _ENHANCE,
    "refine_fold": _ENHANCE,
    "hold_out": {"start": Cost(450e6, 5), "nonzero": Cost(48, 5e-7), "location": Cost(200, 4e-6)},
    "score": _EVALUATE,
    "report": {
        "start": Cost(340e6, 6),
        "nonzero": Cost(9, 2e-8),
        "location": Cost(5800, 1.4e-4),
        "fine_place": Cost(1000, 7e-5),
    },
    "embed": {
        "gpu": _CUDA,
        "start": Cost(500e6, 4),
        "nonzero": Cost(8, 0),
        "fitted_location": Cost(22_000, 0),
        "location": Cost(2600, 3.6e-4),
        "draw": Cost(1000, 0),  # with that of a location as it was measured, four draws at each
        "window_value": Cost(0, 3e-8),
        "reference": Cost(330e6, 2),
    },
    "domains": {"start": Cost(300e6, 3), "fitted_location": Cost(12_000, 3.6e-3), "location": Cost(6000, 1e-4)},
    "celltypes": {"start": Cost(450e6, 14), "nonzero": Cost(46, 3.6e-6), "location": Cost(9800, 5.2e-4)},
    "patterns": {
        "start": Cost(550e6, 5),
        "nonzero": Cost(8, 0),
        "fitted_location": Cost(16_500, 0),
        "location": Cost(3100, 5e-4),
        "window_value": Cost(6.4, 1.9e-7),
        "reference": Cost(250e6, 3),
    },
    "interactions": {
        "start": Cost(550e6, 4),
        "nonzero": Cost(14, 0),
        "location": Cost(11_500, 3.4e-4),
        "window_value": Cost(6, 1.2e-7),
        "reference": Cost(310e6, 2),
    },
    "fit_annotations": {"start": Cost(450e6, 6), "location": Cost(3700, 4.2e-4)},
    "annotate": {"start": Cost(450e6, 5), "location": Cost(850, 2e-5)},
    "fit_outcome": {"start": Cost(540e6, 5), "location": Cost(15, 0), "sample": Cost(0, 3)},
    "outcome": {"start": Cost(460e6, 7), "location": Cost(210, 3e-6)},
    "why": {
        "start": Cost(670e6, 5),
        "nonzero": Cost(46, 0),
        "location": Cost(200, 2.4e-4),
        "window_value": Cost(12.5, 1.3e-6),
        "reference": Cost(290e6, 3),
    },
    "export": {
        "start": Cost(540e6, 3),
        "nonzero": Cost(10, 0),
        "location": Cost(4200, 1.7e-3),
        "value": Cost(0, 4.4e-8),
    },
    "pack": {
        "start": Cost(400e6, 6),
        "largest_nonzero": Cost(32, 0),
        "nonzero": Cost(0, 5e-7),
        "location": Cost(100, 1e-5),
    },
}
