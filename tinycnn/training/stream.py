"""Batches that come from outside, from a generator or a loader of the user's, in place of arrays that are all there."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import numpy as np

from tinycnn.data.dataset import Dataset


class Batch(NamedTuple):
    """Images and targets of one step, and a weight for each image, if there are weights."""

    images: np.ndarray
    targets: np.ndarray
    sample_weight: np.ndarray | None


def is_stream(data: Any) -> bool:
    """Whether `data` is an iterable of batches, rather than a `Dataset`, an array or a pair of arrays.

    >>> pair = np.zeros((4, 2)), np.zeros(4)
    >>> is_stream(pair), is_stream([pair, pair]), is_stream(iter([pair]))
    (False, True, True)
    """
    if isinstance(data, (Dataset, np.ndarray, str, Mapping)) or not isinstance(data, Iterable | Sized):
        return False
    return not isinstance(data, (tuple, list)) or (len(data) > 0 and isinstance(data[0], tuple))


def batch_of(item: Any) -> Batch:
    """What an iterable gave as a batch: a pair (x, y), or (x, y, sample_weight).

    Raises
    ------
    ValueError
        If it is neither, or the sizes differ.
    """
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        raise ValueError(f"a batch must be a pair (x, y), or (x, y, sample_weight), got {type(item).__name__}")
    arrays = [np.asarray(part) for part in item]
    if any(a.ndim == 0 or len(a) != len(arrays[0]) or len(a) == 0 for a in arrays):
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(f"a batch needs as many labels as images, got shapes {shapes}")
    return Batch(arrays[0], arrays[1], arrays[2] if len(arrays) == 3 else None)


class Stream:
    """Batches of a run, epoch by epoch: iterating takes one epoch.

    Parameters
    ----------
    source : iterable of (x, y) or (x, y, sample_weight)
        Gone through once an epoch; a generator, which cannot start anew, goes on where it was.
    steps : int, optional
        Batches of an epoch; by default ``len(source)``, or until it ends.

    Attributes
    ----------
    images : int
        Of the last epoch; 0 before its end.

    Raises
    ------
    ValueError
        On iterating, if there is no batch left for an epoch, or a batch is none.

    Examples
    --------
    >>> stream = Stream([(np.zeros((3, 2)), np.zeros(3)), (np.zeros((1, 2)), np.zeros(1))])
    >>> [len(batch.images) for batch in stream], stream.images
    ([3, 1], 4)
    """

    def __init__(self, source: Iterable[Any], steps: int | None = None) -> None:
        self.source, self.images = source, 0
        self.steps = len(source) if steps is None and isinstance(source, Sized) else steps
        self._running: Iterator[Any] = iter(source)
        self._peeked: list[Batch] = []

    def first(self) -> Batch:
        """The first batch, which iterating will give again."""
        if not self._peeked:
            self._peeked = [self._next()]
        return self._peeked[0]

    def _next(self) -> Batch:
        """The next batch; at the end of a source that can start anew, its first."""
        try:
            return batch_of(next(self._running))
        except StopIteration:
            self._running = iter(self.source)
        try:
            return batch_of(next(self._running))
        except StopIteration:
            raise ValueError(
                "there are no batches left: a generator cannot start anew, so give steps_per_epoch, and let it go on "
                "for all epochs, or use an iterable that starts again, such as a list"
            ) from None

    def __iter__(self) -> Iterator[Batch]:
        yield (batch := self._peeked.pop() if self._peeked else self._next())
        images, steps = len(batch.images), 1
        while steps != self.steps:
            try:
                batch = self._next() if self.steps else batch_of(next(self._running))
            except StopIteration:
                break
            yield batch
            images, steps = images + len(batch.images), steps + 1
        self.images = images
