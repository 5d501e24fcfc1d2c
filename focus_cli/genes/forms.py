"""The forms in which programs write the name of a gene: GRCh38_TP53, ENSG00000141510.12, TP53|ENSG00000141510."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

# Genomes as Cell Ranger, Seurat and kallisto prefix them, by species.
_GENOMES = {
    "human": r"GRCh3[78](?:-\d{4}-[A-Z])?|hg(?:19|38)|human|homo_sapiens",
    "mouse": r"GRCm3[89](?:-\d{4}-[A-Z])?|mm(?:9|10|39)(?:-\d{4}-[A-Z])?|mouse|mus_musculus",
    "rat": r"Rnor_?[67](?:\.0)?|mRatBN7(?:[._]\d)*|rn[67]|rat",
    "pig": r"Sscrofa11(?:\.1)?",
    "zebrafish": r"GRCz1[01]|danRer1[01]",
    "fruit fly": r"BDGP6|dm6",
}
_PREFIX = {
    species: re.compile(rf"(?:{genomes})(?:_+|-+|:+|\.+)(?=\S)", re.IGNORECASE) for species, genomes in _GENOMES.items()
}
_ANY_PREFIX = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in _PREFIX.values()), re.IGNORECASE)
_ID = r"ENS[A-Z]*G\d{11}"
_VERSION = r"(?:[._]\d{1,3})?"
_ID_ALONE = re.compile(rf"({_ID}){_VERSION}(?:_PAR_Y)?", re.IGNORECASE)
_BETWEEN = r"[\s_|:;,/\-(]+"
_ID_FIRST = re.compile(rf"({_ID})(?:\.\d{{1,3}})?{_BETWEEN}(\S.*?)[)\s]*", re.IGNORECASE)
_ID_LAST = re.compile(rf"(\S.*?){_BETWEEN}({_ID})(?:\.\d{{1,3}})?[)\s]*", re.IGNORECASE)
_PLAIN = re.compile(r"(?!ENS)[A-Z][A-Z0-9]*", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.0*)?")


@dataclass(frozen=True)
class NameParts:
    """What the names of a column hold, str arrays of its length; an empty string where there is nothing.

    Attributes
    ----------
    ensembl
        Ensembl gene ids without version.
    symbol
        What else is named; empty for a number alone.
    species
        Of the genome that a name is prefixed with, or of its id where `SPECIES_OF_ID` contains it.
    """

    ensembl: np.ndarray
    symbol: np.ndarray
    species: np.ndarray


def split_name(name: str) -> tuple[str, str, str]:
    """Ensembl id, symbol and species of the genome of one name, each "" where it holds none."""
    if _PLAIN.fullmatch(name):  # most names by far
        return "", name, ""
    if found := _ID_ALONE.fullmatch(name):
        return found[1].upper(), "", ""
    species = ""
    if _ANY_PREFIX.match(name):
        species, prefix = next((s, m) for s, pattern in _PREFIX.items() if (m := pattern.match(name)))
        name = name[prefix.end() :]
    if "ENS" in name.upper():
        if found := _ID_ALONE.fullmatch(name):
            return found[1].upper(), "", species
        if found := _ID_FIRST.fullmatch(name):
            return found[1].upper(), _without_number(found[2]), species
        if found := _ID_LAST.fullmatch(name):
            return found[2].upper(), _without_number(found[1]), species
    return "", _without_number(name), species


def _without_number(name: str) -> str:
    return "" if _NUMBER.fullmatch(name) else name


def split_names(names: np.ndarray) -> NameParts:
    """`split_name` of each of `names`, str objects (n,)."""
    parts = [split_name(name) if name else ("", "", "") for name in names.tolist()]
    ensembl, symbol, species = (np.array(part, dtype=str) for part in zip(*parts)) if parts else [np.zeros(0, "U1")] * 3
    return NameParts(ensembl, symbol, species)


def without_suffixes(symbols: np.ndarray, known: frozenset[str]) -> np.ndarray:
    """Symbols without the number that makes repeated ones unique: TBCE, TBCE-1 → TBCE, TBCE.

    anndata appends ``-1``, ``-2``, …; R ``.1``, ``.2``, …. A name is changed only where the name without its number is
    in the same table and the name itself is not in `known`: NKX2-1 is a gene.
    """
    there = set(symbols.tolist())
    bare = []
    for name in symbols.tolist():
        found = re.fullmatch(r"(.+?)[-.](\d{1,2})", name)
        bare.append(found[1] if found and found[1] in there and name not in known else name)
    return np.array(bare, dtype=str) if bare else symbols


def unique_names(names, ids=None):
    """Names, each once: a repeated one goes by its id, else by its name with a number, as anndata numbers them.

    Parameters
    ----------
    names
        Of genes or cells, an array or index of text.
    ids
        Id of each, or None; "" where there is none.

    Returns
    -------
    pandas.Index
    """
    import pandas as pd

    index = pd.Index(np.asarray(names, dtype=object).astype(str).astype(object))
    again = index.duplicated()
    if not again.any():
        return index
    taken, found = set(index), index.to_numpy(dtype=object).copy()
    own = [""] * len(found) if ids is None else list(ids)
    for row in np.flatnonzero(again):
        name, number = own[row] if own[row] not in taken else "", 0
        while not name or name in taken:
            number += 1
            name = f"{index[row]}-{number}"
        found[row] = name
        taken.add(name)
    return pd.Index(found)
