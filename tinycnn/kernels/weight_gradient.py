"""The gradients of a convolution's kernel and bias, by direct GEMM tiles; any geometry, like `correlate`.

    grad_kernel[t, c, f] = sum over i, j of  x[i*sy + ty[t], j*sx + tx[t], c] * grad[i, j, f]
    grad_bias[f]         = sum over i, j of  grad[i, j, f]

The sums over millions of pixels are cut into chunks by their length alone, and the chunks are added in order: the
result does not depend on how many threads took part.
"""

from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.correlate import BUFFER, Taps, Walk, padded_rows, panel_of, places_of, source_of, walk
from tinycnn.kernels.gemm import Left, Out, Right, Runs, panel_tile, tile_rows
from tinycnn.kernels.nhwc import Images, load_row, pixel
from tinycnn.kernels.parts import load_part, store_part
from tinycnn.kernels.simd import LANES, NR, at, widen, zero
from tinycnn.kernels.tasks import share, tasks

BIAS_CHUNKS = 64
PIXELS = 512  # that many are summed before a sum is put back to memory, of several images if these are small
CHUNK = 512  # pixels at least that a chunk sums over, if there are more than two: each chunk's sums are put to memory
SUM = 1 << 14  # numbers of a task that adds up chunks


class Rooms(NamedTuple):
    """Scratch memory for a few rows of outputs, per worker, and the chunks' sums."""

    lines: np.ndarray
    """int64 ``(rows,)``: where each output row begins in the source; of several images, if these are small."""
    places: np.ndarray
    """int64 ``(taps * channels / groups,)``: where each number of a kernel meets the source's first."""
    source: np.ndarray
    grad: np.ndarray
    kernels: np.ndarray
    """``(chunks, taps * channels / groups * columns)``."""
    biases: np.ndarray
    """float64 ``(chunks, columns)``: a float32 sum over millions of pixels loses digits.  No columns: not wanted."""


@inlined
def pitch_of(filters, depth):
    """Numbers between pixels of the gradient: a power of two of cache lines falls on few cache sets.

    So many filters are copied to a better pitch where the copy is read often: for `depth` numbers of each kernel.
    """
    return filters + LANES if filters >= 4 * LANES and depth >= 512 else filters


