"""What counts as no value in a column of names."""

import numpy as np
import pandas as pd
import pytest

from focus_cli.core.missing import is_missing, texts

ABSENT = ["", " ", "NA", "n/a", "nan", "NaN", "None", "NULL", "<NA>", "unknown", "Unknown", "-"]


@pytest.mark.parametrize("make", [list, np.array, pd.Series, pd.Categorical, lambda v: pd.array(v, dtype="string")])
def test_words_that_stand_for_no_value(make):
    found = texts(make([*ABSENT, " TP53 ", "Nanog", "NAT1", "N"]))
    assert list(found) == [""] * len(ABSENT) + ["TP53", "Nanog", "NAT1", "N"]


@pytest.mark.parametrize(
    "values",
    [
        [None, "a"],
        [np.nan, "a"],
        pd.Series([None, "a"], dtype="category"),
        pd.array([pd.NA, "a"], dtype="string"),
        [b"NA", b"a"],
    ],
)
def test_values_that_are_not_there(values):
    assert list(is_missing(values)) == [True, False]


def test_numbers_are_names():
    assert list(texts([0, 1])) == ["0", "1"] and list(texts([])) == []
    assert list(texts(pd.array([1, None], dtype="Int64"))) == ["1", ""]
