"""Stride-1 convolution with a fraction of the multiplications: Winograd's F(4x4, 3x3), F(2x2, 3x3) and F(2x2, 5x5).

A 4x4 tile of outputs needs a 6x6 tile d of inputs and, done directly, 16 * 9 = 144 multiplications per pair of
channels.  Lavin and Gray (arXiv:1509.09308) transform tile and kernel so that 36 are left; 2x2 outputs take 16 instead
of 36, and of a 5x5 kernel 36 instead of 100:

    Y = A^T [ (G g G^T) * (B^T d B) ] A                        * element by element

Summed over input channels, each of the 36 points is a matrix product of its own, (tiles x channels) by (channels x
filters); that is where the time goes, in `gemm.gemm_tile`.  The gradients are the adjoints of the same formula:

    D  = A grad_Y A^T          grad_d = B [ D @ (G g G^T)^T ] B^T         grad_g = G^T [ (B^T d B)^T @ D ] G

so the transformed input and the transformed gradient D are each computed once per tile and used for everything.
Neighbouring input tiles overlap by two pixels (four for a 5x5 kernel); their grad_d are added up.

The one-dimensional transforms, for vectors of channels, are in `winograd_transforms`; here they are applied to the
columns and then to the rows of a tile.  Tuples of as many zeros as its rows choose the variant at compile time.
"""

from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.codes import load_where_code
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.gemm import NARROW, PANEL_ROWS, WIDE, Left, Out, Right, one_run, panel_tile, tile_rows
from tinycnn.kernels.nhwc import Images, Output, as_images, pixel, store_window, window
from tinycnn.kernels.simd import L2, LANES, MR, NR, at, load, relu, store, zero
from tinycnn.kernels.tasks import share, tasks
from tinycnn.kernels.weight_gradient import sum_chunks
from tinycnn.kernels.winograd_kernel import gather_kernel_gradient, transform_kernel
from tinycnn.kernels.winograd_transforms import input_1d, input_adjoint_1d, output_1d, output_adjoint_1d, rows_of

# Bytes of a block's transformed inputs.  Forward, the fewer the sooner they are read again, but where the transformed
# kernel is large, it should not be read too often.  Backward, the kernel gradient's products sum over the tiles, and
# long sums keep the register tile busy.
FORWARD_ROOM, LARGE_KERNEL_ROOM, BACKWARD_ROOM = L2 // 16, L2 * 4 // 7, L2 * 4 // 3
SUMMED = 64  # tiles over which a chunk of images sums its kernel gradient, if there are enough
SLACK = 16  # numbers between the planes of a buffer: without it all of them fall on the same cache set


class Tiling(NamedTuple):
    """How images are cut into tiles, numbered row by row and image after image; `block` are computed at a time."""

    top: int
    left: int
    """Rows and columns of padding: the input tile of the output tile at (row, column) begins so much before it."""
    across: int
    tiles: int
    """Of an image."""
    block: int
    inputs: tuple
    """As many zeros as an input tile has rows."""
    outputs: tuple
    """The same for an output tile."""


class Rooms(NamedTuple):
    """Each worker's scratch memory.  V, D, M have a plane per point: all channels of a block of tiles, and SLACK."""

    inputs: np.ndarray
    """V[point, tile, channel]: transformed inputs."""
    grads: np.ndarray
    """D[point, tile, filter]: transformed gradients."""
    products: np.ndarray
    """M[point, tile, column]: one panel of products."""
    patch: np.ndarray
    """A tile that lies partly outside the image, all channels; or a tile of gradients, LANES filters."""
    half: np.ndarray
    """T: a tile after the transform of its columns, LANES channels."""
    kernel: np.ndarray
    """U: the transformed kernel, in panels, for all workers."""
    kernels: np.ndarray
    """``(chunks, points * filters * channels)``: gradients of the transformed kernel."""
    biases: np.ndarray
    """float64 ``(chunks, filters)``: a float32 sum over millions of pixels loses digits."""


@inlined
def _place(tiling, t):
    """Image of tile t, row and column of its first output."""
    n, t = t // tiling.tiles, t % tiling.tiles
    return n, t // tiling.across * len(tiling.outputs), t % tiling.across * len(tiling.outputs)


class Patch(NamedTuple):
    """An input tile: pixel (i, j) begins at ``data[start + i*row + j*column]``."""

    data: np.ndarray
    start: int
    row: int
    column: int


@inlined
def _copy_patch(x, n, row, column, side, Q):
    """Copy the side x side patch whose corner is (row, column) to Q, zeros outside the image."""
    for i in range(side):
        for j in range(side):
            q = (i * side + j) * x.channels
            if 0 <= row + i < x.height and 0 <= column + j < x.width:
                start = pixel(x, n, row + i, column + j)
                for c in range(0, x.channels, LANES):
                    store(Q, q + c, load(x.data, start + c))
            else:
                for c in range(0, x.channels, LANES):
                    zero(Q, q + c, LANES)


