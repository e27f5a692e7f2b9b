"""Max and average pooling, any window, stride and padding, forward and backward.

The forward passes draw one row of outputs as a task, the backward passes one row of the *input*: each worker then
gathers, in a fixed order, all that flows into its own row, so overlapping windows need neither locks nor partial sums.

Arrays are NHWC.  `geometry` is ``(window height, window width, stride y, stride x, rows of padding on top, columns of
padding on the left)``; padding below and to the right follows from the output's size.
"""

import functools

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.codes import load_where_code, store_bytes, store_max4, where_larger
from tinycnn.kernels.compile import IN_PYTHON, inlined, jit
from tinycnn.kernels.nhwc import Images, as_images, pixel
from tinycnn.kernels.simd import LANES, filled, load, narrow, rounded_product, store, widen, zero
from tinycnn.kernels.tasks import tasks


def _halves(geometry, images, output_shape):
    """Whether the windows are 2x2, side by side and inside the image, as in nearly every network: done with vectors.

    Where the channels are no whole vectors, a pixel's last vector reads and writes on into the pixel after it, which
    comes next and is written again.  The last pixels of a row, where that would leave the row, are done one by one.
    """
    fits = 2 * output_shape[1] <= images.height and 2 * output_shape[2] <= images.width
    return geometry == (2, 2, 2, 2, 0, 0) and fits and not IN_PYTHON


