"""What is said of values that are no raw counts: the true cause, and what to do."""

import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.checks import check_counts, check_unique, whole_numbers
from focus_cli.platforms.count_scale import clipping_note, intensity_note

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(2.0, (60, 30)).astype(np.float64) + np.eye(60, 30)
CP10K = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4


def said(values, whole=True):
    with pytest.raises(BadInputError) as refused:
        check_counts(sparse.csr_matrix(values), "a", whole=whole)
    return refused.value.message, refused.value.hint


@pytest.mark.parametrize(("base", "name"), [(np.e, "e"), (2, "2"), (10, "10")])
@pytest.mark.parametrize("total", [1e4, 1e6])
def test_the_base_of_a_logarithm(base, name, total):
    message, hint = said(np.log1p(CP10K * total / 1e4) / np.log(base))
    assert "log-normalised" in message and f"base {name} of counts scaled to {total:.4g}" in message
    assert "layers['counts']" in hint


def test_log_values_of_a_part_of_the_panel():
    message, _ = said(np.log1p(CP10K)[:, :9])
    assert "log-normalised" in message and "base" not in message


def test_one_total():
    message, _ = said(CP10K)
    assert "each location's add up to about 1e+04" in message


@pytest.mark.parametrize("divisor", ["size factor", "cells", "volume"])
def test_counts_that_were_divided(divisor):
    factor = {"size factor": RNG.uniform(0.3, 3, 60), "cells": RNG.integers(2, 9, 60) + 0.5, "volume": 977.13}[divisor]
    message, _ = said(COUNTS / np.reshape(factor, (-1, 1)) * 37.1)
    assert "multiples of its smallest" in message


@pytest.mark.parametrize("normalised", [CP10K, np.log1p(CP10K)])
@pytest.mark.parametrize("axis", ["rows", "columns", "last rows", "tenth"])
def test_blocks_on_different_scales(normalised, axis):
    mixed = COUNTS.copy()
    where = {"rows": np.s_[:30], "columns": np.s_[:, 15:], "last rows": np.s_[50:], "tenth": np.s_[::10]}[axis]
    mixed[where] = normalised[where]
    message, hint = said(mixed)
    assert "different scales" in message and ("genes" if axis == "columns" else "locations") in message
    assert "of all" in hint


@pytest.mark.parametrize("other", [np.rint(CP10K), COUNTS * 10])
def test_counts_beside_scaled_whole_numbers(other):
    mixed = np.vstack([COUNTS, other])
    assert "different scales: 60 locations hold no value below 5" in said(mixed)[0]
    deep = COUNTS * 10 + RNG.integers(0, 5, COUNTS.shape)  # of one scale: a deep panel may look so
    check_counts(sparse.csr_matrix(deep * (COUNTS > 0)), "a")


def test_rounding_errors_are_named():
    message, hint = said(COUNTS * (1 + 1e-6))
    assert "errors of rounding" in message and "round them" in hint


def test_a_single_value():
    odd = COUNTS.copy()
    odd[7, 3] = 3.5
    assert "1 of" in said(odd)[0] and "3.5" in said(odd)[0]


@pytest.mark.parametrize("last", [0.5, -1.0, np.nan])
def test_every_value_is_looked_at(last):
    values = np.ones(2_300_001, dtype=np.float32)
    values[-1] = last
    matrix = sparse.csr_matrix((values, np.zeros(len(values), int), np.arange(len(values) + 1)))
    with pytest.raises(BadInputError):
        check_counts(matrix, "a")
    assert whole_numbers(values) == (last == -1)


def test_ids_rounded_by_a_spreadsheet():
    with pytest.raises(BadInputError) as refused:
        check_unique(["1.23457E+11", "1.23457E+11", "7"], "cells", "a")
    assert "rounded" in refused.value.hint


@pytest.mark.parametrize("total", [138, 1e4, 1e6])
def test_normalised_and_rounded(total):
    message, _ = said(np.rint(CP10K * total / 1e4))
    assert "one total and rounded" in message and f"about {total:.4g}" in message


def test_rarefied_counts_pass():
    rng = np.random.default_rng(3)
    rarefied = rng.multinomial(40, np.full(30, 1 / 30), 60)
    check_counts(sparse.csr_matrix(rarefied.astype(np.float32)), "a")


