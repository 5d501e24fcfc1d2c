"""Encoders by name: where the weights are, at which scale, how tiles are normalised, and on what terms.

Facts of the models' own cards and papers: UNI (Chen et al. 2024), Virchow2 (Zimmermann et al. 2024), H-optimus
(Saillard et al. 2024), Phikon and Phikon-v2 (Filiot et al. 2023, 2024), CONCH (Lu et al. 2024), Prov-GigaPath
(Xu et al. 2024), Hibou (Nechaev et al. 2024). Nothing is shipped; terms may change: the card decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from focus_cli.histology.encoders.torch_encoder import Description

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_OPTIMUS_MEAN, _OPTIMUS_STD = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)
_HIBOU_MEAN, _HIBOU_STD = (0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816)
_OWKIN = "Owkin non-commercial licence"


@dataclass(frozen=True)
class Preset:
    """A published encoder.

    Attributes
    ----------
    library
        ``"timm"``, ``"transformers"`` or ``"conch"``.
    repository
        On the Hugging Face hub.
    dim
        Features of one vector for a tile.
    architecture, options
        What timm is to build, so that weights can be checked against it, tensor by tensor; text starting with
        ``"layer:"`` stands for a class of timm's or torch's.
    pooling
        See `focus_cli.histology.encoders.pooling.pool`.
    gated
        Whether access has to be requested.
    """

    library: str
    repository: str
    dim: int
    licence: str
    gated: bool
    mpp: float = 0.5
    tile_px: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pooling: str = "class"
    architecture: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def describe(self, name: str, dense: bool) -> Description:
        """What is known of the network before it runs."""
        from focus_cli.histology.encoders.torch_encoder import Description

        return Description(
            name=name,
            mpp=self.mpp,
            tile_px=self.tile_px,
            mean=self.mean,
            std=self.std,
            licence=self.licence,
            source=f"https://huggingface.co/{self.repository}",
            dim=None if dense else self.dim,
            settings={"pooling": self.pooling, "dense": dense},
        )


_GATED_LINES = {"mlp_layer": "layer:SwiGLUPacked", "act_layer": "layer:SiLU"}  # gated MLPs, as DINOv2's larger models

PRESETS: dict[str, Preset] = {
    "uni": Preset(
        library="timm",
        repository="MahmoodLab/UNI",
        dim=1024,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        architecture="vit_large_patch16_224",
        options={"img_size": 224, "init_values": 1e-5, "dynamic_img_size": True},
    ),
    "uni2-h": Preset(
        library="timm",
        repository="MahmoodLab/UNI2-h",
        dim=1536,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        architecture="vit_giant_patch14_224",
        options={
            "img_size": 224,
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "init_values": 1e-5,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
            **_GATED_LINES,
        },
    ),
    "virchow2": Preset(
        library="timm",
        repository="paige-ai/Virchow2",
        dim=2560,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        pooling="class+mean",
        architecture="vit_huge_patch14_224",
        options={
            "img_size": 224,
            "init_values": 1e-5,
            "mlp_ratio": 5.3375,
            "reg_tokens": 4,
            "global_pool": "",
            "dynamic_img_size": True,
            **_GATED_LINES,
        },
    ),
    "h-optimus-0": Preset(
        library="timm",
        repository="bioptimus/H-optimus-0",
        dim=1536,
        licence="Apache-2.0",
        gated=True,
        mean=_OPTIMUS_MEAN,
        std=_OPTIMUS_STD,
        architecture="vit_giant_patch14_reg4_dinov2",
        options={"img_size": 224, "init_values": 1e-5},
    ),
    "h-optimus-1": Preset(
        library="timm",
        repository="bioptimus/H-optimus-1",
        dim=1536,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        mean=_OPTIMUS_MEAN,
        std=_OPTIMUS_STD,
        architecture="vit_giant_patch14_reg4_dinov2",
        options={"img_size": 224, "init_values": 1e-5},
    ),
    "gigapath": Preset(
        library="timm",
        repository="prov-gigapath/prov-gigapath",
        dim=1536,
        licence="Apache-2.0",
        gated=True,
        architecture="vit_giant_patch14_dinov2",
        options={"img_size": 224, "patch_size": 16, "init_values": 1e-5, "mlp_ratio": 5.33334},
    ),
    "phikon": Preset(library="transformers", repository="owkin/phikon", dim=768, licence=_OWKIN, gated=False),
    "phikon-v2": Preset(library="transformers", repository="owkin/phikon-v2", dim=1024, licence=_OWKIN, gated=False),
    "hibou-b": Preset(
        library="transformers",
        repository="histai/hibou-b",
        dim=768,
        licence="Apache-2.0",
        gated=False,
        mean=_HIBOU_MEAN,
        std=_HIBOU_STD,
        # Its own classes would be code from the hub; the architecture is DINOv2 with four register tokens.
        architecture="dinov2_with_registers",
    ),
    "hibou-l": Preset(
        library="transformers",
        repository="histai/hibou-L",
        dim=1024,
        licence="Apache-2.0",
        gated=True,
        mean=_HIBOU_MEAN,
        std=_HIBOU_STD,
        architecture="dinov2_with_registers",
    ),
    "conch": Preset(
        library="conch",
        repository="MahmoodLab/conch",
        dim=512,
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        tile_px=448,
        mean=_CLIP_MEAN,
        std=_CLIP_STD,
        pooling="output",
    ),
}