@inlined
def _in_vectors(y):
    """How many pixels of a row of `y` can be read and written in whole vectors without leaving the row."""
    return max(0, (y.width * y.channels - -(-y.channels // LANES) * LANES) // y.channels + 1)


@inlined
def _fits(reach, ends):
    """Whether vectors may touch `reach` numbers from each of `ends`: an index, and one past the last that there is.

    Where the channels of a pixel are no whole vectors, the last one reads and writes on into the pixel after it, as in
    `_halves`; or, if they are more than one and nothing is added, it begins earlier, see `_vector`.
    """
    fits = not IN_PYTHON
    for start, end in ends:
        fits = fits and start + reach <= end
    return fits


@inlined
def _vector(c, channels):
    """Where the vector begins that covers channel c, a multiple of `LANES`, and what follows it."""
    return max(0, min(c, channels - LANES))


@inlined
def _inside(i, stride, padding, window, size):
    """First and one past the last input index of output i's window, both inside the image."""
    first = i * stride - padding
    return max(first, 0), min(first + window, size)


@inlined
def _window(images, n, i, j, geometry):
    """First number of what window (i, j) sees of image n, its rows and columns, and the code of its first cell."""
    window_y, window_x, stride_y, stride_x, top, left = geometry
    r0, r1 = _inside(i, stride_y, top, window_y, images.height)
    s0, s1 = _inside(j, stride_x, left, window_x, images.width)
    code = (r0 - i * stride_y + top) * window_x + s0 - j * stride_x + left
    return pixel(images, n, r0, s0), r1 - r0, s1 - s0, code


@functools.lru_cache
def _windows_over(size, outputs, window, stride, padding):
    """int64 ``(size, 2)``: first and one past the last window along an axis that covers each place of the input."""
    places = np.arange(size) + padding
    return np.stack([np.maximum(0, (places - window) // stride + 1), np.minimum(outputs, places // stride + 1)], axis=1)


def _windows(images, output, geometry):
    """`_windows_over` both axes."""
    axes = zip(images[4:6], output[4:6], geometry[:2], geometry[2:4], geometry[4:], strict=True)
    return tuple(_windows_over(*axis) for axis in axes)


@jit
def _max_forward(worker, x, y, codes, geometry, counter):
    x, y = Images(*x), Images(*y)
    channels, line, window_x = x.channels, x.width * x.channels, geometry[1]
    for task in tasks(counter, y.number * y.height):
        n, i = task // y.height, task % y.height
        for j in range(y.width):
            a, rows, columns, first = _window(x, n, i, j, geometry)
            t, last = pixel(y, n, i, j), a + (rows - 1) * line + (columns - 1) * channels
            if _fits(max(channels, LANES), ((last, x.data.size), (t, pixel(y, n, i + 1, 0)))):
                for c in range(0, channels, LANES):
                    c = _vector(c, channels)
                    best, code = load(x.data, a + c), filled(x.data, float(first))
                    for r in range(rows):
                        for s in range(columns):
                            value = load(x.data, a + c + r * line + s * channels)
                            code = where_larger(value, best, filled(x.data, float(first + r * window_x + s)), code)
                            best = where_larger(value, best, value, best)
                    store(y.data, t + c, best)
                    store_bytes(codes, t + c, code)
            else:
                for c in range(channels):
                    y.data[t + c], codes[t + c] = x.data[a + c], np.uint8(first)
                    for r in range(rows):
                        for s in range(columns):
                            v = x.data[a + c + r * line + s * channels]
                            if v > y.data[t + c] or v != v:
                                y.data[t + c], codes[t + c] = v, np.uint8(first + r * window_x + s)


@jit
def _max_forward_halving(worker, x, y, codes, geometry, counter):
    x, y = Images(*x), Images(*y)
    right, below, whole = x.channels, x.width * x.channels, _in_vectors(y)
    for task in tasks(counter, y.number * y.height):
        n, i = task // y.height, task % y.height
        for j in range(whole):
            a, t = pixel(x, n, 2 * i, 2 * j), pixel(y, n, i, j)
            for c in range(a, a + x.channels, LANES):
                top = load(x.data, c), load(x.data, c + right)
                bottom = load(x.data, c + below), load(x.data, c + below + right)
                store_max4(y.data, codes, t + c - a, top + bottom, False)
        for j in range(whole, y.width):
            a, t = pixel(x, n, 2 * i, 2 * j), pixel(y, n, i, j)
            for c in range(x.channels):
                best, code = x.data[a + c], np.uint8(0)
                for k in range(1, 4):
                    v = x.data[a + c + k // 2 * below + k % 2 * right]
                    if v > best or v != v:
                        best, code = v, np.uint8(k)
                y.data[t + c], codes[t + c] = best, code


@runtime.locked
def maxpool_forward(x: np.ndarray, geometry: tuple, y: np.ndarray, codes: np.ndarray) -> None:
    """Fill `y` with each window's maximum and the bytes `codes` with its position ``row * window width + column``.

    The first of equal values wins, and NaN wins over every number; cells outside the image take no part.

    Parameters
    ----------
    x : ndarray ``(images, height, width, channels)``
    geometry : tuple of six ints, see above
    y, codes : ndarray ``(images, rows, columns, channels)``
    """
    images, output = _check("max-pool", x, y, codes)
    kernel = _max_forward_halving if _halves(geometry, images, y.shape) else _max_forward
    runtime.run(kernel, images, output, codes.reshape(-1), geometry, runtime.task_counter())


def _check(kernel, image, output, codes=None):
    """Images and output as kernels read them; both of one dtype, and as many of as many channels."""
    shape = (image.shape[0], *output.shape[1:3], image.shape[-1])
    check(kernel, image=(image, image.shape), output=(output, shape), codes=(codes, shape, np.uint8))
    return as_images(image), as_images(output)


@inlined
def _over(grad, grad_x, windows, n, row, s):
    """The windows over a pixel: the first and how many, down and across; where their gradients and its own begin; and
    so many numbers of these are taken in vectors."""
    rows, columns = windows
    i0, i1 = rows[row, 0], rows[row, 1]  # not one index: a view is counted, which costs more than a pixel
    j0, j1 = columns[s, 0], columns[s, 1]
    a, t, reach = pixel(grad, n, i0, j0), pixel(grad_x, n, row, s), -(-grad.channels // LANES) * LANES
    ends = (pixel(grad, n, i1 - 1, j1 - 1), grad.data.size), (t, pixel(grad_x, n, row + 1, 0))
    return i0, i1 - i0, j0, j1 - j0, a, t, reach if _fits(reach, ends) else 0


@jit
def _max_backward(worker, grad, codes, grad_x, geometry, windows, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    _, window_x, stride_y, stride_x, top, left = geometry
    channels, line = grad.channels, grad.width * grad.channels
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        for s in range(grad_x.width):
            i0, down, j0, across, a, t, whole = _over(grad, grad_x, windows, n, row, s)
            first = (row - i0 * stride_y + top) * window_x + s - j0 * stride_x + left
            for c in range(channels if down <= 0 or across <= 0 else 0):
                grad_x.data[t + c] = 0
            for i in range(down):
                for j in range(across):
                    k, code = a + i * line + j * channels, first - i * stride_y * window_x - j * stride_x
                    for c in range(0, whole, LANES):
                        value = load_where_code(grad.data, codes, k + c, code)
                        store(grad_x.data, t + c, value if i + j == 0 else value + load(grad_x.data, t + c))
                    for c in range(whole, channels):
                        won = grad.data[k + c] if codes[k + c] == code else grad.data.dtype.type(0)
                        grad_x.data[t + c] = won if i + j == 0 else won + grad_x.data[t + c]


@jit
def _max_backward_halving(worker, grad, codes, grad_x, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    channels, covered, whole = grad_x.channels, 2 * grad.width, _in_vectors(grad)
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        line = pixel(grad_x, n, row, 0)
        if row // 2 < grad.height:
            for s in range(2 * whole):
                t, target = pixel(grad, n, row // 2, s // 2), line + s * channels
                for c in range(0, channels, LANES):
                    value = load_where_code(grad.data, codes, t + c, 2 * (row % 2) + s % 2)
                    store(grad_x.data, target + c, value)
            for s in range(2 * whole, covered):
                t, target = pixel(grad, n, row // 2, s // 2), line + s * channels
                for c in range(channels):
                    won = codes[t + c] == 2 * (row % 2) + s % 2
                    grad_x.data[target + c] = grad.data[t + c] if won else grad.data.dtype.type(0)
            line, left = line + covered * channels, grad_x.width - covered
        else:
            left = grad_x.width
        zero(grad_x.data, line, left * channels)  # an odd last row or column


@runtime.locked
def maxpool_backward(grad: np.ndarray, codes: np.ndarray, geometry: tuple, grad_x: np.ndarray) -> None:
    """Fill `grad_x`: each output's gradient goes to the cell that `codes` names, and where windows overlap they add up.

    Parameters
    ----------
    grad, codes : ndarray ``(images, rows, columns, channels)``
    geometry : as in `maxpool_forward`
    grad_x : ndarray ``(images, height, width, channels)``
    """
    images, output = _check("max-pool", grad_x, grad, codes)
    arrays, counter = (output, codes.reshape(-1), images), runtime.task_counter()
    if _halves(geometry, images, grad.shape):
        runtime.run(_max_backward_halving, *arrays, counter)
    else:
        runtime.run(_max_backward, *arrays, geometry, _windows(images, output, geometry), counter)


@jit
def _average_forward(worker, x, y, geometry, counter):
    x, y = Images(*x), Images(*y)
    channels, line = x.channels, x.width * x.channels
    for task in tasks(counter, y.number * y.height):
        n, i = task // y.height, task % y.height
        for j in range(y.width):
            a, rows, columns, _ = _window(x, n, i, j, geometry)
            t, last = pixel(y, n, i, j), a + (rows - 1) * line + (columns - 1) * channels
            cells = float(rows * columns)
            if _fits(max(channels, LANES), ((last, x.data.size), (t, pixel(y, n, i + 1, 0)))):
                for c in range(0, channels, LANES):
                    c = _vector(c, channels)
                    nothing = filled(x.data, 0.0)
                    total = widen(nothing)
                    for r in range(rows):
                        for s in range(columns):
                            total = total + widen(load(x.data, a + c + r * line + s * channels))
                    store(y.data, t + c, narrow(total / cells, nothing))
            else:
                for c in range(channels):
                    sum_ = 0.0
                    for r in range(rows):
                        for s in range(columns):
                            sum_ += np.float64(x.data[a + c + r * line + s * channels])
                    y.data[t + c] = sum_ / cells


@jit
def _average_forward_halving(worker, x, y, geometry, counter):
    x, y = Images(*x), Images(*y)
    right, below, whole = x.channels, x.width * x.channels, _in_vectors(y)
    for task in tasks(counter, y.number * y.height):
        n, i = task // y.height, task % y.height
        for j in range(whole):
            a, t = pixel(x, n, 2 * i, 2 * j), pixel(y, n, i, j)
            for c in range(a, a + x.channels, LANES):
                first = load(x.data, c)
                top = widen(first) + widen(load(x.data, c + right))
                total = top + widen(load(x.data, c + below)) + widen(load(x.data, c + below + right))
                store(y.data, t + c - a, narrow(total * 0.25, first))
        for j in range(whole, y.width):
            a, t = pixel(x, n, 2 * i, 2 * j), pixel(y, n, i, j)
            for c in range(a, a + x.channels):
                top = np.float64(x.data[c]) + np.float64(x.data[c + right])
                total = top + np.float64(x.data[c + below]) + np.float64(x.data[c + below + right])
                y.data[t + c - a] = total * 0.25


@runtime.locked
def avgpool_forward(x: np.ndarray, geometry: tuple, y: np.ndarray) -> None:
    """Fill `y` with the mean of each window's cells inside the image; a window may be the whole image.

    Sums run in float64.  Parameters as in `maxpool_forward`.
    """
    images, output = _check("average pool", x, y)
    kernel = _average_forward_halving if _halves(geometry, images, y.shape) else _average_forward
    runtime.run(kernel, images, output, geometry, runtime.task_counter())


@inlined
def _share(grad, grad_x, geometry, i, j):
    """What each cell of a window inside the image gets of its gradient."""
    _, rows, columns, _ = _window(grad_x, 0, i, j, geometry)
    return grad.data.dtype.type(1) / grad.data.dtype.type(rows * columns)


@jit
def _average_backward(worker, grad, grad_x, geometry, windows, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    channels, line = grad.channels, grad.width * grad.channels
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        for s in range(grad_x.width):
            i0, down, j0, across, a, t, whole = _over(grad, grad_x, windows, n, row, s)
            for c in range(channels if down <= 0 or across <= 0 else 0):
                grad_x.data[t + c] = 0
            for i in range(down):
                for j in range(across):
                    k, share = a + i * line + j * channels, _share(grad, grad_x, geometry, i0 + i, j0 + j)
                    for c in range(0, whole, LANES):
                        value = rounded_product(load(grad.data, k + c), filled(grad.data, share))
                        store(grad_x.data, t + c, value if i + j == 0 else value + load(grad_x.data, t + c))
                    for c in range(whole, channels):
                        part = grad.data[k + c] * share
                        grad_x.data[t + c] = part if i + j == 0 else part + grad_x.data[t + c]


@jit
def _average_backward_halving(worker, grad, grad_x, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    channels, covered, whole = grad_x.channels, 2 * grad.width, _in_vectors(grad)
    quarter = grad.data.dtype.type(0.25)
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        if row // 2 >= grad.height:
            zero(grad_x.data, pixel(grad_x, n, row, 0), grad_x.width * channels)
            continue
        line = pixel(grad_x, n, row, 0)
        for s in range(2 * whole):
            t, target = pixel(grad, n, row // 2, s // 2), line + s * channels
            for c in range(0, channels, LANES):
                store(grad_x.data, target + c, load(grad.data, t + c) * quarter)
        for s in range(2 * whole, covered):
            t, target = pixel(grad, n, row // 2, s // 2), line + s * channels
            for c in range(channels):
                grad_x.data[target + c] = grad.data[t + c] * quarter
        zero(grad_x.data, line + covered * channels, (grad_x.width - covered) * channels)  # an odd last column


@runtime.locked
def avgpool_backward(grad: np.ndarray, geometry: tuple, grad_x: np.ndarray) -> None:
    """Fill `grad_x`: each output's gradient is shared out equally among the cells that it averaged.

    Parameters as in `maxpool_backward`.
    """
    images, output = _check("average pool", grad_x, grad)
    if _halves(geometry, images, grad.shape):
        runtime.run(_average_backward_halving, output, images, runtime.task_counter())
    else:
        windows = _windows(images, output, geometry)
        runtime.run(_average_backward, output, images, geometry, windows, runtime.task_counter())
