"""Another scale for the numbers of an image."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import numbers
from tinycnn.layers.base import Layer


class Rescaling(Layer):
    """``y = scale * x + offset``, with constants.

    ::

        forward    y = scale * x + offset
        backward   dL/dx = scale * dL/dy

    A model scales bytes by 1/255 itself; this is for floats, and for the Keras way of writing, `tinycnn.keras`, where
    bytes are taken as the numbers 0 to 255.

    Parameters
    ----------
    scale, offset : float

    Examples
    --------
    >>> Rescaling(1 / 127.5, offset=-1).forward(np.float64([[0, 127.5, 255]])).tolist()
    [[-1.0, 0.0, 1.0]]
    """

    reads_output = False

    def __init__(self, scale: float, offset: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        scale, offset = numbers([scale, offset], "Rescaling: scale and offset").tolist()
        self.scale, self.offset = float(scale), float(offset)

    def config(self) -> dict[str, Any]:
        return {"scale": self.scale, "offset": self.offset}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``scale * x + offset``."""
        y = np.multiply(self._enter(x), self.scale, out=self._output())
        return np.add(y, self.offset, out=y)

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``scale * grad_y``."""
        grad_y = self._enter_backward(grad_y)
        return np.multiply(grad_y, self.scale, out=self._input_gradient(grad_y))
