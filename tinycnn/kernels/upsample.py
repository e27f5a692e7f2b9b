"""Nearest-neighbour upsampling: every pixel becomes a block of equal ones, and their gradients add up on the way back.

A task is a row of the small images.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import jit
from tinycnn.kernels.nhwc import Images, as_images, pixel
from tinycnn.kernels.simd import LANES, copy, load, store
from tinycnn.kernels.tasks import tasks


def _check(small, size, large):
    """Both as kernels read them."""
    number, height, width, channels = small.shape
    large_shape = number, height * size[0], width * size[1], channels
    check("upsampling", small=(small, small.shape), large=(large, large_shape))
    return as_images(small), as_images(large)


@jit
def _forward(worker, x, size, y, counter):
    x, y, (rows, columns) = Images(*x), Images(*y), size
    line = y.width * y.channels
    for task in tasks(counter, x.number * x.height):
        n, i = task // x.height, task % x.height
        first = pixel(y, n, i * rows, 0)
        for j in range(y.width):
            copy(y.data, first + j * x.channels, x.data, pixel(x, n, i, j // columns), x.channels)
        for r in range(1, rows):
            copy(y.data, first + r * line, y.data, first, line)


@runtime.locked
def upsample_forward(x: np.ndarray, size: tuple[int, int], y: np.ndarray) -> None:
    """Fill `y`: each pixel of `x` ``size[0] * size[1]`` times.

    Parameters
    ----------
    x : ndarray ``(images, height, width, channels)``
    size : factors for height and width
    y : ndarray ``(images, height * size[0], width * size[1], channels)``
    """
    images, output = _check(x, size, y)
    runtime.run(_forward, images, size, output, runtime.task_counter())


@jit
def _backward(worker, grad, size, grad_x, counter):
    grad, grad_x, (rows, columns) = Images(*grad), Images(*grad_x), size
    channels, line = grad.channels, grad.width * grad.channels
    whole = channels // LANES * LANES
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, i = task // grad_x.height, task % grad_x.height
        for j in range(grad_x.width):
            source, target = pixel(grad, n, i * rows, j * columns), pixel(grad_x, n, i, j)
            for c in range(0, whole, LANES):
                total = load(grad.data, source + c)
                for cell in range(1, rows * columns):
                    total = total + load(grad.data, source + c + cell // columns * line + cell % columns * channels)
                store(grad_x.data, target + c, total)
            for c in range(whole, channels):
                total_ = grad.data[source + c]
                for cell in range(1, rows * columns):
                    total_ += grad.data[source + c + cell // columns * line + cell % columns * channels]
                grad_x.data[target + c] = total_


@runtime.locked
def upsample_backward(grad: np.ndarray, size: tuple[int, int], grad_x: np.ndarray) -> None:
    """Fill `grad_x`: the sum of each block of `grad`, row by row.  Parameters as in `upsample_forward`."""
    images, output = _check(grad_x, size, grad)
    runtime.run(_backward, output, size, images, runtime.task_counter())
