"""Pooling: the maximum or the mean of small windows, or of whole images; to read: `tinycnn.kernels.plain_pool`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag, pair
from tinycnn.kernels.sets import active
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.padding import Padding, check_image, check_padding, resolve_padding


class _Pooling(Layer):
    """Constructor and shapes, which both kinds of window share."""

    reads_output = False
    most_cells = 0
    """Of a window whose winner's position is kept in one byte; 0: any number."""

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        strides: int | tuple[int, int] | None = None,
        padding: Padding = "valid",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        kind = type(self).__name__
        self.pool_size = pair(pool_size, f"{kind}: pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, f"{kind}: strides")
        self.padding = padding
        self._axes = check_padding(padding, kind)
        rows, columns = self.pool_size
        if 0 < self.most_cells < rows * columns:
            raise ValueError(
                f"{kind}: a window of {rows} x {columns} has {rows * columns} cells, but a winner's position "
                f"is kept in one byte: at most {self.most_cells}; pool in two steps"
            )
        for axis, window in zip(self._axes, self.pool_size, strict=True):
            if not isinstance(axis, str) and max(axis) >= window:
                raise ValueError(
                    f"{kind}: padding {padding!r} is as wide as the window {self.pool_size}, so that a window would "
                    "hold no pixel of the image; pad by less"
                )

    def config(self) -> dict[str, Any]:
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        *size, channels = input_shape
        axes = list(zip(size, self._axes, self.pool_size, self.strides, strict=True))
        padded = [n + sum(resolve_padding(axis, n, window, stride)) for n, axis, window, stride in axes]
        if any(n < window for n, window in zip(padded, self.pool_size, strict=True)):
            raise ValueError(
                f"{self.where()}: a window of {self.pool_size} does not fit an image of {tuple(size)}; "
                'make the window smaller or use padding="same"'
            )
        rows, columns = ((n - window) // stride + 1 for n, (_, _, window, stride) in zip(padded, axes, strict=True))
        return rows, columns, channels

    def create(self, input_shape: Shape) -> None:
        axes = zip(self._axes, input_shape[:2], self.pool_size, self.strides, strict=True)
        top, left = (resolve_padding(*axis)[0] for axis in axes)
        self._geometry = (*self.pool_size, *self.strides, top, left)

    @property
    def halves(self) -> bool:
        """Whether the windows are 2x2, side by side, none over an edge: then the convolution before may pool itself."""
        halving = self.pool_size == self.strides == (2, 2) and self._geometry[4:] == (0, 0)
        return halving and all(2 * out <= n for out, n in zip(self.output_shape[:2], self.input_shape[:2], strict=True))


class MaxPool2D(_Pooling):
    """The largest value of each window, channel by channel.

    With o, k, i for (row, column) of output, window and input::

        forward    y[n, o, c] = max over k  x[n, o*strides + k - pad, c]
        backward   dL/dx[n, i, c] = sum of dL/dy[n, o, c] over the windows o whose maximum was at i

    Of equal values in a window the first wins, row by row, and takes the whole gradient; NaN wins over
    every number.  Cells outside the image never win.

    Parameters
    ----------
    pool_size : int or (rows, columns)
        Window; at most 255 cells, since its winner is kept in one byte.
    strides : int or (rows, columns), optional
        Step from window to window; by default `pool_size`.
    padding : "valid", "same", int, (rows, columns) or ((top, bottom), (left, right))
        "valid": ``floor((size - window) / stride) + 1`` windows, all inside the image; what is left over at the end is
        ignored.  "same": ``ceil(size / stride)`` windows, reaching over the edges as in TensorFlow (by the odd cell
        more at the end).  Numbers: windows may reach so many cells over the edges, as in PyTorch, by less than a
        window.

    Input shape ``(images, height, width, channels)``; output shape ``(images, rows, columns, channels)``.

    Raises
    ------
    ValueError
        For an impossible argument or a window of more than 255 cells; on building, if the input is not an image or is
        smaller than a "valid" window.

    References
    ----------
    Zhou and Chellappa, Computation of optical flow using a neural network, 1988; Goodfellow, Bengio and Courville,
    Deep Learning, section 9.3.

    Examples
    --------
    >>> x = np.float32([[1, 5, 5], [2, 0, 7]]).reshape(1, 2, 3, 1)
    >>> MaxPool2D(2).forward(x).ravel(), MaxPool2D(2, padding="same").forward(x).ravel()
    (array([5.], dtype=float32), array([5., 7.], dtype=float32))
    >>> layer = MaxPool2D(2, strides=1)
    >>> layer.forward(x).ravel(), layer.backward(np.float32([3, 4]).reshape(1, 1, 2, 1))[0, :, :, 0]
    (array([5., 7.], dtype=float32), array([[0., 3., 0.],
           [0., 0., 4.]], dtype=float32))
    """

    most_cells = 255

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Maxima of the windows; remembers where they were."""
        x = self._enter(x)
        y, codes = self._output(), self._winners()
        active().maxpool_forward(x, self._geometry, y, codes)
        return y

    def _winners(self) -> np.ndarray:
        self._codes = self._buffer("codes", self._y.shape, np.uint8)
        return self._codes

    def receive(self, images: int) -> tuple[np.ndarray, np.ndarray]:
        """Memory for outputs and winners of `images` images, which the convolution before this layer will fill.

        `backward` then gives the gradient of that convolution's output, which was never there.
        """
        self.runs += 1
        self._x, self._images = None, images
        self._pass = None if self._memory is None else self._memory.running
        return self._output((images, *self.output_shape)), self._winners()

    def received(self, grad_y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of the outputs given by `receive`, checked, and the winners."""
        return self._enter_backward(grad_y), self._codes

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """`grad_y` at the maxima, 0 elsewhere."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        active().maxpool_backward(grad_y, self._codes, self._geometry, grad_x)
        return grad_x


class AveragePool2D(_Pooling):
    """The mean of each window, channel by channel.

    With o, k, i for (row, column) of output, window and input, and ``cells[o]`` how many cells of window o lie
    inside the image::

        forward    y[n, o, c] = sum over k  x[n, o*strides + k - pad, c] / cells[o]
        backward   dL/dx[n, i, c] = sum over windows o that cover i  dL/dy[n, o, c] / cells[o]

    Padded cells are left out of the mean, as in Keras (PyTorch counts them as zeros unless told
    ``count_include_pad=False``).  Sums run in float64.

    Parameters, shapes and errors as in `MaxPool2D`, but the window may have any size.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998.

    Examples
    --------
    >>> x = np.float32([[1, 3, 5]]).reshape(1, 1, 3, 1)
    >>> layer = AveragePool2D((1, 2), padding="same")
    >>> layer.forward(x).ravel(), layer.backward(np.float32([4, 1]).reshape(1, 1, 2, 1)).ravel()
    (array([2., 5.], dtype=float32), array([2., 2., 1.], dtype=float32))
    """

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Means of the windows."""
        x = self._enter(x)
        y = self._output()
        active().avgpool_forward(x, self._geometry, y)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """`grad_y`, shared out among the cells of each window."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        active().avgpool_backward(grad_y, self._geometry, grad_x)
        return grad_x


class GlobalPooling(Layer):
    """One number per channel: constructor and shapes of both kinds."""

    reads_output = False

    def __init__(self, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.keepdims = flag(keepdims, f"{type(self).__name__}: keepdims")

    def config(self) -> dict[str, Any]:
        return {"keepdims": self.keepdims}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        check_image(self, input_shape)
        return (1, 1, input_shape[2]) if self.keepdims else (input_shape[2],)


class GlobalAveragePool2D(GlobalPooling):
    """The mean of each channel over the whole image.

    ::

        forward    y[n, c] = sum over rows i, columns j  x[n, i, j, c] / (height * width)
        backward   dL/dx[n, i, j, c] = dL/dy[n, c] / (height * width)

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
    Lin, Chen and Yan, Network in network, 2013.

    Examples
    --------
    >>> layer = GlobalAveragePool2D()
    >>> layer.forward(np.float32([1, 2, 3, 6]).reshape(1, 2, 2, 1)), layer.backward(np.float32([[8]])).ravel()
    (array([[3.]], dtype=float32), array([2., 2., 2., 2.], dtype=float32))
    """

    def create(self, input_shape: Shape) -> None:
        self._geometry = (*input_shape[:2], 1, 1, 0, 0)  # one window, the whole image

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Means of the channels."""
        x = self._enter(x)
        y = self._output()
        active().avgpool_forward(x, self._geometry, y.reshape(len(x), 1, 1, -1))
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """`grad_y`, shared out among all pixels."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        active().avgpool_backward(grad_y.reshape(len(grad_y), 1, 1, -1), self._geometry, grad_x)
        return grad_x
