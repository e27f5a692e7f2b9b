"""The largest value of each channel."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.padding import check_image


class GlobalMaxPool2D(Layer):
    """The largest value of each channel over the whole image.

    ::

        forward    y[n, c] = max over rows i, columns j  x[n, i, j, c]
        backward   dL/dx[n, i, j, c] = dL/dy[n, c] where x[n, i, j, c] is the maximum, else 0

    Of equal values the first wins, row by row, and takes the whole gradient; NaN wins over every number.

    Parameters
    ----------
    keepdims : bool
        Output ``(images, 1, 1, channels)`` instead of ``(images, channels)``.

    Input shape ``(images, height, width, channels)``.

    Raises
    ------
    ValueError
        On building, if the input is not an image.

    References
    ----------
    Oquab, Bottou, Laptev and Sivic, Is object localization for free?, 2015.

    Examples
    --------
    >>> layer = GlobalMaxPool2D()
    >>> layer.forward(np.float32([1, 6, 2, 6]).reshape(1, 2, 2, 1)), layer.backward(np.float32([[8]])).ravel()
    (array([[6.]], dtype=float32), array([0., 8., 0., 0.], dtype=float32))
    """

    reads_output = False

    def __init__(self, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.keepdims = flag(keepdims, "GlobalMaxPool2D: keepdims")

    def config(self) -> dict[str, Any]:
        return {"keepdims": self.keepdims}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        return (1, 1, input_shape[2]) if self.keepdims else (input_shape[2],)

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Maxima of the channels; remembers where they were."""
        x = self._enter(x)
        pixels = x.reshape(len(x), -1, x.shape[-1])  # (n, height * width, c)
        self._winners = pixels.argmax(axis=1)[:, None]  # (n, 1, c)
        y = self._output()
        y.reshape(self._winners.shape)[...] = np.take_along_axis(pixels, self._winners, axis=1)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """`grad_y` at the maxima, 0 elsewhere."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        grad_x[...] = 0
        pixels = grad_x.reshape(len(grad_x), -1, grad_x.shape[-1])  # (n, height * width, c)
        np.put_along_axis(pixels, self._winners, grad_y.reshape(self._winners.shape), axis=1)
        return grad_x
