"""Zeros around an image."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.padding import Padding, check_image, check_padding


class ZeroPadding2D(Layer):
    """Zeros around each image.

    ::

        forward    y[n, top + i, left + j, c] = x[n, i, j, c],    0 elsewhere
        backward   dL/dx[n, i, j, c] = dL/dy[n, top + i, left + j, c]

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))

    Input shape ``(images, height, width, channels)``.

    Raises
    ------
    ValueError
        If `padding` is none of these; on building, if the input is not an image.

    Examples
    --------
    >>> ZeroPadding2D((0, 1)).forward(np.ones((1, 1, 2, 1))).ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    reads_output = False

    def __init__(self, padding: Padding = 1, name: str | None = None) -> None:
        super().__init__(name)
        if isinstance(padding, str):
            raise ValueError(f"ZeroPadding2D: padding must be numbers, such as 1 or (2, 0), got {padding!r}")
        self.padding = padding
        self._axes: Any = check_padding(padding, "ZeroPadding2D")

    def config(self) -> dict[str, Any]:
        return {"padding": self.padding}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        return input_shape[0] + sum(self._axes[0]), input_shape[1] + sum(self._axes[1]), input_shape[2]

    def _inside(self, y: np.ndarray) -> np.ndarray:
        """The part of `y` that is the image."""
        (top, _), (left, _) = self._axes
        height, width, _ = self.input_shape
        return y[:, top : top + height, left : left + width]

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """`x` with zeros around it."""
        x = self._enter(x)
        y = self._output()
        y[...] = 0
        self._inside(y)[...] = x
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """`grad_y` without its edges."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        grad_x[...] = self._inside(grad_y)
        return grad_x
