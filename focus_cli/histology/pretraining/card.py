"""``card.md``: what an encoder is, for people."""

from __future__ import annotations

import csv
import io

from focus_cli.histology.encoders.folder import EncoderDescription


def encoder_card(described: EncoderDescription, log: str) -> str:
    """Write the card of an encoder from its description and its log."""
    rows = list(csv.DictReader(io.StringIO(log)))
    first, last = rows[0], rows[-1]
    config, training = described.config, described.training
    slides = "\n".join(f"- {name}: {area:g} mm² of tissue" for name, area in training["slides"].items())
    return f"""# {described.name}

A vision transformer for tiles of haematoxylin and eosin, pretrained without labels (self-distillation with masked
images) by `focus pretrain`.

| | |
|---|---|
| width × layers × heads | {config["width"]} × {config["layers"]} × {config["heads"]} |
| patch | {config["patch_px"]} px |
| tile | {described.tile_px} px at {described.mpp:g} µm per pixel ({described.tile_px * described.mpp:g} µm) |
| features of a tile | {2 * config["width"]}: class token, then the mean of the patch tokens |
| steps, tiles seen | {training["steps"]}, {training["tiles"]} |
| licence | {described.licence} |

Trained on {training["tissue_mm2"]:g} mm² of tissue:

{slides}

| step | divergence (nats) | masked patches | effective rank | spread |
|---|---|---|---|---|
| {first["step"]} | {first["divergence"]} | {first["ibot"]} | {first["effective_rank"]} | {first["feature_std"]} |
| {last["step"]} | {last["divergence"]} | {last["ibot"]} | {last["effective_rank"]} | {last["feature_std"]} |

Use: `open_encoder("path of this folder")`, or this folder wherever FOCUS takes an encoder.

Limits: features follow the stains, scanners and tissues of the slides above; other ones may read differently. It has
seen no label and makes no diagnosis.
"""
