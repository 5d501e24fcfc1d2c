"""What a slide file is, in words and numbers; what `focus inspect` shows of one."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from focus_cli.core.errors import EXIT_BAD_INPUT, FocusError, MissingResourceError
from focus_cli.histology.slides.histology import is_histology
from focus_cli.histology.slides.omezarr import is_omezarr
from focus_cli.histology.slides.opening import open_slide
from focus_cli.histology.slides.quality import slide_quality
from focus_cli.histology.slides.vendor import VENDOR_SUFFIXES

_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"\xff\xd8\xff", b"\x89PNG")
_MUCH_BLUR, _MUCH_PEN, _MUCH_FOLD = 0.10, 0.005, 0.03
_SUFFIXES = (".tif", ".tiff", ".btf", ".svs", ".jpg", ".jpeg", ".png", *VENDOR_SUFFIXES)
_GLANCE_PX = 1024


def is_slide_file(path: Path) -> bool:
    """Whether `path` looks like an image: TIFF, SVS, JPEG, PNG, a scanner's own format, or an OME-Zarr folder."""
    path = Path(path)
    if path.is_dir():
        return is_omezarr(path)
    # By its name: what cannot be read as an image is refused as one.
    if path.name.lower().removesuffix(".gz").endswith(_SUFFIXES) and os.path.lexists(path):
        return True
    if not path.is_file():
        return False
    try:
        with path.open("rb") as handle:
            return handle.read(4).startswith(_MAGIC)
    except OSError:
        return False


def describe_slide(path: Path, mpp: float | None = None) -> dict[str, Any]:
    """Describe a slide file; what cannot be used is described too, as a problem.

    Parameters
    ----------
    path
        The image.
    mpp
        µm per level-0 px, where the file does not state it.

    Returns
    -------
    dict
        JSON-safe. Always ``path``, ``kind`` ("slide"), ``warnings`` and ``problems`` (each with ``message``, ``hint``,
        ``exit_code``); where it can be opened ``width``, ``height``, ``levels`` (width, height, downsample of each),
        ``mpp``, ``mpp_origin`` and ``file_mpp``; where its scale is known ``extent_um`` and ``quality``, the fields of
        `SlideQuality`.
    """
    report: dict[str, Any] = {"path": str(path), "kind": "slide", "warnings": [], "problems": []}
    try:
        with open_slide(path, mpp) as slide:
            report |= {
                "width": slide.width,
                "height": slide.height,
                "levels": [
                    {"width": level.width, "height": level.height, "downsample": factor}
                    for level, factor in zip(slide.levels, slide.downsamples)
                ],
                "mpp": slide.mpp,
                "mpp_origin": "given" if mpp is not None else slide.file_mpp_origin,
                "file_mpp": slide.file_mpp,
            }
            report["warnings"] += slide.notes
            if slide.mpp is None:
                _refuse(report, is_histology(slide.thumbnail(_GLANCE_PX))[1].reason)
            slide.require_mpp()
            report["extent_um"] = [slide.width * slide.mpp, slide.height * slide.mpp]
            report["quality"] = quality = asdict(slide_quality(slide))
            quality["stains"] = quality["stains"] and [list(vector) for vector in quality["stains"]]
    except FocusError as error:
        hint = error.hint or ""
        if isinstance(error, MissingResourceError) and report.get("mpp", 0) is None:
            hint = "pass --mpp: 0.25 for most scans at 40×, 0.5 at 20×"
        report["problems"].append({"message": error.message, "hint": hint, "exit_code": error.exit_code})
        return report
    _refuse(report, quality["histology"])
    report["warnings"] += _warnings(report["mpp"], quality)
    return report


def _refuse(report: dict[str, Any], reason: str) -> None:
    if reason:
        report["problems"].append(
            {
                "message": f"{report['path']} is no H&E: {reason}",
                "hint": "give the H&E; focus preprocess --force takes it as it is",
                "exit_code": EXIT_BAD_INPUT,
            }
        )


def _warnings(mpp: float, quality: dict[str, Any]) -> list[str]:
    lines = []
    if quality["tissue"] == 0:
        lines.append("no tissue was found")
    if quality["blur"] is None and quality["tissue"] > 0:
        lines.append(f"at {mpp:.3g} µm per pixel focus cannot be judged")
    elif quality["blur"] is not None and quality["blur"] > _MUCH_BLUR:
        lines.append(f"{quality['blur']:.0%} of the tissue is out of focus")
    if quality["pen"] > _MUCH_PEN:
        lines.append(f"pen marks cover {quality['pen']:.1%} of the slide")
    if quality["fold"] > _MUCH_FOLD:
        lines.append(f"{quality['fold']:.1%} of the tissue lies in folds")
    return lines
