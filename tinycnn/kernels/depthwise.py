"""Depthwise convolution: every channel by itself, so vectors run along the channels and nothing is packed.

    y[o, c]           = bias[c] + sum over k   x[o*stride + k*dilation - pad, c] * kernel[k, c]
    grad_kernel[k, c] = sum over o             x[o*stride + k*dilation - pad, c] * grad[o, c]

In NHWC the channels of a pixel are neighbours: `gemm.channel_tile` holds twelve pixels (or twelve kernel elements) of
`LANES` channels in registers.  The gradient to the input is the first equation again, once per phase of the stride, as
in `correlate`.  With several filters per channel, the channels of x are repeated first.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.correlate import BUFFER, TASKS, Grid, Rooms, Taps, Walk, load_rows, padded_rows, places_of, walk
from tinycnn.kernels.gemm import NARROW_ROWS, Finish, Left, Out, Right, Runs, channel_tile
from tinycnn.kernels.nhwc import Images, Output, load_row, pixel
from tinycnn.kernels.simd import LANES, at, zero
from tinycnn.kernels.tasks import share, tasks
from tinycnn.kernels.weight_gradient import Rooms as GradientRooms
from tinycnn.kernels.weight_gradient import sum_chunks


@jit
def _correlate(worker, source, walk, weights, out, grid, rooms, counter):
    source, walk, out, grid, rooms = Images(*source), Walk(*walk), Output(*out), Grid(*grid), Rooms(*rooms)
    across, channels, offsets = grid.columns, out.channels, walk.offsets
    block, line = rooms.places.size // across, weights.size // walk.offsets.size
    blocks = -(-grid.rows // block)
    P = source.data
    if not walk.in_place:
        P = rooms.source[worker]
    for task in tasks(counter, source.number * blocks):
        n, first = task // blocks, task % blocks * block
        rows = min(block, grid.rows - first)
        a, y = 0, pixel(out, n, grid.first_row + first * grid.row_step, grid.first_column)
        if walk.in_place:
            a = pixel(source, n, first * walk.stride_y + walk.top, -walk.left)
        else:
            load_rows(source, walk, n, first, rows, P)
        for p in range(0, rows * across, NARROW_ROWS):
            for c in range(0, channels, LANES):
                channel_tile(
                    Left(at(P, a + c), at(rooms.places, p), step=0),
                    Runs(at(offsets, 0), offsets.size, 1),
                    Right(at(weights, c), row=line),
                    Out(at(out.data, y + c), at(rooms.targets, p)),
                    min(NARROW_ROWS, rows * across - p),
                    min(LANES, channels - c),
                    False,
                    Finish(at(out.bias, c), out.relu),
                )


def _walk(source, taps, outputs):
    """In place only where a vector of channels cannot reach past the array."""
    whole = not source.pooled and source.channels % LANES == 0
    return walk(taps, source.channels, source.channels, outputs, (source.height, source.width) if whole else None)


@runtime.locked
def correlate(source: Images, weights: np.ndarray, taps: Taps, out: Output, grid: Grid) -> None:
    """`correlate.correlate` of every channel by itself; `weights` is ``(taps, channels)``, and `out` not pooled."""
    way, dtype, workers = _walk(source, taps, (grid.rows, grid.columns)), source.data.dtype, runtime.get_num_threads()
    block = max(1, BUFFER // (dtype.itemsize * way.step_y))
    block = min(block, -(-grid.rows // -(-TASKS // source.number)))
    line = -(-source.channels // LANES) * LANES
    padded = 0 if way.in_place else padded_rows(way, block) * way.width * source.channels + LANES
    P, W = runtime.scratch(dtype, workers * padded, len(weights) * line)
    W.reshape(-1, line)[:, : source.channels] = weights
    W.reshape(-1, line)[:, source.channels :] = 0
    rooms = Rooms(
        P.reshape(workers, -1),
        P,
        places_of(block, grid.columns, way.step_y, way.step_x),
        places_of(block, grid.columns, grid.row_step * out.width * out.channels, grid.column_step * out.channels),
    )
    runtime.run(_correlate, source, way, W, out, grid, rooms, runtime.task_counter())


@jit
def _weight_gradient(worker, x, grad, walk, rooms, counter):
    x, grad, walk, rooms = Images(*x), Images(*grad), Walk(*walk), GradientRooms(*rooms)
    lines, places, block = rooms.lines, rooms.places, rooms.lines.size
    blocks, across, channels = -(-grad.height // block), grad.width, grad.channels
    chunks = rooms.kernels.shape[0]
    in_place = not grad.pooled and channels % LANES == 0
    P, D = x.data, grad.data
    if not walk.in_place:
        P = rooms.source[worker]
    if not in_place:
        D = rooms.grad[worker]
    for chunk in tasks(counter, chunks):
        start, stop = share(x.number * blocks, chunk, chunks)
        W, b_sum = rooms.kernels[chunk], rooms.biases[chunk]
        zero(W, 0, W.size)
        zero(b_sum, 0, b_sum.size)
        for task in range(start, stop):
            n, first = task // blocks, task % blocks * block
            rows = min(block, grad.height - first)
            a = d = 0
            if walk.in_place:
                a = pixel(x, n, first * walk.stride_y + walk.top, -walk.left)
            else:
                load_rows(x, walk, n, first, rows, P)
            if in_place:
                d = pixel(grad, n, first, 0)
            else:
                for r in range(rows):
                    load_row(grad, n, first + r, 0, D, r * across * channels, across)
            if b_sum.size:
                for p in range(rows * across):
                    for c in range(channels):
                        b_sum[c] += D[d + p * channels + c]
            for c in range(0, channels, LANES):
                for t in range(0, places.size, NARROW_ROWS):
                    channel_tile(
                        Left(at(P, a + c), at(places, t), step=walk.step_x),
                        Runs(at(lines, 0), rows, across),
                        Right(at(D, d + c), row=channels),
                        Out(at(W, t * channels + c), row=channels),
                        min(NARROW_ROWS, places.size - t),
                        min(LANES, channels - c),
                        True,
                        None,
                    )


@runtime.locked
def weight_gradient(
    x: Images, grad: Images, taps: Taps, grad_kernel: np.ndarray, grad_bias: np.ndarray | None
) -> None:
    """Fill `grad_kernel` ``(taps, channels)`` and `grad_bias` ``(channels,)`` (None: not wanted)."""
    way, dtype, workers = _walk(x, taps, (grad.height, grad.width)), x.data.dtype, runtime.get_num_threads()
    line = grad.width * grad.channels
    block = max(1, min(grad.height, BUFFER // (dtype.itemsize * (way.step_y + line))))
    chunks = max(2, min(16, x.number))
    padded = 0 if way.in_place else padded_rows(way, block) * way.width * x.channels + LANES
    sizes = workers * padded, workers * (block * line + LANES), chunks * grad_kernel.size
    P, D, kernels = runtime.scratch(dtype, *sizes)
    rooms = GradientRooms(
        np.arange(block) * way.step_y,
        way.offsets,
        P.reshape(workers, -1),
        D.reshape(workers, -1),
        kernels.reshape(chunks, -1),
        np.empty((chunks, 0 if grad_bias is None else grad.channels)),
    )
    runtime.run(_weight_gradient, x, grad, way, rooms, runtime.task_counter())
    sum_chunks(rooms.kernels, grad_kernel.reshape(-1))
    if grad_bias is not None:
        sum_chunks(rooms.biases, grad_bias)
