"""Work that is done while the network trains: the next view is drawn in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def drawn_ahead(draw: Callable[[int], T], indices: range) -> Iterator[T]:
    """Yield ``draw(i)`` for every index, in order, one index ahead of whoever takes them.

    Draws follow one another in a single thread, so `draw` need not be safe to be called twice at once. What it raises
    is raised where its result would have been taken.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="focus-views") as thread:
        coming = thread.submit(draw, indices[0]) if indices else None
        for index in indices:
            drawn = coming.result()
            coming = thread.submit(draw, index + indices.step) if index + indices.step in indices else None
            yield drawn