@inlined
def copy_gradient(grad, pitch, n, count, first, rows, D):
    """Fill D with `rows` rows from `first` on of each of `count` images from n on, a pixel every `pitch` numbers."""
    pieces = 1 if pitch == grad.channels else grad.width  # so many a row
    for i in range(count * rows * pieces):
        r, j = i // pieces, i % pieces
        image, row, place = n + r // rows, first + r % rows, (r * grad.width + j) * pitch
        load_row(grad, image, row, -j, D, place, grad.width // pieces)


@inlined
def add_bias_gradient(D, d, pixels, pitch, filters, b_sum):
    """Add to `b_sum`, if it is wanted, the gradients of so many pixels from D[d] on."""
    if b_sum.size:
        for c in range(0, filters, LANES):
            lanes = min(LANES, filters - c)
            total = load_part(b_sum, c, lanes)
            for p in range(d, d + pixels * pitch, pitch):
                total = total + widen(load_part(D, p + c, lanes))
            store_part(b_sum, c, total, lanes)


@jit
def _weight_gradient(worker, x, grad, walk, rooms, counter, panel):
    x, grad, walk, rooms = Images(*x), Images(*grad), Walk(*walk), Rooms(*rooms)
    lines, places, block = rooms.lines, rooms.places, min(rooms.lines.size, grad.height)
    blocks, across, filters, images = -(-grad.height // block), grad.width, grad.channels, rooms.lines.size // block
    columns, width = filters // walk.groups, len(panel) * LANES
    chunks = rooms.kernels.shape[0]
    pitch = pitch_of(filters, places.size)
    in_place = not grad.pooled and pitch == filters and columns % width == 0  # a tile reads whole panels
    P, D = x.data, grad.data
    if not walk.in_place:
        P = rooms.source[worker]
    if not in_place:
        D = rooms.grad[worker]
    for chunk in tasks(counter, chunks):
        start, stop = share(x.number * blocks, chunk, chunks)
        W, b_sum = rooms.kernels[chunk], rooms.biases[chunk]
        if start == stop:
            zero(W, 0, W.size)
        zero(b_sum, 0, b_sum.size)
        for task in range(start, stop, images):
            n, count, first = task // blocks, min(images, stop - task), task % blocks * block
            rows = min(block, grad.height - first)
            a = source_of(x, walk, n, count, first, rows, P)
            d = pixel(grad, n, first, 0) if in_place else 0
            if not in_place:
                copy_gradient(grad, pitch, n, count, first, rows, D)
            add_bias_gradient(D, d, count * rows * across, pitch, filters, b_sum)
            for g in range(walk.groups):
                for f in range(g * columns, (g + 1) * columns, width):
                    for i in range(0, places.size, tile_rows(panel)):
                        panel_tile(
                            Left(at(P, a + g * (x.channels // walk.groups)), at(places, i), step=walk.step_x),
                            Runs(at(lines, 0), count * rows, across),
                            Right(at(D, d + f), row=pitch),
                            Out(at(W, i * filters + f), row=filters),
                            min(tile_rows(panel), places.size - i),
                            min(width, (g + 1) * columns - f),
                            task > start,
                            None,
                            panel,
                        )


@jit
def _sum_chunks(worker, partial, total, counter):
    for task in tasks(counter, -(-total.size // SUM)):
        start, stop = task * SUM, min((task + 1) * SUM, total.size)
        for i in range(start, stop):
            total[i] = partial[0, i]
        for chunk in range(1, partial.shape[0]):
            for i in range(start, stop):
                total[i] += partial[chunk, i]


def sum_chunks(partial: np.ndarray, total: np.ndarray) -> None:
    """``total = partial[0] + partial[1] + ...``, in that order; `total` may be ``partial[0]``.

    Only inside a `runtime.locked` function.
    """
    if total.size > SUM:
        runtime.run(_sum_chunks, partial, total, runtime.task_counter())
    else:  # not worth waking anyone
        _sum_chunks(0, partial, total, runtime.task_counter())


@runtime.locked
def weight_gradient(
    x: Images, grad: Images, taps: Taps, groups: int, grad_kernel: np.ndarray, grad_bias: np.ndarray | None
) -> None:
    """Fill `grad_kernel` ``(taps, channels / groups, columns)`` and `grad_bias` ``(columns,)`` (None: not wanted).

    `x` are the convolution's images and `grad` the gradient of its output; if pooled, of its 2x2 max-pool.
    """
    way, dtype = walk(taps, x.channels, groups, (grad.height, grad.width), (x.height, x.width)), x.data.dtype
    line = grad.width * grad.channels
    block = max(1, min(grad.height, BUFFER // (dtype.itemsize * (way.step_y + line))))
    chunks = max(2, min(16, x.number * grad.height * grad.width // CHUNK))
    while chunks > 4 and chunks * grad_kernel.size > 1 << 20:  # that many numbers stay in cache
        chunks = chunks // 4 * 2
    block = min(block, -(-grad.height // -(-chunks // x.number)))  # one image, too, is work for several
    size = (x.height if way.in_place else padded_rows(way, block)) * way.width * x.channels
    images = 1
    if block == grad.height:
        images = max(1, min(x.number // chunks, PIXELS // (block * grad.width), BUFFER // (dtype.itemsize * size)))
    workers = runtime.get_num_threads()
    P, D, kernels = runtime.scratch(
        dtype,
        0 if way.in_place else workers * images * size,
        workers * (images * block * grad.width * pitch_of(grad.channels, way.offsets.size * way.length) + NR),
        chunks * grad_kernel.size,
    )
    rooms = Rooms(
        places_of(images, block, size, way.step_y),
        np.add.outer(way.offsets, np.arange(way.length)).reshape(-1),
        P.reshape(workers, -1),
        D.reshape(workers, -1),
        kernels.reshape(chunks, -1),
        np.empty((chunks, 0 if grad_bias is None else grad.channels)),
    )
    panel = panel_of(grad.channels // groups)
    runtime.run(_weight_gradient, x, grad, way, rooms, runtime.task_counter(), panel)
    sum_chunks(rooms.kernels, grad_kernel.reshape(-1))
    if grad_bias is not None:
        sum_chunks(rooms.biases, grad_bias)


@jit
def _sum_bias(worker, grad, sums, counter):
    for chunk in tasks(counter, sums.shape[0]):
        start, stop = share(grad.shape[0], chunk, sums.shape[0])
        for row in range(start, stop):
            for c in range(grad.shape[1]):
                sums[chunk, c] += grad[row, c]


@runtime.locked
def sum_bias(grad: np.ndarray, grad_bias: np.ndarray) -> None:
    """Fill `grad_bias` ``(channels,)`` with the sum of `grad` ``(..., channels)``, added in float64."""
    sums = np.zeros((BIAS_CHUNKS, grad.shape[-1]))
    runtime.run(_sum_bias, grad.reshape(-1, grad.shape[-1]), sums, runtime.task_counter())
    sum_chunks(sums, grad_bias)
