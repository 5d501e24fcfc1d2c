"""The numbers behind the pictures, against known truth and independent computations."""

from __future__ import annotations

from pathlib import Path

import anndata
import fake_enhanced
import h5py
import numpy as np
import pytest
from scipy import sparse

from focus_cli.core.h5ad import matrices
from focus_cli.core.h5ad.pitch import location_pitch
from focus_cli.reporting.charts import ends, histogram
from focus_cli.reporting.context import by_type
from focus_cli.reporting.genes import morans_i, neighbour_weights
from focus_cli.reporting.maps import Canvas, Frame, crop_image, limits


@pytest.fixture(params=["csr", "csc", "dense", "chunked", "compressed"])
def stored(request, tmp_path: Path):
    """A (50, 40) matrix of counts on disk in one of the layouts, and the same in memory."""
    values = np.random.default_rng(0).poisson(0.5, (50, 40)).astype(np.float32)
    x = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}.get(request.param, np.asarray)(values)
    more = {"chunked": {"chunks": (7, 9)}, "compressed": {"chunks": (7, 40), "compression": "gzip"}}
    path = tmp_path / "m.h5ad"
    if request.param in more:
        with h5py.File(path, "w") as handle:
            handle.create_dataset("X", data=values, **more[request.param])
    else:
        anndata.AnnData(x).write_h5ad(path)
    with h5py.File(path, "r") as handle:
        yield handle["X"], values


@pytest.mark.parametrize("small", [False, True])
def test_columns_and_sums_agree_with_the_whole_matrix(stored, small: bool, monkeypatch) -> None:
    node, values = stored
    if small:  # many blocks
        monkeypatch.setattr(matrices, "_BLOCK_NNZ", 60)
        monkeypatch.setattr(matrices, "_BLOCK_BYTES", 9 * 4 * 7)
    columns = np.array([39, 0, 17, 8, 9])
    assert np.array_equal(matrices.read_columns(node, columns), values[:, columns])
    told = matrices.summarise_counts(node)
    totals = values.sum(axis=1)
    assert np.array_equal(told.totals, totals)
    assert np.array_equal(told.detected, (values > 0).sum(axis=1))
    assert np.array_equal(told.gene_totals, values.sum(axis=0))
    assert np.array_equal(told.gene_detected, (values > 0).sum(axis=0))
    scaled = np.log1p(1e4 * values / totals[:, None])
    assert np.allclose(told.gene_variance, scaled.var(axis=0), rtol=1e-4)
    assert np.allclose(matrices.read_raw_columns(node, columns, totals), scaled[:, columns], rtol=1e-6)


def test_dense_columns_are_read_in_bounded_whole_chunks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(matrices, "_BLOCK_BYTES", 8 * 16 * 4)
    asked: list[tuple[int, ...]] = []
    with h5py.File(tmp_path / "m.h5", "w") as handle:
        data = handle.create_dataset("X", data=np.ones((100, 64), np.float32), chunks=(8, 16))
        blocks = matrices._dense_blocks
        monkeypatch.setattr(
            matrices,
            "_dense_blocks",
            lambda *given: (asked.append(block.shape) or (start, block) for start, block in blocks(*given)),
        )
        matrices.read_columns(data, np.array([1, 3, 60]))
    # 13 blocks of 8 rows for each of the two columns of chunks that are wanted; the others stay shut.
    assert len(asked) == 26 and set(asked) == {(8, 16), (4, 16)}


def test_a_location_without_counts_stays_zero() -> None:
    counts = sparse.csr_matrix(np.array([[0, 0], [1, 3]], dtype=np.float32))
    scaled = matrices.log_cp10k(counts, np.array([0.0, 4.0])).toarray()
    assert np.allclose(scaled, [[0, 0], [np.log(2501), np.log(7501)]])


def test_morans_i_against_its_definition() -> None:
    rng = np.random.default_rng(1)
    xy = rng.uniform(size=(60, 2))
    weights = neighbour_weights(xy, k=5)
    values = np.stack([rng.normal(size=60), xy[:, 0], np.ones(60)], axis=1)
    dense = weights.toarray()
    assert np.allclose(dense.sum(axis=1), 1) and np.all(np.diag(dense) == 0)
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert np.array_equal(np.argsort(distance, axis=1)[:, :5].sum(axis=1), (dense > 0) @ np.arange(60))
    for column in (0, 1):
        z = values[:, column] - values[:, column].mean()
        expected = 60 / dense.sum() * sum(dense[i, j] * z[i] * z[j] for i in range(60) for j in range(60)) / (z @ z)
        assert morans_i(values, weights)[column] == pytest.approx(expected)
    assert np.isnan(morans_i(values, weights)[2])
    assert morans_i(values, weights)[1] > 0.7 > 0.3 > abs(morans_i(values, weights)[0])


