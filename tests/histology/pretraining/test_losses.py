"""Losses and assignments against their formulas in NumPy."""

import numpy as np
import pytest
import torch

from focus_cli.histology.pretraining.losses import Centre, cross_entropy, dino_loss, ibot_loss, koleo_loss, sinkhorn

RNG = np.random.default_rng(3)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_sinkhorn_rows_sum_to_one_and_columns_are_used_alike():
    scores = torch.from_numpy(RNG.normal(0, 0.3, (96, 12)) + 0.5 * RNG.normal(size=12))
    rows = sinkhorn(scores, 0.1, iterations=50)
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(96))
    torch.testing.assert_close(rows.sum(dim=0), torch.full((12,), 8.0), rtol=1e-2, atol=0)
    few = sinkhorn(scores, 0.1)
    plain = torch.softmax(scores / 0.1, dim=1)
    assert few.sum(dim=0).std() < 0.5 * plain.sum(dim=0).std()


def textbook(scores, temperature, iterations):
    q = np.exp(scores / temperature).T
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


def test_sinkhorn_is_the_textbook_iteration():
    scores = RNG.uniform(-1, 1, (10, 6))
    # Rows are scaled by their largest entry first; where the iteration ends does not depend on that.
    scaled = scores - scores.max(axis=1, keepdims=True)
    np.testing.assert_allclose(sinkhorn(torch.from_numpy(scores), 0.2), textbook(scaled, 0.2, 3), rtol=1e-4)
    end = sinkhorn(torch.from_numpy(scores), 0.2, iterations=400)
    np.testing.assert_allclose(end, textbook(scores, 0.2, 400), atol=1e-4)


def test_sinkhorn_survives_sharp_temperatures():
    scores = torch.tensor([[1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0]])
    rows = sinkhorn(scores, 0.005)
    assert torch.isfinite(rows).all()
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(3))


def test_centring_moves_the_mean_out_with_a_delay():
    scores = torch.from_numpy(RNG.normal(size=(8, 5)) + 2).float()
    centre = Centre(5, momentum=0.9)
    np.testing.assert_allclose(centre(scores, 0.5), softmax(scores.numpy() / 0.5), rtol=1e-5)
    moved = 0.1 * scores.numpy().mean(axis=0)
    np.testing.assert_allclose(centre.value[0], moved, rtol=1e-5)
    np.testing.assert_allclose(centre(scores, 0.5), softmax((scores.numpy() - moved) / 0.5), rtol=1e-5)


def test_dino_compares_different_views_alone():
    student = [RNG.normal(size=(4, 5)) for _ in range(3)]
    targets = [softmax(RNG.normal(size=(4, 5))) for _ in range(2)]
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2)]
    expected = np.mean([-(targets[t] * np.log(softmax(student[s] / 0.1))).sum(axis=1).mean() for t, s in pairs])
    got = dino_loss([torch.from_numpy(s).float() for s in student], [torch.from_numpy(t) for t in targets], 0.1)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_ibot_weighs_images_alike_whatever_they_hide():
    student, targets = RNG.normal(size=(5, 4)), softmax(RNG.normal(size=(5, 4)))
    each = -(targets * np.log(softmax(student / 0.2))).sum(axis=1)
    expected = (each[:2].mean() + each[2:].mean()) / 2
    weights = torch.tensor([0.25, 0.25, 1 / 6, 1 / 6, 1 / 6])
    got = ibot_loss(torch.from_numpy(student), torch.from_numpy(targets), weights, 0.2)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_least_where_student_and_teacher_agree():
    scores = torch.from_numpy(RNG.normal(size=(6, 7))).float()
    own = torch.softmax(scores / 0.1, dim=1)
    other = cross_entropy(scores + 0.3 * torch.randn(6, 7), own, 0.1)
    assert (cross_entropy(scores, own, 0.1) <= other).all()


def test_koleo_is_minus_the_log_distance_to_the_nearest():
    points = RNG.normal(size=(9, 4))
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    distance = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    expected = -np.log(distance.min(axis=1)).mean()
    assert float(koleo_loss(torch.from_numpy(points).float())) == pytest.approx(expected, rel=1e-4)


def test_koleo_pushes_neighbours_apart_and_is_finite_for_twins():
    points = torch.tensor([[1.0, 0.0], [1.0, 0.05], [-1.0, 0.0]], requires_grad=True)
    loss = koleo_loss(points)
    loss.backward()
    assert float(koleo_loss((points - 0.01 * points.grad).detach())) < float(loss.detach())
    assert torch.isfinite(koleo_loss(torch.ones(4, 3)))
