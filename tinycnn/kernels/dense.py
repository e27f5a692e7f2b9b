"""The dense layer's three matrix products, where memory traffic and arithmetic weigh the same and have to overlap.

The report's first dense layer has 131072 x 128 weights, 67 MB: at batch 16 each weight takes part in 16 multiply-adds
per pass.  So every product cuts the 131072 rows into blocks that fit in cache and, block by block,

- copies its part of x next to each other: the rows of x lie a power of two apart and would evict one another;
- asks for the weights of the next block in portions, one per tile: a core waits for a few dozen cache lines at a time,
  and a longer queue would hold up the loads of the tile itself;
- writes the kernel's gradient past the caches, which saves reading what it overwrites.
"""

from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.gemm import Left, Out, Right, gemm_tile, one_run
from tinycnn.kernels.simd import LANES, MR, NR, at, copy, load, prefetch, store, stream, transpose_square, zero
from tinycnn.kernels.tasks import share, tasks

K_BLOCK = 64  # weight rows per block: 32 KB at 128 units, so that this block and the next fit in cache
TASK = 8 * K_BLOCK  # rows that a worker takes at a time, if there are so many that all have some
FEW = 2  # images up to which the register tile does not pay


def _wide(columns):
    """So many columns fill whole panels, so that a tile may read NR of them."""
    return -(-columns // NR) * NR


def _padded(a, room):
    """A copy of 2-D `a` in `room`, with `_wide` columns; `a` itself if it has as many."""
    rows, columns = a.shape
    if columns % NR == 0:
        return a
    padded = room[: rows * _wide(columns)].reshape(rows, -1)
    padded[:, :columns] = a
    padded[:, columns:] = 0
    return padded


class Weights(NamedTuple):
    """The kernel ``(depth, units)``, flat, and its last rows once more, their columns padded to whole panels."""

    data: np.ndarray
    tail: np.ndarray
    depth: int
    units: int
    width: int
    """`units` padded."""


class Rows(NamedTuple):
    """Some rows of the weights that may be read ``Weights.width`` numbers wide: row i at ``data[first + i * row]``."""

    data: np.ndarray
    first: int
    row: int


@inlined
def _readable(weights, k, count):
    """The rows k to k + count.

    A row's end is read on into the next row, whose products nobody stores; only the last rows need a padded copy.
    """
    if (k + count) * weights.units + NR <= weights.data.size:
        return Rows(weights.data, k * weights.units, weights.units)
    return Rows(weights.tail, (k - weights.depth) * weights.width + weights.tail.size, weights.width)


@jit
def _forward(worker, x, weights, images, partial, room, counter):
    weights = Weights(*weights)
    block, depth, units, width = room[worker], weights.depth, weights.units, weights.width
    tiles = width // NR * -(-images // MR)
    for chunk in tasks(counter, partial.shape[0]):
        start, stop = share(depth, chunk, partial.shape[0])
        for k in range(start, stop, K_BLOCK):
            count, count_ahead = min(K_BLOCK, stop - k), max(0, min(K_BLOCK, stop - k - K_BLOCK))
            for n in range(images):
                copy(block, n * K_BLOCK, x, n * depth + k, count)
                prefetch(x, n * depth + k + K_BLOCK, count_ahead)
            rows = _readable(weights, k, count)
            ahead, portion = (k + K_BLOCK) * units, count_ahead * units // tiles
            for panel in range(0, width, NR):
                for i in range(0, images, MR):
                    prefetch(weights.data, ahead, portion)
                    ahead += portion
                    gemm_tile(
                        Left(at(block, i * K_BLOCK), row=K_BLOCK, step=1),
                        one_run(count),
                        Right(at(rows.data, rows.first + panel), row=rows.row),
                        Out(at(partial[chunk], i * width + panel), row=width),
                        min(MR, images - i),
                        NR,
                        k > start,
                    )


@inlined
def _add_row(sums, s, value, data, i, width):
    """``sums[s:] += value * data[i:]``."""
    for j in range(0, width, LANES):
        store(sums, s + j, load(sums, s + j) + value * load(data, i + j))


@jit
def _forward_few(worker, x, weights, images, partial, room, counter):
    """The same sums for `FEW` images, which would leave most of a register tile idle: weights stream by in order.

    Two blocks at a time, row by row in turns: memory answers two streams faster than one.
    """
    weights = Weights(*weights)
    sums, depth, width = room[worker], weights.depth, weights.width
    for chunk in tasks(counter, partial.shape[0]):
        start, stop = share(depth, chunk, partial.shape[0])
        for k in range(start, stop, 2 * K_BLOCK):
            other = min(k + K_BLOCK, stop)
            count, count_other = other - k, min(K_BLOCK, stop - other)
            rows, others = _readable(weights, k, count), _readable(weights, other, count_other)
            for n in range(images):
                zero(sums, 0, 2 * width)
                for i in range(count):
                    _add_row(sums, 0, x[n * depth + k + i], rows.data, rows.first + i * rows.row, width)
                    if i < count_other:
                        value, row = x[n * depth + other + i], others.first + i * others.row
                        _add_row(sums, width, value, others.data, row, width)
                for j in range(width):
                    before = partial[chunk, n * width + j] if k > start else x.dtype.type(0)
                    partial[chunk, n * width + j] = before + sums[j] + sums[width + j]


@runtime.locked
def dense_forward(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, y: np.ndarray) -> None:
    """``y = x @ kernel + bias``: x ``(images, inputs)``, kernel ``(inputs, units)``, bias ``(units,)`` or None.

    The sum over inputs is cut into chunks by its length alone and added in order, so the threads never change it.
    """
    (images, depth), units = x.shape, kernel.shape[1]
    y_shape = images, units
    check("dense", x=(x, x.shape), kernel=(kernel, (depth, units)), bias=(bias, (units,)), y=(y, y_shape))
    width, chunks, workers = _wide(units), max(1, min(32, depth // 1024)), runtime.get_num_threads()
    sizes = chunks * images * width, workers * max(2 * width, images * K_BLOCK), 2 * K_BLOCK * width
    partial, room, end = runtime.scratch(x.dtype, *sizes)
    tail = _padded(kernel[-2 * K_BLOCK :], end)
    weights = Weights(kernel.reshape(-1), tail.reshape(-1), depth, units, width)
    rooms = partial.reshape(chunks, -1), room.reshape(workers, -1)
    runtime.run(
        _forward_few if images <= FEW else _forward, x.reshape(-1), weights, images, *rooms, runtime.task_counter()
    )
    sums = partial.reshape(chunks, images, width)[:, :, :units]
    total = sums[0] if chunks == 1 else np.add.reduce(sums, axis=0, out=y)
    if bias is not None:
        np.add(total, bias, out=y)
    elif total is not y:
        y[...] = total


@inlined
def _transpose(source, i, i_row, target, j, j_row, rows, columns):
    """``target[j + b*j_row + a] = source[i + a*i_row + b]`` for a < rows, b < columns."""
    for a in range(0, rows, LANES):
        for b in range(0, columns, LANES):
            if a + LANES <= rows and b + LANES <= columns:
                transpose_square(source, i + a * i_row + b, i_row, target, j + b * j_row + a, j_row)
            else:
                for a_ in range(a, min(a + LANES, rows)):
                    for b_ in range(b, min(b + LANES, columns)):
                        target[j + b_ * j_row + a_] = source[i + a_ * i_row + b_]


class Gradients(NamedTuple):
    """The arrays of a backward pass, flat: ``x (images, depth)``, ``W (depth, units)``, and their gradients."""

    x: np.ndarray
    W: np.ndarray
    grad: np.ndarray
    """``(images, grad_width)``, its columns padded to whole panels."""
    grad_t: np.ndarray
    """``(units, image_width)``: transposed, and padded again."""
    grad_x: np.ndarray
    grad_W: np.ndarray
    images: int
    depth: int
    units: int
    wants_x: bool


@jit
def _backward(worker, arrays, rooms, counter):
    x, W, grad, grad_t, grad_x, grad_W, images, depth, units, wants_x = arrays
    x_block, x_result, W_rows = rooms[0][worker], rooms[1][worker], rooms[2][worker]
    grad_width, image_width = grad.size // images, grad_t.size // units
    size = min(TASK, -(-depth // TASK) * K_BLOCK)
    for task in tasks(counter, -(-depth // size)):
        start, stop = task * size, min((task + 1) * size, depth)
        for k0 in range(start, stop, K_BLOCK):
            count = min(K_BLOCK, stop - k0)
            _transpose(x, k0, depth, x_block, 0, images, images, count)
            for n in range(images):
                prefetch(x, n * depth + k0 + K_BLOCK, max(0, min(K_BLOCK, stop - k0 - K_BLOCK)))
            for k in range(0, count, MR):
                rows = min(MR, count - k)
                for panel in range(0, grad_width, NR):
                    if wants_x and k0 + k + K_BLOCK < stop:
                        prefetch(W, (k0 + k + K_BLOCK) * units + panel * rows, NR * rows)
                    gemm_tile(
                        Left(at(x_block, k * images), row=images, step=1),
                        one_run(images),
                        Right(at(grad, panel), row=grad_width),
                        Out(at(W_rows, panel), row=grad_width),
                        rows,
                        NR,
                        False,
                    )
                for row in range(rows):
                    stream(grad_W, (k0 + k + row) * units, W_rows, row * grad_width, units)
                if wants_x:
                    for panel in range(0, image_width, NR):
                        gemm_tile(
                            Left(at(W, (k0 + k) * units), row=units, step=1),
                            one_run(units),
                            Right(at(grad_t, panel), row=image_width),
                            Out(at(x_result, k * image_width + panel), row=image_width),
                            rows,
                            NR,
                            False,
                        )
            if wants_x:
                _transpose(x_result, 0, image_width, grad_x, k0, depth, count, images)


@jit
def _backward_few(worker, arrays, rooms, counter):
    """The same sums for `FEW` images: rows of the gradient in order, and images as rows, not columns, of a tile."""
    x, W, grad, _, grad_x, grad_W, images, depth, units, wants_x = arrays
    W_block, W_row = rooms[0][worker], rooms[1][worker]
    grad_width = grad.size // images
    size = min(TASK, -(-depth // TASK) * K_BLOCK)
    for task in tasks(counter, -(-depth // size)):
        start, stop = task * size, min((task + 1) * size, depth)
        for k0 in range(start, stop, K_BLOCK):
            count = min(K_BLOCK, stop - k0)
            if wants_x:
                _transpose(W, k0 * units, units, W_block, 0, K_BLOCK, count, units)
                for panel in range(0, count, NR):
                    gemm_tile(
                        Left(at(grad, 0), row=grad_width, step=1),
                        one_run(units),
                        Right(at(W_block, panel), row=K_BLOCK),
                        Out(at(grad_x, k0 + panel), row=depth),
                        images,
                        min(NR, count - panel),
                        False,
                    )
            for k in range(k0, k0 + count):
                if wants_x and k + K_BLOCK < stop:
                    prefetch(W, (k + K_BLOCK) * units, units)
                zero(W_row, 0, grad_width)
                for n in range(images):
                    _add_row(W_row, 0, x[n * depth + k], grad, n * grad_width, grad_width)
                stream(grad_W, k * units, W_row, 0, units)


@runtime.locked
def dense_backward(
    x: np.ndarray, kernel: np.ndarray, grad: np.ndarray, grad_x: np.ndarray | None, grad_kernel: np.ndarray
) -> None:
    """``grad_kernel = x.T @ grad`` and, unless `grad_x` is None, ``grad_x = grad @ kernel.T``, block by block.

    Within a block of weights x and grad_x are transposed in cache, because a column of x strides over
    the whole array and would miss the cache at every step.
    """
    (images, depth), units = x.shape, kernel.shape[1]
    matrices = {"kernel": (kernel, (depth, units)), "grad": (grad, (images, units))}
    check("dense", x=(x, x.shape), **matrices, grad_x=(grad_x, x.shape), grad_kernel=(grad_kernel, (depth, units)))
    few, workers, width = images <= FEW, runtime.get_num_threads(), _wide(units)
    sizes = (K_BLOCK * units, width) if few else (K_BLOCK * images, K_BLOCK * _wide(images), MR * width)
    padded = images * width, 0 if few else units * _wide(images)
    wide, grad_t, *parts = runtime.scratch(x.dtype, *padded, *[workers * size for size in sizes])
    rooms = tuple([part.reshape(workers, -1) for part in parts])
    if not few:
        grad_t = grad_t.reshape(units, -1)
        grad_t[:, :images] = grad.T
        grad_t[:, images:] = 0
    inputs = x.reshape(-1), kernel.reshape(-1), _padded(grad, wide).reshape(-1), grad_t.reshape(-1)
    outputs = (x[:0] if grad_x is None else grad_x).reshape(-1), grad_kernel.reshape(-1)
    arrays = Gradients(*inputs, *outputs, images, depth, units, grad_x is not None)
    runtime.run(_backward_few if few else _backward, arrays, rooms, runtime.task_counter())
