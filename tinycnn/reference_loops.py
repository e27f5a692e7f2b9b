"""Convolution and its two gradients as seven nested loops, the definition itself: one multiplication at a time.

In Python a loop over a network's layer takes minutes.  numba compiles the very same functions, ``numba.njit(forward)``:
that is the step from a definition to a program, and `benchmarks/ladder.py` shows how far it goes.

Images are NHWC, kernels HWIO ``(kernel rows, kernel columns, channels, filters)``.  Results are filled in; zeros lie
around the image.

    y[n, i, j, f]           = sum over r, s, c of   x[n, i*sy + r - top, j*sx + s - left, c] * kernel[r, s, c, f]
    grad_kernel[r, s, c, f] = sum over n, i, j of   x[n, i*sy + r - top, j*sx + s - left, c] * grad[n, i, j, f]
    grad_x[n, ..., c]       = sum over r, s, f of   grad[n, i, j, f] * kernel[r, s, c, f]    at that same pixel of x
"""

import numpy as np


def forward(
    x: np.ndarray, kernel: np.ndarray, strides: tuple[int, int], corner: tuple[int, int], y: np.ndarray
) -> None:
    """Fill `y` ``(n, oh, ow, filters)``; `corner` is (rows of padding above, columns of padding on the left).

    >>> import numpy as np
    >>> x, kernel, y = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)), np.empty((1, 2, 2, 1))
    >>> forward(x, kernel, (1, 1), (0, 0), y)
    >>> y[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    y[:] = 0
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for r in range(kernel.shape[0]):
                    for s in range(kernel.shape[1]):
                        row, column = i * strides[0] + r - corner[0], j * strides[1] + s - corner[1]
                        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                            for c in range(kernel.shape[2]):
                                for f in range(kernel.shape[3]):
                                    y[n, i, j, f] += x[n, row, column, c] * kernel[r, s, c, f]


def kernel_gradient(
    x: np.ndarray, grad: np.ndarray, strides: tuple[int, int], corner: tuple[int, int], grad_kernel: np.ndarray
) -> None:
    """Fill `grad_kernel` from the gradient `grad` ``(n, oh, ow, filters)`` of the outputs."""
    grad_kernel[:] = 0
    for n in range(grad.shape[0]):
        for i in range(grad.shape[1]):
            for j in range(grad.shape[2]):
                for r in range(grad_kernel.shape[0]):
                    for s in range(grad_kernel.shape[1]):
                        row, column = i * strides[0] + r - corner[0], j * strides[1] + s - corner[1]
                        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                            for c in range(grad_kernel.shape[2]):
                                for f in range(grad_kernel.shape[3]):
                                    grad_kernel[r, s, c, f] += x[n, row, column, c] * grad[n, i, j, f]


def input_gradient(
    grad: np.ndarray, kernel: np.ndarray, strides: tuple[int, int], corner: tuple[int, int], grad_x: np.ndarray
) -> None:
    """Fill `grad_x` ``(n, h, w, channels)`` from the gradient `grad` of the outputs."""
    grad_x[:] = 0
    for n in range(grad.shape[0]):
        for i in range(grad.shape[1]):
            for j in range(grad.shape[2]):
                for r in range(kernel.shape[0]):
                    for s in range(kernel.shape[1]):
                        row, column = i * strides[0] + r - corner[0], j * strides[1] + s - corner[1]
                        if 0 <= row < grad_x.shape[1] and 0 <= column < grad_x.shape[2]:
                            for c in range(kernel.shape[2]):
                                for f in range(kernel.shape[3]):
                                    grad_x[n, row, column, c] += grad[n, i, j, f] * kernel[r, s, c, f]
