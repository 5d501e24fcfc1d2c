"""What every field of an analysis result means, by the kind of the analysis result."""

from __future__ import annotations

import re

from focus_cli.core import keys

KINDS = {
    "embedding": "representations of locations, made by focus embed",
    "domains": "spatial domains, made by focus domains",
    "celltypes": "cell types of locations, made by focus celltypes",
    "patterns": "genes that depend on the place, and niches, made by focus patterns",
    "interactions": "ligands and receptors side by side, made by focus interactions",
    "annotation": "classes of locations, made by focus annotate apply",
    "outcome": "what a model of an outcome looked at, made by focus outcome apply",
    "why": "where estimates come from, made by focus why",
}
USE = {
    "domains": "A domain is a group of alike locations; whether it is a structure of the tissue is for the H&E to say.",
    "celltypes": "Proportions are estimates: mind the interval, and the types that the reference lacks.",
    "patterns": "p and q test the molecules that were counted; a test on estimates as if they were data is not valid.",
    "interactions": "A pair side by side is a candidate, no evidence of signalling.",
    "annotation": "The classifier is no diagnosis; where it abstains the tissue is unlike its training.",
    "outcome": "For research only: not a medical device.",
    "why": "The parts say what moved this estimate of this model, not what causes the expression in the tissue.",
    "embedding": "Compare files of the same uns['focus']['space'] only.",
}
# (unit, meaning)
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "embedding": {
        f"obsm/{keys.LOCATION}": ("", "representation of the location itself"),
        f"obsm/{keys.NEIGHBOURHOOD}": ("", "representation of what lies around the location"),
        f"uns/{keys.UNS_SLIDE}": ("", "representation of the whole slide: one vector"),
    },
    "domains": {
        "obs/domain": ("", "spatial domain; one name in all samples that were grouped together"),
        "obs/domain_confidence": ("0 to 1", "how sure the domain of the location is"),
        "obs/domain_boundary": ("true or false", "whether the location lies on the border of its domain"),
        "obs/domain_boundary_confidence": ("0 to 1", "how sure that is"),
        "obsm/domain_probability": ("fraction", "probability of each domain; rows sum to 1"),
    },
    "celltypes": {
        f"obsm/{keys.TYPES}": ("fraction", "estimated share of each cell type; rows sum to 1"),
        f"obsm/{keys.TYPES}_low": ("fraction", "lower end of the share's interval"),
        f"obsm/{keys.TYPES}_high": ("fraction", "upper end of the share's interval"),
        "obs/cell_type": ("", "the type with the largest share"),
        "obs/cell_type_confidence": ("0 to 1", "how sure that type is"),
        "obs/cell_type_misfit": ("ratio", "how far the counts are from any mixture of the types, in units of chance"),
    },
    "patterns": {
        "obs/niche": ("", "niche: locations whose surroundings hold alike cell types or expression"),
        "var/total_counts": ("molecules", "molecules of the gene in the sample"),
        "var/locations": ("", "locations that hold it"),
        "var/dispersion": ("ratio", "variance of the counts beyond chance"),
        "var/statistic": ("", "how far the counts depend on the place"),
        "var/statistic_estimates": ("", "how far held-out counts follow the estimate"),
    },
    "interactions": {
        "X": ("see scale above", "local score of the pair"),
        "var/ligand": ("", "genes of the ligand"),
        "var/receptor": ("", "genes of the receptor"),
        "var/pathway": ("", "pathway, as the table of pairs gives it"),
        "var/category": ("", "category, as the table of pairs gives it"),
        "var/total_counts": ("molecules", "molecules of the rarest part of the pair in the sample"),
        "var/one_gene": ("true or false", "whether ligand and receptor share a gene; such a pair is not tested"),
        "var/statistic_estimates": ("", "how far what the state of the tissue explains of both lies side by side"),
        "var/statistic": ("", "how far ligand and receptor lie side by side"),
    },
    "annotation": {
        "obs/annotation": ("", "the likeliest class"),
        "obs/annotation_confidence": ("0 to 1", "its calibrated probability"),
        "obs/annotation_abstain": ("true or false", "true where the location is unlike the training: do not read it"),
        "obs/annotation_ood_score": ("ratio", "distance to the training; above 1 the classifier abstains"),
        f"obsm/{keys.ANNOTATION_PROBABILITY}": ("fraction", "calibrated probability of each class; rows sum to 1"),
    },
    "outcome": {
        "obs/attention": ("fraction", "how much of the slide's score the model takes from here; sums to 1"),
        "obs/contribution": ("", "what the location adds to the slide's score"),
    },
    "why": {
        "X": ("log2", "the estimate over the gene's level: the sum of the layers"),
        "obsm/why_neighbours": ("log2", "what each location added to single values, column by column"),
        "uns/focus_why": ("log2", "what single values are made of: gene, location, signal, part, contribution"),
        "var/level": ("", "the gene's level, which the estimate is stated over"),
        "var/level_sd": ("log", "standard deviation of the log of the level"),
        "var/vector": ("", "what the gene's loadings rest on"),
    },
}
_ANY = {
    "var/measured": ("true or false", "false for what is not on the panel"),
    "var/reliability": ("0 to 1", "how far the estimate of the gene can be trusted"),
    "var/p": ("", "p-value of the test that holds its level"),
    "var/q": ("", "the same, corrected for the number of tests (Benjamini and Hochberg)"),
    "var/p_counts": ("", "p-value of the counted molecules alone"),
    "var/q_counts": ("", "the same, corrected for the number of tests"),
    "var/p_estimates": ("", "p-value of held-out molecules against the estimate"),
    "var/q_estimates": ("", "the same, corrected for the number of tests"),
}
_DRAW = re.compile(rf"obsm/({keys.LOCATION}|{keys.NEIGHBOURHOOD})_sample_(\d+)")
_SIZE = re.compile(r"var/mean_size_(\w+)")


def analysis_field(kind: str, place: str) -> tuple[str, str] | None:
    """Unit and meaning of a field of an analysis result; None where it is a field of every file, or not known."""
    if found := FIELDS.get(kind, {}).get(place):
        return found
    if match := _DRAW.fullmatch(place):
        return "", f"draw {match[2]} of it from the posterior"
    if kind == "why" and place.startswith("layers/"):
        return "log2", f"what came from: {place[7:].replace('_', ' ')}"
    if kind == "why" and (match := _SIZE.fullmatch(place)):
        return "log2", f"mean size of what came from: {match[1].replace('_', ' ')}"
    return _ANY.get(place) if kind in ("patterns", "interactions", "why") else None


def joined_field(place: str) -> tuple[str, str] | None:
    """Unit and meaning of a field of an analysis result that was joined to an enhanced file by ``focus export``.

    Where two names were alike, the kind of the analysis result stands before the name.
    """
    group, _, name = place.partition("/")
    if place == "uns/focus_analyses":
        return "", "provenance of what focus export has joined to the file"
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
