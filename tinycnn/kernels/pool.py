"""Max and average pooling, any window, stride and padding, forward and backward.

The forward passes draw one row of outputs as a task, the backward passes one row of the *input*: each worker then
gathers, in a fixed order, all that flows into its own row, so overlapping windows need neither locks nor partial sums.

Arrays are NHWC.  `geometry` is ``(window height, window width, stride y, stride x, rows of padding on top, columns of
padding on the left)``; padding below and to the right follows from the output's size.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.aligned import LINE
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import IN_PYTHON, inlined, jit
from tinycnn.kernels.nhwc import Images, as_images, pixel
from tinycnn.kernels.simd import LANES, load, load_where_code, narrow, store, store_max4, widen
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
def _channels(images, a, n, row, column):
    """All channels of a pixel of `a`: a view, since numba tests an index like ``a[start + c]`` for a negative one."""
    start = pixel(images, n, row, column)
    return a[start : start + images.channels]


@inlined
def _clear_row(images, n, row):
    """All pixels of a row = 0."""
    start = pixel(images, n, row, 0)
    for k in range(start, start + images.width * images.channels):
        images.data[k] = 0


@inlined
def _inside(i, stride, padding, window, size):
    """First and one past the last input index of output i's window, both inside the image."""
    first = i * stride - padding
    return max(first, 0), min(first + window, size)


@inlined
def _outputs_over(i, stride, padding, window, size):
    """First and one past the last output index whose window covers input i."""
    return max(0, (i + padding - window) // stride + 1), min(size, (i + padding) // stride + 1)


@jit
def _max_forward(worker, x, y, codes, geometry, counter):
    x, y = Images(*x), Images(*y)
    window_y, window_x, stride_y, stride_x, top, left = geometry
    for task in tasks(counter, y.number * y.height):
        n, i = task // y.height, task % y.height
        r0, r1 = _inside(i, stride_y, top, window_y, x.height)
        for j in range(y.width):
            s0, s1 = _inside(j, stride_x, left, window_x, x.width)
            best, winner = _channels(y, y.data, n, i, j), _channels(y, codes, n, i, j)
            for r in range(r0, r1):
                for s in range(s0, s1):
                    values = _channels(x, x.data, n, r, s)
                    code = np.uint8((r - i * stride_y + top) * window_x + s - j * stride_x + left)
                    if r == r0 and s == s0:
                        for c in range(x.channels):
                            best[c] = values[c]
                            winner[c] = code
                    else:
                        for c in range(
                            x.channels
                        ):  # one array written per loop: LLVM vectorises these, not their union
                            v, old = values[c], winner[c]
                            winner[c] = code if (v > best[c]) | (v != v) else old
                        for c in range(x.channels):
                            v, old = values[c], best[c]
                            best[c] = v if (v > old) | (v != v) else old


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


@jit
def _max_backward(worker, grad, codes, grad_x, geometry, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    window_y, window_x, stride_y, stride_x, top, left = geometry
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        _clear_row(grad_x, n, row)
        i0, i1 = _outputs_over(row, stride_y, top, window_y, grad.height)
        for i in range(i0, i1):
            r = row - i * stride_y + top
            for j in range(grad.width):
                s0, s1 = _inside(j, stride_x, left, window_x, grad_x.width)
                source, winner = _channels(grad, grad.data, n, i, j), _channels(grad, codes, n, i, j)
                for s in range(s0, s1):
                    code = np.uint8(r * window_x + s - j * stride_x + left)
                    target = _channels(grad_x, grad_x.data, n, row, s)
                    for c in range(grad.channels):
                        target[c] += source[c] if winner[c] == code else grad.data.dtype.type(0)


@jit
def _max_backward_halving(worker, grad, codes, grad_x, geometry, counter):
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
        for k in range(line, line + left * channels):  # an odd last row or column
            grad_x.data[k] = 0


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
    kernel = _max_backward_halving if _halves(geometry, images, grad.shape) else _max_backward
    runtime.run(kernel, output, codes.reshape(-1), images, geometry, runtime.task_counter())


@jit
def _average_forward(worker, x, y, geometry, sums, counter):
    x, y = Images(*x), Images(*y)
    window_y, window_x, stride_y, stride_x, top, left = geometry
    sums = sums[worker]
    for task in tasks(counter, y.number * y.height):
        n, i = task // y.height, task % y.height
        r0, r1 = _inside(i, stride_y, top, window_y, x.height)
        for j in range(y.width):
            s0, s1 = _inside(j, stride_x, left, window_x, x.width)
            for c in range(x.channels):
                sums[c] = 0
            for r in range(r0, r1):
                for s in range(s0, s1):
                    values = _channels(x, x.data, n, r, s)
                    for c in range(x.channels):
                        sums[c] += values[c]
            mean, cells = _channels(y, y.data, n, i, j), (r1 - r0) * (s1 - s0)
            for c in range(x.channels):
                mean[c] = sums[c] / cells


@jit
def _average_forward_halving(worker, x, y, geometry, sums, counter):
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
    workers, width = runtime.get_num_threads(), images.channels + LINE  # apart: no two write to one cache line
    (sums,) = runtime.scratch(np.float64, workers * width)
    kernel = _average_forward_halving if _halves(geometry, images, y.shape) else _average_forward
    runtime.run(kernel, images, output, geometry, sums.reshape(workers, width), runtime.task_counter())


@jit
def _average_backward(worker, grad, grad_x, geometry, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    window_y, window_x, stride_y, stride_x, top, left = geometry
    one = grad.data.dtype.type(1)
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        _clear_row(grad_x, n, row)
        i0, i1 = _outputs_over(row, stride_y, top, window_y, grad.height)
        for i in range(i0, i1):
            r0, r1 = _inside(i, stride_y, top, window_y, grad_x.height)
            for j in range(grad.width):
                s0, s1 = _inside(j, stride_x, left, window_x, grad_x.width)
                share = one / grad.data.dtype.type((r1 - r0) * (s1 - s0))
                source = _channels(grad, grad.data, n, i, j)
                for s in range(s0, s1):
                    target = _channels(grad_x, grad_x.data, n, row, s)
                    for c in range(grad.channels):
                        target[c] += source[c] * share


@jit
def _average_backward_halving(worker, grad, grad_x, geometry, counter):
    grad, grad_x = Images(*grad), Images(*grad_x)
    channels, covered, whole = grad_x.channels, 2 * grad.width, _in_vectors(grad)
    quarter = grad.data.dtype.type(0.25)
    for task in tasks(counter, grad_x.number * grad_x.height):
        n, row = task // grad_x.height, task % grad_x.height
        if row // 2 >= grad.height:
            _clear_row(grad_x, n, row)
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
        for k in range(line + covered * channels, line + grad_x.width * channels):  # an odd last column
            grad_x.data[k] = 0


@runtime.locked
def avgpool_backward(grad: np.ndarray, geometry: tuple, grad_x: np.ndarray) -> None:
    """Fill `grad_x`: each output's gradient is shared out equally among the cells that it averaged.

    Parameters as in `maxpool_backward`.
    """
    images, output = _check("average pool", grad_x, grad)
    kernel = _average_backward_halving if _halves(geometry, images, grad.shape) else _average_backward
    runtime.run(kernel, output, images, geometry, runtime.task_counter())