@pytest.mark.parametrize("factor", [2, 3, 100])
def test_counts_that_were_multiplied(factor):
    message, hint = said(COUNTS * factor)
    assert f"multiples of {factor}" in message and f"by {factor}" in hint


RNG = np.random.default_rng(12)
SEEN = RNG.random((60, 12)) < 0.7
INTENSITIES = {
    "bright": (RNG.integers(100, 30_000, (60, 12)), "on average"),
    "sums of pixels": (np.rint(RNG.gamma(1.2, 9000, (60, 12))), "on average"),
    "8 bits": (SEEN * np.minimum(RNG.gamma(1.0, 120, (60, 12)).astype(int), 255), "values are 255"),
    "16 bits": (SEEN * np.minimum(RNG.gamma(0.1, 4000, (60, 12)), 4095).astype(int), "values are 4095"),
    "no gene is absent": (np.rint(RNG.gamma(4, 30, (60, 12))) + 1, "hardly any gene is absent"),
}


@pytest.mark.parametrize("name", INTENSITIES)
def test_intensities_that_look_like_counts_are_stated(name):
    values, words = INTENSITIES[name]
    note = intensity_note(sparse.csr_matrix(values.astype(float)))
    assert words in note and "intensities" in note


@pytest.mark.parametrize(
    "values",
    [
        RNG.poisson(2.0, (60, 12)),
        RNG.negative_binomial(1, 0.02, (60, 12)),
        np.minimum(RNG.poisson(90, (60, 400)) * (RNG.random((60, 400)) < 0.2), 255),
        np.zeros((5, 3)),
    ],
    ids=["few", "a tail", "no more than 255", "none"],
)
def test_counts_are_no_intensities(values):
    assert intensity_note(sparse.csr_matrix(values.astype(float))) == ""


def deep(n=200, genes=40, seed=0):
    """Counts with genes of high mean, at locations of different depths, float64 (n, genes)."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.uniform(0.5, 2, (n, 1)) * rng.gamma(1.0, 15.0, genes)).astype(np.float64)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.rint(np.log1p(x)),
        lambda x: np.rint(np.log2(x / x.sum(1, keepdims=True) * 1e4 + 1)),
        lambda x: np.rint(x**0.5),
    ],
    ids=["log", "log of CP10K", "root"],
)
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
def test_rounded_logarithms_and_roots(change, form):
    with pytest.raises(BadInputError, match="vary less over locations than counts do"):
        check_counts(form(change(deep())), "a", whole=True)


def test_presence_and_absence():
    message, hint = said((deep() > 0).astype(float))
    assert "presence and absence" in message and "raw counts" in hint


@pytest.mark.parametrize("seed", range(5))
def test_counts_vary_enough(seed):
    rng = np.random.default_rng(seed)
    shallow = (rng.random((400, 60)) < 0.002 * rng.random(60)).astype(float)  # hardly any value above 1 to be expected
    shallow[rng.integers(0, 400, 60), np.arange(60)] = 1
    flat = rng.poisson(50.0, (200, 30)).astype(float)  # one rate everywhere: no more than a Poisson process
    whole = deep(seed=seed)
    share = whole / whole.sum(1, keepdims=True)
    rarefied = np.array([rng.multinomial(300, row) for row in share]).astype(float)
    for counts in (shallow, flat, whole, rarefied):
        check_counts(sparse.csr_matrix(counts), "a", whole=True)


@pytest.mark.parametrize("most", [2, 3, 10, 255])
def test_clipped_counts_are_stated(most):
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.5, most, (300, 1)) * rng.gamma(2.0, 0.5, 40)
    counts = rng.poisson(rate)
    assert clipping_note(sparse.csr_matrix(counts)) == ""
    assert f"are {most}" in (note := clipping_note(sparse.csr_matrix(np.minimum(counts, most)))) and "clipped" in note


def test_no_clipping_is_stated_where_the_highest_value_is_rare():
    rng = np.random.default_rng(1)
    for rate in (0.001, 0.05, 1.0, 40.0):
        assert clipping_note(sparse.csr_matrix(rng.poisson(rate, (2000, 50)))) == ""
    assert clipping_note(sparse.csr_matrix((3, 4))) == ""
