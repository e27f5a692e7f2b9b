"""3x3, stride-1 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3).

A 4x4 tile of outputs needs a 6x6 tile d of inputs and, done directly, 16 * 9 = 144 multiplications per pair of channels.
Lavin and Gray (arXiv:1509.09308) transform tile and kernel so that 36 are left:

    Y = A^T [ (G g G^T) * (B^T d B) ] A                        * element by element

Summed over input channels, each of the 36 points is a matrix product of its own, (tiles x channels) by (channels x filters);
that is where the time goes, in `simd.gemm_tile`.  The gradients are the adjoints of the same formula:

    D  = A grad_Y A^T          grad_d = B [ D @ (G g G^T)^T ] B^T         grad_g = G^T [ (B^T d B)^T @ D ] G

so the transformed input and the transformed gradient D are each computed once per tile and used for everything.
Neighbouring input tiles overlap by two pixels; their grad_d are added up.

The transforms are written once for vectors of channels.  Their constants (4, 5, 8, 1/24) cost accuracy: in float32 the
result is about ten times less exact than the direct sum, 1e-6 instead of 1e-7 of the largest output.
See `tinycnn.reference.winograd_conv2d` for the formula in plain NumPy.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.direct import NO_CODES, sum_chunks, zero
from tinycnn.kernels.runtime import inlined, jit
from tinycnn.kernels.simd import LANES, MR, NR, fetch_add, gemm_tile, load, load_where_code, relu, store, store_max4

TILE, SIDE, POINTS = 4, 6, 36
FORWARD_ROOM = 300_000  # bytes of transformed inputs: with one panel of products they stay in a 512 KB cache
BACKWARD_ROOM = 700_000  # more: the kernel gradient's products sum over the tiles, and long sums keep the tile busy
SLACK = 16  # numbers between the 36 planes of a buffer: without it all 36 fall on the same cache set
G = np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
              [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]])  # fmt: skip


# -- the four one-dimensional transforms, on vectors of channels --------------------------------------------------


@inlined
def _input_1d(d0, d1, d2, d3, d4, d5):
    """B^T d, six numbers to six."""
    even, odd = d4 - 4.0 * d2, d3 - 4.0 * d1
    near, far = d4 - d2, 2.0 * (d3 - d1)
    return 4.0 * d0 - 5.0 * d2 + d4, even + odd, even - odd, near + far, near - far, 4.0 * d1 - 5.0 * d3 + d5


@inlined
def _output_1d(m0, m1, m2, m3, m4, m5):
    """A^T m, six numbers to four."""
    near, far, near_odd, far_odd = m1 + m2, m3 + m4, m1 - m2, m3 - m4
    return m0 + near + far, near_odd + 2.0 * far_odd, near + 4.0 * far, near_odd + 8.0 * far_odd + m5


@inlined
def _output_adjoint_1d(y0, y1, y2, y3):
    """A y, four numbers to six."""
    even, odd = y0 + y2, y1 + y3
    far_even, far_odd = y0 + 4.0 * y2, 2.0 * y1 + 8.0 * y3
    return y0, even + odd, even - odd, far_even + far_odd, far_even - far_odd, y3


@inlined
def _input_adjoint_1d(m0, m1, m2, m3, m4, m5):
    """B m, six numbers to six."""
    near, far, near_odd, far_odd = m1 + m2, m3 + m4, m2 - m1, m4 - m3
    return (4.0 * m0, 4.0 * near_odd + 2.0 * far_odd + 4.0 * m5, -5.0 * m0 - 4.0 * near - far,
            -1.0 * near_odd - 2.0 * far_odd - 5.0 * m5, m0 + near + far, m5)  # fmt: skip


# -- two-dimensional transforms of one tile -----------------------------------------------------------------------


@inlined
def _patch(x, n, height, width, channels, row, column, Q):
    """Copy the 6x6 patch whose corner is (row, column) to Q, zeros outside the image."""
    for i in range(SIDE):
        for j in range(SIDE):
            q = (i * SIDE + j) * channels
            if 0 <= row + i < height and 0 <= column + j < width:
                start = ((n * height + row + i) * width + column + j) * channels
                for c in range(channels):
                    Q[q + c] = x[start + c]
            else:
                zero(Q, q, channels)


@inlined
def _transform_input(x, start, row_step, column_step, channels, V, v, plane, T):
    """V[v + 36 planes] = B^T d B for one tile, LANES channels at a time; T holds the half-transformed tile."""
    for c in range(0, channels, LANES):
        for j in range(SIDE):
            a = start + j * column_step + c
            columns = _input_1d(load(x, a), load(x, a + row_step), load(x, a + 2 * row_step), load(x, a + 3 * row_step),
                                load(x, a + 4 * row_step), load(x, a + 5 * row_step))  # fmt: skip
            for i in range(SIDE):
                store(T, (i * SIDE + j) * LANES, columns[i])
        for i in range(SIDE):
            t = i * SIDE * LANES
            rows = _input_1d(load(T, t), load(T, t + LANES), load(T, t + 2 * LANES), load(T, t + 3 * LANES),
                             load(T, t + 4 * LANES), load(T, t + 5 * LANES))  # fmt: skip
            for j in range(SIDE):
                store(V, v + (i * SIDE + j) * plane + c, rows[j])


@inlined
def _transform_tiles(x, shape, pads, tiles_x, n, first, count, V, plane, Q, T):
    """Transformed inputs of `count` tiles, numbered row by row from `first`: V[point, tile, channel]."""
    _, height, width, channels = shape
    for t in range(count):
        row = (first + t) // tiles_x * TILE - pads[0]
        column = (first + t) % tiles_x * TILE - pads[1]
        if row >= 0 and column >= 0 and row + SIDE <= height and column + SIDE <= width:
            start = ((n * height + row) * width + column) * channels
            _transform_input(x, start, width * channels, channels, channels, V, t * channels, plane, T)
        else:
            _patch(x, n, height, width, channels, row, column, Q)
            _transform_input(Q, 0, SIDE * channels, channels, channels, V, t * channels, plane, T)


@inlined
def _multiply(A, plane, depth, count, packed, panel, n_panels, M, m_plane, taps):
    """The 36 products for one panel of columns: M[point, row, NR] = A[point] @ packed[point, panel]."""
    for p in range(POINTS):
        b = (p * n_panels + panel) * depth * NR
        for i in range(0, count, MR):
            gemm_tile(A, p * plane + i * depth, depth, 1, taps, 0, 1, depth, packed, b, NR,
                      M, p * m_plane + i * NR, NR, min(MR, count - i), NR, False)  # fmt: skip


@jit
def _forward(
    worker, x, shape, packed, bias, pads, out_shape, y, codes, with_relu, with_pool, block, V, M, Q, T, taps, counter
):
    V, M, Q, T = V[worker], M[worker], Q[worker], T[worker]
    images, _, _, channels = shape
    height, width, filters = out_shape
    tiles_y, tiles_x = -(-height // TILE), -(-width // TILE)
    blocks = -(-tiles_y * tiles_x // block)
    plane, m_plane, n_panels = block * channels + SLACK, block * NR + SLACK, filters // NR
    while True:
        task = fetch_add(counter, 1)
        if task >= images * blocks:
            break
        n, first = task // blocks, task % blocks * block
        count = min(block, tiles_y * tiles_x - first)
        _transform_tiles(x, shape, pads, tiles_x, n, first, count, V, plane, Q, T)
        for panel in range(n_panels):
            _multiply(V, plane, channels, count, packed, panel, n_panels, M, m_plane, taps)
            for t in range(count):
                row, column = (first + t) // tiles_x * TILE, (first + t) % tiles_x * TILE
                for c in range(0, NR, LANES):
                    f = panel * NR + c
                    shift = load(bias, f)
                    for j in range(SIDE):
                        m = j * m_plane + t * NR + c
                        step = SIDE * m_plane
                        columns = _output_1d(load(M, m), load(M, m + step), load(M, m + 2 * step), load(M, m + 3 * step),
                                             load(M, m + 4 * step), load(M, m + 5 * step))  # fmt: skip
                        for i in range(TILE):
                            store(T, (i * SIDE + j) * LANES, columns[i])
                    for i in range(TILE):
                        s = i * SIDE * LANES
                        rows = _output_1d(load(T, s), load(T, s + LANES), load(T, s + 2 * LANES), load(T, s + 3 * LANES),
                                          load(T, s + 4 * LANES), load(T, s + 5 * LANES))  # fmt: skip
                        for j in range(TILE):
                            value = rows[j] + shift
                            if with_pool:
                                store(T, s + j * LANES, value)
                            elif row + i < height and column + j < width:
                                if with_relu:
                                    value = relu(value)
                                store(y, ((n * height + row + i) * width + column + j) * filters + f, value)
                    if with_pool:
                        for i in range(0, TILE, 2):
                            for j in range(0, TILE, 2):
                                if row + i + 1 < height and column + j + 1 < width:
                                    s, below = (i * SIDE + j) * LANES, SIDE * LANES
                                    cell = (n * (height // 2) + (row + i) // 2) * (width // 2) + (column + j) // 2
                                    store_max4(y, cell * filters + f, codes, cell * filters + f,
                                               load(T, s), load(T, s + LANES), load(T, s + below),
                                               load(T, s + below + LANES), with_relu)  # fmt: skip


@inlined
def _gradient_tile(grad, codes, pooled, n, height, width, filters, row, column, f, E, zeros):
    """E = the 4x4 output gradients of one tile for LANES filters, zero outside the image; expanded if pooled."""
    nothing = load(zeros, 0)
    if not pooled:
        for i in range(TILE):
            for j in range(TILE):
                value = nothing
                if row + i < height and column + j < width:
                    value = load(grad, ((n * height + row + i) * width + column + j) * filters + f)
                store(E, (i * TILE + j) * LANES, value)
        return
    below = TILE * LANES
    for i in range(TILE // 2):
        for j in range(TILE // 2):
            e = (2 * i * TILE + 2 * j) * LANES
            y, x = row // 2 + i, column // 2 + j
            if y < height // 2 and x < width // 2:
                cell = ((n * (height // 2) + y) * (width // 2) + x) * filters + f
                store(E, e, load_where_code(grad, cell, codes, cell, 0))
                store(E, e + LANES, load_where_code(grad, cell, codes, cell, 1))
                store(E, e + below, load_where_code(grad, cell, codes, cell, 2))
                store(E, e + below + LANES, load_where_code(grad, cell, codes, cell, 3))
            else:
                store(E, e, nothing)
                store(E, e + LANES, nothing)
                store(E, e + below, nothing)
                store(E, e + below + LANES, nothing)


@inlined
def _transform_gradient(grad, codes, pooled, out_shape, tiles_x, n, first, count, D, plane, E, T, zeros):
    """D[point, tile, filter] = A grad_Y A^T for `count` tiles."""
    height, width, filters = out_shape
    for t in range(count):
        row, column = (first + t) // tiles_x * TILE, (first + t) % tiles_x * TILE
        for f in range(0, filters, LANES):
            _gradient_tile(grad, codes, pooled, n, height, width, filters, row, column, f, E, zeros)
            for j in range(TILE):
                e, step = j * LANES, TILE * LANES
                columns = _output_adjoint_1d(load(E, e), load(E, e + step), load(E, e + 2 * step), load(E, e + 3 * step))
                for i in range(SIDE):
                    store(T, (i * TILE + j) * LANES, columns[i])
            for i in range(SIDE):
                s = i * TILE * LANES
                rows = _output_adjoint_1d(load(T, s), load(T, s + LANES), load(T, s + 2 * LANES), load(T, s + 3 * LANES))
                for j in range(SIDE):
                    store(D, (i * SIDE + j) * plane + t * filters + f, rows[j])


@inlined
def _add_input_gradient(M, m_plane, shape, pads, tiles_x, n, first, count, panel, grad_x, T):
    """grad_x += B m B^T for `count` tiles and one panel of channels; pixels in the padding are dropped."""
    _, height, width, channels = shape
    for t in range(count):
        row = (first + t) // tiles_x * TILE - pads[0]
        column = (first + t) % tiles_x * TILE - pads[1]
        for c in range(0, NR, LANES):
            for j in range(SIDE):
                m, step = j * m_plane + t * NR + c, SIDE * m_plane
                columns = _input_adjoint_1d(load(M, m), load(M, m + step), load(M, m + 2 * step), load(M, m + 3 * step),
                                            load(M, m + 4 * step), load(M, m + 5 * step))  # fmt: skip
                for i in range(SIDE):
                    store(T, (i * SIDE + j) * LANES, columns[i])
            for i in range(SIDE):
                if 0 <= row + i < height:
                    s = i * SIDE * LANES
                    rows = _input_adjoint_1d(load(T, s), load(T, s + LANES), load(T, s + 2 * LANES),
                                             load(T, s + 3 * LANES), load(T, s + 4 * LANES),
                                             load(T, s + 5 * LANES))  # fmt: skip
                    for j in range(SIDE):
                        if 0 <= column + j < width:
                            x = ((n * height + row + i) * width + column + j) * channels + panel * NR + c
                            store(grad_x, x, load(grad_x, x) + rows[j])


@jit
def _backward(
    worker, x, shape, grad, codes, pooled, out_shape, packed, pads, grad_x, wants_x, partial, bias_partial, block,
    V, D, M, Q, T, zeros, taps, counter,
):  # fmt: skip
    V, D, M, Q, T = V[worker], D[worker], M[worker], Q[worker], T[worker]
    images, height_x, width_x, channels = shape
    height, width, filters = out_shape
    tiles_x = -(-width // TILE)
    tiles = -(-height // TILE) * tiles_x
    plane, d_plane, m_plane = block * channels + SLACK, block * filters + SLACK, block * NR + SLACK
    chunks, n_panels = partial.shape[0], channels // NR
    while True:
        chunk = fetch_add(counter, 1)
        if chunk >= chunks:
            break
        grad_U, b_sum = partial[chunk], bias_partial[chunk]
        zero(grad_U, 0, grad_U.size)
        zero(b_sum, 0, filters)
        for n in range(images * chunk // chunks, images * (chunk + 1) // chunks):
            image = height_x * width_x * channels
            if wants_x:
                zero(grad_x, n * image, image)
            for first in range(0, tiles, block):
                count = min(block, tiles - first)
                _transform_tiles(x, shape, pads, tiles_x, n, first, count, V, plane, Q, T)
                _transform_gradient(grad, codes, pooled, out_shape, tiles_x, n, first, count, D, d_plane, Q, T, zeros)
                for p in range(POINTS):  # grad_U[p] (filters, channels) += D[p].T @ V[p]
                    for i in range(0, filters, MR):
                        for c in range(0, channels, NR):
                            gemm_tile(D, p * d_plane + i, 1, filters, taps, 0, 1, count, V, p * plane + c, channels,
                                      grad_U, (p * filters + i) * channels + c, channels, min(MR, filters - i), NR,
                                      True)  # fmt: skip
                ones = (SIDE + 1) * d_plane  # the second row of A is (1, 1, 1, 1): this point of D is the tile's sum
                for t in range(count):
                    for f in range(filters):
                        b_sum[f] += D[ones + t * filters + f]
                if wants_x:
                    for panel in range(n_panels):
                        _multiply(D, d_plane, filters, count, packed, panel, n_panels, M, m_plane, taps)
                        _add_input_gradient(M, m_plane, shape, pads, tiles_x, n, first, count, panel, grad_x, T)


@jit
def _both_sides(matrix, a, out):
    """``out[i, j, :] = sum over p, q  matrix[i, p] * matrix[j, q] * a[p, q, :]``."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = 0
            for p in range(matrix.shape[1]):
                for q in range(matrix.shape[1]):
                    weight = matrix[i, p] * matrix[j, q]
                    if weight != 0:
                        for k in range(out.shape[2]):
                            out[i, j, k] += weight * a[p, q, k]


