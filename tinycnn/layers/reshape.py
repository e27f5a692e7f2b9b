"""Flatten and Reshape: the same numbers in the same order, seen in another shape."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import brief, whole_shape
from tinycnn.layers.base import Layer, Shape


class _View(Layer):
    """The same numbers in the same order, seen in another shape; nothing is copied."""

    reads_output = False

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """A view of `x` in the output's shape."""
        x = self._enter(x)
        self._y = x.reshape(x.shape[0], *self.output_shape)
        return self._y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """A view of `grad_y` in the input's shape."""
        grad_y = self._enter_backward(grad_y)
        return grad_y.reshape(grad_y.shape[0], *self.input_shape)


class Reshape(_View):
    """Each image's numbers in another shape, in row-major order.

    ::

        forward    y = x.reshape(images, *target_shape)
        backward   dL/dx = (dL/dy).reshape(x.shape)

    Nothing is copied: both directions return views.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis; one entry may be -1 and is then worked out from the others.

    Raises
    ------
    ValueError
        If `target_shape` has an entry below 1 other than a single -1; on building, if it does not hold as many
        numbers as the input shape.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((3, -1)).forward(np.zeros((5, 2, 6))).shape
    (5, 3, 4)
    """

    def __init__(self, target_shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name)
        whole = (int, np.integer)
        if not isinstance(target_shape, (tuple, list)) or not all(isinstance(n, whole) for n in target_shape):
            one = isinstance(target_shape, whole) and (target_shape > 0 or target_shape == -1)
            hint = f"; write Reshape(({target_shape},))" if one else ""
            raise ValueError(f"Reshape: target_shape must be a tuple of whole numbers, got {brief(target_shape)}{hint}")
        self.target_shape = tuple(int(n) for n in target_shape)
        known = [n for n in self.target_shape if n != -1]
        if len(self.target_shape) - len(known) > 1 or min(known, default=1) < 1 or not self.target_shape:
            raise ValueError(
                f"Reshape: target_shape must have entries >= 1, of which one may be -1, got {target_shape!r}"
            )

    def config(self) -> dict[str, Any]:
        return {"target_shape": list(self.target_shape)}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        size = math.prod(whole_shape(input_shape, self.where()))
        known = math.prod(n for n in self.target_shape if n != -1)
        if size % known or (size != known and -1 not in self.target_shape):
            raise ValueError(
                f"{self.where()}: {size} numbers of input shape {tuple(input_shape)} do not fill "
                f"target_shape {self.target_shape} ({known} numbers{' times -1' * (-1 in self.target_shape)})"
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)


class Flatten(_View):
    """Each image as one row: ``(images, h, w, c) -> (images, h * w * c)``, channels fastest, as in Keras.

    ::

        forward    y = x.reshape(images, -1)
        backward   dL/dx = (dL/dy).reshape(x.shape)

    Nothing is copied: both directions return views.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten().forward(np.zeros((5, 2, 3, 4))).shape
    (5, 24)
    """

    def output_shape_of(self, input_shape: Shape) -> Shape:
        return (math.prod(whole_shape(input_shape, self.where())),)
