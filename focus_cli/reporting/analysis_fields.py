"""What every field of an analysis result means, by the kind of the analysis result."""

from __future__ import annotations

import re

from focus_cli.core import keys

KINDS = {
    "embedding": "representations of locations, made by focus embed",
    "domains": "spatial domains, made by focus domains",
    "celltypes": "cell types of locations, made by focus celltypes",
    "patterns": "spatially variable genes, and niches, made by focus patterns",
    "interactions": "co-localised ligands and receptors, made by focus interactions",
    "annotation": "classes of locations, made by focus annotate apply",
    "outcome": "attention of an outcome model, made by focus outcome apply",
    "why": "attribution of estimates to their sources, made by focus why",
}
USE = {
    "domains": "A domain is a group of similar locations. Check on the H&E whether it is a structure of the tissue.",
    "celltypes": "Proportions are estimates: consider the intervals, and types that the reference lacks.",
    "patterns": "p and q test the raw counts; tests that treat estimates as data are not valid.",
    "interactions": "A co-localised pair is a candidate; it is not evidence of signalling.",
    "annotation": "Annotations are not a diagnosis. The classifier abstains on tissue unlike its training data.",
    "outcome": "For research only: not a medical device.",
    "why": "The parts explain this estimate of this model, not the causes of expression in the tissue.",
    "embedding": "Compare files of the same uns['focus']['space'] only.",
}
# (unit, meaning)
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "embedding": {
        f"obsm/{keys.LOCATION}": ("", "representation of the location itself"),
        f"obsm/{keys.NEIGHBOURHOOD}": ("", "representation of the surroundings of the location"),
        f"uns/{keys.UNS_SLIDE}": ("", "representation of the slide: one vector"),
    },
    "domains": {
        "obs/domain": ("", "spatial domain; one name in all samples that were grouped together"),
        "obs/domain_confidence": ("0 to 1", "confidence of the domain of the location"),
        "obs/domain_boundary": ("true or false", "whether the location is on the border of its domain"),
        "obs/domain_boundary_confidence": ("0 to 1", "confidence of the border"),
        "obsm/domain_probability": ("fraction", "probability of each domain; rows sum to 1"),
    },
    "celltypes": {
        f"obsm/{keys.TYPES}": ("fraction", "estimated share of each cell type; rows sum to 1"),
        f"obsm/{keys.TYPES}_low": ("fraction", "lower end of the share's interval"),
        f"obsm/{keys.TYPES}_high": ("fraction", "upper end of the share's interval"),
        "obs/cell_type": ("", "the type with the largest share"),
        "obs/cell_type_confidence": ("0 to 1", "confidence of that type"),
        "obs/cell_type_misfit": (
            "ratio",
            "deviation of the counts from every mixture of the types, relative to chance",
        ),
    },
    "patterns": {
        "obs/niche": ("", "niche: locations whose surroundings have similar cell types or expression"),
        "var/total_counts": ("counts", "total counts of the gene in the sample"),
        "var/locations": ("", "number of locations with counts of the gene"),
        "var/dispersion": ("ratio", "variance of the counts beyond chance"),
        "var/statistic": ("", "statistic of the test that counts depend on position"),
        "var/statistic_estimates": ("", "statistic of the test that held-out counts follow the estimate"),
    },
    "interactions": {
        "X": ("see scale above", "local score of the pair"),
        "var/ligand": ("", "genes of the ligand"),
        "var/receptor": ("", "genes of the receptor"),
        "var/pathway": ("", "pathway, from the table of pairs"),
        "var/category": ("", "category, from the table of pairs"),
        "var/total_counts": ("counts", "total counts of the rarest subunit of the pair in the sample"),
        "var/one_gene": ("true or false", "whether ligand and receptor share a gene; such a pair is not tested"),
        "var/statistic_estimates": ("", "co-localisation of the parts of both that the tissue state predicts"),
        "var/statistic": ("", "co-localisation of ligand and receptor"),
    },
    "annotation": {
        "obs/annotation": ("", "the most probable class"),
        "obs/annotation_confidence": ("0 to 1", "its calibrated probability"),
        "obs/annotation_abstain": (
            "true or false",
            "true where the location differs from the training data; do not use its annotation",
        ),
        "obs/annotation_ood_score": ("ratio", "distance to the training data; above 1 the classifier abstains"),
        f"obsm/{keys.ANNOTATION_PROBABILITY}": ("fraction", "calibrated probability of each class; rows sum to 1"),
    },
    "outcome": {
        "obs/attention": ("fraction", "attention weight of the location; sums to 1"),
        "obs/contribution": ("", "contribution of the location to the slide's score"),
    },
    "why": {
        "X": ("log2", "the estimate relative to the gene's level: the sum of the layers"),
        "obsm/why_neighbours": ("log2", "contribution of each location to single values, one column per value"),
        "uns/focus_why": ("log2", "parts of single values: gene, location, signal, part, contribution"),
        "var/level": ("", "level of the gene, to which the estimate is relative"),
        "var/level_sd": ("log", "standard deviation of the log of the level"),
        "var/vector": ("", "source of the gene's loadings"),
    },
}
_ANY = {
    "var/measured": ("true or false", "false for genes outside the panel"),
    "var/reliability": ("0 to 1", "reliability of the estimate of the gene"),
    "var/p": ("", "p-value of the test that controls the false positive rate"),
    "var/q": ("", "the same, corrected for the number of tests (Benjamini and Hochberg)"),
    "var/p_counts": ("", "p-value of the raw counts alone"),
    "var/q_counts": ("", "the same, corrected for the number of tests"),
    "var/p_estimates": ("", "p-value of held-out counts against the estimate"),
    "var/q_estimates": ("", "the same, corrected for the number of tests"),
}
_DRAW = re.compile(rf"obsm/({keys.LOCATION}|{keys.NEIGHBOURHOOD})_sample_(\d+)")
_SIZE = re.compile(r"var/mean_size_(\w+)")


def analysis_field(kind: str, place: str) -> tuple[str, str] | None:
    """Unit and meaning of a field of an analysis result; None if every file has it or it is unknown."""
    if found := FIELDS.get(kind, {}).get(place):
        return found
    if match := _DRAW.fullmatch(place):
        return "", f"posterior draw {match[2]} of the representation"
    if kind == "why" and place.startswith("layers/"):
        return "log2", f"contribution of: {place[7:].replace('_', ' ')}"
    if kind == "why" and (match := _SIZE.fullmatch(place)):
        return "log2", f"mean absolute contribution of: {match[1].replace('_', ' ')}"
    return _ANY.get(place) if kind in ("patterns", "interactions", "why") else None


def joined_field(place: str) -> tuple[str, str] | None:
    """Unit and meaning of a field of an analysis result that was joined to an enhanced file by ``focus export``.

    Where a name was taken, the kind of the analysis result is put before it.
    """
    group, _, name = place.partition("/")
    if place == "uns/focus_analyses":
        return "", "provenance of the analysis results that focus export joined to the file"
    if group == "uns" and name in KINDS:
        return "", f"table of {KINDS[name].split(', made by ')[1]}"
    for kind in KINDS:
        own = [place]
        if name.startswith(f"{kind}_"):
            rest = name.removeprefix(f"{kind}_")
            own += [f"{group}/{rest}"] + ([f"layers/{rest}"] if group == "obsm" else [])
        if place == f"obsm/{kind}":
            own.append("X")
        if found := next(filter(None, (analysis_field(kind, one) for one in own)), None):
            return found[0], f"{found[1]} ({KINDS[kind].split(', made by ')[1]})"
    return None
