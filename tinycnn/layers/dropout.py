"""Dropout: random zeros in training, nothing at all at inference."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import brief, flag
from tinycnn.kernels.sets import active
from tinycnn.layers.base import Layer


class Dropout(Layer):
    """Inverted dropout.

    ::

        training    y = x * m / (1 - rate),      m = 0 with probability rate, else 1, drawn for each element
                    dL/dx = dL/dy * m / (1 - rate)
        inference   y = x,  dL/dx = dL/dy        (exactly: the very same array)

    Dividing in training keeps the expected output equal to the input, so that inference needs no scaling.
    The mask is never stored: it is a function of one 64-bit key, drawn from the layer's generator at each
    training forward, and of the element's position.  Masks thus depend on the seed only, not on the number of
    threads, and backward makes the same one again.

    Parameters
    ----------
    rate : float
        Probability of zeroing an element, ``0 <= rate < 1``.

    Raises
    ------
    ValueError
        If `rate` is outside ``[0, 1)``.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout: a simple way to prevent neural
    networks from overfitting, 2014.

    Examples
    --------
    >>> dropout, x = Dropout(0.5), np.ones((1, 1000), np.float32)
    >>> sorted(set(dropout.forward(x, training=True).ravel().tolist()))
    [0.0, 2.0]
    >>> dropout.forward(x) is x
    True
    """

    reads_output = False

    def __init__(self, rate: float, name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(rate, (int, float, np.number)):
            raise ValueError(
                f"Dropout: rate must be a number such as 0.3, got {brief(rate)} of type {type(rate).__name__}"
            )
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate is the probability of dropping, 0 <= rate < 1, got {rate!r}")
        self.rate = float(rate)
        self._key: Any = None  # np.uint64, from the first training forward on
        self._dropped = False

    def config(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``x * mask / (1 - rate)`` in training, `x` itself at inference."""
        x = self._enter(x)
        self._dropped = flag(training, "training") and self.rate > 0
        if not self._dropped:
            self._y = x
            return x
        self._key = self.rng.integers(0, 2**64, dtype=np.uint64)
        y = self._output()
        active().dropout_mask_apply(x, y, self._key, self.rate)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y * mask / (1 - rate)`` with the mask of the last forward."""
        grad_y = self._enter_backward(grad_y)
        if not self._dropped:
            return grad_y
        grad_x = self._input_gradient(grad_y)
        active().dropout_mask_apply(grad_y, grad_x, self._key, self.rate)
        return grad_x
