"""What changes over a run, as functions of the step alone."""

from __future__ import annotations

import math

from focus_cli.histology.pretraining.config import PretrainConfig

LAST_RATE = 0.01  # the learning rate ends at this share of its peak


def cosine(step: int, total: int, start: float, end: float) -> float:
    """Half a cosine from `start` at step 0 to `end` at the last step."""
    progress = min(1.0, step / max(1, total - 1))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def learning_rate(step: int, config: PretrainConfig) -> float:
    """Linear warm-up, then a cosine to a hundredth."""
    warmup = int(config.warmup * config.max_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    rest = config.max_steps - warmup
    return cosine(step - warmup, rest, config.learning_rate, LAST_RATE * config.learning_rate)


def teacher_temperature(step: int, config: PretrainConfig) -> float:
    """Linear from the first to the second, then constant: sharp targets first."""
    start, end = config.teacher_temperature
    warmup = config.temperature_warmup * config.max_steps
    return end if step >= warmup else start + (end - start) * step / warmup


def momentum(step: int, config: PretrainConfig) -> float:
    """Of the teacher's weights."""
    return cosine(step, config.max_steps, *config.momentum)


def weight_decay(step: int, config: PretrainConfig) -> float:
    """Of AdamW."""
    return cosine(step, config.max_steps, *config.weight_decay)
