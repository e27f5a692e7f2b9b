"""Every kernel once more, slow and obvious: the text to read first, and the oracle of the tests.

Plain NumPy, loops where loops show the idea.  Nothing here is used in training.  The fast versions are in
`tinycnn.kernels`; `tinycnn.reference_winograd` has Winograd's convolution, and the rest is here:

    im2col, col2im, conv2d_im2col            convolution as one matrix product
    conv2d_forward, conv2d_backward          convolution as loops over output pixels
    maxpool_*, avgpool_*, upsample_*         smaller and larger images
    dense_*, relu_*                          the other layers
    dropout, batchnorm_*                     a mask from a hash; normalisation over a batch
    adam_update, sgd_update                  the optimizers' steps

the last two rows from `tinycnn.reference_training`, where the loss and finite differences are too.

Shapes: images are NHWC ``(n, h, w, c)``, kernels HWIO ``(kh, kw, c // groups, filters)``, outputs
``(n, oh, ow, filters)``.  Pairs are ``(vertical, horizontal)``; padding is ``((top, bottom), (left, right))``.
Convolution means cross-correlation here as everywhere in deep learning: the kernel is not flipped.
"""

import math
from typing import Literal

import numpy as np

from tinycnn.reference_training import adam_update as adam_update
from tinycnn.reference_training import batchnorm_backward as batchnorm_backward
from tinycnn.reference_training import batchnorm_forward as batchnorm_forward
from tinycnn.reference_training import dropout as dropout
from tinycnn.reference_training import sgd_update as sgd_update

Array = np.ndarray
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Shape = tuple[int, ...]
Bias = Array | None
Interpolation = Literal["nearest", "bilinear"]
ONE = (1, 1)
NONE: Padding = ((0, 0), (0, 0))


def output_size(size: int, window: int, stride: int = 1, padding: Pair = (0, 0), dilation: int = 1) -> int:
    """Positions of a window along one axis: ``(size + before + after - dilation (window - 1) - 1) // stride + 1``.

    >>> output_size(7, 3, stride=2), output_size(7, 3, stride=2, padding=(1, 1), dilation=2)
    (3, 3)
    """
    return (size + sum(padding) - dilation * (window - 1) - 1) // stride + 1


