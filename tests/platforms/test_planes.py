"""Tables of cells with planes or fields of view that lie on top of each other: read one at a time, or refused."""

import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import UsageError
from focus_cli.platforms import read

N = 80
COUNTS = np.random.default_rng(0).poisson(2, (2 * N, 3)) + 1


def places(rng):
    row, col = np.divmod(np.arange(N), 9)
    return np.column_stack([col, row]) * 12.0 + rng.uniform(-2, 2, (N, 2))


def table(xy_names, extra):
    rng = np.random.default_rng(1)
    cells = pd.DataFrame(np.vstack([places(rng), places(rng)]), columns=list(xy_names))
    return cells.assign(**{extra: np.repeat([1, 2], N)})


def merfish(folder, extra):
    cells = table(("center_x", "center_y"), extra)
    cells.insert(0, "cell_id", [f"c{i}" for i in range(2 * N)])
    cells.assign(**{f"G{j}": COUNTS[:, j] for j in range(3)}).to_csv(folder / "merfish.csv", index=False)


def merfish_two(folder, extra):
    cells = table(("center_x", "center_y"), extra)
    cells.insert(0, "cell_id", [f"c{i}" for i in range(2 * N)])
    cells.to_csv(folder / "cell_metadata.csv", index=False)
    counts = pd.DataFrame(COUNTS, columns=["G0", "G1", "G2"], index=cells["cell_id"])
    counts.to_csv(folder / "counts.csv")


def seqfish(folder, extra):
    cells = table(("center_x", "center_y"), extra).assign(label=np.arange(2 * N), area=50.0)
    cells.to_csv(folder / "Roi1_CellCoordinates.csv", index=False)
    pd.DataFrame(COUNTS, columns=["G0", "G1", "G2"]).to_csv(folder / "Roi1_CellxGene.csv")


def starmap(folder, extra):
    names = [f"c{i}" for i in range(2 * N)]
    pd.DataFrame(COUNTS.T, index=["G0", "G1", "G2"], columns=names).to_csv(folder / "w_raw_expression_pd.csv")
    cells = table(("X", "Y"), "Z").astype(str)
    cells.insert(0, "NAME", names)
    types = pd.DataFrame([["TYPE", "numeric", "numeric", "numeric"]], columns=cells.columns)
    pd.concat([types, cells]).to_csv(folder / "w_spatial.csv", index=False)


@pytest.mark.parametrize(
    ("write", "extra", "names"),
    [
        (merfish, "z", "z=1, z=2"),
        (merfish, "global_z", "z=1, z=2"),
        (merfish, "fov", "1, 2"),
        (merfish_two, "center_z", "z=1, z=2"),
        (merfish_two, "fov", "1, 2"),
        (seqfish, "z", "z=1, z=2"),
        (starmap, "Z", "z=1, z=2"),
    ],
)
def test_one_of_two(tmp_path, write, extra, names):
    write(tmp_path, extra)
    with pytest.raises(UsageError, match=f"2 regions in one frame.*{names}"):
        read(tmp_path)
    for i, name in enumerate(names.split(", ")):
        sample = read(tmp_path, region=name)
        np.testing.assert_array_equal(sample.adata.X.toarray(), COUNTS[i * N : (i + 1) * N])
    with pytest.raises(UsageError, match="no region"):
        read(tmp_path, region="7")


def test_planes_of_one_section_of_several(tmp_path):
    cells = table(("center_x", "center_y"), "z")
    cells = pd.concat([cells.assign(section="A"), cells.assign(section="B")], ignore_index=True)
    cells.insert(0, "cell_id", [f"c{i}" for i in range(4 * N)])
    counts = np.vstack([COUNTS, COUNTS + 1])
    cells.assign(**{f"G{j}": counts[:, j] for j in range(3)}).to_csv(tmp_path / "merfish.csv", index=False)
    with pytest.raises(UsageError, match="section=A, section=B"):
        read(tmp_path)
    for region in ("B,z=2", "section=B,z=2"):
        np.testing.assert_array_equal(read(tmp_path, region=region).adata.X.toarray(), COUNTS[N:] + 1)
