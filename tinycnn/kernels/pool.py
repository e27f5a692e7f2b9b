"""Max and average pooling, any window, stride and padding, forward and backward.

The forward passes draw one row of outputs as a task, the backward passes one row of the *input*: each worker then
gathers, in a fixed order, all that flows into its own row, so overlapping windows need neither locks nor partial sums.

Arrays are NHWC.  `geometry` is ``(window height, window width, stride y, stride x, rows of padding on top, columns of
padding on the left)``; padding below and to the right follows from the output's size.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.runtime import inlined, jit
from tinycnn.kernels.simd import LANES, fetch_add, load, load_where_code, store, store_max4


def _halves(geometry, image, output):
    """Whether the windows are 2x2, side by side and inside the image, as in nearly every network: done with vectors."""
    _, height, width, channels = image
    return (
        geometry == (2, 2, 2, 2, 0, 0) and 2 * output[1] <= height and 2 * output[2] <= width and channels % LANES == 0
    )


@inlined
def _pixel(a, i, channels):
    """All channels of pixel i, as a view: numba tests an index like ``a[start + c]`` for counting from the end."""
    return a[i * channels : (i + 1) * channels]


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
def _max_forward(worker, x, x_shape, y, codes, y_shape, geometry, counter):
    images, height, width, channels = x_shape
    _, rows, columns, _ = y_shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    while True:
        task = fetch_add(counter, 1)
        if task >= images * rows:
            break
        n, i = task // rows, task % rows
        r0, r1 = _inside(i, stride_y, top, window_y, height)
        for j in range(columns):
            s0, s1 = _inside(j, stride_x, left, window_x, width)
            best, winner = _pixel(y, task * columns + j, channels), _pixel(codes, task * columns + j, channels)
            for r in range(r0, r1):
                for s in range(s0, s1):
                    values = _pixel(x, (n * height + r) * width + s, channels)
                    code = np.uint8((r - i * stride_y + top) * window_x + s - j * stride_x + left)
                    if r == r0 and s == s0:
                        for c in range(channels):
                            best[c] = values[c]
                            winner[c] = code
                    else:
                        for c in range(channels):  # one array written per loop: LLVM vectorises these, not their union
                            v, old = values[c], winner[c]
                            winner[c] = code if (v > best[c]) | (v != v) else old
                        for c in range(channels):
                            v, old = values[c], best[c]
                            best[c] = v if (v > old) | (v != v) else old


@jit
def _max_forward_halving(worker, x, x_shape, y, codes, y_shape, counter):
    _, height, width, channels = x_shape
    images, rows, columns, _ = y_shape
    while True:
        task = fetch_add(counter, 1)
        if task >= images * rows:
            break
        n, i = task // rows, task % rows
        for j in range(columns):
            a = ((n * height + 2 * i) * width + 2 * j) * channels
            b = a + width * channels
            t = (task * columns + j) * channels
            for c in range(0, channels, LANES):
                store_max4(
                    y,
                    t + c,
                    codes,
                    t + c,
                    load(x, a + c),
                    load(x, a + channels + c),
                    load(x, b + c),
                    load(x, b + channels + c),
                    False,
                )


@runtime.locked
def maxpool_forward(x, geometry, y, codes):
    """Fill `y` with each window's maximum and the bytes `codes` with its position ``row * window width + column``.

    The first of equal values wins, and NaN wins over every number; cells outside the image take no part.

    Parameters
    ----------
    x : ndarray ``(images, height, width, channels)``
    geometry : tuple of six ints, see above
    y, codes : ndarray ``(images, rows, columns, channels)``
    """
    arguments = x.reshape(-1), x.shape, y.reshape(-1), codes.reshape(-1), y.shape
    if _halves(geometry, x.shape, y.shape):
        runtime.run(_max_forward_halving, *arguments, runtime.task_counter())
    else:
        runtime.run(_max_forward, *arguments, geometry, runtime.task_counter())


@jit
def _max_backward(worker, grad, codes, grad_shape, grad_x, x_shape, geometry, counter):
    images, height, width, channels = x_shape
    _, rows, columns, _ = grad_shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    while True:
        task = fetch_add(counter, 1)
        if task >= images * height:
            break
        n, row = task // height, task % height
        line = task * width * channels
        for k in range(line, line + width * channels):
            grad_x[k] = 0
        i0, i1 = _outputs_over(row, stride_y, top, window_y, rows)
        for i in range(i0, i1):
            r = row - i * stride_y + top
            for j in range(columns):
                s0, s1 = _inside(j, stride_x, left, window_x, width)
                t = (n * rows + i) * columns + j
                source, winner = _pixel(grad, t, channels), _pixel(codes, t, channels)
                for s in range(s0, s1):
                    code = np.uint8(r * window_x + s - j * stride_x + left)
                    target = _pixel(grad_x, task * width + s, channels)
                    for c in range(channels):
                        target[c] += source[c] if winner[c] == code else grad.dtype.type(0)


@jit
def _max_backward_halving(worker, grad, codes, grad_shape, grad_x, x_shape, counter):
    images, height, width, channels = x_shape
    _, rows, columns, _ = grad_shape
    while True:
        task = fetch_add(counter, 1)
        if task >= images * height:
            break
        n, row = task // height, task % height
        line = task * width * channels
        i, covered = row // 2, 2 * columns if row // 2 < rows else 0
        for s in range(covered):
            t = ((n * rows + i) * columns + s // 2) * channels
            position = 2 * (row % 2) + s % 2
            for c in range(0, channels, LANES):
                store(grad_x, line + s * channels + c, load_where_code(grad, t + c, codes, t + c, position))
        for k in range(line + covered * channels, line + width * channels):  # an odd last row or column
            grad_x[k] = 0


@runtime.locked
def maxpool_backward(grad, codes, geometry, grad_x):
    """Fill `grad_x`: each output's gradient goes to the cell that `codes` names, and where windows overlap they add up.

    Parameters
    ----------
    grad, codes : ndarray ``(images, rows, columns, channels)``
    geometry : as in `maxpool_forward`
    grad_x : ndarray ``(images, height, width, channels)``
    """
    arguments = grad.reshape(-1), codes.reshape(-1), grad.shape, grad_x.reshape(-1), grad_x.shape
    if _halves(geometry, grad_x.shape, grad.shape):
        runtime.run(_max_backward_halving, *arguments, runtime.task_counter())
    else:
        runtime.run(_max_backward, *arguments, geometry, runtime.task_counter())


@jit
def _average_forward(worker, x, x_shape, y, y_shape, geometry, sums, counter):
    images, height, width, channels = x_shape
    _, rows, columns, _ = y_shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    sums = sums[worker]
    while True:
        task = fetch_add(counter, 1)
        if task >= images * rows:
            break
        n, i = task // rows, task % rows
        r0, r1 = _inside(i, stride_y, top, window_y, height)
        for j in range(columns):
            s0, s1 = _inside(j, stride_x, left, window_x, width)
            for c in range(channels):
                sums[c] = 0
            for r in range(r0, r1):
                for s in range(s0, s1):
                    values = _pixel(x, (n * height + r) * width + s, channels)
                    for c in range(channels):
                        sums[c] += values[c]
            mean = _pixel(y, task * columns + j, channels)
            cells = (r1 - r0) * (s1 - s0)
            for c in range(channels):
                mean[c] = sums[c] / cells


@runtime.locked
def avgpool_forward(x, geometry, y):
    """Fill `y` with the mean of each window's cells inside the image; a window may be the whole image.

    Sums run in float64.  Parameters as in `maxpool_forward`.
    """
    sums = np.empty((runtime.get_num_threads(), x.shape[3]))
    runtime.run(
        _average_forward, x.reshape(-1), x.shape, y.reshape(-1), y.shape, geometry, sums, runtime.task_counter()
    )


@jit
def _average_backward(worker, grad, grad_shape, grad_x, x_shape, geometry, counter):
    images, height, width, channels = x_shape
    _, rows, columns, _ = grad_shape
    window_y, window_x, stride_y, stride_x, top, left = geometry
    while True:
        task = fetch_add(counter, 1)
        if task >= images * height:
            break
        n, row = task // height, task % height
        line = task * width * channels
        for k in range(line, line + width * channels):
            grad_x[k] = 0
        i0, i1 = _outputs_over(row, stride_y, top, window_y, rows)
        for i in range(i0, i1):
            r0, r1 = _inside(i, stride_y, top, window_y, height)
            for j in range(columns):
                s0, s1 = _inside(j, stride_x, left, window_x, width)
                share = grad.dtype.type(1) / grad.dtype.type((r1 - r0) * (s1 - s0))
                source = _pixel(grad, (n * rows + i) * columns + j, channels)
                for s in range(s0, s1):
                    target = _pixel(grad_x, task * width + s, channels)
                    for c in range(channels):
                        target[c] += source[c] * share


@runtime.locked
def avgpool_backward(grad, geometry, grad_x):
    """Fill `grad_x`: each output's gradient is shared out equally among the cells that it averaged.

    Parameters as in `maxpool_backward`.
    """
    runtime.run(
        _average_backward,
        grad.reshape(-1),
        grad.shape,
        grad_x.reshape(-1),
        grad_x.shape,
        geometry,
        runtime.task_counter(),
    )
