"""Upsampling by whole factors: nearest neighbour and bilinear."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import one_of, pair
from tinycnn.kernels.sets import active
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.padding import check_image


class UpSample2D(Layer):
    """Enlarge images by whole factors, ``(images, h, w, c) -> (images, h * size[0], w * size[1], c)``.

    With ``s`` the factor along one axis, output index ``o = s * i + p`` and phase ``p`` in ``0 .. s - 1``::

        nearest    forward    y[o] = x[i]
                   backward   dL/dx[i] = sum over p of dL/dy[s * i + p]

        bilinear   f = (p + 1/2) / s - 1/2           where the output pixel's centre lies, from input pixel i
                   forward    y[o] = (1 - |f|) * x[i] + |f| * x[k],   k = i + sign(f), kept inside the image
                   backward   dL/dx[i] += (1 - |f|) * dL/dy[o],  dL/dx[k] += |f| * dL/dy[o]

    applied to rows and then to columns.  Bilinear takes pixels as areas with half-pixel centres, as Keras's
    ``UpSampling2D`` and PyTorch's ``align_corners=False`` do.

    Parameters
    ----------
    size : int or pair of int
        Factors for height and width.
    interpolation : {"nearest", "bilinear"}

    Raises
    ------
    ValueError
        For a factor below 1 or another interpolation; on building, if the input is not ``(h, w, c)``.

    References
    ----------
    Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, 2016, on why to upsample and convolve.

    Examples
    --------
    >>> x = np.float32([0, 4]).reshape(1, 1, 2, 1)
    >>> UpSample2D((1, 2)).forward(x).ravel()
    array([0., 0., 4., 4.], dtype=float32)
    >>> UpSample2D((1, 2), interpolation="bilinear").forward(x).ravel()
    array([0., 1., 3., 4.], dtype=float32)
    """

    reads_output = False

    def __init__(
        self, size: int | tuple[int, int] = 2, interpolation: str = "nearest", name: str | None = None
    ) -> None:
        super().__init__(name)
        self.size = pair(size, "UpSample2D: size")
        one_of(interpolation, "UpSample2D: interpolation", ("nearest", "bilinear"))
        self.interpolation = interpolation

    def config(self) -> dict[str, Any]:
        return {"size": list(self.size), "interpolation": self.interpolation}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        h, w, c = input_shape
        return h * self.size[0], w * self.size[1], c

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The enlarged images."""
        x = self._enter(x)
        n, h, w, c = x.shape
        sh, sw = self.size
        y = self._output()
        if self.interpolation == "nearest":
            active().upsample_forward(x, self.size, y)
            return y
        rows = self._buffer("rows", (n, h * sh, w, c))
        _interpolate(x.reshape(n, h, w * c), sh, rows.reshape(n, h * sh, w * c))
        _interpolate(rows.reshape(n * h * sh, w, c), sw, y.reshape(n * h * sh, w * sw, c))
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """The gradient gathered back to the pixels that each output was made of."""
        grad_y = self._enter_backward(grad_y)
        h, w, c = self.input_shape
        n, (sh, sw) = grad_y.shape[0], self.size
        grad_x = self._input_gradient(grad_y)
        if self.interpolation == "nearest":
            active().upsample_backward(grad_y, self.size, grad_x)
            return grad_x
        grad_rows = self._buffer("grad_rows", (n, h * sh, w, c))
        _interpolate_backward(grad_y.reshape(n * h * sh, w * sw, c), sw, grad_rows.reshape(n * h * sh, w, c))
        _interpolate_backward(grad_rows.reshape(n, h * sh, w * c), sh, grad_x.reshape(n, h, w * c))
        return grad_x


def _phases(factor):
    """For each phase p: the weight of the neighbour, and whether that neighbour comes before or after."""
    for p in range(factor):
        f = (p + 0.5) / factor - 0.5
        yield p, abs(f), f < 0


def _interpolate(x, factor, y):
    """Linear interpolation along the middle axis: x (a, length, b) -> y (a, length * factor, b)."""
    for p, weight, before in _phases(factor):
        phase = y[:, p::factor]  # (a, length, b)
        np.multiply(x, 1 - weight, out=phase)
        if before:
            phase[:, 1:] += weight * x[:, :-1]
            phase[:, 0] += weight * x[:, 0]
        else:
            phase[:, :-1] += weight * x[:, 1:]
            phase[:, -1] += weight * x[:, -1]


def _interpolate_backward(grad_y, factor, grad_x):
    """Transpose of `_interpolate`: grad_y (a, length * factor, b) -> grad_x (a, length, b)."""
    grad_x[...] = 0
    for p, weight, before in _phases(factor):
        phase = grad_y[:, p::factor]  # (a, length, b)
        grad_x += (1 - weight) * phase
        if before:
            grad_x[:, :-1] += weight * phase[:, 1:]
            grad_x[:, 0] += weight * phase[:, 0]
        else:
            grad_x[:, 1:] += weight * phase[:, :-1]
            grad_x[:, -1] += weight * phase[:, -1]
