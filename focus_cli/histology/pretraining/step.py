"""The loss of one batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from focus_cli.histology.pretraining.batches import Batch, normalise
from focus_cli.histology.pretraining.config import PretrainConfig
from focus_cli.histology.pretraining.losses import Centre, dino_loss, ibot_loss, koleo_loss, sinkhorn
from focus_cli.histology.pretraining.students import Branch
from focus_cli.histology.pretraining.texture import texture_loss

PARTS = ("dino", "ibot", "koleo", "texture", "total")


class Losses(NamedTuple):
    """Scalars; `features` and `targets` are the teacher's, of the first global views, for diagnostics."""

    dino: Tensor
    ibot: Tensor
    koleo: Tensor
    texture: Tensor
    total: Tensor
    features: Tensor
    targets: Tensor


class Assigner(nn.Module):
    """How the teacher's scores become targets; keeps the centres where it centres."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        centred = config.assignment == "centring"
        self.classes = Centre(config.prototypes) if centred else None
        self.patches = Centre(config.prototypes) if centred else None

    def forward(self, classes: Tensor, patches: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return targets of class tokens and of patches."""
        if self.classes is None:
            return sinkhorn(classes, temperature), sinkhorn(patches, temperature)
        return self.classes(classes, temperature), self.patches(patches, temperature)


def compute_losses(
    student: nn.Module,
    teacher: Branch,
    assign: Assigner,
    batch: Batch,
    config: PretrainConfig,
    temperature: float,
    device: str,
) -> Losses:
    """Score a batch by teacher and student. Patches of one image weigh as much as those of any other."""
    kind = torch.device(device).type
    large = normalise(batch.large, config, device)
    small = normalise(batch.small, config, device) if len(batch.small) else None
    mask = batch.mask.to(device)
    with torch.autocast(kind, torch.bfloat16, enabled=config.precision == "bf16"):
        with torch.no_grad():
            seen = teacher(large, None, mask, shown=True)
        output = student(large, small, mask, shown=False)
    n = len(large) // 2
    classes, patches = assign(torch.cat(seen.views), seen.hidden, temperature)
    targets = list(classes.split(n))
    per_image = mask.sum(dim=1)
    weights = (1 / per_image.clamp_min(1) / (per_image > 0).sum())[:, None].expand_as(mask)[mask]
    dino = dino_loss(output.views, targets, config.student_temperature)
    ibot = ibot_loss(output.hidden, patches, weights, config.student_temperature)
    koleo = torch.stack([koleo_loss(part) for part in output.features.split(n)]).mean()
    texture = texture_loss(*output.texture, batch.texture.to(device))
    total = config.weight_dino * dino + config.weight_ibot * ibot + config.weight_koleo * koleo
    total = total + config.weight_texture * texture
    return Losses(dino, ibot, koleo, texture, total, seen.features[:n], targets[0])
