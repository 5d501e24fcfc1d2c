"""Views drawn in advance: in order, bounded, whatever the number of threads."""

from __future__ import annotations

import threading
import time

import pytest

from focus_cli.model.training.source import drawn_ahead


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 3), (4, 1), (3, 5)])
def test_order_does_not_depend_on_the_threads(workers, ahead):
    def draw(i):
        time.sleep(0.002 * (i % 3))
        return i

    assert list(drawn_ahead(draw, range(3, 20), workers=workers, ahead=ahead)) == list(range(3, 20))


def test_no_more_is_drawn_than_said():
    drawn = []
    views = drawn_ahead(lambda i: drawn.append(i) or i, range(100), workers=2, ahead=2)
    next(views)
    views.close()
    assert len(drawn) <= 3


def test_a_failure_is_raised_where_its_view_would_have_been():
    def draw(i):
        if i == 2:
            raise RuntimeError("the third")
        return i

    views = drawn_ahead(draw, range(5), workers=3)
    assert [next(views), next(views)] == [0, 1]
    with pytest.raises(RuntimeError, match="the third"):
        next(views)
    assert not any(t.name.startswith("focus-views") and t.is_alive() for t in threading.enumerate())
