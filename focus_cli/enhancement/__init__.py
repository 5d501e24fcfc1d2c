"""Inference: latents, uncertainty, and the enhanced file."""

from focus_cli.enhancement.stage import enhance

__all__ = ["enhance"]
