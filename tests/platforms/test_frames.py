"""Sections, fields of view and planes that share one frame are distinguished from those that lie side by side."""

import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms.depth import planes, z_column
from focus_cli.platforms.frame_groups import names_sections
from focus_cli.platforms.frames import choose_frame


def lattice(n=12, pitch=100.0, shift=(0.0, 0.0)):
    row, col = np.divmod(np.arange(n * n), n)
    return np.column_stack([(col + 0.5 * (row % 2)) * pitch, row * pitch * np.sqrt(3) / 2]) + shift


def cells(rng, n=300, side=300.0, apart=8.0):
    """Random places that keep a distance, as cells do."""
    kept = np.zeros((0, 2))
    while len(kept) < n:
        new = rng.uniform(0, side, 2)
        if not len(kept) or np.min(np.linalg.norm(kept - new, axis=1)) > apart:
            kept = np.vstack([kept, new])
    return kept


def overlay(parts, column, names=None):
    names = names or [f"p{i}" for i in range(len(parts))]
    labels = np.repeat(names, [len(p) for p in parts])
    return pd.DataFrame({column: pd.Categorical(labels)}), np.vstack(parts)


@pytest.mark.parametrize(
    "column",
    [
        *("library_id", "sample", "Sample_ID", "slide_ID", "batch", "section", "slice", "fov", "puck", "replicate"),
        *("ImageId", "orig.ident", "donor_id", "Run_Tissue_name", "capture_area", "tissue_section", "whatever"),
    ],
)
def test_sections_on_one_another_are_refused_by_name(column):
    obs, xy = overlay([lattice(), lattice(shift=(7.0, 11.0))], column)
    with pytest.raises(UsageError, match=r"a\.h5ad holds 2 regions in one frame.*p0, p1") as refused:
        choose_frame(obs, xy, where="a.h5ad")
    assert "--region p0" in refused.value.hint
    for region in ("p1", f"{column}=p1"):
        frame = choose_frame(obs, xy, where="a.h5ad", region=region)
        np.testing.assert_array_equal(frame.rows, np.arange(144, 288))
        assert frame.labels == ("p1",)
    with pytest.raises(UsageError, match="no region 'p2'") as refused:
        choose_frame(obs, xy, where="a.h5ad", region="p2")
    assert "p0, p1" in refused.value.hint


@pytest.mark.parametrize("shift", [(0, 0), (30, 20), (500, 0), (600, 400)])
@pytest.mark.parametrize("kind", ["spots", "cells"])
def test_sections_that_overlap_in_part(kind, shift):
    rng = np.random.default_rng(3)
    parts = [lattice(), lattice()] if kind == "spots" else [cells(rng) * 4, cells(rng) * 4]
    obs, xy = overlay([parts[0], parts[1] + shift], "sample")
    with pytest.raises(UsageError, match="2 regions"):
        choose_frame(obs, xy, where="a")


def test_a_section_of_few_and_one_of_many_locations():
    obs, xy = overlay([lattice(20), lattice(6, shift=(700, 700))], "sample")
    with pytest.raises(UsageError, match="2 regions"):
        choose_frame(obs, xy, where="a")


@pytest.mark.parametrize("column", ["fov", "sample", "core", "region", "slide_ID"])
@pytest.mark.parametrize("size", [4, 12, 30])
def test_groups_side_by_side_are_one_frame(column, size):
    rng = np.random.default_rng(size)
    parts = [rng.uniform(0, 100, (size * 5, 2)) + np.array([i, j]) * 100 for i in range(5) for j in range(4)]
    obs, xy = overlay(parts, column, names=[str(i) for i in range(20)])
    frame = choose_frame(obs, xy, where="a")
    assert len(frame.rows) == len(xy)
    said = any("side by side" in line for line in frame.warnings)
    assert said == (column not in ("fov", "region"))
    if column != "region":
        assert len(choose_frame(obs, xy, where="a", region=f"{column}=3").rows) == size * 5


