"""The platforms that are read, one line each: the name in options and sheets, the title, and its properties."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """One platform; its reader is the module of the same name in `focus_cli.platforms.readers`.

    Attributes
    ----------
    title
        Its proper name.
    imaging
        Whether transcripts are counted under a microscope: locations are cells then.
    general
        Whether many programs write the format: where a vendor's own files lie beside such a file, the vendor's are
        read.
    stated
        Whether it is read only where the user names it: it is never recognised, and no instrument writes its layout.
    extends
        Name of the platform whose layout it includes: where both readers recognise a path, the special one is taken.
    """

    title: str
    imaging: bool = False
    general: bool = False
    stated: bool = False
    extends: str | None = None


_PLATFORMS = {
    "visium_hd": Platform("Visium HD", extends="visium"),
    "visium": Platform("Visium"),
    "legacy_st": Platform("Legacy ST"),
    "xenium": Platform("Xenium", imaging=True),
    "cosmx": Platform("CosMx", imaging=True),
    "merscope": Platform("MERSCOPE", imaging=True),
    "stereoseq": Platform("Stereo-seq"),
    "slideseq": Platform("Slide-seq"),
    "dbit": Platform("DBiT-seq"),
    "openst": Platform("Open-ST"),
    "spatialdata": Platform("SpatialData", general=True),
    "seqfish": Platform("seqFISH", imaging=True),
    "osmfish": Platform("osmFISH", imaging=True, general=True),
    "starmap": Platform("STARmap", imaging=True),
    "merfish": Platform("MERFISH tables", imaging=True, general=True),
    "anndata": Platform("AnnData", general=True),
    "tables": Platform("Tables of counts and positions", stated=True),
}

PLATFORMS = tuple(_PLATFORMS)
AUTO = "auto"
TITLES = {name: platform.title for name, platform in _PLATFORMS.items()}
IMAGING = tuple(name for name, platform in _PLATFORMS.items() if platform.imaging)
STATED = tuple(name for name, platform in _PLATFORMS.items() if platform.stated)
EXTENDS = {name: platform.extends for name, platform in _PLATFORMS.items() if platform.extends}
GENERAL = tuple(name for name, platform in _PLATFORMS.items() if platform.general)
