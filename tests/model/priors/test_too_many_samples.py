"""A cohort beyond the bound: samples are drawn, by the seed, and every gene keeps its level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.training.tiny_cohort import grow

from focus_cli.model.priors import PriorSection, fit_prior, section
from focus_cli.model.priors.section import draw_sections


@pytest.fixture
def cohort():
    return [PriorSection.of(grow(seed=i, side=8).for_prior) for i in range(6)]


def test_below_the_bound_all_are_taken(cohort):
    assert draw_sections(cohort, 0).all()


def test_beyond_it_as_many_as_are_within_are_drawn_by_the_seed(cohort, monkeypatch):
    monkeypatch.setattr(section, "MAX_VALUES", int(2.5 * max(s.n_values for s in cohort)))
    drawn = [draw_sections(cohort, seed) for seed in range(8)]
    assert all(d.sum() == 2 for d in drawn)
    assert len({d.tobytes() for d in drawn}) > 3
    assert (draw_sections(cohort, 3) == drawn[3]).all()


def test_every_panel_is_seen(cohort, monkeypatch):
    other = cohort[5].genes.rename(index=lambda name: f"H{name}")
    common = cohort[0].genes
    cohort = [replace(s, genes=common) for s in cohort[:5]] + [replace(cohort[5], genes=other)]
    monkeypatch.setattr(section, "MAX_VALUES", int(2.5 * max(s.n_values for s in cohort)))
    assert all(draw_sections(cohort, seed)[5] for seed in range(8))


def test_samples_that_were_not_drawn_are_not_read_and_still_set_the_level(cohort, monkeypatch):
    whole = fit_prior(cohort, 2)
    read = []
    watched = [replace(s, read=lambda s=s, i=i: read.append(i) or s.read()) for i, s in enumerate(cohort)]
    monkeypatch.setattr(section, "MAX_VALUES", int(2.5 * max(s.n_values for s in cohort)))
    some = fit_prior(watched, 2, seed=0)
    assert len(read) == 2
    np.testing.assert_allclose(some.baseline, whole.baseline, rtol=1e-5)
