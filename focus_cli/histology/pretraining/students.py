"""Student and teacher: a backbone with two heads each, and their output in a step."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from focus_cli.histology.encoders.vit import ViT
from focus_cli.histology.encoders.vit_config import ViTConfig
from focus_cli.histology.pretraining.config import PretrainConfig
from focus_cli.histology.pretraining.heads import PrototypeHead
from focus_cli.histology.pretraining.texture import N_TARGETS


class Scores(NamedTuple):
    """Output of one network for a batch of B tiles.

    Attributes
    ----------
    features
        (2B, width): class tokens of the global views, all first views before all second ones.
    views
        Prototype scores (B, K) of the class tokens, one entry per view.
    hidden
        Prototype scores (m, K) of the masked patches of the global views.
    texture
        Predicted texture of all patches of the global views, (2B, patches, targets), and of these views as a
        whole, (2B, 2 · targets).
    """

    features: Tensor
    views: list[Tensor]
    hidden: Tensor
    texture: tuple[Tensor, Tensor]


class Branch(nn.Module):
    """A vision transformer with heads for class tokens and for patches: prototypes, and looks."""

    def __init__(self, vit: ViTConfig, config: PretrainConfig) -> None:
        super().__init__()
        sizes = vit.width, config.head_hidden, config.head_bottleneck, config.prototypes
        self.backbone = ViT(vit)
        self.class_head, self.patch_head = PrototypeHead(*sizes), PrototypeHead(*sizes)
        self.patch_texture = nn.Linear(vit.width, N_TARGETS)
        self.tile_texture = nn.Linear(vit.width, 2 * N_TARGETS)
        self.backbone.gradient_checkpointing = config.gradient_checkpointing

    def forward(self, large: Tensor, small: Tensor | None, mask: Tensor, shown: bool) -> Scores:
        """Score views.

        Parameters
        ----------
        large
            (2B, 3, h, w): global views.
        small
            (nB, 3, h', w'): local views, view by view, or None.
        mask
            bool (2B, patches).
        shown
            Whether the masked patches are seen, as the teacher does.
        """
        tokens = self.backbone(large, None if shown else mask)
        classes = [tokens.cls]
        if small is not None and len(small):
            classes.append(self.backbone(small).cls)
        views = self.class_head(torch.cat(classes)).split(len(large) // 2)
        texture = self.patch_texture(tokens.patches), self.tile_texture(tokens.cls)
        return Scores(tokens.cls, list(views), self.patch_head(tokens.patches[mask]), texture)


def make_pair(vit: ViTConfig, config: PretrainConfig, seed: int) -> tuple[Branch, Branch]:
    """A student and a teacher that start alike; the teacher is never trained by gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Branch(vit, config)
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    return student, teacher


@torch.no_grad()
def follow(teacher: Branch, student: Branch, momentum: float) -> None:
    """Move the teacher's weights towards the student's (mean teacher, 1703.01780)."""
    torch._foreach_lerp_(list(teacher.parameters()), [p.detach() for p in student.parameters()], 1 - momentum)


def parameter_groups(student: Branch) -> list[dict]:
    """Matrices, which decay, and everything else (gains, biases, tokens, norms), which does not."""
    decayed, kept = [], []
    for name, parameter in student.named_parameters():
        token = name.endswith(("_token", "register_tokens", "position"))
        (decayed if parameter.ndim > 1 and not token else kept).append(parameter)
    return [{"params": decayed, "decays": True}, {"params": kept, "decays": False, "weight_decay": 0.0}]
