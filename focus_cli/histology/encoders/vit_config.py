"""Sizes of the vision transformer. A preset is only numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ViTConfig(BaseModel):
    """Hyperparameters that shape the weights.

    `grid` is the number of tokens along a side of the image that the position codes are made for; other sizes
    interpolate. `layer_scale` is the start value of the residual branches' gains.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_px: int = Field(16, ge=1, le=64)
    width: int = Field(192, ge=8, le=1 << 14)
    layers: int = Field(12, ge=1, le=256)
    heads: int = Field(3, ge=1, le=1024)
    mlp_ratio: float = Field(4.0, gt=0, le=64)
    registers: int = Field(0, ge=0, le=1024)
    grid: int = Field(7, ge=1, le=1024)
    positions: Literal["sincos", "learned"] = "sincos"
    layer_scale: float = Field(0.1, gt=0, allow_inf_nan=False)
    drop_path: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divisible(self) -> ViTConfig:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of the {self.heads} heads")
        return self


VIT_PRESETS: dict[str, ViTConfig] = {
    "tiny": ViTConfig(width=192, layers=12, heads=3),
    "small": ViTConfig(width=384, layers=12, heads=6, drop_path=0.1),
    "base": ViTConfig(width=768, layers=12, heads=12, drop_path=0.2, registers=4),
}
