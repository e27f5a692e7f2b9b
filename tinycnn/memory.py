"""Where the outputs and the input gradients of a model's layers lie.

A fresh array costs a page fault for every 4 KB, more than the arithmetic done on it, so a model takes memory once, for
its largest batch, and lays it out by what is still to be read:

- In training every output is read again by the backward pass, which runs the other way.  So outputs are stacked, and
  an input gradient goes onto outputs from higher up the stack, which nobody will read again.  Where they are too
  small, one of two spare buffers takes it.
- In a prediction an output is dead as soon as the next layer has read it: the two ends of the memory take turns.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from tinycnn.kernels.aligned import LINE, aligned_empty


class Memory:
    """Outputs and input gradients of one model; the model says which pass runs, its layers ask for room.

    Attributes
    ----------
    running : int or None
        Number of the pass that runs.
    intact : int or None
        Number of the last forward pass whose outputs are all still there, if there is one.
    predicts : bool
        Whether a forward pass runs that no backward pass will follow.
    size : int
        Bytes taken.

    Examples
    --------
    >>> memory = Memory()
    >>> with memory.forward([64, 256]):                # one step has 64 bytes of output, the next 256
    ...     for step, size in enumerate((64, 256)):
    ...         memory.enter(step)
    ...         last = memory.output(size)
    >>> with memory.backward(64, overwrite=True):      # step 1 has read the 64 and gives as many: onto the 256
    ...     memory.enter(1, reads_output=False)
    ...     np.may_share_memory(memory.gradient(64, np.empty(256)), last)
    True
    """

    def __init__(self) -> None:
        self.running: int | None = None
        self.intact: int | None = None
        self.predicts = False
        self._passes = 0
        self._room = np.empty(0, np.uint8)
        self._spares = [self._room, self._room]
        self._outputs = _Stacked(self._room)  # of the last forward pass
        self._layout: _Stacked | _TwoEnds | _OverOutputs | _Spares | None = None

    @property
    def size(self) -> int:
        return self._room.size + sum(spare.size for spare in self._spares)

    @contextmanager
    def forward(self, sizes: Iterable[int], keep: bool = True) -> Iterator[None]:
        """A forward pass with outputs of at most so many bytes, kept for a backward pass or not."""
        rounded = sorted(_in_lines(size) for size in sizes)
        needed = sum(rounded if keep else rounded[-2:])
        if self._room.size < needed:
            self._room = aligned_empty(needed, np.uint8)
            self._outputs = _Stacked(self._room)  # the old one would keep the old room alive
        self.intact = None
        if keep:
            self._outputs = _Stacked(self._room)
        with self._run(self._outputs if keep else _TwoEnds(self._room)):
            self.predicts = not keep
            yield
            if keep:
                self._outputs.enter(len(self._outputs.heights), False)  # the height after the last step
                self.intact = self.running

    @contextmanager
    def backward(self, largest: int, overwrite: bool = False) -> Iterator[None]:
        """A backward pass with gradients of at most `largest` bytes; may it overwrite the outputs?"""
        spares = _Spares(self._spares, largest)
        if overwrite:
            self.intact = None
        with self._run(_OverOutputs(self._outputs, spares) if overwrite else spares):
            yield

    @contextmanager
    def _run(self, layout: "_Stacked | _TwoEnds | _OverOutputs | _Spares") -> Iterator[None]:
        """From the end on, layers that are run one by one use memory of their own."""
        self._passes += 1
        self._layout, self.running = layout, self._passes
        try:
            yield
        finally:
            self._layout, self.running, self.predicts = None, None, False

    def may_overwrite(self, grad: np.ndarray) -> bool:
        """Whether the gradient `grad` lies here, for the running step alone, in a pass that writes over outputs."""
        if not isinstance(self._layout, _OverOutputs):
            return False
        return any(np.may_share_memory(room, grad) for room in (self._room, *self._spares))

    def enter(self, step: int, reads_output: bool = True) -> None:
        """A step begins; does its backward read its own output?"""
        if self._layout is not None:
            self._layout.enter(step, reads_output)

    def output(self, size: int) -> np.ndarray | None:
        """`size` bytes for the output of the running step, or None."""
        return None if self._layout is None else self._layout.output(size)

    def gradient(self, size: int, incoming: np.ndarray) -> np.ndarray | None:
        """`size` bytes for the input gradient of the running step, which reads the gradient `incoming`, or None."""
        return None if self._layout is None else self._layout.gradient(size, incoming)


class _Stacked:
    """Outputs one upon the other."""

    def __init__(self, room: np.ndarray) -> None:
        self.room, self.top = room, 0
        self.heights: list[int] = []  # before each step, and after the last

    def enter(self, step: int, reads_output: bool) -> None:
        self.heights.append(self.top)

    def output(self, size: int) -> np.ndarray | None:
        start, top = self.top, self.top + _in_lines(size)
        if top > self.room.size:
            return None
        self.top = top
        return self.room[start : start + size]

    def gradient(self, size: int, incoming: np.ndarray) -> None:
        return None


class _TwoEnds:
    """Each output at the end of the memory at which its input does not lie."""

    def __init__(self, room: np.ndarray) -> None:
        self.room, self.taken, self.low = room, 0, False

    def enter(self, step: int, reads_output: bool) -> None:
        pass

    def output(self, size: int) -> np.ndarray | None:
        needed = _in_lines(size)
        if self.taken + needed > self.room.size:
            return None
        self.taken, self.low = needed, not self.low
        return self.room[0 if self.low else self.room.size - needed :][:size]

    def gradient(self, size: int, incoming: np.ndarray) -> None:
        return None


class _Spares:
    """Gradients in two buffers that take turns."""

    def __init__(self, spares: list[np.ndarray], largest: int) -> None:
        self.spares, self.largest = spares, largest  # a spare that grew step by step would leave holes in the heap

    def enter(self, step: int, reads_output: bool) -> None:
        pass

    def output(self, size: int) -> None:
        return None

    def gradient(self, size: int, incoming: np.ndarray) -> np.ndarray:
        i = int(np.may_share_memory(self.spares[0], incoming))
        if self.spares[i].size < size:
            self.spares[i] = aligned_empty(max(size, self.largest), np.uint8)
        return self.spares[i][:size]


class _OverOutputs:
    """Gradients on outputs that have been read for the last time, in spare buffers where those are too small."""

    def __init__(self, outputs: _Stacked, spares: _Spares) -> None:
        self.outputs, self.spares, self.dead_from = outputs, spares, 0

    def enter(self, step: int, reads_output: bool) -> None:
        self.dead_from = self.outputs.heights[step + reads_output]

    def output(self, size: int) -> None:
        return None

    def gradient(self, size: int, incoming: np.ndarray) -> np.ndarray:
        room, top = self.outputs.room, self.outputs.top
        for start in (top - _in_lines(size), self.dead_from):
            place = room[start : start + size]
            if self.dead_from <= start <= top - size and not np.may_share_memory(place, incoming):
                return place
        return self.spares.gradient(size, incoming)


def _in_lines(size: int) -> int:
    # One line more than it takes: where a layer's input and output lie a power of two apart, the first-level cache
    # takes one for the other (8 MB apart, dropout took four times as long on a Zen 3).
    return (-(-size // LINE) + 1) * LINE
