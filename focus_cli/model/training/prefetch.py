"""Work that is done while the network trains: the next views are drawn in threads of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def drawn_ahead(draw: Callable[[int], T], indices: range, *, workers: int = 1, ahead: int = 1) -> Iterator[T]:
    """Yield ``draw(i)`` for every index, in order, up to `ahead` of them (at least one per worker) drawn in advance.

    With more than one worker `draw` must be safe to be called from several threads. What it raises is raised where its
    result would have been taken.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="focus-views") as threads:
        waiting = iter(indices)
        coming: deque[Future] = deque(threads.submit(draw, i) for i in islice(waiting, max(ahead, workers)))
        try:
            while coming:
                drawn = coming.popleft().result()
                coming.extend(threads.submit(draw, i) for i in islice(waiting, 1))
                yield drawn
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