def transform_kernel(kernel):
    """``G g G^T`` for every pair of channels: ``(3, 3, channels, filters) -> (36, channels, filters)``."""
    out = np.empty((SIDE, SIDE, kernel[0, 0].size), kernel.dtype)
    _both_sides(G.astype(kernel.dtype), kernel.reshape(3, 3, -1), out)
    return out.reshape(POINTS, *kernel.shape[2:])


def _pack(U):
    """``(36, K, columns) -> (36, panels, K, NR)``, flat."""
    points, depth, columns = U.shape
    return np.ascontiguousarray(U.reshape(points, depth, columns // NR, NR).transpose(0, 2, 1, 3)).reshape(-1)


def _block(tiles, channels, itemsize, room):
    """Tiles per task: a multiple of the register tile's rows whose transformed inputs fill about `room` bytes."""
    most = min(96, max(1, room // (POINTS * channels * itemsize * 12)) * 12)
    return min(most, -(-tiles // MR) * MR)


@runtime.locked
def forward(x, kernel, bias, pads, size, y, relu=False, codes=None):
    """Fill `y` with the 3x3 stride-1 convolution of `x`; with `codes`, with its 2x2 max-pool (see `simd.store_max4`).

    `pads` is (top, left) and `size` the (rows, columns) of the convolution.  Channels and filters must be multiples
    of NR.
    """
    channels, filters = kernel.shape[2:]
    block = _block(-(-size[0] // TILE) * -(-size[1] // TILE), channels, x.itemsize, FORWARD_ROOM)
    workers = runtime.get_num_threads()
    packed = _pack(transform_kernel(kernel))
    V, M, Q, T, U = runtime.scratch(
        x.dtype, workers * POINTS * (block * channels + SLACK), workers * POINTS * (block * NR + SLACK),
        workers * POINTS * channels, workers * POINTS * LANES, packed.size,
    )  # fmt: skip
    U[:] = packed
    runtime.run(
        _forward, x.reshape(-1), x.shape, U, bias, tuple(pads), (*size, filters), y.reshape(-1),
        (NO_CODES if codes is None else codes).reshape(-1), relu, codes is not None, block, V.reshape(workers, -1),
        M.reshape(workers, -1), Q.reshape(workers, -1), T.reshape(workers, -1), np.zeros(1, np.int64),
        runtime.task_counter(),
    )  # fmt: skip


@runtime.locked
def backward(x, kernel, grad, pads, size, grad_x, grad_kernel, grad_bias=None, codes=None):
    """Fill `grad_kernel`, `grad_bias` (None: not wanted) and `grad_x` (None: not wanted) of `forward`.

    `grad` is the gradient of the convolution or, with `codes`, of its 2x2 max-pool.  A chunk of images adds up its
    own kernel gradient, and the chunks are added in order, so the result does not depend on the threads.
    """
    images = len(x)
    channels, filters = kernel.shape[2:]
    block = _block(-(-size[0] // TILE) * -(-size[1] // TILE), max(channels, filters // 2), x.itemsize, BACKWARD_ROOM)
    chunks = max(1, min(images, 8, max(2, (1 << 23) // (POINTS * channels * filters))))
    workers = runtime.get_num_threads()
    wants_x = grad_x is not None
    packed = _pack(transform_kernel(kernel).transpose(0, 2, 1)) if wants_x else np.empty(0, x.dtype)
    V, D, M, Q, T, U, partial, bias_partial = runtime.scratch(
        x.dtype, workers * POINTS * (block * channels + SLACK), workers * POINTS * (block * filters + SLACK),
        workers * POINTS * (block * NR + SLACK), workers * POINTS * channels, workers * POINTS * LANES, packed.size,
        chunks * POINTS * channels * filters, chunks * filters,
    )  # fmt: skip
    U[:] = packed
    partial, bias_partial = partial.reshape(chunks, -1), bias_partial.reshape(chunks, -1)
    runtime.run(
        _backward, x.reshape(-1), x.shape, grad.reshape(-1), (NO_CODES if codes is None else codes).reshape(-1),
        codes is not None, (*size, filters), U, tuple(pads), (grad_x if wants_x else x[:0]).reshape(-1), wants_x,
        partial, bias_partial, block, V.reshape(workers, -1), D.reshape(workers, -1), M.reshape(workers, -1),
        Q.reshape(workers, -1), T.reshape(workers, -1), np.zeros(LANES, x.dtype), np.zeros(1, np.int64),
        runtime.task_counter(),
    )  # fmt: skip
    sum_chunks(partial, partial[0])
    transposed = np.empty((3, 3, filters * channels), x.dtype)
    _both_sides(np.ascontiguousarray(G.T).astype(x.dtype), partial[0].reshape(SIDE, SIDE, -1), transposed)
    grad_kernel[...] = transposed.reshape(3, 3, filters, channels).transpose(0, 1, 3, 2)
    if grad_bias is not None:
        sum_chunks(bias_partial, grad_bias)
