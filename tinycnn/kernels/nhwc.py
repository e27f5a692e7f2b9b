"""A batch of images as kernels see it: flat memory and four sizes, whole or 2x2 max-pooled on the way."""

from typing import NamedTuple

import numpy as np

from tinycnn.kernels.codes import load_where_code, store_max4
from tinycnn.kernels.compile import inlined
from tinycnn.kernels.simd import LANES, copy, load, store, zero

NO_CODES = np.empty(0, np.uint8)


class Images(NamedTuple):
    """``(number, height, width, channels)``, C-contiguous, flat.

    If `pooled`, `data` does not hold the images but their 2x2 max-pool, or its gradient, of half the height and width,
    and `codes` says for each number where in its window the maximum was, see `codes.store_max4`.  The full-size
    gradient, three quarters of it zero, is never stored: it is expanded where it is read.
    """

    data: np.ndarray
    codes: np.ndarray
    pooled: bool
    number: int
    height: int
    width: int
    channels: int


def as_images(array: np.ndarray, codes: np.ndarray | None = None, size: tuple[int, int] | None = None) -> Images:
    """`array` ``(number, height, width, channels)``; with `codes`, the max-pool of images of `size` (rows, columns)."""
    number, height, width, channels = array.shape
    if codes is None or size is None:
        return Images(array.reshape(-1), NO_CODES, False, number, height, width, channels)
    return Images(array.reshape(-1), codes.reshape(-1), True, number, *size, channels)


@inlined
def pixel(images, n, row, column):
    """Index of the first channel of a pixel of image n."""
    return ((n * images.height + row) * images.width + column) * images.channels


@inlined
def window(images, n, row, column):
    """Index of the first channel of the pooling window that the pixel lies in."""
    return ((n * (images.height // 2) + row // 2) * (images.width // 2) + column // 2) * images.channels


@inlined
def load_row(images, n, row, left, target, t, width):
    """Copy row `row` of image n to ``target[t:]``: `left` zero pixels before it, zeros behind it up to `width` pixels.

    A row above or below the image is all zeros.
    """
    channels = images.channels
    first, last = max(0, left), min(width, left + images.width)
    if row < 0 or row >= images.height or last <= first:
        zero(target, t, width * channels)
        return
    zero(target, t, first * channels)
    zero(target, t + last * channels, (width - last) * channels)
    if not images.pooled:
        start = pixel(images, n, row, first - left)
        copy(target, t + first * channels, images.data, start, (last - first) * channels)
        return
    for column in range(first - left, last - left):
        place = t + (left + column) * channels
        if row // 2 >= images.height // 2 or column // 2 >= images.width // 2:  # an odd last one has no window
            zero(target, place, channels)
        else:
            cell, position = window(images, n, row, column), (row % 2) * 2 + column % 2
            for c in range(0, channels, LANES):
                store(target, place + c, load_where_code(images.data, images.codes, cell + c, position))


class Output(NamedTuple):
    """`Images` where a convolution's results go, and what is done to these while they are in cache."""

    data: np.ndarray
    codes: np.ndarray
    pooled: bool
    number: int
    height: int
    width: int
    channels: int
    bias: np.ndarray
    relu: bool


@inlined
def store_window(values, v, right, below, out, t, c):
    """Bias, ReLU and 2x2 max-pool of LANES channels of one window, written from index t of the output.

    The four pixels are ``values[v:]`` and what lies `right`, `below` and both further; c is the first channel.
    """
    shift = load(out.bias, c)
    top = load(values, v) + shift, load(values, v + right) + shift
    bottom = load(values, v + below) + shift, load(values, v + below + right) + shift
    store_max4(out.data, out.codes, t, top + bottom, out.relu)
