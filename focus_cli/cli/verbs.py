"""The verbs of ``focus``, one line each, in the order of the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_INSPECTION, _HISTOLOGY, _ENHANCEMENT = "Inspection", "Histology", "Enhancement"
_ANALYSIS, _EVALUATION, _WORKFLOW = "Analysis", "Evaluation and reports", "Workflow"


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes
    ----------
    group
        Heading of the help under which it is listed.
    module
        Module that holds its ``command``, or an ``analyse`` of which `analysis_verb` makes one; None: the module of
        `focus_cli.cli` that has the verb's name. It is imported when the verb, or the whole help, is requested, and
        imports numpy and heavier libraries only when it runs.
    """

    group: str
    module: str | None = None


VERBS = {
    "inspect": Verb(_INSPECTION),
    "genes": Verb(_INSPECTION),
    "explain": Verb(_INSPECTION),
    "doctor": Verb(_INSPECTION),
    "pretrain": Verb(_HISTOLOGY),
    "features": Verb(_HISTOLOGY),
    "nuclei": Verb(_HISTOLOGY),
    "preprocess": Verb(_ENHANCEMENT),
    "reference": Verb(_ENHANCEMENT),
    "prior": Verb(_ENHANCEMENT),
    "corpus": Verb(_ENHANCEMENT),
    "train": Verb(_ENHANCEMENT),
    "enhance": Verb(_ENHANCEMENT),
    "embed": Verb(_ANALYSIS),
    "domains": Verb(_ANALYSIS),
    "celltypes": Verb(_ANALYSIS),
    "patterns": Verb(_ANALYSIS),
    "interactions": Verb(_ANALYSIS),
    "annotate": Verb(_ANALYSIS),
    "outcome": Verb(_ANALYSIS),
    "why": Verb(_ANALYSIS),
    "export": Verb(_ANALYSIS),
    "holdout": Verb(_EVALUATION),
    "evaluate": Verb(_EVALUATION),
    "report": Verb(_EVALUATION),
    "benchmark": Verb(_EVALUATION),
    "init": Verb(_WORKFLOW),
    "run": Verb(_WORKFLOW),
    "simulate": Verb(_WORKFLOW),
}


def help_groups() -> list[Any]:
    """Headings of the help with their verbs, as rich-click reads them."""
    headings = dict.fromkeys(verb.group for verb in VERBS.values())
    return [
        {"name": heading, "commands": [name for name, verb in VERBS.items() if verb.group == heading]}
        for heading in headings
    ]
