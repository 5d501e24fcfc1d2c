"""Source of training views: samples drawn at random, few of them in memory, views drawn ahead in threads."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from focus_cli.model.training.views import TrainingView, ViewMaker

MAKER_BYTES = 2**31  # of the makers that are kept; the last one is kept whatever it takes


class ViewSource:
    """Draws a sample, with a probability that grows with the root of its size, and a view of it.

    What is drawn depends on the generator alone: not on which makers are in memory, nor on how many threads draw.

    Parameters
    ----------
    n_measured
        Locations with counts of every sample.
    make
        Makes the maker of a sample, by its number; makers that were not used for long are made again.
    most_bytes
        Of the makers that are kept.
    """

    def __init__(
        self, n_measured: Sequence[int], make: Callable[[int], ViewMaker], most_bytes: int = MAKER_BYTES
    ) -> None:
        weight = np.sqrt(n_measured)
        self._share = weight / weight.sum()
        self._make, self._most = make, most_bytes
        self._kept: OrderedDict[int, ViewMaker] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, makers: Sequence[ViewMaker]) -> ViewSource:
        """A source over makers that are in memory anyway."""
        return cls([len(m.measured) for m in makers], makers.__getitem__)

    def draw(self, rng: np.random.Generator) -> TrainingView:
        """Draw a sample, and a view of it; may be called from several threads."""
        return self.maker(int(rng.choice(len(self._share), p=self._share))).draw(rng)

    def maker(self, sample: int) -> ViewMaker:
        """The maker of a sample, made where it is not kept."""
        with self._lock:
            if sample in self._kept:
                self._kept.move_to_end(sample)
                return self._kept[sample]
        # Outside the lock: another thread need not wait for the disk. Made twice, it is the same maker.
        made = self._make(sample)
        with self._lock:
            self._kept[sample] = made
            self._kept.move_to_end(sample)
            while len(self._kept) > 1 and sum(m.nbytes for m in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return made


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
