"""Convolutions whose vectors run along the channels of the image: depthwise ones, and those with a few filters.

Depthwise, every channel by itself:

    y[o, c]           = bias[c] + sum over k   x[o*stride + k*dilation - pad, c] * kernel[k, c]
    grad_kernel[k, c] = sum over o             x[o*stride + k*dilation - pad, c] * grad[o, c]

In NHWC the channels of a pixel are neighbours: `gemm.channel_tile` holds twelve pixels (or twelve kernel elements) of
`LANES` channels in registers.  One filter f is the same, but for the sum over c in the first equation, at the end of
each tile (`gemm.dot_tile`), and for grad[o, f], the same for every c, in the second.  The matrix tile of `correlate`
would compute as many filters as a vector has numbers, and drop all but a few.

The gradient to the input is the first equation again, once per phase of the stride, as in `correlate`.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.correlate import (
    BUFFER,
    TASKS,
    Grid,
    Rooms,
    Taps,
    Walk,
    padded_rows,
    places_of,
    source_of,
    walk,
)
from tinycnn.kernels.gemm import NARROW_ROWS, Finish, Left, Out, Right, Runs, channel_tile, dot_tile
from tinycnn.kernels.nhwc import Images, Output, pixel
from tinycnn.kernels.simd import LANES, at, zero
from tinycnn.kernels.tasks import share, tasks
from tinycnn.kernels.weight_gradient import Rooms as GradientRooms
from tinycnn.kernels.weight_gradient import add_bias_gradient, copy_gradient, sum_chunks

ONE, EACH = (), (0,)  # `channel_tile`'s lanes: one number for all channels, or one for each


@jit
def _correlate(worker, source, walk, out, grid, rooms, counter, lanes):
    source, walk, out, grid, rooms = Images(*source), Walk(*walk), Output(*out), Grid(*grid), Rooms(*rooms)
    across, offsets, weights = grid.columns, walk.offsets, rooms.packed
    block = rooms.places.size // across
    blocks = -(-grid.rows // block)
    P = source.data
    if not walk.in_place:
        P = rooms.source[worker]
    for task in tasks(counter, source.number * blocks):
        n, first = task // blocks, task % blocks * block
        rows = min(block, grid.rows - first)
        a = source_of(source, walk, n, 1, first, rows, P)
        y = pixel(out, n, grid.first_row + first * grid.row_step, grid.first_column)
        for p in range(0, rows * across, NARROW_ROWS):
            count = min(NARROW_ROWS, rows * across - p)
            if len(lanes) > 0:
                for c in range(0, out.channels, LANES):
                    channel_tile(
                        Left(at(P, a + c), at(rooms.places, p), step=0),
                        Runs(at(offsets, 0), offsets.size, 1),
                        Right(at(weights, c), row=weights.size // offsets.size),
                        Out(at(out.data, y + c), at(rooms.targets, p)),
                        count,
                        min(LANES, out.channels - c),
                        False,
                        Finish(at(out.bias, c), out.relu),
                        lanes,
                    )
            else:
                for f in range(out.channels):
                    dot_tile(
                        Left(at(P, a), at(rooms.places, p), step=LANES),
                        Runs(at(offsets, 0), offsets.size, walk.length // LANES),
                        Right(at(weights, f * offsets.size * walk.length), row=LANES),
                        Out(at(out.data, y + f), at(rooms.targets, p)),
                        count,
                        Finish(at(out.bias, f), out.relu),
                    )


def _walk(source, taps, groups, outputs):
    """In place only where a vector of channels cannot reach past the array."""
    whole = not source.pooled and source.channels % LANES == 0
    return walk(taps, source.channels, groups, outputs, (source.height, source.width) if whole else None)


def _run(source, weights, way, out, grid, lanes):
    dtype, workers = source.data.dtype, runtime.get_num_threads()
    block = max(1, BUFFER // (dtype.itemsize * way.step_y))
    block = min(block, -(-grid.rows // -(-TASKS // source.number)))
    padded = 0 if way.in_place else padded_rows(way, block) * way.width * source.channels + LANES
    (P,) = runtime.scratch(dtype, workers * padded)
    rooms = Rooms(
        weights.reshape(-1),
        P.reshape(workers, -1),
        P.reshape(workers, -1),  # nothing is pooled
        places_of(block, grid.columns, way.step_y, way.step_x),
        places_of(block, grid.columns, grid.row_step * out.width * out.channels, grid.column_step * out.channels),
    )
    runtime.run(_correlate, source, way, out, grid, rooms, runtime.task_counter(), lanes)


@runtime.locked
def depthwise(source: Images, weights: np.ndarray, taps: Taps, out: Output, grid: Grid) -> None:
    """`correlate` of every channel by itself, `weights` ``(channels, taps, 1)``; `out` must not be pooled."""
    channels, depth, _ = weights.shape
    columns = np.zeros((depth, -(-channels // LANES) * LANES), weights.dtype)
    columns[:, :channels] = weights[:, :, 0].T
    way = _walk(source, taps, channels, (grid.rows, grid.columns))
    _run(source, columns, way, out, grid, EACH)


def suits_dot(channels: int, columns: int) -> bool:
    """Whether so few columns are better summed over vectors of channels."""
    return columns <= LANES // 2 and channels % LANES == 0


@runtime.locked
def few_filters(source: Images, weights: np.ndarray, taps: Taps, out: Output, grid: Grid) -> None:
    """`correlate` of one group where `suits_dot`; `out` must not be pooled."""
    way = _walk(source, taps, 1, (grid.rows, grid.columns))
    _run(source, np.ascontiguousarray(weights[0].T), way, out, grid, ONE)


@jit
def _kernel_gradient(worker, x, grad, walk, rooms, counter, lanes):
    x, grad, walk, rooms = Images(*x), Images(*grad), Walk(*walk), GradientRooms(*rooms)
    lines, places, block = rooms.lines, rooms.places, rooms.lines.size
    blocks, across, channels, filters = -(-grad.height // block), grad.width, x.channels, grad.channels
    chunks = rooms.kernels.shape[0]
    in_place = not grad.pooled and (len(lanes) == 0 or channels % LANES == 0)
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
            a = source_of(x, walk, n, 1, first, rows, P)
            d = pixel(grad, n, first, 0) if in_place else 0
            if not in_place:
                copy_gradient(grad, filters, n, 1, first, rows, D)
            add_bias_gradient(D, d, rows * across, filters, filters, b_sum)
            for f in range(1 if len(lanes) > 0 else filters):
                for c in range(0, channels, LANES):
                    for t in range(0, places.size, NARROW_ROWS):
                        channel_tile(
                            Left(at(P, a + c), at(places, t), step=walk.step_x),
                            Runs(at(lines, 0), rows, across),
                            Right(at(D, d + (c if len(lanes) > 0 else f)), row=filters),
                            Out(at(W, (f * places.size + t) * channels + c), row=channels),
                            min(NARROW_ROWS, places.size - t),
                            min(LANES, channels - c),
                            True,
                            None,
                            lanes,
                        )


def suits_channels(taps: int, channels: int, filters: int) -> bool:
    """Whether so few filters are better computed one by one: what either multiplies."""
    one_by_one = filters * -(-taps // NARROW_ROWS) * -(-channels // LANES)
    return one_by_one < -(-taps * channels // NARROW_ROWS) * -(-filters // LANES)


@runtime.locked
def kernel_gradient(
    x: Images, grad: Images, taps: Taps, groups: int, grad_kernel: np.ndarray, grad_bias: np.ndarray | None
) -> None:
    """Fill `grad_kernel` and `grad_bias` (None: not wanted) of a depthwise convolution or, with one group, of any.

    `grad_kernel` is ``(taps, channels / groups, filters)``, and depthwise there is a filter per channel.
    """
    taps, dtype, workers = taps._replace(merge=1), x.data.dtype, runtime.get_num_threads()
    way = _walk(x, taps, groups, (grad.height, grad.width))
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
    lanes = EACH if groups > 1 else ONE
    runtime.run(_kernel_gradient, x, grad, way, rooms, runtime.task_counter(), lanes)
    total = kernels[: grad_kernel.size]
    sum_chunks(rooms.kernels, total)
    if groups > 1:
        grad_kernel[...] = total.reshape(grad_kernel.shape)
    else:  # (filters, taps, channels)
        grad_kernel[...] = np.moveaxis(total.reshape(grad.channels, *grad_kernel.shape[:-1]), 0, -1)
    if grad_bias is not None:
        sum_chunks(rooms.biases, grad_bias)
