"""How an encoder is pretrained. Defaults are for the tiny preset on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from focus_cli.core.settings import load_settings

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class PretrainConfig(BaseModel):
    """Scale, crops, optimisation and losses of one run. Shares of time are of `max_steps`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What is looked at
    mpp: Positive = 1.0
    scale_range: tuple[Positive, Positive] = (0.7, 1.6)
    min_tissue: Share = 0.5
    global_px: int = Field(112, ge=16)
    local_px: int = Field(48, ge=16)
    local_crops: int = Field(4, ge=0)
    tile_stretch: float = Field(1.0, ge=1)
    # How it is changed
    stain_strength: float = Field(0.1, ge=0, le=1)
    stain_tilt: float = Field(0.02, ge=0, le=0.2)
    stain_share: Share = 0.8
    blur_share: Share = 0.3
    blur_sigma: tuple[Positive, Positive] = (0.3, 1.2)
    # Masked images
    mask_share: tuple[Share, Share] = (0.15, 0.5)
    # Optimisation
    batch: int = Field(32, ge=2)
    accumulate: int = Field(1, ge=1)
    max_steps: int = Field(1600, ge=1)
    learning_rate: Positive = 1e-3
    warmup: Share = 0.05
    weight_decay: tuple[float, float] = (0.04, 0.2)
    clip: Positive = 3.0
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = False
    compile: bool = False
    # Self-distillation
    momentum: tuple[Share, Share] = (0.99, 1.0)
    student_temperature: Positive = 0.1
    teacher_temperature: tuple[Positive, Positive] = (0.03, 0.04)
    temperature_warmup: Share = 0.5
    freeze_prototypes: Share = 0.02
    assignment: Literal["sinkhorn", "centring"] = "sinkhorn"
    prototypes: int = Field(256, ge=2)
    head_hidden: int = Field(512, ge=8)
    head_bottleneck: int = Field(256, ge=8)
    weight_dino: float = Field(1.0, ge=0)
    weight_ibot: float = Field(1.0, ge=0)
    weight_koleo: float = Field(0.1, ge=0)
    weight_texture: float = Field(4.0, ge=0)
    # Housekeeping
    mean: tuple[Share, Share, Share] = (0.7, 0.6, 0.7)
    std: tuple[Positive, Positive, Positive] = (0.2, 0.2, 0.2)
    registers: int | None = Field(None, ge=0)
    licence: str = "not stated"
    threads: int = Field(2, ge=1)
    open_slides: int = Field(8, ge=1)
    steps_per_shelf: int = Field(100, ge=1)
    checkpoint_every: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> PretrainConfig:
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is no multiple of accumulate {self.accumulate}")
        for name in ("scale_range", "blur_sigma", "mask_share"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must rise, not {low}, {high}")
        return self

    @property
    def tile_um(self) -> float:
        """Side of the square that the crops of one tile are cut from, µm."""
        return self.global_px * self.mpp * self.scale_range[1] * self.tile_stretch

    @property
    def tile_mpp(self) -> float:
        """µm per pixel at which that square is read: the finest scale that a crop may have."""
        return self.mpp * self.scale_range[0]


def load_pretrain_config(path: Path | None, **overrides) -> PretrainConfig:
    """Read a YAML file of pretraining settings; options given on the command line win.

    Raises
    ------
    MissingResourceError
        If the file is not there.
    UsageError
        If it is no YAML mapping, or a key or value is not known.
    """
    return load_settings(PretrainConfig, "pretraining", path, overrides)