def test_a_map_puts_every_value_in_its_place() -> None:
    """A grid of squares painted pixel for pixel: the picture is the grid, x to the right and y down."""
    values = np.arange(12, dtype=float)  # 3 rows of 4
    row, col = np.divmod(np.arange(12), 4)
    xy = np.stack([col * 10.0 + 5, row * 10.0 + 5], axis=1)
    frame = Frame(0.0, 0.0, 40.0, 30.0, 40, 30)
    picture = Canvas(frame, xy, 10.0, square=True).paint(values, "gray", 0, 11)
    assert picture.shape == (30, 40, 4) and (picture[..., 3] == 255).all()
    assert np.allclose(picture[5::10, 5::10, 0].ravel() / 255 * 11, values, atol=0.05)


def test_discs_have_their_area_and_nan_is_clear() -> None:
    frame = Frame(0.0, 0.0, 100.0, 50.0, 100, 50)
    canvas = Canvas(frame, np.array([[25.0, 25.0], [75.0, 25.0]]), 40.0, square=False)
    picture = canvas.paint(np.array([1.0, np.nan]), "gray", 0, 1)
    area = picture[:, :50, 3].sum() / 255
    assert area == pytest.approx(np.pi * 20.4**2, rel=0.02)  # drawn 2 % larger, see maps._FAR
    assert picture[:, 50:, 3].max() == 0


def test_frame_holds_every_location_and_keeps_proportions() -> None:
    xy = fake_enhanced.positions(7)
    frame = Frame.around(xy, 50.0, 300)
    assert max(frame.columns, frame.rows) == 300
    assert frame.columns / frame.rows == pytest.approx(frame.width / frame.height, rel=0.01)
    assert frame.x0 < xy[:, 0].min() - 50 and frame.x0 + frame.width > xy[:, 0].max() + 50
    assert frame.y0 < xy[:, 1].min() - 50 and frame.y0 + frame.height > xy[:, 1].max() + 50


def test_pitch_is_the_distance_of_neighbours() -> None:
    assert location_pitch(fake_enhanced.positions(9)) == pytest.approx(200, rel=0.01)
    assert location_pitch(np.zeros((1, 2))) == 1.0
    assert location_pitch(np.zeros((3, 2))) == 1.0  # all in one place


def test_crop_follows_the_frame_and_pads_with_white() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 30:40] = (200, 0, 0)
    frame = Frame(300.0, 100.0, 100.0, 100.0, 10, 10)  # full-resolution px; the picture is 10 times smaller
    assert (crop_image(image, 0.1, frame, 10) == (200, 0, 0)).all()
    beyond = crop_image(image, 0.1, Frame(500.0, 300.0, 200.0, 200.0, 20, 20), 20)
    assert beyond[2, 2].tolist() == [0, 0, 0] and beyond[17, 17].tolist() == [255, 255, 255]
    assert crop_image(image, 0.1, Frame(5000.0, 0.0, 10.0, 10.0, 5, 5), 5) is None


def test_numbered_states_of_one_type_are_added() -> None:
    shares = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    names, summed = by_type(["T cell_1", "B cell_1", "T cell_2", "B cell_10"], shares)
    assert names == ["T cell", "B cell"] and np.allclose(summed, [[0.4, 0.6]])
    for kept in (
        ["T cell", "B", "C", "D"],
        ["state 1", "state 2", "state 3", "state 4"],
        ["a_1", "b_1", "c_1", "d_1"],
    ):
        names, same = by_type(kept, shares)
        assert names == kept and same is shares


def test_limits_are_percentiles_or_the_range() -> None:
    assert limits(np.arange(101.0)) == pytest.approx((1.0, 99.0))
    mostly_zero = np.zeros(1000)
    mostly_zero[0] = 3.0
    assert limits(mostly_zero) == (0.0, 3.0)
    low, high = limits(np.full(5, 2.0))
    assert low == 2.0 < high
    assert limits(np.array([np.nan])) == (0.0, 1.0)


def test_histogram_counts_every_value() -> None:
    values = np.array([0, 1, 5, 10, 100, 1000, np.nan])
    for log in (False, True):
        plot = histogram("t", {"all": values}, log=log)
        counted = sum(int(tip.split(": ")[1].split()[0]) for *_, tip in plot.series[0][1])
        assert counted == 6
        assert all(0 <= x <= 300 for x, _ in plot.ticks) and len(plot.ticks) >= 3
    assert histogram("t", {"all": np.array([np.nan])}) is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.0, 3.8, ("0", "3.80")), (0.538, 0.637, ("0.538", "0.637")), (404, 24500, ("404", "24.5 k"))],
)
def test_colour_bar_ends_can_be_told_apart(low: float, high: float, words: tuple[str, str]) -> None:
    assert ends(low, high) == words