@inlined
def _transform_input(patch, channels, V, v, plane, T, like):
    """V[point] = B^T d B for one tile, LANES channels at a time."""
    side = len(like[0])
    for c in range(0, channels, LANES):
        for j in range(side):  # columns: T[:, j] = B^T d[:, j]
            start = patch.start + j * patch.column + c
            input_1d(patch.data, start, patch.row, T, j * LANES, side * LANES, like)
        for i in range(side):  # rows: V[i, :] = T[i, :] B
            input_1d(T, i * side * LANES, LANES, V, v + i * side * plane + c, plane, like)


@inlined
def _transform_tiles(x, tiling, first, count, V, Q, T):
    """Transformed inputs of `count` tiles from number `first` on: V[point, tile, channel]."""
    side, channels, plane = len(tiling.inputs), x.channels, V.shape[1]
    like = tiling.inputs, tiling.outputs
    for t in range(count):
        n, row, column = _place(tiling, first + t)
        row, column = row - tiling.top, column - tiling.left
        if row >= 0 and column >= 0 and row + side <= x.height and column + side <= x.width:
            patch = Patch(x.data, pixel(x, n, row, column), x.width * channels, channels)
            _transform_input(patch, channels, V, t * channels, plane, T, like)
        else:
            _copy_patch(x, n, row, column, side, Q)
            patch = Patch(Q, 0, side * channels, channels)
            _transform_input(patch, channels, V, t * channels, plane, T, like)


@inlined
def _multiply(A, depth, count, packed, start, M, panel):
    """One panel of all products: M[point, tile, width] = A[point] @ packed[point], its columns from `start` on."""
    size, width = packed.size // A.shape[0], len(panel) * LANES
    for p in range(A.shape[0]):
        for i in range(0, count, tile_rows(panel)):
            panel_tile(
                Left(at(A, p * A.shape[1] + i * depth), row=depth, step=1),
                one_run(depth),
                Right(at(packed, p * size + start * depth), row=width),
                Out(at(M, p * M.shape[1] + i * width), row=width),
                min(tile_rows(panel), count - i),
                width,
                False,
                None,
                panel,
            )


