"""The largest value of each channel."""

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.layers.pool import GlobalPooling


class GlobalMaxPool2D(GlobalPooling):
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
