"""Small slides with structure, and the settings of a run that takes seconds."""

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

from focus_cli.histology.encoders.vit_config import ViTConfig
from focus_cli.histology.slides.stain import mix

MICRO = ViTConfig(patch_px=8, width=32, layers=2, heads=2, grid=4)
SETTINGS = {
    "mpp": 2.0, "scale_range": (0.8, 1.25), "global_px": 32, "local_px": 16, "local_crops": 2, "batch": 8,
    "prototypes": 64, "head_hidden": 64, "head_bottleneck": 32, "max_steps": 6, "precision": "fp32",
    "checkpoint_every": 4, "learning_rate": 2e-3,
}  # fmt: skip


def draw_slide(path, seed=0, side=600, mpp=1.0, tissue=True):
    """Tissue in a round piece: pink ground in two textures, with nuclei of two sizes."""
    rng = np.random.default_rng(seed)
    kind = gaussian_filter(rng.standard_normal((side, side)), 40) > 0
    nuclei = np.zeros((side, side))
    for sigma, density, where in ((2.0, 0.01, kind), (4.0, 0.002, ~kind)):
        spots = (rng.random((side, side)) < density) & where
        nuclei += 2 * np.pi * sigma**2 * gaussian_filter(spots.astype(float), sigma)
    eosin = 0.25 + 0.15 * kind + 0.05 * gaussian_filter(rng.standard_normal((side, side)), 2)
    amounts = np.stack([0.6 * np.minimum(nuclei, 1.5), eosin, np.zeros_like(eosin)], axis=-1)
    y, x = np.mgrid[:side, :side] - side / 2
    amounts *= ((np.hypot(x, y) < 0.46 * side) & tissue)[..., None]
    options = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate", "metadata": None}
    tifffile.imwrite(path, mix(amounts), resolution=(1e4 / mpp,) * 2, resolutionunit="CENTIMETER", **options)
    return path
