"""The platforms that are read: the word for each in options and sheets, and its proper name."""

from __future__ import annotations

TITLES = {
    "visium_hd": "Visium HD",
    "visium": "Visium",
    "legacy_st": "Legacy ST",
    "xenium": "Xenium",
    "cosmx": "CosMx",
    "merscope": "MERSCOPE",
    "stereoseq": "Stereo-seq",
    "slideseq": "Slide-seq",
    "dbit": "DBiT-seq",
    "openst": "Open-ST",
    "spatialdata": "SpatialData",
    "seqfish": "seqFISH",
    "osmfish": "osmFISH",
    "starmap": "STARmap",
    "merfish": "MERFISH tables",
    "anndata": "AnnData",
    "tables": "Tables of counts and positions",
}
PLATFORMS = tuple(TITLES)
AUTO = "auto"

# Those that see molecules under a microscope: their locations are cells.
IMAGING = ("xenium", "cosmx", "merscope", "merfish", "seqfish", "osmfish", "starmap")

# Read where the user names it, never recognised, and no instrument's layout.
STATED = ("tables",)

# A layout that holds what another reader knows too: where both recognise a path, it is the more special one.
EXTENDS = {"visium_hd": "visium"}

# Readers of formats that many write: where a vendor's own files lie beside such a one, the vendor's are meant.
GENERAL = ("spatialdata", "osmfish", "merfish", "anndata")
