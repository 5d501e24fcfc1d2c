"""Every real folder loads as an independent read has it, or is refused for the right reason; none is forgotten."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import io

from focus_cli.core.errors import FocusError
from focus_cli.platforms import read

pytestmark = pytest.mark.realdata


@dataclass
class Truth:
    """An independent read: counts as locations × genes, or their sums; µm of locations where they are compared."""

    totals: pd.Series  # of every location, by name
    n_genes: int
    um: np.ndarray | None = None  # (n, 2), in the order of totals

    @classmethod
    def of(cls, counts: pd.DataFrame, um: Any = None) -> Truth:
        return cls(counts.sum(axis=1).astype(float), counts.shape[1], None if um is None else np.asarray(um, float))


@dataclass
class Loads:
    """A folder that is read, with the options that it needs."""

    platform: str
    truth: Callable[[Path], Truth]
    options: dict[str, Any] = field(default_factory=dict)
    part: str = ""


@dataclass
class Refused:
    """A folder that is refused in one line."""

    exit_code: int
    says: str
    options: dict[str, Any] = field(default_factory=dict)
    part: str = ""


# ---- independent reads ---------------------------------------------------------------------------------------


def h5(name: str) -> Callable[[Path], Truth]:
    def of(folder: Path) -> Truth:
        with h5py.File(folder / name) as file:
            matrix = file["matrix"]
            genes = matrix["features/feature_type"].asstr()[:] == "Gene Expression"
            data, at = matrix["data"][:].astype(float), matrix["indices"][:]
            column = np.repeat(np.arange(len(matrix["barcodes"])), np.diff(matrix["indptr"][:]))
            totals = np.bincount(column, weights=data * genes[at], minlength=len(matrix["barcodes"]))
            return Truth(pd.Series(totals, index=matrix["barcodes"].asstr()[:]), int(genes.sum()))

    return of


def xenium(cells: str) -> Callable[[Path], Truth]:
    def of(folder: Path) -> Truth:
        truth = h5("cell_feature_matrix.h5")(folder)
        table = pd.read_parquet(folder / cells) if cells.endswith("parquet") else pd.read_csv(folder / cells)
        ids = table["cell_id"].map(lambda v: v.decode() if isinstance(v, bytes) else str(v))
        truth.um = table.set_index(ids).loc[truth.totals.index, ["x_centroid", "y_centroid"]].to_numpy()
        return truth

    return of


def visium_mtx(folder: Path) -> Truth:
    matrix = io.mmread(folder / "filtered_feature_bc_matrix" / "matrix.mtx").T.toarray()
    names = (folder / "filtered_feature_bc_matrix" / "barcodes.tsv").read_text().split()
    return Truth.of(pd.DataFrame(matrix, index=names))


def cosmx(folder: Path) -> Truth:
    counts = pd.read_csv(next(folder.glob("*exprMat_file.csv")))
    counts = counts[counts["cell_ID"] != 0]
    genes = [c for c in counts if c not in ("fov", "cell_ID") and not c.startswith("NegPrb")]
    names = [f"{fov}_{cell}" for fov, cell in zip(counts["fov"], counts["cell_ID"])]
    return Truth.of(counts[genes].set_axis(names, axis=0))


def merscope(counts: str, cells: str) -> Callable[[Path], Truth]:
    def of(folder: Path) -> Truth:
        table = pd.read_csv(folder / counts, index_col=0, dtype={0: str})
        table.index = table.index.astype(str)
        places = pd.read_csv(folder / cells, index_col=0)
        places.index = places.index.astype(str)
        table = table[[c for c in table if not c.lower().startswith("blank")]]
        table = table[table.index.isin(places.index)]
        return Truth.of(table, places.loc[table.index, ["center_x", "center_y"]])

    return of


def slideseq(folder: Path) -> Truth:
    counts = pd.read_csv(folder / "MappedDGEForR.csv", index_col=0).T
    places = pd.read_csv(folder / "BeadLocationsForR.csv").set_index("barcodes")[["xcoord", "ycoord"]]
    return Truth.of(counts, places.loc[counts.index] * 0.65)


def osmfish(folder: Path) -> Truth:
    with h5py.File(next(folder.glob("*.loom"))) as loom:
        valid = loom["col_attrs/Valid"][:] == 1
        names = loom["col_attrs/CellID"][:][valid].astype(str)
        um = np.column_stack([loom["col_attrs/X"][:], loom["col_attrs/Y"][:]])[valid] * 0.065
        return Truth.of(pd.DataFrame(loom["matrix"][:].T[valid], index=names), um)


def dbit(folder: Path) -> Truth:
    with zipfile.ZipFile(folder / "FFPE-2_exp_matrix.zip") as archive, archive.open(archive.namelist()[0]) as table:
        genes = len(table.readline().split(b"\t")) - 1
        totals = {}
        for line in table:
            name, values = line.split(b"\t", 1)
            totals[name.decode()] = np.fromstring(values, sep="\t").sum()
    at = np.array([[int(v) for v in name.split("x")] for name in totals], float)
    return Truth(pd.Series(totals), genes, (2 * (at - 1) + 0.5) * 25)


def giotto(counts: str, um: Callable[[Path, pd.Index], Any]) -> Callable[[Path], Truth]:
    """Genes × cells divided by blanks, as R writes them."""

    def of(folder: Path) -> Truth:
        with gzip.open(folder / counts, "rt") as stream:
            cells = [word.strip('"') for word in stream.readline().split()]
            values = {words[0]: np.array(words[1:], float) for words in map(str.split, stream)}
        table = pd.DataFrame(values, index=cells)
        return Truth.of(table, um(folder, table.index))

    return of


def seqfish_um(folder: Path, cells: pd.Index) -> Any:
    return pd.read_csv(folder / "seqfish_field_locs.txt", sep=" ", index_col=0).loc[cells] * 0.103


def listed_um(name: str, sep: str, mpp: float) -> Callable[[Path, pd.Index], Any]:
    return lambda folder, cells: pd.read_csv(folder / name, sep=sep, header=None).to_numpy()[:, :2] * mpp


def by_place(counts: str, sep: str) -> Callable[[Path], Truth]:
    """Spots × genes of legacy ST, whose names are their places."""

    def of(folder: Path) -> Truth:
        table = pd.read_csv(folder / counts, sep=sep, index_col=0)
        at = np.array([[float(v) for v in name.split("x")] for name in table.index])
        return Truth.of(table, at * 200)

    return of


def starmap(mouse: str) -> Callable[[Path], Truth]:
    def of(folder: Path) -> Truth:
        counts = pd.read_csv(folder / f"{mouse}_counts.csv.gz", index_col=0)
        return Truth.of(
            counts, pd.read_csv(folder / f"{mouse}_cells.csv", index_col=0).loc[counts.index, ["x", "y"]] * 0.1
        )

    return of


# ---- what each folder gives ----------------------------------------------------------------------------------

BZ5, BZ9 = "20180417_BZ5_control", "20180419_BZ9_control"
SEQFISH = {"counts": "seqfish_field_expr.txt.gz", "positions": "seqfish_field_locs.txt"}
STARMAP3D = {"counts": "starmap_expr.txt.gz", "positions": "starmap_cell_loc.txt", "mpp": 0.1}
DENTATE = {"counts": "visium_DG_expr.txt.gz", "positions": "visium_DG_locs.txt", "mpp": 0.7}
NO_COUNTS = "there are no counts of cells"
NO_PLATFORM = "no known platform wrote this"

OUTCOMES: dict[str, list[Loads | Refused]] = {
    "native/cosmx": [Loads("cosmx", cosmx)],
    "native/cosmx_transcripts": [Refused(4, NO_COUNTS, part=part) for part in ("sample_1", "sample_2")],
    "native/cycif": [Refused(3, "not whole numbers")],
    "native/dbitseq": [Loads("dbit", dbit, {"bin_um": 25})],
    "native/image_mismatch": [Refused(4, "µm per pixel is unknown")],
    "native/merfish_mtx": [Refused(3, "3 columns where Space Ranger writes 6|not whole numbers")],
    "native/merscope": [Loads("merscope", merscope("Liver1Slice1_cell_by_gene.csv", "Liver1Slice1_cell_metadata.csv"))],
    "native/merscope_cellbound": [Loads("merscope", merscope("cell_by_gene.csv", "cell_metadata.csv"))],
    "native/merscope_transcripts": [Refused(4, NO_COUNTS)],
    "native/merscope_vpt": [
        Loads("merscope", merscope("cell_by_gene.csv", "cell_metadata.csv"), part="region_cells"),
        Refused(4, "cell_metadata.csv is missing", part="region_small"),
    ],
    "native/osmfish": [Loads("osmfish", osmfish)],
    "native/seqfishplus": [
        Refused(3, NO_PLATFORM),
        Refused(4, "unit of 'sdimx' and 'sdimy' is unknown", {"platform": "tables", **SEQFISH}),
        Loads("tables", giotto(SEQFISH["counts"], seqfish_um), {"mpp": 0.103, **SEQFISH}),
    ],
    "native/slideseq": [Loads("slideseq", slideseq)],
    "native/starmap3d": [
        Refused(3, NO_PLATFORM),
        Refused(3, "is no header", {"platform": "tables", **STARMAP3D}),
        Refused(2, "no column holds the names of the locations", {"platform": "tables", "xy": "1,2", **STARMAP3D}),
        Loads(
            "tables",
            giotto(STARMAP3D["counts"], listed_um(STARMAP3D["positions"], "\t", 0.1)),
            {"xy": "1,2", "in_order": True, **STARMAP3D},
        ),
    ],
    "native/visium_hd": [Loads("visium_hd", h5("binned_outputs/square_008um/filtered_feature_bc_matrix.h5"))],
    "native/visium_hd_2um": [Refused(3, "no counts|no transcript|no UMI")],
    "native/visium_tables": [
        Refused(3, NO_PLATFORM),
        Refused(3, "is no header", {"platform": "tables", **DENTATE}),
        Loads(
            "tables",
            giotto(DENTATE["counts"], listed_um(DENTATE["positions"], " ", 0.7)),
            {"xy": "1,2", "in_order": True, **DENTATE},
        ),
    ],
    "native/visium_v1": [Loads("visium", h5("filtered_feature_bc_matrix.h5"))],
    "native/visium_v1_raw": [Loads("visium", h5("raw_feature_bc_matrix.h5"))],
    "native/visium_v2": [Loads("visium", visium_mtx)],
    "native/xenium": [Loads("xenium", xenium("cells.parquet"))],
    "native/xenium_mouse_brain_tiny": [Refused(4, NO_COUNTS, part=part) for part in ("sample1", "sample2")],
    "sections/st_breast_layers": [
        Refused(2, "weak sign"),
        Refused(2, "slice1, slice2, slice3, slice4", {"platform": "legacy_st"}),
        *(Loads("legacy_st", by_place(f"slice{n}.csv.gz", ","), {"region": f"slice{n}"}) for n in (1, 2, 3, 4)),
    ],
    "sections/st_pdac": [
        Refused(2, "several platforms fit"),
        Loads("legacy_st", by_place("PDAC-A.tsv.gz", "\t"), {"platform": "legacy_st"}),
        Loads(
            "tables",
            by_place("PDAC-A.tsv.gz", "\t"),
            {"counts": "PDAC-A.tsv.gz", "positions": "spatial_location.csv", "mpp": 200},
        ),
    ],
    "sections/starmap_mpfc": [
        Refused(3, NO_PLATFORM),
        *(
            Loads(
                "tables",
                starmap(mouse),
                {"counts": f"{mouse}_counts.csv.gz", "positions": f"{mouse}_cells.csv", "mpp": 0.1},
            )
            for mouse in (BZ5, BZ9)
        ),
    ],
    "sections/visium_colon": [Loads("visium", h5("filtered_feature_bc_matrix.h5"))],
    "sections/xenium_pancreas": [Loads("xenium", xenium("cells.csv.gz"))],
}
CASES = [(name, outcome) for name, outcomes in OUTCOMES.items() for outcome in outcomes]


def test_no_folder_is_forgotten(focus_data):
    held = {f"{kind}/{p.name}" for kind in ("native", "sections") for p in (focus_data / kind).iterdir() if p.is_dir()}
    assert held == set(OUTCOMES)


@pytest.mark.parametrize(
    ("name", "outcome"), CASES, ids=[f"{name}-{type(outcome).__name__}-{i}" for i, (name, outcome) in enumerate(CASES)]
)
def test_every_folder(name, outcome, focus_data):
    folder = focus_data / name / outcome.part
    options = dict(outcome.options)
    if isinstance(outcome, Refused):
        with pytest.raises(FocusError, match=outcome.says) as caught:
            read(folder, **options)
        assert caught.value.exit_code == outcome.exit_code
        assert caught.value.hint and "\n" not in caught.value.message
        return
    if outcome.platform in ("tables", "legacy_st"):
        options["platform"] = outcome.platform
    sample, truth = read(folder, **options), outcome.truth(folder)
    adata = sample.adata
    assert sample.platform.name == outcome.platform
    assert adata.shape == (len(truth.totals), truth.n_genes)
    totals = np.asarray(adata.X.sum(axis=1, dtype=np.float64)).ravel()
    assert totals.sum() == truth.totals.sum()
    if set(adata.obs_names) != set(truth.totals.index):  # the vendor's own names of cells
        np.testing.assert_array_equal(np.sort(totals), np.sort(truth.totals.to_numpy()))
        return
    at = truth.totals.index.get_indexer(adata.obs_names)
    np.testing.assert_array_equal(totals, truth.totals.to_numpy()[at])
    if truth.um is not None:  # distances, whatever the origin and the direction of y
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, len(at), (2, 500))
        seen, known = adata.obsm["spatial_um"], truth.um[at]
        expected = np.linalg.norm(known[a] - known[b], axis=1)
        np.testing.assert_allclose(np.linalg.norm(seen[a] - seen[b], axis=1), expected, rtol=2e-3, atol=1e-6)
