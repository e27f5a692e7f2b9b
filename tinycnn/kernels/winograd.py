"""3x3, stride-1 convolution with a fraction of the multiplications: Winograd's F(4x4, 3x3) and F(2x2, 3x3).

A 4x4 tile of outputs needs a 6x6 tile d of inputs and, done directly, 16 * 9 = 144 multiplications per pair of
channels.  Lavin and Gray (arXiv:1509.09308) transform tile and kernel so that 36 are left (2x2: 16 instead of 36):

    Y = A^T [ (G g G^T) * (B^T d B) ] A                        * element by element

Summed over input channels, each of the 36 points is a matrix product of its own, (tiles x channels) by (channels x
filters); that is where the time goes, in `gemm.gemm_tile`.  The gradients are the adjoints of the same formula:

    D  = A grad_Y A^T          grad_d = B [ D @ (G g G^T)^T ] B^T         grad_g = G^T [ (B^T d B)^T @ D ] G

so the transformed input and the transformed gradient D are each computed once per tile and used for everything.
Neighbouring input tiles overlap by two pixels; their grad_d are added up.

The one-dimensional transforms, for vectors of channels, are in `winograd_transforms`; here they are applied to the
columns and then to the rows of a tile.  `like` is a tuple of as many zeros as a tile has output rows, 4 or 2: its type
chooses the variant at compile time.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.direct import NO_CODES, sum_chunks
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
from tinycnn.kernels.winograd_kernel import gather_kernel_gradient, transform_kernel
from tinycnn.kernels.winograd_transforms import SIDES, input_1d, input_adjoint_1d, output_1d, output_adjoint_1d

# Bytes of transformed inputs.  Forward, they and a panel of products stay in the second-level cache; backward, the
# kernel gradient's products sum over the tiles, and long sums keep the register tile busy.
FORWARD_ROOM, BACKWARD_ROOM = L2 * 4 // 7, L2 * 4 // 3
SLACK = 16  # numbers between the planes of a buffer: without it all of them fall on the same cache set


@inlined
def _patch(x, n, height, width, channels, row, column, side, Q):
    """Copy the side x side patch whose corner is (row, column) to Q, zeros outside the image."""
    for i in range(side):
        for j in range(side):
            q = (i * side + j) * channels
            if 0 <= row + i < height and 0 <= column + j < width:
                start = ((n * height + row + i) * width + column + j) * channels
                copy(Q, q, x, start, channels)
            else:
                zero(Q, q, channels)


@inlined
def _transform_input(x, start, row_step, column_step, channels, V, v, plane, T, sides):
    """V[point] = B^T d B for one tile, LANES channels at a time; T holds the half-transformed tile."""
    side = len(sides)
    for c in range(0, channels, LANES):
        for j in range(side):  # columns: T[:, j] = B^T d[:, j]
            input_1d(x, start + j * column_step + c, row_step, T, j * LANES, side * LANES, sides)
        for i in range(side):  # rows: V[i, :] = T[i, :] B
            input_1d(T, i * side * LANES, LANES, V, v + i * side * plane + c, plane, sides)


@inlined
def _transform_tiles(x, shape, pads, tiles_x, n, first, count, V, plane, Q, T, like, sides):
    """Transformed inputs of `count` tiles, numbered row by row from `first`: V[point, tile, channel]."""
    _, height, width, channels = shape
    tile, side = len(like), len(sides)
    for t in range(count):
        row = (first + t) // tiles_x * tile - pads[0]
        column = (first + t) % tiles_x * tile - pads[1]
        if row >= 0 and column >= 0 and row + side <= height and column + side <= width:
            start = ((n * height + row) * width + column) * channels
            _transform_input(x, start, width * channels, channels, channels, V, t * channels, plane, T, sides)
        else:
            _patch(x, n, height, width, channels, row, column, side, Q)
            _transform_input(Q, 0, side * channels, channels, channels, V, t * channels, plane, T, sides)


@inlined
def _multiply(A, plane, depth, count, packed, panel, n_panels, M, m_plane, taps, points):
    """One panel of columns of all products: M[point, row, NR] = A[point] @ packed[point, panel]."""
    for p in range(points):
        b = (p * n_panels + panel) * depth * NR
        for i in range(0, count, MR):
            gemm_tile(
                A,
                p * plane + i * depth,
                depth,
                1,
                taps,
                0,
                1,
                depth,
                packed,
                b,
                NR,
                M,
                p * m_plane + i * NR,
                NR,
                min(MR, count - i),
                NR,
                False,
            )


@jit
def _forward(
    worker,
    x,
    shape,
    packed,
    bias,
    pads,
    out_shape,
    y,
    codes,
    with_relu,
    with_pool,
    block,
    V,
    M,
    Q,
    T,
    taps,
    counter,
    like,
    sides,
):
    V, M, Q, T = V[worker], M[worker], Q[worker], T[worker]
    images, _, _, channels = shape
    height, width, filters = out_shape
    tile, side = len(like), len(sides)
    tiles_y, tiles_x = -(-height // tile), -(-width // tile)
    blocks = -(-tiles_y * tiles_x // block)
    plane, m_plane, n_panels = block * channels + SLACK, block * NR + SLACK, filters // NR
    while True:
        task = fetch_add(counter, 1)
        if task >= images * blocks:
            break
        n, first = task // blocks, task % blocks * block
        count = min(block, tiles_y * tiles_x - first)
        _transform_tiles(x, shape, pads, tiles_x, n, first, count, V, plane, Q, T, like, sides)
        for panel in range(n_panels):
            _multiply(V, plane, channels, count, packed, panel, n_panels, M, m_plane, taps, side * side)
            for t in range(count):
                row, column = (first + t) // tiles_x * tile, (first + t) % tiles_x * tile
                for c in range(0, NR, LANES):
                    for j in range(side):  # columns: T[:, j] = A^T M[:, j]
                        output_1d(M, j * m_plane + t * NR + c, side * m_plane, T, j * LANES, side * LANES, sides)
                    for i in range(tile):  # rows: T[i, :] = T[i, :] A, in place
                        output_1d(T, i * side * LANES, LANES, T, i * side * LANES, LANES, sides)
                    f = panel * NR + c
                    if with_pool:
                        _write_pooled(
                            T, side, tile, load(bias, f), y, codes, n, row, column, height, width, filters, f, with_relu
                        )
                    else:
                        _write(T, side, tile, load(bias, f), y, n, row, column, height, width, filters, f, with_relu)


@inlined
def _write(T, side, tile, shift, y, n, row, column, height, width, filters, f, with_relu):
    """Bias and ReLU on one tile of outputs, and off to memory; what lies outside the image is dropped."""
    for i in range(min(tile, height - row)):
        for j in range(min(tile, width - column)):
            value = load(T, (i * side + j) * LANES) + shift
            if with_relu:
                value = relu(value)
            store(y, ((n * height + row + i) * width + column + j) * filters + f, value)


@inlined
def _write_pooled(T, side, tile, shift, y, codes, n, row, column, height, width, filters, f, with_relu):
    """The same with a 2x2 max-pool: tiles have even sides, so every window lies in one tile."""
    below = side * LANES
    for i in range(0, min(tile, height - row - 1), 2):
        for j in range(0, min(tile, width - column - 1), 2):
            s = (i * side + j) * LANES
            cell = (n * (height // 2) + (row + i) // 2) * (width // 2) + (column + j) // 2
            store_max4(
                y,
                cell * filters + f,
                codes,
                cell * filters + f,
                load(T, s) + shift,
                load(T, s + LANES) + shift,
                load(T, s + below) + shift,
                load(T, s + below + LANES) + shift,
                with_relu,
            )


@inlined
def _gradient_tile(grad, codes, pooled, n, height, width, filters, row, column, f, E, tile, zeros):
    """E = the output gradients of one tile for LANES filters, zero outside the image; expanded if pooled."""
    nothing = load(zeros, 0)
    if not pooled:
        for i in range(tile):
            for j in range(tile):
                value = nothing
                if row + i < height and column + j < width:
                    value = load(grad, ((n * height + row + i) * width + column + j) * filters + f)
                store(E, (i * tile + j) * LANES, value)
        return
    below = tile * LANES
    for i in range(tile // 2):
        for j in range(tile // 2):
            e = (2 * i * tile + 2 * j) * LANES
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
def _transform_gradient(grad, codes, pooled, out_shape, tiles_x, n, first, count, D, plane, E, T, zeros, like, sides):
    """D[point, tile, filter] = A grad_Y A^T for `count` tiles."""
    height, width, filters = out_shape
    tile, side = len(like), len(sides)
    for t in range(count):
        row, column = (first + t) // tiles_x * tile, (first + t) % tiles_x * tile
        for f in range(0, filters, LANES):
            _gradient_tile(grad, codes, pooled, n, height, width, filters, row, column, f, E, tile, zeros)
            for j in range(tile):
                output_adjoint_1d(E, j * LANES, tile * LANES, T, j * LANES, tile * LANES, like)
            for i in range(side):
                output_adjoint_1d(T, i * tile * LANES, LANES, D, i * side * plane + t * filters + f, plane, like)


@inlined
def _add_input_gradient(M, m_plane, shape, pads, tiles_x, n, first, count, panel, grad_x, T, like, sides):
    """grad_x += B m B^T for `count` tiles and one panel of channels; pixels in the padding are dropped."""
    _, height, width, channels = shape
    tile, side = len(like), len(sides)
    for t in range(count):
        row = (first + t) // tiles_x * tile - pads[0]
        column = (first + t) % tiles_x * tile - pads[1]
        for c in range(0, NR, LANES):
            for j in range(side):
                input_adjoint_1d(M, j * m_plane + t * NR + c, side * m_plane, T, j * LANES, side * LANES, sides)
            for i in range(max(0, -row), min(side, height - row)):
                input_adjoint_1d(T, i * side * LANES, LANES, T, i * side * LANES, LANES, sides)
                for j in range(max(0, -column), min(side, width - column)):
                    x = ((n * height + row + i) * width + column + j) * channels + panel * NR + c
                    store(grad_x, x, load(grad_x, x) + load(T, (i * side + j) * LANES))


@jit
def _backward(
    worker,
    x,
    shape,
    grad,
    codes,
    pooled,
    out_shape,
    packed,
    pads,
    grad_x,
    wants_x,
    partial,
    bias_partial,
    block,
    V,
    D,
    M,
    Q,
    T,
    zeros,
    taps,
    counter,
    like,
    sides,
):
    V, D, M, Q, T = V[worker], D[worker], M[worker], Q[worker], T[worker]
    images, height_x, width_x, channels = shape
    height, width, filters = out_shape
    tile, side = len(like), len(sides)
    tiles_x = -(-width // tile)
    tiles, points = -(-height // tile) * tiles_x, side * side
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
                _transform_tiles(x, shape, pads, tiles_x, n, first, count, V, plane, Q, T, like, sides)
                _transform_gradient(
                    grad, codes, pooled, out_shape, tiles_x, n, first, count, D, d_plane, Q, T, zeros, like, sides
                )
                for p in range(points):  # grad_U[p] (filters, channels) += D[p].T @ V[p]
                    for i in range(0, filters, MR):
                        for c in range(0, channels, NR):
                            gemm_tile(
                                D,
                                p * d_plane + i,
                                1,
                                filters,
                                taps,
                                0,
                                1,
                                count,
                                V,
                                p * plane + c,
                                channels,
                                grad_U,
                                (p * filters + i) * channels + c,
                                channels,
                                min(MR, filters - i),
                                NR,
                                True,
                            )
                ones = (side + 1) * d_plane  # A's second row is (1, 1, ...): this point of D is the sum of the tile
                for t in range(count):
                    for f in range(filters):
                        b_sum[f] += D[ones + t * filters + f]
                if wants_x:
                    for panel in range(n_panels):
                        _multiply(D, d_plane, filters, count, packed, panel, n_panels, M, m_plane, taps, points)
                        _add_input_gradient(
                            M, m_plane, shape, pads, tiles_x, n, first, count, panel, grad_x, T, like, sides
                        )


def _block(size, tile, channels, itemsize, room):
    """Tiles per task: a multiple of the register tile's rows whose transformed inputs fill about `room` bytes."""
    tiles = -(-size[0] // tile) * -(-size[1] // tile)
    most = min(96, max(1, room // ((tile + 2) ** 2 * channels * itemsize * 12)) * 12)
    return min(most, -(-tiles // MR) * MR)


@runtime.locked
def forward(x, kernel, bias, pads, size, y, relu=False, codes=None, tile=4):
    """Fill `y` with the 3x3 stride-1 convolution of `x`; with `codes`, with its 2x2 max-pool (see `simd.store_max4`).

    `pads` is (top, left) and `size` the (rows, columns) of the convolution.  Channels and filters must be multiples
    of NR.  `tile` is 4 or 2.
    """
    channels, filters = kernel.shape[2:]
    points = (tile + 2) ** 2
    block = _block(size, tile, channels, x.itemsize, FORWARD_ROOM)
    workers = runtime.get_num_threads()
    V, M, Q, T, U = runtime.scratch(
        x.dtype,
        workers * points * (block * channels + SLACK),
        workers * points * (block * NR + SLACK),
        workers * points * channels,
        workers * points * LANES,
        points * channels * filters,
    )
    transform_kernel(kernel, tile, U)
    runtime.run(
        _forward,
        x.reshape(-1),
        x.shape,
        U,
        bias,
        tuple(pads),
        (*size, filters),
        y.reshape(-1),
        (NO_CODES if codes is None else codes).reshape(-1),
        relu,
        codes is not None,
        block,
        V.reshape(workers, -1),
        M.reshape(workers, -1),
        Q.reshape(workers, -1),
        T.reshape(workers, -1),
        np.zeros(1, np.int64),
        runtime.task_counter(),
        (0,) * tile,
        SIDES[tile],
    )


@runtime.locked
def backward(x, kernel, grad, pads, size, grad_x, grad_kernel, grad_bias=None, codes=None, tile=4):
    """Fill `grad_kernel`, `grad_bias` (None: not wanted) and `grad_x` (None: not wanted) of `forward`.

    `grad` is the gradient of the convolution or, with `codes`, of its 2x2 max-pool.  A chunk of images adds up its
    own kernel gradient, and the chunks are added in order, so the result does not depend on the threads.
    """
    images = len(x)
    channels, filters = kernel.shape[2:]
    side = tile + 2
    points = side * side
    block = _block(size, tile, max(channels, filters // 2), x.itemsize, BACKWARD_ROOM)
    chunks = max(1, min(images, 8, max(2, (1 << 23) // (points * channels * filters))))
    workers = runtime.get_num_threads()
    wants_x = grad_x is not None
    V, D, M, Q, T, U, partial = runtime.scratch(
        x.dtype,
        workers * points * (block * channels + SLACK),
        workers * points * (block * filters + SLACK),
        workers * points * (block * NR + SLACK),
        workers * points * max(channels, LANES),
        workers * points * LANES,
        points * channels * filters,
        chunks * points * channels * filters,
    )
    if wants_x:
        transform_kernel(kernel, tile, U, transposed=True)
    partial = partial.reshape(chunks, -1)
    bias_partial = np.empty((chunks, filters))  # float64: a float32 sum over millions of pixels loses digits
    runtime.run(
        _backward,
        x.reshape(-1),
        x.shape,
        grad.reshape(-1),
        (NO_CODES if codes is None else codes).reshape(-1),
        codes is not None,
        (*size, filters),
        U,
        tuple(pads),
        (grad_x if wants_x else x[:0]).reshape(-1),
        wants_x,
        partial,
        bias_partial,
        block,
        V.reshape(workers, -1),
        D.reshape(workers, -1),
        M.reshape(workers, -1),
        Q.reshape(workers, -1),
        T.reshape(workers, -1),
        np.zeros(LANES, x.dtype),
        np.zeros(1, np.int64),
        runtime.task_counter(),
        (0,) * tile,
        SIDES[tile],
    )
    gather_kernel_gradient(partial, tile, grad_kernel)
    if grad_bias is not None:
        sum_chunks(bias_partial, grad_bias)
