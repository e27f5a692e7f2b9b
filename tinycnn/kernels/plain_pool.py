"""Max and average pooling in plain loops, one image at a time per worker; the set "im2col" computes them so.

``y[n, i, j, c]`` is the maximum or mean over r, s of ``x[n, i*stride_y + r - top, j*stride_x + s - left, c]``, where
that lies inside the image.  `geometry` is ``(window rows, window columns, stride_y, stride_x, top, left)``.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.tasks import tasks

Array = np.ndarray


@jit
def _inside(i, stride, padding, window, size):
    """First and one past the last input index of output i's window, both inside the image."""
    first = i * stride - padding
    return max(first, 0), min(first + window, size)


@jit
def _max_forward(worker, counter, x, geometry, y, codes):
    _, height, width, channels = x.shape
    images, rows, columns, _ = y.shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    for task in tasks(counter, images * rows):
        n, i = task // rows, task % rows
        r0, r1 = _inside(i, stride_y, top, window_y, height)
        for j in range(columns):
            s0, s1 = _inside(j, stride_x, left, window_x, width)
            for r in range(r0, r1):
                for s in range(s0, s1):
                    code = (r - i * stride_y + top) * window_x + s - j * stride_x + left
                    first = r == r0 and s == s0
                    for c in range(channels):
                        value, best, winner = x[n, r, s, c], y[n, i, j, c], codes[n, i, j, c]
                        better = first or value > best or value != value  # NaN beats all, and stays to be seen
                        y[n, i, j, c] = value if better else best
                        codes[n, i, j, c] = code if better else winner


@runtime.locked
def maxpool_forward(x: Array, geometry: tuple[int, ...], y: Array, codes: Array) -> None:
    """Fill `y` with each window's maximum, and `codes` with where it was; see `tinycnn.kernels.sets.Kernels`."""
    runtime.run(_max_forward, runtime.task_counter(), x, geometry, y, codes)


@jit
def _max_backward(worker, counter, grad, codes, geometry, grad_x):
    images, height, width, channels = grad_x.shape
    _, rows, columns, _ = grad.shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    for n in tasks(counter, images):
        grad_x[n] = 0
        for i in range(rows):
            r0, r1 = _inside(i, stride_y, top, window_y, height)
            for j in range(columns):
                s0, s1 = _inside(j, stride_x, left, window_x, width)
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        code = (r - i * stride_y + top) * window_x + s - j * stride_x + left
                        for c in range(channels):
                            won = codes[n, i, j, c] == code
                            grad_x[n, r, s, c] += grad[n, i, j, c] if won else 0


@runtime.locked
def maxpool_backward(grad: Array, codes: Array, geometry: tuple[int, ...], grad_x: Array) -> None:
    """Fill `grad_x`: each output's gradient goes to the cell that won; see `tinycnn.kernels.sets.Kernels`."""
    runtime.run(_max_backward, runtime.task_counter(), grad, codes, geometry, grad_x)


@jit
def _average_forward(worker, counter, x, geometry, y):
    _, height, width, channels = x.shape
    images, rows, columns, _ = y.shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    for task in tasks(counter, images * rows):
        n, i = task // rows, task % rows
        r0, r1 = _inside(i, stride_y, top, window_y, height)
        for j in range(columns):
            s0, s1 = _inside(j, stride_x, left, window_x, width)
            for c in range(channels):
                total = 0.0  # in float64
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        total += x[n, r, s, c]
                y[n, i, j, c] = total / ((r1 - r0) * (s1 - s0))


@runtime.locked
def avgpool_forward(x: Array, geometry: tuple[int, ...], y: Array) -> None:
    """Fill `y` with the mean of each window's cells inside the image; see `tinycnn.kernels.sets.Kernels`."""
    runtime.run(_average_forward, runtime.task_counter(), x, geometry, y)


@jit
def _average_backward(worker, counter, grad, geometry, grad_x):
    images, height, width, channels = grad_x.shape
    _, rows, columns, _ = grad.shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    for n in tasks(counter, images):
        grad_x[n] = 0
        for i in range(rows):
            r0, r1 = _inside(i, stride_y, top, window_y, height)
            for j in range(columns):
                s0, s1 = _inside(j, stride_x, left, window_x, width)
                share = 1 / ((r1 - r0) * (s1 - s0))
                for r in range(r0, r1):
                    for s in range(s0, s1):
                        for c in range(channels):
                            grad_x[n, r, s, c] += grad[n, i, j, c] * share


@runtime.locked
def avgpool_backward(grad: Array, geometry: tuple[int, ...], grad_x: Array) -> None:
    """Fill `grad_x`: equal shares for the cells of each window; see `tinycnn.kernels.sets.Kernels`."""
    runtime.run(_average_backward, runtime.task_counter(), grad, geometry, grad_x)


@jit
def _upsample_forward(worker, counter, x, size, y):
    for image in tasks(counter, len(y)):
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                for c in range(y.shape[3]):
                    y[image, row, column, c] = x[image, row // size[0], column // size[1], c]


@runtime.locked
def upsample_forward(x: Array, size: tuple[int, int], y: Array) -> None:
    """Each pixel of `x` ``size[0] * size[1]`` times in `y`; see `tinycnn.kernels.sets.Kernels`."""
    runtime.run(_upsample_forward, runtime.task_counter(), x, size, y)


@jit
def _upsample_backward(worker, counter, grad, size, grad_x):
    for image in tasks(counter, len(grad)):
        grad_x[image] = 0
        for row in range(grad.shape[1]):
            for column in range(grad.shape[2]):
                for c in range(grad.shape[3]):
                    grad_x[image, row // size[0], column // size[1], c] += grad[image, row, column, c]


@runtime.locked
def upsample_backward(grad: Array, size: tuple[int, int], grad_x: Array) -> None:
    """The way back: the sum of each block of equal pixels."""
    runtime.run(_upsample_backward, runtime.task_counter(), grad, size, grad_x)
