"""Organ, species and platform as conditions."""

from dataclasses import replace

import numpy as np
import pytest

from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo
from focus_cli.model.conditioning.conditions import label_codes, labels_of, vocabulary

SPOTS = Footprint("circle", 55, 100)
INFO = SampleInfo("S1", PlatformInfo("visium"), 0.5, SPOTS, 4, 4, organ="Breast", species="human")


def test_labels_are_words_of_the_sample_and_nothing_where_nothing_is_known():
    assert labels_of(INFO) == ("organ:breast", "platform:visium", "species:human")
    assert labels_of(replace(INFO, organ=" ", species="")) == ("platform:visium",)


def test_the_vocabulary_does_not_depend_on_the_order_of_samples():
    other = replace(INFO, organ="kidney")
    assert vocabulary([INFO, other]) == vocabulary([other, INFO])
    assert vocabulary([INFO, other]) == ("organ:breast", "organ:kidney", "platform:visium", "species:human")


def test_a_word_that_training_never_met_says_nothing():
    known = vocabulary([INFO])
    np.testing.assert_array_equal(label_codes(INFO, known), [1, 1, 1])
    np.testing.assert_array_equal(label_codes(replace(INFO, organ="eye"), known), [0, 1, 1])


@pytest.mark.parametrize("kind", ["organ", "platform", "species"])
def test_a_dropped_kind_is_kept_secret(kind):
    known = vocabulary([INFO])
    codes = label_codes(INFO, known, frozenset({kind}))
    assert [label for label, code in zip(known, codes) if not code] == [next(k for k in known if k.startswith(kind))]