@jit
def _forward(worker, x, out, tiling, rooms, counter, panel):
    x, out, tiling, rooms = Images(*x), Output(*out), Tiling(*tiling), Rooms(*rooms)
    V, M, Q, T = rooms.inputs[worker], rooms.products[worker], rooms.patch[worker], rooms.half[worker]
    tile, side, like = len(tiling.outputs), len(tiling.inputs), (tiling.inputs, tiling.outputs)
    tiles, m_plane, width = x.number * tiling.tiles, M.shape[1], len(panel) * LANES
    for task in tasks(counter, -(-tiles // tiling.block)):
        first = task * tiling.block
        count = min(tiling.block, tiles - first)
        _transform_tiles(x, tiling, first, count, V, Q, T)
        for start in range(0, out.channels, width):
            _multiply(V, x.channels, count, rooms.kernel, start, M, panel)
            for t in range(count):
                for c in range(0, width, LANES):
                    for j in range(side):  # columns: T[:, j] = A^T M[:, j]
                        output_1d(M, j * m_plane + t * width + c, side * m_plane, T, j * LANES, side * LANES, like)
                    for i in range(tile):  # rows: T[i, :] = T[i, :] A, in place
                        output_1d(T, i * side * LANES, LANES, T, i * side * LANES, LANES, like)
                    _write(T, out, first + t, start + c, tiling)


@inlined
def _write(T, out, t, f, tiling):
    """Bias, ReLU and, if wanted, max-pool on LANES filters of tile t; what lies outside the image is dropped."""
    n, row, column = _place(tiling, t)
    tile, line = len(tiling.outputs), len(tiling.inputs) * LANES
    if out.pooled:  # tiles have even sides, so every window lies in one tile
        for i in range(0, min(tile, out.height - row - 1), 2):
            for j in range(0, min(tile, out.width - column - 1), 2):
                cell = window(out, n, row + i, column + j) + f
                store_window(T, i * line + j * LANES, LANES, line, out, cell, f)
        return
    shift = load(out.bias, f)
    for i in range(min(tile, out.height - row)):
        for j in range(min(tile, out.width - column)):
            value = load(T, i * line + j * LANES) + shift
            store(out.data, pixel(out, n, row + i, column + j) + f, relu(value) if out.relu else value)


@inlined
def _gradient_tile(grad, n, row, column, f, E, tile):
    """E = the output gradients of one tile for LANES filters, zero outside the image; expanded if pooled."""
    if not grad.pooled:
        for i in range(tile):
            for j in range(tile):
                if row + i < grad.height and column + j < grad.width:
                    value = load(grad.data, pixel(grad, n, row + i, column + j) + f)
                    store(E, (i * tile + j) * LANES, value)
                else:
                    zero(E, (i * tile + j) * LANES, LANES)
        return
    for i in range(0, tile, 2):
        for j in range(0, tile, 2):
            inside = (row + i) // 2 < grad.height // 2 and (column + j) // 2 < grad.width // 2
            cell = window(grad, n, row + i, column + j) + f
            for k in range(4):
                e = ((i + k // 2) * tile + j + k % 2) * LANES
                if inside:
                    store(E, e, load_where_code(grad.data, grad.codes, cell, k))
                else:
                    zero(E, e, LANES)


@inlined
def _transform_gradient(grad, tiling, first, count, D, E, T):
    """D[point, tile, filter] = A grad_Y A^T for `count` tiles."""
    tile, side, plane = len(tiling.outputs), len(tiling.inputs), D.shape[1]
    like = tiling.inputs, tiling.outputs
    for t in range(count):
        n, row, column = _place(tiling, first + t)
        for f in range(0, grad.channels, LANES):
            _gradient_tile(grad, n, row, column, f, E, tile)
            for j in range(tile):
                output_adjoint_1d(E, j * LANES, tile * LANES, T, j * LANES, tile * LANES, like)
            for i in range(side):
                d = i * side * plane + t * grad.channels + f
                output_adjoint_1d(T, i * tile * LANES, LANES, D, d, plane, like)


@inlined
def _add_input_gradient(M, tiling, first, count, start, grad_x, T, width):
    """grad_x += B m B^T for `count` tiles and `width` channels from `start` on; pixels in the padding are dropped."""
    side, m_plane, like = len(tiling.inputs), M.shape[1], (tiling.inputs, tiling.outputs)
    for t in range(count):
        n, row, column = _place(tiling, first + t)
        row, column = row - tiling.top, column - tiling.left
        for c in range(0, width, LANES):
            for j in range(side):
                input_adjoint_1d(M, j * m_plane + t * width + c, side * m_plane, T, j * LANES, side * LANES, like)
            for i in range(max(0, -row), min(side, grad_x.height - row)):
                input_adjoint_1d(T, i * side * LANES, LANES, T, i * side * LANES, LANES, like)
                for j in range(max(0, -column), min(side, grad_x.width - column)):
                    x = pixel(grad_x, n, row + i, column + j) + start + c
                    store(grad_x.data, x, load(grad_x.data, x) + load(T, (i * side + j) * LANES))


@inlined
def _add_kernel_gradient(V, D, count, channels, filters, grad_U, add, panel):
    """grad_U[point] (filters, channels) = D[point].T @ V[point], added to what is there if `add`."""
    for p in range(V.shape[0]):
        for i in range(0, filters, tile_rows(panel)):
            for c in range(0, channels, len(panel) * LANES):
                panel_tile(
                    Left(at(D, p * D.shape[1] + i), row=1, step=filters),
                    one_run(count),
                    Right(at(V, p * V.shape[1] + c), row=channels),
                    Out(at(grad_U, (p * filters + i) * channels + c), row=channels),
                    min(tile_rows(panel), filters - i),
                    len(panel) * LANES,
                    add,
                    None,
                    panel,
                )


@jit
def _backward(worker, x, grad, grad_x, tiling, rooms, counter, panel):
    x, grad, grad_x, tiling, rooms = Images(*x), Images(*grad), Images(*grad_x), Tiling(*tiling), Rooms(*rooms)
    kernels, biases = rooms.kernels, rooms.biases
    V, D, M = rooms.inputs[worker], rooms.grads[worker], rooms.products[worker]
    Q, T = rooms.patch[worker], rooms.half[worker]
    channels, filters, block, tiles = x.channels, grad.channels, tiling.block, tiling.tiles
    chunks, width = kernels.shape[0], len(panel) * LANES
    for chunk in tasks(counter, chunks):
        start, stop = share(x.number, chunk, chunks)
        grad_U, b_sum = kernels[chunk], biases[chunk]
        zero(b_sum, 0, filters)
        if start == stop:
            zero(grad_U, 0, grad_U.size)
        for first in range(start * tiles, stop * tiles, block):
            count = min(block, stop * tiles - first)
            _transform_tiles(x, tiling, first, count, V, Q, T)
            _transform_gradient(grad, tiling, first, count, D, Q, T)
            _add_kernel_gradient(V, D, count, channels, filters, grad_U, first > start * tiles, panel)
            tile_sums = D[len(tiling.inputs) + 1]  # A's second row is (1, 1, ...)
            for t in range(count):
                for f in range(filters):
                    b_sum[f] += tile_sums[t * filters + f]
            if grad_x.number:
                for n in range(-(-first // tiles), -(-(first + count) // tiles)):  # images that begin here
                    zero(grad_x.data, pixel(x, n, 0, 0), pixel(x, 1, 0, 0))
                for first_channel in range(0, channels, width):
                    _multiply(D, filters, count, rooms.kernel, first_channel, M, panel)
                    _add_input_gradient(M, tiling, first, count, first_channel, grad_x, T, width)


def _tiling(images, corner, like, panel, numbers, room):
    """Blocks are a multiple of the register tile's rows, at most 96, and for two cores an even number of them.

    `like` are the rows of an input and an output tile; `numbers` are the bytes of a tile of transformed inputs; a
    block's fill about `room`.
    """
    (top, left), (inputs, outputs), rows = corner, like, PANEL_ROWS if panel == NARROW else MR
    across = -(-images.width // len(outputs))
    tiles = -(-images.height // len(outputs)) * across
    most = min(96, max(1, room // (numbers * rows)) * rows)
    pairs = max(1, -(-images.number * tiles // (2 * most)))
    block = max(1, -(-images.number * tiles // (2 * pairs)))
    return Tiling(top, left, across, tiles, -(-block // rows) * rows, inputs, outputs)


def _rooms(dtype, tiling, channels, filters, chunks, panel):
    """`Rooms` for every worker, with gradients if there are `chunks`."""
    points, workers = len(tiling.inputs) ** 2, runtime.get_num_threads()
    size = points * channels * filters
    planes = [tiling.block * columns + SLACK for columns in (channels, filters if chunks else 0, len(panel) * LANES)]
    sizes = [workers * points * numbers for numbers in (*planes, channels, LANES)]
    V, D, M, Q, T, U, kernels = runtime.scratch(dtype, *sizes, size, chunks * size)
    V, D, M = (a.reshape(workers, points, -1) for a in (V, D, M))
    sums = kernels.reshape(chunks, size), np.empty((chunks, filters))
    return Rooms(V, D, M, Q.reshape(workers, -1), T.reshape(workers, -1), U, *sums)


def _panel(columns):
    """Wide panels if they fit."""
    return NARROW if columns % NR else WIDE


@runtime.locked
def forward(x: Images, kernel: np.ndarray, corner: tuple, out: Output, tile: int = 4) -> None:
    """Fill `out` with the stride-1 convolution of `x`, or if pooled with its 2x2 max-pool.

    `corner` is the padding's (top, left).  Channels and filters must be multiples of LANES.  `tile` is 4 or 2 for a
    3x3 kernel, 2 for a 5x5 kernel.
    """
    panel, bytes_ = _panel(out.channels), (tile + len(kernel) - 1) ** 2 * x.channels * kernel.itemsize
    room = FORWARD_ROOM if bytes_ * out.channels <= L2 // 2 else LARGE_KERNEL_ROOM
    tiling = _tiling(out, corner, rows_of(tile, len(kernel)), panel, bytes_, room)
    rooms = _rooms(kernel.dtype, tiling, x.channels, out.channels, 0, panel)
    transform_kernel(kernel, tile, rooms.kernel, len(panel) * LANES)
    runtime.run(_forward, x, out, tiling, rooms, runtime.task_counter(), panel)


@runtime.locked
def backward(x: Images, kernel: np.ndarray, grad: Images, corner: tuple, into: tuple, tile: int = 4) -> None:
    """Fill ``into = grad_x, grad_kernel, grad_bias`` (first and last None: not wanted) of `forward`.

    `grad` is the gradient of the convolution or, if pooled, of its 2x2 max-pool.  A chunk of images adds up its
    own kernel gradient, and the chunks are added in order, so the result does not depend on the threads.
    """
    grad_x, grad_kernel, grad_bias = into
    channels, filters = kernel.shape[2:]
    panel, points = _panel(channels), (tile + len(kernel) - 1) ** 2
    bytes_ = points * max(channels, filters // 2) * kernel.itemsize
    tiling = _tiling(grad, corner, rows_of(tile, len(kernel)), panel, bytes_, BACKWARD_ROOM)
    chunks = min(8, (1 << 23) // (points * channels * filters), x.number * tiling.tiles // SUMMED)
    chunks = max(1, min(x.number, max(2, chunks)))
    rooms = _rooms(kernel.dtype, tiling, channels, filters, chunks, panel)
    if grad_x is not None:
        transform_kernel(kernel, tile, rooms.kernel, len(panel) * LANES, transposed=True)
    target = x._replace(data=x.data[:0], number=0) if grad_x is None else as_images(grad_x)
    runtime.run(_backward, x, grad, target, tiling, rooms, runtime.task_counter(), panel)
    gather_kernel_gradient(rooms.kernels, tile, grad_kernel)
    if grad_bias is not None:
        sum_chunks(rooms.biases, grad_bias)
