"""Titles and explanations of analysis results in the report, by kind."""

from __future__ import annotations

TITLES = {
    "domains": "Spatial domains",
    "celltypes": "Cell types",
    "annotation": "Annotation",
    "patterns": "Spatial patterns",
    "interactions": "Ligands and receptors",
    "outcome": "Outcome",
    "why": "Why: where the estimates come from",
    "embedding": "Representation",
}
HINTS = {
    "domains": "Groups of locations whose surroundings are alike. Numbers mean the same in all samples that were "
    "grouped together. The confidence states how sure the grouping is, not whether the domain is real.",
    "celltypes": "Estimated share of each cell type of the reference. A type that the reference lacks cannot be found; "
    "its cells are given to the types most like it.",
    "annotation": "Prediction of a small classifier, trained on labelled locations. It is no diagnosis.",
    "patterns": "Genes whose expression depends on the place. Believe the test on the raw counts; "
    "a smooth map of an estimate is no evidence.",
    "interactions": "Pairs whose ligand and receptor are expressed side by side more than chance allows. "
    "RNA side by side is not signalling: these are candidates.",
    "outcome": "What the model of the outcome looked at. For research only: not a medical device.",
    "why": "How much each source moved the estimate; at every location the parts add up to the whole.",
    "embedding": "Every location as a point in the model's space; like colours mean alike locations.",
}
ORDER = ("domains", "celltypes", "annotation", "outcome", "patterns", "interactions", "why", "embedding")
