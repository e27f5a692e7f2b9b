"""The dense layer's three matrix products, where memory traffic and arithmetic weigh the same and have to overlap.

The report's first dense layer has 131072 x 128 weights, 67 MB: at batch 16 each weight takes part in 16 multiply-adds
per pass.  So every product cuts the 131072 rows into blocks that fit in cache and, block by block,

- copies its part of x next to each other: the rows of x lie a power of two apart and would evict one another;
- asks for the weights of the next block in portions, one per tile: a core waits for a few dozen cache lines at a time,
  and a longer queue would hold up the loads of the tile itself;
- writes the kernel's gradient past the caches, which saves reading what it overwrites.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.gemm import gemm_tile
from tinycnn.kernels.runtime import inlined, jit
from tinycnn.kernels.simd import LANES, MR, NR, copy, fetch_add, load, prefetch, store, stream, transpose_square, zero

K_BLOCK = 64  # weight rows per block: 32 KB at 128 units, so that this block and the next fit in cache
TASK = 8 * K_BLOCK  # rows that a worker takes at a time
FEW = 2  # images up to which the register tile does not pay


def _padded_columns(a):
    """A copy of 2-D `a` whose columns fill whole panels, so that a tile may read NR of them; `a` itself if they do."""
    rows, columns = a.shape
    if columns % NR == 0:
        return a
    padded = np.zeros((rows, -(-columns // NR) * NR), a.dtype)
    padded[:, :columns] = a
    return padded


@inlined
def _readable(W, tail, k, count, depth, units, w_width):
    """(array, index, row length) where weight rows k to k + count may be read `w_width` numbers wide.

    A row's end is read on into the next row, whose products nobody stores; only the last rows need a padded copy.
    """
    if (k + count) * units + NR <= W.size:
        return W, k * units, units
    return tail, (k - depth) * w_width + tail.size, w_width


@jit
def _forward(worker, x, W, tail, partial, shape, block, taps, counter):
    images, depth, units, w_width = shape
    block, chunks = block[worker], partial.shape[0]
    tiles = w_width // NR * -(-images // MR)
    while True:
        chunk = fetch_add(counter, 1)
        if chunk >= chunks:
            break
        start, stop = depth * chunk // chunks, depth * (chunk + 1) // chunks
        for k in range(start, stop, K_BLOCK):
            count, count_ahead = min(K_BLOCK, stop - k), max(0, min(K_BLOCK, stop - k - K_BLOCK))
            for n in range(images):
                copy(block, n * K_BLOCK, x, n * depth + k, count)
                prefetch(x, n * depth + k + K_BLOCK, count_ahead)
            rows, first, row = _readable(W, tail, k, count, depth, units, w_width)
            ahead, portion = (k + K_BLOCK) * units, count_ahead * units // tiles
            for panel in range(0, w_width, NR):
                for i in range(0, images, MR):
                    prefetch(W, ahead, portion)
                    ahead += portion
                    gemm_tile(
                        block,
                        i * K_BLOCK,
                        K_BLOCK,
                        1,
                        taps,
                        0,
                        1,
                        count,
                        rows,
                        first + panel,
                        row,
                        partial[chunk],
                        i * w_width + panel,
                        w_width,
                        min(MR, images - i),
                        NR,
                        k > start,
                    )


@inlined
def _add_row(sums, s, value, W, w, w_width):
    """``sums[s:] += value * W[w:]``."""
    for j in range(0, w_width, LANES):
        store(sums, s + j, load(sums, s + j) + value * load(W, w + j))


@jit
def _forward_few(worker, x, W, tail, partial, shape, sums, counter):
    """The same sums for `FEW` images, which would leave most of a register tile idle: weights stream by in order.

    Two blocks at a time, row by row in turns: memory answers two streams faster than one.
    """
    images, depth, units, w_width = shape
    sums, chunks = sums[worker], partial.shape[0]
    while True:
        chunk = fetch_add(counter, 1)
        if chunk >= chunks:
            break
        start, stop = depth * chunk // chunks, depth * (chunk + 1) // chunks
        for k in range(start, stop, 2 * K_BLOCK):
            other = min(k + K_BLOCK, stop)
            count, count_other = other - k, min(K_BLOCK, stop - other)
            rows, first, row = _readable(W, tail, k, count, depth, units, w_width)
            rows_other, first_other, row_other = _readable(W, tail, other, count_other, depth, units, w_width)
            for n in range(images):
                zero(sums, 0, 2 * w_width)
                for i in range(count):
                    _add_row(sums, 0, x[n * depth + k + i], rows, first + i * row, w_width)
                    if i < count_other:
                        value = x[n * depth + other + i]
                        _add_row(sums, w_width, value, rows_other, first_other + i * row_other, w_width)
                for j in range(w_width):
                    before = partial[chunk, n * w_width + j] if k > start else x.dtype.type(0)
                    partial[chunk, n * w_width + j] = before + sums[j] + sums[w_width + j]


@runtime.locked
def dense_forward(x, kernel, bias, y):
    """``y = x @ kernel + bias``: x ``(images, inputs)``, kernel ``(inputs, units)``, bias ``(units,)`` or None.

    The sum over inputs is cut into chunks by its length alone and added in order, so the threads never change it.
    """
    images, depth = x.shape
    units = kernel.shape[1]
    tail = _padded_columns(kernel[-2 * K_BLOCK :])
    w_width = tail.shape[1]
    chunks = max(1, min(32, depth // 1024))
    workers = runtime.get_num_threads()
    partial, block = runtime.scratch(x.dtype, chunks * images * w_width, workers * max(2 * w_width, images * K_BLOCK))
    partial, block = partial.reshape(chunks, -1), block.reshape(workers, -1)
    arguments = x.reshape(-1), kernel.reshape(-1), tail.reshape(-1), partial, (images, depth, units, w_width), block
    if images <= FEW:
        runtime.run(_forward_few, *arguments, runtime.task_counter())
    else:
        runtime.run(_forward, *arguments, np.zeros(1, np.int64), runtime.task_counter())
    np.add.reduce(partial.reshape(chunks, images, -1)[:, :, :units], axis=0, out=y)
    if bias is not None:
        y += bias


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


@jit
def _backward(worker, x, W, grad, grad_t, grad_x, grad_W, shape, wants_x, x_block, x_result, W_rows, taps, counter):
    images, depth, units = shape
    grad_width, image_width = grad.size // images, grad_t.size // units
    x_block, x_result, W_rows = x_block[worker], x_result[worker], W_rows[worker]
    while True:
        start = fetch_add(counter, TASK)
        if start >= depth:
            break
        stop = min(start + TASK, depth)
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
                        x_block,
                        k * images,
                        images,
                        1,
                        taps,
                        0,
                        1,
                        images,
                        grad,
                        panel,
                        grad_width,
                        W_rows,
                        panel,
                        grad_width,
                        rows,
                        NR,
                        False,
                    )
                for row in range(rows):
                    stream(grad_W, (k0 + k + row) * units, W_rows, row * grad_width, units)
                if wants_x:
                    for panel in range(0, image_width, NR):
                        gemm_tile(
                            W,
                            (k0 + k) * units,
                            units,
                            1,
                            taps,
                            0,
                            1,
                            units,
                            grad_t,
                            panel,
                            image_width,
                            x_result,
                            k * image_width + panel,
                            image_width,
                            rows,
                            NR,
                            False,
                        )
            if wants_x:
                _transpose(x_result, 0, image_width, grad_x, k0, depth, count, images)


@jit
def _backward_few(worker, x, W, grad, grad_x, grad_W, shape, wants_x, W_block, W_row, taps, counter):
    """The same sums for `FEW` images: rows of the gradient in order, and images as rows, not columns, of a tile."""
    images, depth, units = shape
    grad_width = grad.size // images
    W_block, W_row = W_block[worker], W_row[worker]
    while True:
        start = fetch_add(counter, TASK)
        if start >= depth:
            break
        stop = min(start + TASK, depth)
        for k0 in range(start, stop, K_BLOCK):
            count = min(K_BLOCK, stop - k0)
            if wants_x:
                _transpose(W, k0 * units, units, W_block, 0, K_BLOCK, count, units)
                for panel in range(0, count, NR):
                    gemm_tile(
                        grad,
                        0,
                        grad_width,
                        1,
                        taps,
                        0,
                        1,
                        units,
                        W_block,
                        panel,
                        K_BLOCK,
                        grad_x,
                        k0 + panel,
                        depth,
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
def dense_backward(x, kernel, grad, grad_x, grad_kernel):
    """``grad_kernel = x.T @ grad`` and, unless `grad_x` is None, ``grad_x = grad @ kernel.T``, block by block.

    Within a block of weights x and grad_x are transposed in cache, because a column of x strides over
    the whole array and would miss the cache at every step.
    """
    images, depth = x.shape
    units = kernel.shape[1]
    wide = _padded_columns(grad)
    wants_x = grad_x is not None
    arguments = [x, kernel, wide, grad_x if wants_x else x[:0], grad_kernel]
    if images <= FEW:
        backward, room = _backward_few, (K_BLOCK * units, wide.shape[1])
    else:
        grad_t = _padded_columns(np.ascontiguousarray(grad.T))
        arguments.insert(3, grad_t)
        backward, room = _backward, (K_BLOCK * images, K_BLOCK * grad_t.shape[1], MR * wide.shape[1])
    workers = runtime.get_num_threads()
    room = [a.reshape(workers, -1) for a in runtime.scratch(x.dtype, *(workers * size for size in room))]
    runtime.run(
        backward,
        *(a.reshape(-1) for a in arguments),
        (images, depth, units),
        wants_x,
        *room,
        np.zeros(1, np.int64),
        runtime.task_counter(),
    )
