"""What every field of an enhanced AnnData means: one table, keyed by the names of ``keys.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from focus_cli.core import keys
from focus_cli.reporting.analysis_fields import analysis_field, joined_field


@dataclass(frozen=True)
class Meaning:
    """Unit and meaning of a field."""

    unit: str
    text: str


_LOG = "log1p(counts per 10 000)"

FIELDS: dict[str, Meaning] = {
    "X": Meaning(
        _LOG,
        "posterior mean at the location's depth; inferred where var['measured'] is False",
    ),
    f"layers/{keys.COUNTS}": Meaning(
        "counts", "raw counts of the instrument, unchanged; zero for genes outside the panel"
    ),
    f"layers/{keys.MEAN_COUNTS}": Meaning(
        "counts",
        "posterior mean of the counts, at obs['exposure']",
    ),
    f"layers/{keys.EXPRESSION}": Meaning("log1p(10 000 × share)", "the estimate without the effect of depth"),
    f"layers/{keys.STD}": Meaning(_LOG, "posterior standard deviation of X"),
    f"obs/{keys.IN_TISSUE}": Meaning("0 or 1", "1 if the location is on tissue according to the vendor"),
    f"obs/{keys.ARRAY_ROW}": Meaning("index", "row on the capture array"),
    f"obs/{keys.ARRAY_COL}": Meaning("index", "column on the capture array"),
    f"obs/{keys.TOTAL_COUNTS}": Meaning("counts", "total counts of the location over the measured panel"),
    f"obs/{keys.EXPOSURE}": Meaning(
        "counts", "total over the measured panel: observed, else expected; X and mean_counts refer to it"
    ),
    f"obs/{keys.OBS_RELIABILITY}": Meaning("0 to 1", "reliability of the estimate of the location"),
    f"obs/{keys.OOD_SCORE}": Meaning(
        "ratio", "out-of-distribution score of the image; above 1 the tissue differs from all training data"
    ),
    f"obs/{keys.ABSTAIN}": Meaning("true or false", "true where the estimate of the location should not be used"),
    f"obs/{keys.PARENT}": Meaning(
        "obs name", "refined files: the measured location that covers this one, or is nearest to it"
    ),
    f"var/{keys.GENE_ID}": Meaning("", "Ensembl id of the gene, if the vendor states it"),
    f"var/{keys.SYMBOL}": Meaning("", "gene symbol as the vendor wrote it"),
    f"var/{keys.FEATURE_TYPE}": Meaning("", "kind of feature, as the vendor wrote it"),
    f"var/{keys.MEASURED}": Meaning(
        "true or false",
        "false for a gene outside the panel: all its values are inferred, none is measured",
    ),
    f"var/{keys.VAR_RELIABILITY}": Meaning("0 to 1", "reliability of the estimate of the gene"),
    f"var/{keys.ABSTAIN}": Meaning("true or false", "true where the estimate of the gene should not be used"),
    f"var/{keys.LEVEL_SD}": Meaning(
        "log", "standard deviation of the log of the gene's level, one factor for all locations; 0 for measured genes"
    ),
    f"var/{keys.NETWORK_WEIGHT}": Meaning(
        "fraction", "weight of the network in the estimate of the gene; the rest is that of simple methods"
    ),
    f"obsm/{keys.SPATIAL}": Meaning("full-resolution px", "position (x, y); x to the right, y down"),
    f"obsm/{keys.SPATIAL_UM}": Meaning("µm", "position (x, y) with the same origin and axes"),
    f"obsm/{keys.LATENT}": Meaning("", "posterior mean of the latent state"),
    f"obsm/{keys.LATENT}_sd": Meaning("", "posterior standard deviation of the latent state"),
    f"obsm/{keys.SAMPLE_FACTORS}": Meaning("", "posterior mean of the scores of the sample-specific factors"),
    f"obsm/{keys.SAMPLE_FACTORS}_sd": Meaning("", "posterior standard deviation of these scores"),
    f"obsm/{keys.STATE_ATTENTION}": Meaning(
        "fraction", "attention over the cell states of the reference, rows sum to 1; not a deconvolution"
    ),
    "var/focus_baseline": Meaning(
        "fraction", "mean share of the gene, by which the prediction of a state is multiplied"
    ),
    "varm/focus_loadings": Meaning("", "loadings that turn a latent state or a draw of it into expression"),
    f"uns/{keys.UNS}": Meaning("", "kind of file, sample, settings, warnings and provenance (JSON-safe)"),
    f"uns/{keys.UNS_SPATIAL}": Meaning("", "H&E thumbnails and scale factors, as scanpy reads them"),
    f"uns/{keys.UNS_COLUMNS}": Meaning("", "names of the columns of tables in obsm that contain a slash, by table"),
    "uns/focus_truth": Meaning("", "the task, its scored genes and the seed that a truth file belongs to"),
}

# Fields of truth files.
TRUTH_FIELDS: dict[str, Meaning] = {
    "obs/exposure": Meaning("counts", "total that the truth of the location is divided by"),
    "obs/visible_counts": Meaning("counts", "visible total counts of the location"),
    "obs/domain": Meaning("", "simulated tissue domain"),
    "obs/efficiency": Meaning("counts", "simulated capture: expected counts of the location"),
    "var/ambient_profile": Meaning("fraction", "simulated ambient RNA"),
    "var/platform_factor": Meaning("ratio", "simulated effect of the platform on the gene"),
    "var/program": Meaning("", "simulated programme that the gene belongs to"),
    "obsm/cell_type_proportions": Meaning("fraction", "simulated share of each cell type; rows sum to 1"),
}
# Fields of the parts of a sample and of a reference, by the kind of the folder.
PART_FIELDS: dict[str, dict[str, Meaning]] = {
    "sample": {"X": Meaning("counts", "raw counts of the instrument")},
    "reference": {
        "X": Meaning("see scale above", "counts or count-like values of cells; mean proportions of cell states"),
        "obs/cell_type": Meaning("", "cell type"),
        "obs/n_cells": Meaning("", "number of cells that the state is the mean of"),
        "obs/purity": Meaning("fraction", "share of these cells that are of the state's type"),
    },
}
_QUANTILE = re.compile(r"layers/q(\d\d)")
_DRAW = re.compile(rf"obsm/{keys.LATENT}_sample_(\d+)")
UNKNOWN = "not described by FOCUS; carried over from the input, or added later"


def field_meaning(place: str, *, truth: str = "", kind: str = "") -> Meaning:
    """Unit and meaning of a field such as ``layers/std``.

    Parameters
    ----------
    place
        ``X``, or the group and the key with a slash between them.
    truth
        Kind of truth if the file is one (``"counts"`` or ``"expected"``): its X is not an estimate.
    kind
        Kind of the file, or of the folder that it is a part of.
    """
    if found := analysis_field(kind, place):
        return Meaning(*found)
    if place in PART_FIELDS.get(kind, {}):
        return PART_FIELDS[kind][place]
    if truth and place == "X":
        if truth == "expected":
            return Meaning("see scale above", "expected expression, free of sampling noise")
        return Meaning("counts", "held-out raw counts")
    if truth and place in TRUTH_FIELDS:
        return TRUTH_FIELDS[place]
    if match := _QUANTILE.fullmatch(place):
        return Meaning(_LOG, f"{int(match[1])} % quantile of the posterior of X")
    if match := _DRAW.fullmatch(place):
        return Meaning("", f"posterior draw {match[1]} of the latent state")
    if place in FIELDS:
        return FIELDS[place]
    joined = joined_field(place)
    return Meaning("", UNKNOWN) if joined is None else Meaning(*joined)
