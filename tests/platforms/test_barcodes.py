"""Barcodes whose ends differ between counts and positions: matched and noted, or refused with the true cause."""

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.barcodes import match_positions

CORES = ["".join("ACGT"[d] for d in np.unravel_index(i, (4,) * 8)) for i in range(40)]


def matched(names, others, **options):
    adata = anndata.AnnData(np.arange(len(names), dtype=np.float32)[:, None], obs=pd.DataFrame(index=names))
    table = pd.DataFrame({"place": np.arange(len(others))}, index=others)
    return match_positions(adata, table, "m.h5", "p.csv", **options)


ENDS = {
    "matrix without": ("{}", "{}-1"),
    "positions without": ("{}-1", "{}"),
    "name in front of the matrix": ("S1_{}-1", "{}-1"),
    "name in front of the positions": ("{}-1", "sampleA#{}-1"),
    "name in front and no end": ("P1-{}", "{}-1"),
    "points for dashes": ("{}.1", "{}-1"),
    "one library of several": ("{}-2", "{}"),
}


@pytest.mark.parametrize("ends", ENDS)
def test_matched_by_the_barcode_proper_with_a_note(ends):
    mine, theirs = ENDS[ends]
    order = np.random.default_rng(0).permutation(40)
    adata, notes = matched([mine.format(c) for c in CORES], [theirs.format(CORES[i]) for i in order])
    assert list(adata.obs_names) == [mine.format(c) for c in CORES]
    assert [CORES[order[place]] for place in adata.obs["place"]] == CORES
    assert len(notes) == 1 and "differ at their ends" in notes[0]


def test_bins_too():
    adata, notes = matched(
        [f"s_008um_{i:05d}_00000" for i in range(9)], [f"s_008um_{i:05d}_00000-1" for i in range(12)]
    )
    assert list(adata.obs["place"]) == list(range(9)) and notes


def test_the_same_names_need_no_note():
    adata, notes = matched(CORES, CORES)
    assert notes == [] and list(adata.obs["place"]) == list(range(40))


REFUSED = {
    "two libraries": ([f"{c}-1" for c in CORES], [f"{c}-2" for c in CORES], "end in -1, those of the table in -2"),
    "matrix of several": (
        [f"{c}-{i}" for c in CORES for i in (1, 2)],
        CORES,
        "barcodes of the matrix are of 2 kinds (…-1, …-2)",
    ),
    "positions of several": (
        [*CORES],
        [f"{c}-{i}" for c in CORES for i in (1, 2)],
        "barcodes of the positions table are of 2 kinds",
    ),
    "names of several in front": (
        [f"{s}_{c}-1" for s in ("A", "B") for c in CORES],
        [f"{c}-1" for c in CORES],
        "A_…-1, B_…-1",
    ),
    "other sequences": ([c + "A" for c in CORES], [c + "C-1" for c in CORES], "different samples or bin sizes"),
    "other bins": (["s_002um_00001_00001-1"], ["s_008um_00001_00001-1"], "different samples or bin sizes"),
    "rounded": ([f"1E+{i}" for i in range(40)], CORES, "rounded"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_true_cause(case):
    names, others, cause = REFUSED[case]
    with pytest.raises(BadInputError, match="positions do not match the matrix: 0 of") as refusal:
        matched(names, others)
    assert cause in refusal.value.hint


def test_a_transposed_matrix_is_the_cause_that_is_named():
    adata = anndata.AnnData(np.ones((5, 40), np.float32))
    adata.obs_names, adata.var_names = [f"GENE{i}" for i in range(5)], [f"{c}-1" for c in CORES]
    with pytest.raises(BadInputError) as refusal:
        match_positions(adata, pd.DataFrame({"place": range(40)}, index=adata.var_names), "m.h5", "p.csv")
    assert "transposed" in refusal.value.hint


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(CORES), unique=True, min_size=1),
    st.sampled_from(["", "A_", "x-y-", "GSM1#"]),
    st.sampled_from(["", "-1", ".1", "_3"]),
    st.randoms(use_true_random=False),
)
def test_nobody_gets_a_stranger_s_place(cores, front, end, random):
    others = CORES.copy()
    random.shuffle(others)
    adata, _ = matched([f"{front}{c}{end}" for c in cores], others)
    assert [others[place] for place in adata.obs["place"]] == cores