def test_positions_within_fields_of_view():
    rng = np.random.default_rng(0)
    obs, xy = overlay([rng.uniform(0, 4256, (60, 2)) for _ in range(30)], "fov", [str(i + 1) for i in range(30)])
    with pytest.raises(UsageError, match=r"30 regions.*\(1, 2, 3, 4, 5, 6, 7, 8, …\)"):
        choose_frame(obs, xy, where="a")
    assert list(choose_frame(obs, xy, where="a", region="12").rows) == list(range(11 * 60, 12 * 60))


def test_small_fields_of_view():
    rng = np.random.default_rng(0)
    obs, xy = overlay([rng.uniform(0, 4256, (7, 2)) for _ in range(50)], "fov")
    with pytest.raises(UsageError, match="50 regions"):
        choose_frame(obs, xy, where="a")


@pytest.mark.parametrize("n_types", [2, 5, 12])
@pytest.mark.parametrize("kind", ["spots", "cells", "poisson"])
@pytest.mark.parametrize("column", ["cell_type", "cluster", "whatever"])
def test_types_of_one_section_are_no_sections(column, kind, n_types):
    rng = np.random.default_rng(n_types)
    of_kind = {"spots": lambda: lattice(24), "cells": lambda: cells(rng, 600)}
    xy = of_kind.get(kind, lambda: rng.uniform(0, 1, (900, 2)))()
    obs = pd.DataFrame({column: rng.choice([f"t{i}" for i in range(n_types)], len(xy))})
    frame = choose_frame(obs, xy, where="a")
    assert len(frame.rows) == len(xy) and not frame.warnings


def test_domains_and_rare_types():
    rng = np.random.default_rng(0)
    xy = cells(rng, 800, 500)
    domain = np.where(xy[:, 0] + 40 * np.sin(xy[:, 1] / 50) > 250, "tumour", "stroma")
    rare = np.where(rng.random(800) < 0.05, "rare", "usual")
    obs = pd.DataFrame({"annotation": domain, "kind": rare, "in_tissue": 1, "flag": rng.random(800) < 0.5})
    assert len(choose_frame(obs, xy, where="a").rows) == 800


def test_region_of_a_file_with_one_section():
    xy = lattice()
    obs = pd.DataFrame({"library_id": ["left"] * len(xy)})
    assert len(choose_frame(obs, xy, where="a", region="left").rows) == len(xy)
    with pytest.raises(UsageError, match="no region 'right'") as refused:
        choose_frame(obs, xy, where="a", region="right")
    assert "leave --region out" in refused.value.hint


def test_fields_within_slides():
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (800, 2))
    obs = pd.DataFrame({"slide": np.repeat(["s1", "s2"], 400), "fov": np.tile(np.repeat([1, 2], 200), 2)})
    with pytest.raises(UsageError, match="s1, s2"):
        choose_frame(obs, xy, where="a")
    with pytest.raises(UsageError, match="s1,1, s1,2") as refused:
        choose_frame(obs, xy, where="a", region="s1")
    assert "--region s1,1" in refused.value.hint
    for region in ("s2,1", "slide=s2,fov=1"):
        np.testing.assert_array_equal(choose_frame(obs, xy, where="a", region=region).rows, np.arange(400, 600))


def test_locations_without_a_section_are_reported():
    obs, xy = overlay([lattice(), lattice()], "sample")
    obs["sample"] = obs["sample"].astype(object)
    obs.loc[5:9, "sample"] = np.nan
    with pytest.raises(UsageError, match=r"\(p0, p1\)"):
        choose_frame(obs, xy, where="a")
    frame = choose_frame(obs, xy, where="a", region="p0")
    assert len(frame.rows) == 139 and any("5 locations have no name" in line for line in frame.warnings)


def test_libraries_that_no_column_names():
    obs = pd.DataFrame(index=[f"c{i}" for i in range(144)])
    with pytest.raises(UsageError, match=r"2 libraries \(left, right\), and no column"):
        choose_frame(obs, lattice(), where="a", libraries=["left", "right"])
    obs["anything"] = "left"
    assert len(choose_frame(obs, lattice(), where="a", libraries=["left", "right"]).rows) == 144


@pytest.mark.parametrize("form", ["{name}-{library}", "{library}_{name}"])
def test_libraries_that_barcodes_name(form):
    names = [form.format(name=f"c{i}", library="left" if i < 72 else "right") for i in range(144)]
    obs = pd.DataFrame(index=names)
    with pytest.raises(UsageError, match=r"by the barcodes \(left, right\)"):
        choose_frame(obs, lattice(), where="a", libraries=["left", "right"])
    assert len(choose_frame(obs, lattice(), where="a", libraries=["left", "right"], region="right").rows) == 72


