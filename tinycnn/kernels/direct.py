"""Convolution by direct GEMM tiles: any kernel size, stride, padding, dilation and number of groups.

Two kernels do all of it.

`correlate` computes, for every position (i, j) of a grid of outputs,

    y[i, j, :] = sum over taps t of  source[i*sy + ty[t], j*sx + tx[t], :] @ weights[t]

with zeros outside the source.  The forward pass is one call (taps = kernel positions).  The gradient to the input of a
convolution of stride s is s*s calls, one per phase: input pixels with equal ``(row mod s, column mod s)`` see the
same subset of taps, so each phase is again a plain correlation over the output gradient.

`weight_gradient` computes ``grad_kernel[t, c, n] = sum over i, j of x[i*sy + ty[t], j*sx + tx[t], c] * grad[i, j, n]``.

im2col (one row per output pixel, one column per kernel element) turns both into matrix products; here it never exists.
In NHWC a kernel row is ``kw * channels`` consecutive numbers, so the tile reads it where it lies: a few image rows
are copied to a zero-padded buffer that stays in cache, and each kernel row is one run of `gemm.gemm_tile`.
See `tinycnn.reference.im2col` for the version with the matrix.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.gemm import gemm_tile
from tinycnn.kernels.runtime import inlined, jit
from tinycnn.kernels.simd import (
    L2,
    LANES,
    MR,
    NR,
    copy,
    fetch_add,
    load,
    load_where_code,
    relu,
    store,
    store_max4,
    zero,
)

K_BLOCK = 512  # so many rows of a B panel (32 KB in float32) stay in the first-level cache
BUFFER = L2 * 5 // 16  # bytes of image rows and products per task: together within the second-level cache
NO_CODES = np.empty(0, np.uint8)


def panels(columns):
    """How many panels of NR columns hold `columns`."""
    return -(-columns // NR)


def pack_panels(matrices):
    """``(groups, K, columns) -> (groups, panels, K, NR)``, zero-padded, flat: the order in which tiles read B."""
    groups, depth, columns = matrices.shape
    packed = np.zeros((groups, panels(columns), depth, NR), matrices.dtype)
    for p in range(panels(columns)):
        part = matrices[:, :, p * NR : (p + 1) * NR]
        packed[:, p, :, : part.shape[2]] = part
    return packed.reshape(-1)


@inlined
def load_row(source, codes, pooled, n, row, height, width, channels, P, p, left, p_width):
    """Copy image row `row` to ``P[p:]``, `left` zero pixels before it and zeros up to `p_width` pixels.

    `pooled` means that `source` is the gradient of a 2x2 max-pool and `codes` says where each maximum was: the
    full-size gradient, three quarters of it zero, is expanded here, row by row, and never stored whole.
    """
    first, last = max(0, left), min(p_width, left + width)
    if row < 0 or row >= height or last <= first:
        zero(P, p, p_width * channels)
        return
    zero(P, p, first * channels)
    zero(P, p + last * channels, (p_width - last) * channels)
    if not pooled:
        start = ((n * height + row) * width + first - left) * channels
        copy(P, p + first * channels, source, start, (last - first) * channels)
        return
    pooled_width = width // 2
    for column in range(first - left, last - left):
        target = p + (left + column) * channels
        if row // 2 >= height // 2 or column // 2 >= pooled_width:  # an odd last row or column has no window
            zero(P, target, channels)
        else:
            cell = ((n * (height // 2) + row // 2) * pooled_width + column // 2) * channels
            position = (row % 2) * 2 + column % 2
            for c in range(0, channels, LANES):
                store(P, target + c, load_where_code(source, cell + c, codes, cell + c, position))


@inlined
def _write_outputs(S, s0, s_width, n_out, y, start, step, bias, b, with_relu, columns):
    """Bias and ReLU on `n_out` pixels of S, written to y from `start` in strides of `step`."""
    whole = columns // LANES * LANES
    for j in range(n_out):
        s, t = s0 + j * s_width, start + j * step
        for c in range(0, whole, LANES):
            v = load(S, s + c) + load(bias, b + c)
            if with_relu:
                v = relu(v)
            store(y, t + c, v)
        for c in range(whole, columns):
            u = S[s + c] + bias[b + c]
            y[t + c] = y.dtype.type(0) if with_relu and u <= 0 else u


@inlined
def _write_pooled(S, s, s_width, row, n_cells, y, y_codes, start, step, bias, b, with_relu, columns):
    """Bias, ReLU and 2x2 max-pool on two rows of S (`row` apart), written to y and y_codes from `start`."""
    for j in range(n_cells):
        q, t = s + 2 * j * s_width, start + j * step
        for c in range(0, columns, LANES):
            shift = load(bias, b + c)
            store_max4(
                y,
                t + c,
                y_codes,
                t + c,
                load(S, q + c) + shift,
                load(S, q + s_width + c) + shift,
                load(S, q + row + c) + shift,
                load(S, q + row + s_width + c) + shift,
                with_relu,
            )


@jit
def _correlate(
    worker,
    source,
    codes,
    pooled,
    shape,
    packed,
    bias,
    taps_yx,
    extent,
    group,
    grid,
    y,
    y_codes,
    y_shape,
    epilogue,
    block,
    P,
    S,
    taps,
    counter,
):
    P, S, taps = P[worker], S[worker], taps[worker]
    images, height, width, channels = shape
    groups, run, columns, stride_y, stride_x = group
    n_y, n_x, y0, y_step, x0, x_step = grid
    y_height, y_width, y_channels = y_shape
    with_relu, with_pool = epilogue
    n_taps = taps_yx.shape[0]
    top, left, tall, wide = extent
    merged = run // (channels // groups)  # kernel columns in one run
    p_width = (n_x - 1) * stride_x + wide + merged
    n_panels = -(-columns // NR)
    s_width = n_panels * NR
    tap_block = max(1, K_BLOCK // run)
    for t in range(n_taps):
        taps[t] = ((taps_yx[t, 0] - top) * p_width + taps_yx[t, 1] - left) * channels
    blocks = -(-n_y // block)
    while True:
        task = fetch_add(counter, 1)
        if task >= images * blocks:
            break
        n, first = task // blocks, task % blocks * block
        rows = min(block, n_y - first)
        for r in range((rows - 1) * stride_y + tall + 1):
            load_row(
                source,
                codes,
                pooled,
                n,
                first * stride_y + top + r,
                height,
                width,
                channels,
                P,
                r * p_width * channels,
                -left,
                p_width,
            )
        for g in range(groups):
            for panel in range(n_panels):
                for t in range(0, n_taps, tap_block):
                    count = min(tap_block, n_taps - t)
                    b = (((g * n_panels + panel) * n_taps + t) * run) * NR
                    for r in range(rows):
                        a = r * stride_y * p_width * channels + g * (channels // groups)
                        for j in range(0, n_x, MR):
                            gemm_tile(
                                P,
                                a + j * stride_x * channels,
                                stride_x * channels,
                                1,
                                taps,
                                t,
                                count,
                                run,
                                packed,
                                b,
                                NR,
                                S,
                                (r * n_x + j) * s_width + panel * NR,
                                s_width,
                                min(MR, n_x - j),
                                NR,
                                t > 0,
                            )
            if with_pool:
                for r in range(0, rows - 1, 2):
                    start = ((n * y_height + (first + r) // 2) * y_width * y_channels) + g * columns
                    _write_pooled(
                        S,
                        r * n_x * s_width,
                        s_width,
                        n_x * s_width,
                        n_x // 2,
                        y,
                        y_codes,
                        start,
                        y_channels,
                        bias,
                        g * columns,
                        with_relu,
                        columns,
                    )
            else:
                for r in range(rows):
                    row = y0 + (first + r) * y_step
                    start = ((n * y_height + row) * y_width + x0) * y_channels + g * columns
                    _write_outputs(
                        S,
                        r * n_x * s_width,
                        s_width,
                        n_x,
                        y,
                        start,
                        x_step * y_channels,
                        bias,
                        g * columns,
                        with_relu,
                        columns,
                    )


def _extent(taps_yx):
    """(topmost row, leftmost column, rows to the lowest, columns to the rightmost) of the taps."""
    (top, left), (bottom, right) = taps_yx.min(axis=0).tolist(), taps_yx.max(axis=0).tolist()
    return top, left, bottom - top, right - left


@runtime.locked
def correlate(
    source,
    shape,
    weights,
    taps_yx,
    strides,
    bias,
    grid,
    y,
    relu=False,
    pool=False,
    y_codes=NO_CODES,
    codes=NO_CODES,
    merge=1,
):
    """Fill `y` (or the part of it that `grid` names) with the correlation of `source` and `weights`.

    Parameters
    ----------
    source : ndarray, C-contiguous
        ``(images, height, width, channels)`` as `shape` says; or, if `codes` is given, the gradient of a 2x2
        max-pool of an image of that shape.
    weights : ndarray ``(groups, taps * channels / groups, columns)``
    taps_yx : int ndarray ``(taps, 2)``
        Row and column of each tap relative to the strided output position, sorted as in `weights`.
    strides : (int, int)
        Step in the source per output.
    bias : ndarray ``(groups * columns,)``
    grid : (rows, columns, first_row, row_step, first_column, column_step)
        Which pixels of `y` are computed.
    y : ndarray ``(images, y_height, y_width, groups * columns)``
    relu, pool : bool
        Apply ReLU, and a 2x2 max-pool after it, to each tile while it is in cache; `pool` fills `y_codes`.
    merge : int
        So many consecutive taps are consecutive in memory too, and can be one run.
    """
    groups, _, columns = weights.shape
    run = merge * shape[3] // groups
    taps_yx = np.ascontiguousarray(taps_yx[::merge])
    extent = _extent(taps_yx)
    p_width = (grid[1] - 1) * strides[1] + extent[3] + merge
    s_width = panels(columns) * NR
    itemsize = y.dtype.itemsize
    block = int(max(2, BUFFER // (itemsize * (strides[0] * p_width * shape[3] + grid[1] * s_width))))
    block = min(block + block % 2, grid[0] + grid[0] % 2)  # even, for the pooling windows
    p_size = ((block - 1) * strides[0] + extent[2] + 1) * p_width * shape[3]
    s_size = block * grid[1] * s_width
    workers = runtime.get_num_threads()
    packed = pack_panels(weights)
    room = np.zeros(groups * columns + NR, y.dtype)  # a vector of the bias may be read past its end
    room[: groups * columns] = bias
    P, S, B = runtime.scratch(y.dtype, workers * p_size, workers * s_size, packed.size)
    B[:] = packed
    runtime.run(
        _correlate,
        source.reshape(-1),
        codes.reshape(-1),
        codes.size > 0,
        shape,
        B,
        room,
        taps_yx,
        extent,
        (groups, run, columns, *strides),
        tuple(map(int, grid)),
        y.reshape(-1),
        y_codes.reshape(-1),
        y.shape[1:],
        (relu, pool),
        block,
        P.reshape(workers, -1),
        S.reshape(workers, -1),
        np.empty((workers, len(taps_yx)), np.int64),
        runtime.task_counter(),
    )


@jit
def _weight_gradient(
    worker,
    x,
    shape,
    grad,
    codes,
    pooled,
    grad_shape,
    taps_yx,
    extent,
    group,
    block,
    partial,
    bias_partial,
    P,
    D,
    taps,
    counter,
):
    P, D, taps = P[worker], D[worker], taps[worker]
    images, height, width, channels = shape
    n_y, n_x, columns_all = grad_shape
    groups, run, stride_y, stride_x = group
    columns = columns_all // groups
    n_taps = taps_yx.shape[0]
    top, left, tall, wide = extent
    p_width = (n_x - 1) * stride_x + wide + run // (channels // groups)
    blocks = -(-n_y // block)
    chunks = partial.shape[0]
    for r in range(block):
        taps[r] = r * stride_y * p_width * channels
    while True:
        chunk = fetch_add(counter, 1)
        if chunk >= chunks:
            break
        W, b_sum = partial[chunk], bias_partial[chunk]
        zero(W, 0, W.size)
        zero(b_sum, 0, columns_all)
        for part in range(images * blocks * chunk // chunks, images * blocks * (chunk + 1) // chunks):
            n, first = part // blocks, part % blocks * block
            rows = min(block, n_y - first)
            for r in range((rows - 1) * stride_y + tall + 1):
                load_row(
                    x,
                    codes,
                    False,
                    n,
                    first * stride_y + top + r,
                    height,
                    width,
                    channels,
                    P,
                    r * p_width * channels,
                    -left,
                    p_width,
                )
            for r in range(rows):
                load_row(grad, codes, pooled, n, first + r, n_y, n_x, columns_all, D, r * n_x * columns_all, 0, n_x)
            for p in range(rows * n_x):
                for c in range(columns_all):
                    b_sum[c] += D[p * columns_all + c]
            for g in range(groups):
                for panel in range(0, columns, NR):
                    for t in range(n_taps):
                        a = ((taps_yx[t, 0] - top) * p_width + taps_yx[t, 1] - left) * channels
                        a += g * (channels // groups)
                        for i in range(0, run, MR):
                            gemm_tile(
                                P,
                                a + i,
                                1,
                                stride_x * channels,
                                taps,
                                0,
                                rows,
                                n_x,
                                D,
                                g * columns + panel,
                                columns_all,
                                W,
                                (t * run + i) * columns_all + g * columns + panel,
                                columns_all,
                                min(MR, run - i),
                                min(NR, columns - panel),
                                True,
                            )


def gradient_chunks(images, size):
    """Into how many partial sums a weight gradient is cut: by its shape alone, never by the number of threads."""
    return int(max(2, min(16, images, (1 << 22) // size)))


@jit
def sum_chunks(partial, total):
    """``total = partial[0] + partial[1] + ...``, in that order; `total` may be ``partial[0]``."""
    for i in range(total.size):
        total[i] = partial[0, i]
    for chunk in range(1, partial.shape[0]):
        for i in range(total.size):
            total[i] += partial[chunk, i]


@runtime.locked
def weight_gradient(x, grad, grad_shape, taps_yx, strides, groups, grad_kernel, grad_bias, codes=NO_CODES, merge=1):
    """Fill `grad_kernel` ``(taps, channels / groups, columns)`` and `grad_bias` ``(columns,)`` (None: not wanted).

    `grad` is the gradient of the output, ``(images, *grad_shape)`` with ``grad_shape = (rows, columns, channels)``;
    if `codes` is given, of its 2x2 max-pool.  Other arguments as in `correlate`.
    """
    images, _, _, channels = x.shape
    run = merge * channels // groups
    taps_yx = np.ascontiguousarray(taps_yx[::merge])
    extent = _extent(taps_yx)
    n_y, n_x, columns = grad_shape
    p_width = (n_x - 1) * strides[1] + extent[3] + merge
    itemsize = x.dtype.itemsize
    block = int(max(1, min(n_y, BUFFER // (itemsize * (strides[0] * p_width * channels + n_x * columns)))))
    p_size = ((block - 1) * strides[0] + extent[2] + 1) * p_width * channels
    d_size = block * n_x * columns + NR
    chunks = gradient_chunks(images, grad_kernel.size)
    workers = runtime.get_num_threads()
    P, D, partial = runtime.scratch(x.dtype, workers * p_size, workers * d_size, chunks * grad_kernel.size)
    partial = partial.reshape(chunks, -1)
    bias_partial = np.empty((chunks, columns))  # float64: a float32 sum over millions of pixels loses digits
    runtime.run(
        _weight_gradient,
        x.reshape(-1),
        x.shape,
        grad.reshape(-1),
        codes.reshape(-1),
        codes.size > 0,
        tuple(grad_shape),
        taps_yx,
        extent,
        (groups, run, *strides),
        block,
        partial,
        bias_partial,
        P.reshape(workers, -1),
        D.reshape(workers, -1),
        np.empty((workers, block), np.int64),
        runtime.task_counter(),
    )
    sum_chunks(partial, grad_kernel.reshape(-1))
    if grad_bias is not None:
        sum_chunks(bias_partial, grad_bias)
