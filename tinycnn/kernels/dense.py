"""The dense layer's three matrix products, bounded by how fast the weights stream through memory.

The report's first dense layer has 131072 x 128 weights, 67 MB: at batch 16 each weight takes part in 16 multiply-adds
per pass, so the arithmetic hides behind the memory traffic if the weights are read once, in order.  Every product
cuts the 131072 rows into blocks that fit in cache.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.gemm import gemm_tile
from tinycnn.kernels.runtime import jit
from tinycnn.kernels.simd import LANES, MR, NR, fetch_add, load, prefetch, store, zero

K_BLOCK = 64  # weight rows per block: 32 KB at 128 units, so that this block and the next fit in cache
TASK = 8 * K_BLOCK  # rows that a worker takes at a time
FEW = 2  # images up to which the forward pass does without the register tile


def _padded_columns(a, rows):
    """A copy of 2-D `a` whose columns fill whole panels, so that a tile may read NR of them; `a` itself if they do."""
    columns = a.shape[1]
    if columns % NR == 0:
        return a
    padded = np.zeros((rows, -(-columns // NR) * NR), a.dtype)
    padded[:, :columns] = a
    return padded


@jit
def _forward(worker, x, W, partial, shape, taps, counter):
    images, depth, w_width = shape
    chunks = partial.shape[0]
    while True:
        chunk = fetch_add(counter, 1)
        if chunk >= chunks:
            break
        start, stop = depth * chunk // chunks, depth * (chunk + 1) // chunks
        for k in range(start, stop, K_BLOCK):
            rows_ahead = max(0, min(K_BLOCK, stop - k - K_BLOCK))
            for panel in range(0, w_width, NR):
                # A panel strides over the block's rows, which no hardware prefetcher follows: with each panel,
                # its share of the next block is fetched in order.
                prefetch(W, (k + K_BLOCK) * w_width + panel * rows_ahead, NR * rows_ahead)
                for i in range(0, images, MR):
                    gemm_tile(x, i * depth + k, depth, 1, taps, 0, 1, min(K_BLOCK, stop - k),
                              W, k * w_width + panel, w_width, partial[chunk], i * w_width + panel, w_width,
                              min(MR, images - i), NR, k > start)  # fmt: skip


@jit
def _forward_few(worker, x, W, partial, shape, sums, counter):
    """The same sums for `FEW` images, which would leave most of a register tile idle: weights stream by in order."""
    images, depth, w_width = shape
    sums, chunks = sums[worker], partial.shape[0]
    while True:
        chunk = fetch_add(counter, 1)
        if chunk >= chunks:
            break
        start, stop = depth * chunk // chunks, depth * (chunk + 1) // chunks
        for k0 in range(start, stop, K_BLOCK):
            for n in range(images):
                zero(sums, 0, w_width)
                for k in range(k0, min(k0 + K_BLOCK, stop)):
                    for j in range(0, w_width, LANES):
                        store(sums, j, load(sums, j) + x[n * depth + k] * load(W, k * w_width + j))
                for j in range(w_width):
                    if k0 > start:
                        partial[chunk, n * w_width + j] += sums[j]
                    else:
                        partial[chunk, n * w_width + j] = sums[j]


@runtime.locked
def dense_forward(x, kernel, bias, y):
    """``y = x @ kernel + bias``: x ``(images, inputs)``, kernel ``(inputs, units)``, bias ``(units,)`` or None.

    The sum over inputs is cut into chunks by its length alone and added in order, so the threads never change it.
    """
    images, depth = x.shape
    units = kernel.shape[1]
    W = _padded_columns(kernel, depth)
    chunks = max(1, min(32, depth // 1024))
    workers = runtime.get_num_threads()
    partial, sums = runtime.scratch(x.dtype, chunks * images * W.shape[1], workers * W.shape[1])
    partial = partial.reshape(chunks, -1)
    arguments = x.reshape(-1), W.reshape(-1), partial, (images, depth, W.shape[1])
    if images <= FEW:
        runtime.run(_forward_few, *arguments, sums.reshape(workers, -1), runtime.task_counter())
    else:
        runtime.run(_forward, *arguments, np.zeros(1, np.int64), runtime.task_counter())
    np.add.reduce(partial.reshape(chunks, images, -1)[:, :, :units], axis=0, out=y)
    if bias is not None:
        y += bias


@jit
def _backward(worker, x, W, grad, grad_t, grad_x, grad_W, shape, wants_x, T, taps, counter):
    images, depth, units = shape
    grad_width, image_width = grad.size // images, grad_t.size // units
    T = T[worker]
    while True:
        start = fetch_add(counter, TASK)
        if start >= depth:
            break
        stop = min(start + TASK, depth)
        for k0 in range(start, stop, K_BLOCK):
            count = min(K_BLOCK, stop - k0)
            rows_ahead = max(0, min(K_BLOCK, stop - k0 - K_BLOCK))
            for n in range(images):  # T = this block of x, transposed: (count, images)
                for k in range(count):
                    T[k * images + n] = x[n * depth + k0 + k]
            for panel in range(0, units, NR):
                ahead = (k0 + K_BLOCK) * units + panel * rows_ahead
                prefetch(grad_W, ahead, NR * rows_ahead)
                if wants_x:
                    prefetch(W, ahead, NR * rows_ahead)
                for k in range(0, count, MR):
                    gemm_tile(T, k * images, images, 1, taps, 0, 1, images, grad, panel, grad_width,
                              grad_W, (k0 + k) * units + panel, units, min(MR, count - k), min(NR, units - panel),
                              False)  # fmt: skip
            if wants_x:
                for panel in range(0, image_width, NR):
                    for k in range(0, count, MR):
                        gemm_tile(W, (k0 + k) * units, units, 1, taps, 0, 1, units, grad_t, panel, image_width,
                                  T, k * image_width + panel, image_width, min(MR, count - k), NR,
                                  False)  # fmt: skip
                for n in range(images):
                    for k in range(count):
                        grad_x[n * depth + k0 + k] = T[k * image_width + n]


@runtime.locked
def dense_backward(x, kernel, grad, grad_x, grad_kernel):
    """``grad_kernel = x.T @ grad`` and, unless `grad_x` is None, ``grad_x = grad @ kernel.T``, block by block.

    Within a block of weights x and grad_x are transposed in cache, because a column of x strides over
    the whole array and would miss the cache at every step.
    """
    images, depth = x.shape
    units = kernel.shape[1]
    grad_t = _padded_columns(np.ascontiguousarray(grad.T), units)
    workers = runtime.get_num_threads()
    (T,) = runtime.scratch(x.dtype, workers * K_BLOCK * grad_t.shape[1])
    wants_x = grad_x is not None
    runtime.run(_backward, x.reshape(-1), kernel.reshape(-1), _padded_columns(grad, images).reshape(-1),
                grad_t.reshape(-1), (grad_x if wants_x else x[:0]).reshape(-1), grad_kernel.reshape(-1),
                (images, depth, units), wants_x, T.reshape(workers, -1), np.zeros(1, np.int64),
                runtime.task_counter())  # fmt: skip