def test_libraries_are_frames_even_where_positions_lie_apart():
    obs, xy = overlay([lattice(), lattice(shift=(1e5, 0))], "library", ["left", "right"])
    with pytest.raises(UsageError, match="2 regions"):
        choose_frame(obs, xy, where="a", libraries=["left", "right"])


def test_names_that_repeat_between_groups():
    xy = np.vstack([lattice(), lattice(shift=(1e5, 0))])
    obs = pd.DataFrame({"origin": np.repeat(["u", "v"], 144)})
    names = np.tile([f"c{i}" for i in range(144)], 2)
    with pytest.raises(UsageError, match=r"obs\['origin'\] \(u, v\)"):
        choose_frame(obs, xy, where="a", names=names)
    assert len(choose_frame(obs, xy, where="a", names=names, region="v").rows) == 144


def test_positions_that_coincide_without_a_reason():
    xy = np.vstack([lattice(), lattice()])
    with pytest.raises(BadInputError, match="144 of 288 locations share their exact position"):
        choose_frame(pd.DataFrame(index=range(288)), xy, where="a")
    few = np.vstack([lattice(), lattice()[:5]])
    assert len(choose_frame(pd.DataFrame(index=range(149)), few, where="a").rows) == 149


@pytest.mark.parametrize("form", ["{}-{}", "{}_{}", "{1}:{0}"])
def test_barcodes_that_were_numbered_when_sections_were_joined(form):
    xy = np.vstack([lattice(), lattice(shift=(20, 33))])
    names = np.array([form.format(f"AC{i % 144}", 1 + i // 144) for i in range(288)])
    obs = pd.DataFrame({"total": 1.0}, index=names)
    with pytest.raises(UsageError, match=r"of barcodes \(1, 2\)"):
        choose_frame(obs, xy, where="a", names=names)
    np.testing.assert_array_equal(choose_frame(obs, xy, where="a", names=names, region="2").rows, np.arange(144, 288))
    apart = np.vstack([lattice(), lattice(shift=(1e4, 0))])
    assert len(choose_frame(obs, apart, where="a", names=names).rows) == 288


def test_places_on_the_array_that_repeat():
    row, col = np.divmod(np.arange(144), 12)
    xy = np.vstack([lattice(), lattice(shift=(20, 33))])
    obs = pd.DataFrame({"array_row": np.tile(row, 2), "array_col": np.tile(2 * col + row % 2, 2)})
    with pytest.raises(BadInputError, match="144 of 288 locations share their exact place on the array"):
        choose_frame(obs, xy, where="a")


def test_positions_that_are_not_numbers_are_left_to_their_own_check():
    xy = lattice(20)
    xy[::7] = np.nan
    obs = pd.DataFrame({"z": np.arange(400) % 3, "sample": np.arange(400) % 2, "kind": np.arange(400) % 4})
    with pytest.raises(UsageError):
        choose_frame(obs, xy, where="a")
    choose_frame(obs[["kind"]], np.full((400, 2), np.nan), where="a", z=np.full(400, np.nan))


# ---- depth ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["z", "Z", "global_z", "center_z", "z_centroid", "z_um", "Centroid_Z", "z_plane"])
def test_planes_in_a_column(name):
    rng = np.random.default_rng(0)
    xy, z = rng.uniform(0, 300, (400, 2)), np.repeat([0.0, 10.0, 20.0, 30.0], 100)
    with pytest.raises(UsageError, match=r"4 regions in one frame, by z \(z=0, z=10, z=20, z=30\)"):
        choose_frame(pd.DataFrame({name: z}), xy, where="a")
    for region in ("z=20", "20"):
        frame = choose_frame(pd.DataFrame({name: z}), xy, where="a", region=region)
        np.testing.assert_array_equal(frame.rows, np.arange(200, 300))


def test_planes_that_jitter_and_depth_that_does_not_step():
    rng = np.random.default_rng(0)
    xy, z = rng.uniform(0, 300, (400, 2)), np.repeat([0.0, 10.0, 20.0], [100, 100, 200]) + rng.normal(0, 0.05, 400)
    assert len(set(planes(z))) == 3
    with pytest.raises(UsageError, match="3 regions"):
        choose_frame(pd.DataFrame(index=range(400)), xy, where="a", z=z)
    depth = rng.uniform(0, 30, 400)
    assert planes(depth) is None
    frame = choose_frame(pd.DataFrame(index=range(400)), xy, where="a", z=depth)
    assert len(frame.rows) == 400 and "z is left out" in frame.warnings[0]


def test_planes_side_by_side_are_a_tilted_section():
    xy = lattice(20)
    z = np.floor(xy[:, 0] / 700)
    frame = choose_frame(pd.DataFrame({"z": z}), xy, where="a")
    assert len(frame.rows) == 400 and "z is left out" in frame.warnings[0]


def test_planes_of_one_layer_of_cells():
    rng = np.random.default_rng(0)
    xy, z = cells(rng, 500), rng.integers(0, 5, 500) * 5.0
    frame = choose_frame(pd.DataFrame({"z": z}), xy, where="a")
    assert len(frame.rows) == 500 and "z is left out" in frame.warnings[0]
    stack = np.vstack([cells(rng, 150) for _ in range(3)])
    with pytest.raises(UsageError, match="3 regions"):
        choose_frame(pd.DataFrame({"z": np.repeat([0, 1, 2], 150)}), stack, where="a")


def test_constant_depth_is_none():
    xy = lattice()
    frame = choose_frame(pd.DataFrame({"z": np.full(144, 5.0)}), xy, where="a", z=np.zeros(144))
    assert not frame.warnings and z_column(pd.DataFrame({"z": np.full(3, 5.0)})) == (None, "")


@pytest.mark.parametrize(
    "name", ["n_samples", "fov_x", "sample_type", "cell_type", "leiden", "area", "array_row", "x", "total_counts", ""]
)
def test_names_of_other_things(name):
    assert names_sections(name) is None


# ---- groups that share the area of one section ---------------------------------------------------------------


@pytest.mark.parametrize("column", ["donor", "batch", "imaging_batch", "orig.ident", "rep", "Run"])
@pytest.mark.parametrize("kind", ["spots", "cells"])
def test_donors_and_batches_among_each_other_are_one_section(column, kind):
    rng = np.random.default_rng(4)
    xy = lattice(18) if kind == "spots" else cells(rng)
    obs = pd.DataFrame({column: rng.choice(["a", "b", "c"], len(xy))})
    frame = choose_frame(obs, xy, where="a")
    assert len(frame.rows) == len(xy)
    assert any("among each other" in line and column in line for line in frame.warnings)
    chosen = choose_frame(obs, xy, where="a", region="b")
    np.testing.assert_array_equal(chosen.rows, np.flatnonzero(obs[column] == "b"))


def test_places_of_a_slide_are_never_one_section():
    obs = pd.DataFrame({"sample_id": np.random.default_rng(4).choice(["a", "b"], 324)})
    with pytest.raises(UsageError, match="2 regions"):
        choose_frame(obs, lattice(18), where="a")


@pytest.mark.parametrize("shift", [(50, 28), (50, 0), (10, 10), (33, 19)])
@pytest.mark.parametrize("n", [2, 3])
def test_arrays_of_several_donors_on_one_another(shift, n):
    obs, xy = overlay([lattice(shift=np.array(shift) * i) for i in range(n)], "donor")
    with pytest.raises(UsageError, match=f"{n} regions"):
        choose_frame(obs, xy, where="a")


@pytest.mark.parametrize("column", ["donor", "batch", "mouse"])
def test_a_small_section_within_a_large_one(column):
    rng = np.random.default_rng(4)
    obs, xy = overlay([cells(rng, 600, 500.0), cells(rng, 70, 160.0) + 150], column)
    with pytest.raises(UsageError, match="2 regions"):
        choose_frame(obs, xy, where="a")


@pytest.mark.parametrize("column", ["z_layer", "plane", "z_slice"])
def test_planes_that_have_names(column):
    rng = np.random.default_rng(5)
    obs, xy = overlay([cells(rng, 100) for _ in range(3)], column, ["top", "middle", "bottom"])
    with pytest.raises(UsageError, match="3 regions"):
        choose_frame(obs, xy, where="a")
    assert len(choose_frame(obs, xy, where="a", region="middle").rows) == 100


def test_a_few_coincident_positions_are_stated():
    xy = cells(np.random.default_rng(6))
    xy[:4] = 0
    frame = choose_frame(pd.DataFrame(index=range(len(xy))), xy, where="a")
    assert any("3 locations share their exact position" in line for line in frame.warnings)


DEEP = {
    "fractions": ("z", lambda rng: rng.uniform(0, 90, 400), "z from "),
    "a depth with fractions": (
        "depth",
        lambda rng: rng.uniform(0, 90, 400),
        "may have a third coordinate (depth from ",
    ),
    "a depth in pixels": ("tissue_depth_px", lambda rng: rng.uniform(0, 9, 400), "may have"),
    "many planes": ("z", lambda rng: np.arange(400) % 45, "z from 0 to 44, 45 levels"),
    "many planes with fractions": ("z_um", lambda rng: (np.arange(400) % 45) * 0.5, "z_um from 0 to 22, 45 levels"),
    "many planes as text": ("z", lambda rng: (np.arange(400) % 45).astype(str), "z from 0 to 44, 45 levels"),
    "fractions as a category": ("z", lambda rng: pd.Categorical(rng.uniform(0, 9, 400)), "z from "),
    "a unit in brackets": ("Z (µm)", lambda rng: rng.uniform(0, 90, 400), "Z (µm) from "),
    "points": ("spatial.z", lambda rng: rng.uniform(0, 90, 400), "spatial.z from "),
    "camels": ("CenterZ", lambda rng: rng.uniform(0, 90, 400), "CenterZ from "),
    "with gaps": ("z", lambda rng: np.where(np.arange(400) % 9, rng.uniform(0, 9, 400), np.nan), "z from "),
    "nanometres": ("z_nm", lambda rng: rng.integers(0, 90_000, 400), "z_nm from "),
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_of_many_values_is_stated_with_its_range(name):
    column, draw, said = DEEP[name]
    rng = np.random.default_rng(7)
    xy = rng.uniform(0, 300, (400, 2))
    frame = choose_frame(pd.DataFrame({column: draw(rng)}), xy, where="a.h5ad")
    (line,) = [line for line in frame.warnings if "third coordinate" in line]
    assert said in line and "z is left out" in line and "lie on top of each other" in line
    assert len(frame.rows) == 400


def test_depth_of_one_layer_lies_on_nothing():
    rng = np.random.default_rng(8)
    xy = cells(rng)
    frame = choose_frame(pd.DataFrame({"z": rng.uniform(0, 9, len(xy))}), xy, where="a")
    assert "left out" in frame.warnings[0] and "on top" not in frame.warnings[0]


@pytest.mark.parametrize("name", ["z_score", "zscore", "n_z", "sequencing_depth", "z_volume", "depth_score"])
def test_what_is_no_depth(name):
    rng = np.random.default_rng(9)
    frame = choose_frame(pd.DataFrame({name: rng.uniform(0, 90, 400)}), rng.uniform(0, 300, (400, 2)), where="a")
    assert frame.warnings == []


def test_a_depth_of_sequencing_is_no_coordinate():
    rng = np.random.default_rng(9)
    obs = pd.DataFrame({"depth": rng.integers(500, 30_000, 400)})
    assert choose_frame(obs, rng.uniform(0, 300, (400, 2)), where="a").warnings == []


def test_more_than_thirty_planes_with_names_are_chosen_from():
    rng = np.random.default_rng(10)
    obs, xy = overlay([cells(rng, 25, 90.0) for _ in range(35)], "plane", [f"top{i}" for i in range(35)])
    with pytest.raises(UsageError, match="35 regions"):
        choose_frame(obs, xy, where="a")


def test_depth_within_rounding_is_constant():
    xy = cells(np.random.default_rng(6))
    z = np.where(np.arange(len(xy)) % 2, 5.0, 5.0000001)
    assert choose_frame(pd.DataFrame(index=range(len(xy))), xy, where="a", z=z).warnings == []