def same_padding(size: int, window: int, stride: int = 1, dilation: int = 1) -> Pair:
    """TensorFlow's "same": pad so that the output has ``ceil(size / stride)`` cells, the odd one at the end.

    >>> same_padding(5, 3), same_padding(6, 3, stride=2), same_padding(5, 2)
    ((1, 1), (0, 1), (0, 1))
    """
    cells = -(-size // stride)
    total = max((cells - 1) * stride + dilation * (window - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _pad(x: Array, padding: Padding, value: float = 0) -> Array:
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def _unpad(x: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def _output_shape(x_shape: Shape, window: Pair, strides: Pair, padding: Padding, dilation: Pair = ONE) -> Pair:
    rows, columns = zip(x_shape[1:3], window, strides, padding, dilation, strict=True)
    return output_size(*rows), output_size(*columns)


def _window(i: int, j: int, window: Pair, strides: Pair, dilation: Pair = ONE) -> tuple[slice, slice, slice]:
    """Index of the pixels that output (i, j) sees: ``x[_window(...)]`` is ``(n, window height, window width, c)``."""
    rows = slice(i * strides[0], i * strides[0] + dilation[0] * (window[0] - 1) + 1, dilation[0])
    columns = slice(j * strides[1], j * strides[1] + dilation[1] * (window[1] - 1) + 1, dilation[1])
    return slice(None), rows, columns


def im2col(x: Array, window: Pair, strides: Pair = ONE, padding: Padding = NONE, dilation: Pair = ONE) -> Array:
    """Lay the window of every output pixel out as a row: ``(n, h, w, c) -> (n * oh * ow, kh * kw * c)``.

    A convolution is then one product with the kernel as a ``(kh * kw * c, filters)`` matrix, at the price of a matrix
    ``kh * kw`` times the size of the image (Chellapilla, Puri and Simard 2006).

    >>> im2col(np.arange(9).reshape(1, 3, 3, 1), (2, 2))
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    """
    oh, ow = _output_shape(x.shape, window, strides, padding, dilation)
    padded = _pad(x, padding)
    columns = np.empty((x.shape[0], oh, ow, window[0] * window[1] * x.shape[3]), x.dtype)
    for i in range(oh):
        for j in range(ow):
            columns[:, i, j] = padded[_window(i, j, window, strides, dilation)].reshape(x.shape[0], -1)
    return columns.reshape(-1, columns.shape[-1])  # (n * oh * ow, kh * kw * c)


def col2im(
    columns: Array, x_shape: Shape, window: Pair, strides: Pair = ONE, padding: Padding = NONE, dilation: Pair = ONE
) -> Array:
    """The adjoint of `im2col`: add every row back onto the pixels it was read from.

    ``sum(im2col(x) * columns) == sum(x * col2im(columns))`` for all `x` and `columns`: that makes it the backward pass.

    >>> col2im(np.ones((4, 4), int), (1, 3, 3, 1), (2, 2))[0, :, :, 0]  # in how many windows each pixel lies
    array([[1, 2, 1],
           [2, 4, 2],
           [1, 2, 1]])
    """
    n, h, w, c = x_shape
    oh, ow = _output_shape(x_shape, window, strides, padding, dilation)
    columns = columns.reshape(n, oh, ow, *window, c)
    padded = _pad(np.zeros(x_shape, columns.dtype), padding)
    for i in range(oh):
        for j in range(ow):
            padded[_window(i, j, window, strides, dilation)] += columns[:, i, j]
    return _unpad(padded, padding)


def conv2d_im2col(
    x: Array, kernel: Array, bias: Bias = None, strides: Pair = ONE, padding: Padding = NONE, dilation: Pair = ONE
) -> Array:
    """`conv2d_forward` for one group as a matrix product: ``y = im2col(x) @ kernel + bias``.

    >>> conv2d_im2col(np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    kh, kw, c, filters = kernel.shape
    oh, ow = _output_shape(x.shape, (kh, kw), strides, padding, dilation)
    y = im2col(x, (kh, kw), strides, padding, dilation) @ kernel.reshape(kh * kw * c, filters)
    if bias is not None:
        y = y + bias
    return y.reshape(x.shape[0], oh, ow, filters)


def conv2d_forward(
    x: Array,
    kernel: Array,
    bias: Bias = None,
    strides: Pair = ONE,
    padding: Padding = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> Array:
    """Convolution, output pixel by output pixel.

    ::

        y[n, i, j, f] = bias[f] + sum over r, s, c of
                        x[n, i*sy + r*dy - top, j*sx + s*dx - left, c] * kernel[r, s, c, f]

    with zeros outside x.  With groups, filter f sees only the channels of its own group.

    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d_forward(x, np.ones((2, 2, 1, 1)), bias=np.array([0.5]))[0, :, :, 0]
    array([[ 8.5, 12.5],
           [20.5, 24.5]])
    """
    kh, kw, _, filters = kernel.shape
    oh, ow = _output_shape(x.shape, (kh, kw), strides, padding, dilation)
    padded = _pad(x, padding)
    y = np.zeros((x.shape[0], oh, ow, filters), x.dtype)
    for i in range(oh):
        for j in range(ow):
            patch = padded[_window(i, j, (kh, kw), strides, dilation)]  # (n, kh, kw, c)
            for g in range(groups):
                ins, outs = (slice(g * size // groups, (g + 1) * size // groups) for size in (x.shape[3], filters))
                y[:, i, j, outs] = np.tensordot(patch[..., ins], kernel[..., outs], axes=3)  # (n, filters of g)
    return y if bias is None else y + bias


def conv2d_backward(
    x: Array,
    kernel: Array,
    grad_y: Array,
    strides: Pair = ONE,
    padding: Padding = NONE,
    dilation: Pair = ONE,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    """Gradients of `conv2d_forward`: every output pixel hands its gradient back to what it was made of.

    For each output (i, j), with ``patch`` the pixels that it saw::

        grad_patch[n, r, s, c]    += sum over f of  grad_y[n, i, j, f] * kernel[r, s, c, f]
        grad_kernel[r, s, c, f]   += sum over n of  grad_y[n, i, j, f] * patch[n, r, s, c]
        grad_bias[f]              += sum over n of  grad_y[n, i, j, f]

    ``grad_x`` is also the forward pass of a transposed convolution, with its input for `grad_y`.

    Returns
    -------
    grad_x, grad_kernel, grad_bias : ndarray

    Examples
    --------
    >>> x, kernel, grad_y = (np.array(row).reshape(1, -1, 1, 1) for row in ([1, 2, 3], [10, 20], [1, 7]))
    >>> [gradient.ravel().tolist() for gradient in conv2d_backward(x, kernel.reshape(2, 1, 1, 1), grad_y)]
    [[10, 90, 140], [15, 23], [8]]
    """
    kh, kw, _, filters = kernel.shape
    padded = _pad(x, padding)
    grad_padded, grad_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    for i in range(grad_y.shape[1]):
        for j in range(grad_y.shape[2]):
            at = _window(i, j, (kh, kw), strides, dilation)
            for g in range(groups):
                ins, outs = (slice(g * size // groups, (g + 1) * size // groups) for size in (x.shape[3], filters))
                grad, patch = grad_y[:, i, j, outs], padded[at][..., ins]  # (n, filters of g), (n, kh, kw, c of g)
                grad_padded[at][..., ins] += np.tensordot(grad, kernel[..., outs], axes=(1, 3))
                grad_kernel[..., outs] += np.tensordot(patch, grad, axes=(0, 0))
    return _unpad(grad_padded, padding), grad_kernel, grad_y.sum(axis=(0, 1, 2))


def maxpool_forward(x: Array, window: Pair, strides: Pair, padding: Padding = NONE) -> tuple[Array, Array]:
    """The largest value of each window and channel, and where it was.

    ``y[n, i, j, c] = max over r, s of  x[n, i*sy + r - top, j*sx + s - left, c]``

    Cells outside the image take no part.  Of equal values the first wins, row by row; NaN wins over every number.

    Returns
    -------
    y : ndarray ``(n, oh, ow, c)``
    codes : uint8 ndarray of the same shape
        ``r * window width + s`` of the winner.

    Examples
    --------
    >>> x = np.array([[1, 5, 5], [2, 0, 7]]).reshape(1, 2, 3, 1)
    >>> y, codes = maxpool_forward(x, (2, 2), (1, 1))
    >>> y.ravel(), codes.ravel()
    (array([5, 7]), array([1, 3], dtype=uint8))
    """
    oh, ow = _output_shape(x.shape, window, strides, padding)
    n, h, w, channels = x.shape
    y = np.empty((n, oh, ow, channels), x.dtype)
    codes = np.zeros(y.shape, np.uint8)
    for image, i, j, c in np.ndindex(*y.shape):
        best = None
        for r, s in np.ndindex(*window):
            row, column = i * strides[0] + r - padding[0][0], j * strides[1] + s - padding[1][0]
            if 0 <= row < h and 0 <= column < w:
                value = x[image, row, column, c]
                if best is None or value > best or np.isnan(value):
                    best, codes[image, i, j, c] = value, r * window[1] + s
        y[image, i, j, c] = best
    return y, codes


def maxpool_backward(
    grad_y: Array, codes: Array, x_shape: Shape, window: Pair, strides: Pair, padding: Padding = NONE
) -> Array:
    """Each output's gradient goes to the one cell that was the maximum; where windows overlap, gradients add up.

    >>> grad_y, codes = np.array([[3, 4], [1, 0]]).reshape(2, 1, 1, 2, 1)
    >>> maxpool_backward(grad_y, codes, (1, 1, 3, 1), window=(1, 2), strides=(1, 1)).ravel()
    array([0, 7, 0])
    """
    grad_x = np.zeros(x_shape, grad_y.dtype)
    for image, i, j, c in np.ndindex(*grad_y.shape):
        r, s = divmod(int(codes[image, i, j, c]), window[1])
        row, column = i * strides[0] + r - padding[0][0], j * strides[1] + s - padding[1][0]
        grad_x[image, row, column, c] += grad_y[image, i, j, c]
    return grad_x


def avgpool_forward(x: Array, window: Pair, strides: Pair, padding: Padding = NONE) -> Array:
    """The mean of each window's cells inside the image: padding counts neither as zeros nor at all, as in Keras.

    ``y[n, i, j, c] = (1 / cells) * sum over r, s of  x[n, i*sy + r - top, j*sx + s - left, c]``

    >>> avgpool_forward(np.array([[1.0, 3.0, 5.0]]).reshape(1, 1, 3, 1), (1, 2), (1, 2), ((0, 0), (0, 1))).ravel()
    array([2., 5.])
    """
    inside = _pad(np.ones_like(x), padding)
    padded = _pad(x, padding)
    oh, ow = _output_shape(x.shape, window, strides, padding)
    y = np.empty((x.shape[0], oh, ow, x.shape[3]), x.dtype)
    for i in range(oh):
        for j in range(ow):
            at = _window(i, j, window, strides)
            y[:, i, j] = padded[at].sum(axis=(1, 2)) / inside[at].sum(axis=(1, 2))
    return y


def avgpool_backward(grad_y: Array, x_shape: Shape, window: Pair, strides: Pair, padding: Padding = NONE) -> Array:
    """Each output's gradient is shared out equally among the cells that it averaged: ``grad_y / cells`` to each.

    >>> avgpool_backward(np.array([6.0, 1.0]).reshape(1, 1, 2, 1), (1, 1, 3, 1), (1, 2), (1, 1)).ravel()
    array([3. , 3.5, 0.5])
    """
    inside = _pad(np.ones(x_shape, grad_y.dtype), padding)
    grad_padded = np.zeros_like(inside)
    for i in range(grad_y.shape[1]):
        for j in range(grad_y.shape[2]):
            at = _window(i, j, window, strides)
            cells = inside[at].sum(axis=(1, 2))  # (n, c)
            grad_padded[at] += (grad_y[:, i, j] / cells)[:, None, None]
    return _unpad(grad_padded, padding)


def upsample_matrix(size: int, factor: int, interpolation: Interpolation = "nearest") -> Array:
    """Enlarging one axis is a matrix ``(size * factor, size)``: each row says how much of which pixels makes an output.

    Pixels are areas, so the centre of output o lies at ``(o + 1/2) / factor - 1/2`` on the axis of the input.
    "bilinear" takes the two neighbours of that place by their distance; beyond the edge the last pixel counts.

    >>> upsample_matrix(2, 2, "nearest").tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    >>> upsample_matrix(2, 2, "bilinear").tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    matrix = np.zeros((size * factor, size))
    for o in range(size * factor):
        place = (o + 0.5) / factor - 0.5 if interpolation == "bilinear" else o // factor
        first = math.floor(place)
        matrix[o, max(first, 0)] += 1 - (place - first)
        matrix[o, min(first + 1, size - 1)] += place - first
    return matrix


def upsample_forward(x: Array, factors: Pair, interpolation: Interpolation = "nearest") -> Array:
    """Rows and columns enlarged: ``y[n, o, p, c] = sum over i, j of rows[o, i] columns[p, j] x[n, i, j, c]``.

    >>> upsample_forward(np.array([0.0, 4.0]).reshape(1, 1, 2, 1), (1, 2), "bilinear").ravel()
    array([0., 1., 3., 4.])
    """
    rows, columns = (upsample_matrix(x.shape[1 + a], factors[a], interpolation).astype(x.dtype) for a in (0, 1))
    return np.einsum("oi,pj,nijc->nopc", rows, columns, x)


def upsample_backward(grad_y: Array, factors: Pair, interpolation: Interpolation = "nearest") -> Array:
    """The matrices transposed: ``grad_x[n, i, j, c] = sum over o, p of rows[o, i] columns[p, j] grad_y[n, o, p, c]``.

    >>> upsample_backward(np.arange(4.0).reshape(1, 1, 4, 1), (1, 2)).ravel()
    array([1., 5.])
    """
    sizes = [grad_y.shape[1 + a] // factors[a] for a in (0, 1)]
    rows, columns = (upsample_matrix(sizes[a], factors[a], interpolation).astype(grad_y.dtype) for a in (0, 1))
    return np.einsum("oi,pj,nopc->nijc", rows, columns, grad_y)


def dense_forward(x: Array, kernel: Array, bias: Bias = None) -> Array:
    """``y = x @ kernel + bias`` for x ``(n, inputs)``, kernel ``(inputs, units)``.

    >>> dense_forward(np.array([[1, 2]]), np.array([[10, 20], [1, 2]]), np.array([100, 0]))
    array([[112,  24]])
    """
    return x @ kernel if bias is None else x @ kernel + bias


def dense_backward(x: Array, kernel: Array, grad_y: Array) -> tuple[Array, Array, Array]:
    """``(grad_x, grad_kernel, grad_bias) = (grad_y @ kernel.T, x.T @ grad_y, sum of grad_y's rows)``.

    >>> x, kernel, grad_y = np.array([[1, 2]]), np.array([[10, 20], [1, 2]]), np.array([[1, -1]])
    >>> [gradient.tolist() for gradient in dense_backward(x, kernel, grad_y)]
    [[[-10, -1]], [[1, -1], [2, -2]], [1, -1]]
    """
    return grad_y @ kernel.T, x.T @ grad_y, grad_y.sum(axis=0)


def relu_forward(x: Array) -> Array:
    """``y = max(x, 0)``, of any shape; NaN stays NaN.

    >>> relu_forward(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


def relu_backward(grad_y: Array, y: Array) -> Array:
    """``grad_x = grad_y`` where the output `y` was positive, else 0.

    >>> relu_backward(np.array([5.0, 6.0]), y=np.array([0.0, 2.0]))
    array([0., 6.])
    """
    return np.where(y > 0, grad_y, 0).astype(grad_y.dtype)
