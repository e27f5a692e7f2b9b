"""Where the outputs and the input gradients of a model's layers lie.

A fresh array costs a page fault for every 4 KB, more than the arithmetic done on it, so a model takes memory once, for
its largest batch, and lays it out by what is still to be read:

- In training every output is read again by the backward pass, which runs the other way.  So outputs are stacked, and
  an input gradient goes onto outputs from higher up the stack, which nobody will read again.  Where they are too
  small, one of two spare buffers takes it.
- In a prediction an output is dead as soon as the next layer has read it: the two ends of the memory take turns.
"""

import numpy as np

from tinycnn.kernels.aligned import LINE, aligned_empty


class Memory:
    """Outputs and input gradients of one model; the model says which pass runs, its layers ask for room.

    Attributes
    ----------
    kept : bool
        Whether the outputs of a whole forward pass are there, as a backward pass needs them.

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

    def __init__(self):
        self.kept = False
        self._stack = np.empty(0, np.uint8)
        self._spares = [self._stack, self._stack]
        self._largest = 0  # bytes of the largest gradient: a spare that grew would leave a hole in the heap
        self._pass = None  # or "keep", "alternate", "backward", "overwrite"
        self._top = 0
        self._heights = []  # of the stack, before each step of the forward pass and after the last
        self._dead_from = 0

    def forward(self, sizes, keep=True):
        """A context for a forward pass with outputs of at most so many bytes, kept for a backward pass or not."""
        rounded = sorted(_in_lines(size) for size in sizes)
        needed = sum(rounded if keep else rounded[-2:])
        if self._stack.size < needed:
            self._stack = aligned_empty(needed, np.uint8)
        self._pass = "keep" if keep else "alternate"
        self.kept, self._top, self._heights = False, 0, []
        return self

    def backward(self, largest, overwrite=False):
        """A context for a backward pass with gradients of at most `largest` bytes; may it overwrite the outputs?"""
        self._pass = "overwrite" if overwrite else "backward"
        self.kept, self._largest = not overwrite, largest
        return self

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        """From here on, layers that are run one by one use memory of their own."""
        if self._pass == "keep" and error is None:
            self._heights.append(self._top)
            self.kept = True
        self._pass = None

    def enter(self, step, reads_output=True):
        """A step begins; does its backward read its own output?"""
        if self._pass == "keep":
            self._heights.append(self._top)
        elif self._pass == "overwrite":
            self._dead_from = self._heights[step + reads_output]

    def output(self, size):
        """`size` bytes for the output of the running step, or None.

        Outside a pass there is none, and the layer that asks no longer is as this memory's forward pass left it.
        """
        room = _in_lines(size)
        if self._pass is None:
            self.kept = False
        if self._pass == "keep" and self._top + room <= self._stack.size:
            self._top += room
            return self._stack[self._top - room :][:size]
        if self._pass == "alternate" and abs(self._top) + room <= self._stack.size:
            # Where the top is positive, the last output lies at the lower end, else at the upper.
            self._top = -room if self._top > 0 else room
            return self._stack[self._top if self._top < 0 else 0 :][:size]
        return None

    def gradient(self, size, incoming):
        """`size` bytes for the input gradient of the running step, which reads the gradient `incoming`, or None."""
        if self._pass is None:
            return None
        if self._pass == "overwrite":
            for start in (self._top - _in_lines(size), self._dead_from):
                place = self._stack[start : start + size]
                if self._dead_from <= start <= self._top - size and not np.may_share_memory(place, incoming):
                    return place
        spare = int(np.may_share_memory(self._spares[0], incoming))
        if self._spares[spare].size < size:
            self._spares[spare] = aligned_empty(max(size, self._largest), np.uint8)
        return self._spares[spare][:size]


def _in_lines(size):
    # One line more than it takes: where a layer's input and output lie a power of two apart, the first-level cache
    # takes one for the other (8 MB apart, dropout took four times as long on a Zen 3).
    return (-(-size // LINE) + 1) * LINE
