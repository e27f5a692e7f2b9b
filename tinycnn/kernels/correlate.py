"""Convolution by direct GEMM tiles: any kernel size, stride, padding, dilation and number of groups.

`correlate` computes, for every position (i, j) of a grid of outputs,

    y[i, j, :] = sum over taps t of  source[i*sy + ty[t], j*sx + tx[t], :] @ weights[t]

with zeros outside the source.  The forward pass is one call (taps = kernel positions).  The gradient to the input of a
convolution of stride s is s*s calls, one per phase: input pixels with equal ``(row mod s, column mod s)`` see the
same subset of taps, so each phase is again a plain correlation over the output gradient.

im2col (one row per output pixel, one column per kernel element) turns it into a matrix product; here it never exists.
In NHWC a kernel row is ``kw * channels`` consecutive numbers, so the tile reads it where it lies, as one run of
`gemm.panel_tile`: in the image itself or, where zeros surround it, in a padded copy of a few rows that stays in cache.
`tinycnn.kernels.im2col` is the version with the matrix.
"""

import functools
from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.gemm import NARROW, WIDE, Finish, Left, Out, Right, Runs, panel_tile, tile_rows
from tinycnn.kernels.nhwc import Images, Output, load_row, pixel, store_window, window
from tinycnn.kernels.simd import L2, LANES, NR, at
from tinycnn.kernels.tasks import tasks

K_BLOCK = 512  # so many rows of a B panel (32 KB in float32) stay in the first-level cache
BUFFER = L2 * 5 // 16  # bytes of image rows and products per task: together within the second-level cache
TASKS = 8  # that few images are cut into: enough for a few cores
NARROW_COST = 0.65  # time of a narrow panel, that of a wide one being 1: measured, as long sums as short ones


class Taps(NamedTuple):
    """Where a convolution looks: what `Conv2D`'s geometry comes down to."""

    places: tuple
    """(row, column) of each tap relative to the strided output position."""
    strides: tuple
    """Step in the source per output, (rows, columns)."""
    merge: int = 1
    """So many consecutive taps are consecutive in memory too, and can be one run of the tile."""


class Walk(NamedTuple):
    """`Taps` as the kernels need them, in a zero-padded copy of some rows of the source."""

    offsets: np.ndarray
    """int64 ``(runs,)``: the first number of each run, from the padded copy's corner; one output further right or down
    it lies `step_x` or `step_y` further."""
    length: int
    """Numbers in a run."""
    step_y: int
    step_x: int
    stride_y: int
    """Source rows per output row."""
    top: int
    """The first source row of output row 0, above the image if negative."""
    tall: int
    """Rows from the topmost tap to the lowest."""
    left: int
    """Zero pixels before each row."""
    width: int
    """Pixels of a row of the padded copy."""
    groups: int
    in_place: bool
    """No tap leaves the image: nothing is copied, and `width` is the image's."""


@functools.lru_cache
def walk(taps: Taps, channels: int, groups: int, outputs: tuple, size: tuple | None = None) -> Walk:
    """The walk over `outputs` (rows, columns) of them; in place if these see only an image of `size`."""
    places = np.array(taps.places[:: taps.merge])
    (top, left), (bottom, right) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    (stride_y, stride_x), merge = taps.strides, taps.merge
    width = (outputs[1] - 1) * stride_x + right - left + merge
    in_place = size is not None and top >= 0 and left >= 0
    if size is not None and in_place:
        in_place = (outputs[0] - 1) * stride_y + bottom < size[0] and width + left <= size[1]
        width = size[1] if in_place else width
    offsets = ((places[:, 0] - top) * width + places[:, 1] - left) * channels
    steps, tall = (stride_y * width * channels, stride_x * channels), bottom - top
    length = merge * channels // groups
    return Walk(offsets.astype(np.int64), length, *steps, stride_y, top, tall, -left, width, groups, in_place)


@functools.lru_cache(maxsize=64)
def places_of(rows: int, columns: int, step_y: int, step_x: int) -> np.ndarray:
    """int64 ``(rows * columns,)``: ``i * step_y + j * step_x``, row by row."""
    return np.add.outer(np.arange(rows) * step_y, np.arange(columns) * step_x).reshape(-1)


def padded_rows(walk: Walk, rows: int) -> int:
    """How many rows of the source `rows` rows of outputs need."""
    return (rows - 1) * walk.stride_y + walk.tall + 1


@inlined
def source_of(images, walk, n, count, first, rows, P):
    """Where in P the source of the outputs of `count` images begins, n and what follow it, from row `first` on.

    P holds the images themselves if in place; else it is filled with their padded rows.
    """
    if walk.in_place:
        return pixel(images, n, first * walk.stride_y + walk.top, -walk.left)
    tall, line = (rows - 1) * walk.stride_y + walk.tall + 1, walk.width * images.channels
    for i in range(count * tall):
        row = first * walk.stride_y + walk.top + i % tall
        load_row(images, n + i // tall, row, walk.left, P, i * line, walk.width)
    return 0


class Grid(NamedTuple):
    """Which pixels of the output are computed: `rows` x `columns` of them."""

    rows: int
    columns: int
    first_row: int = 0
    row_step: int = 1
    first_column: int = 0
    column_step: int = 1


def panel_of(columns: int) -> tuple:
    """`WIDE` or `NARROW`: the panels in which that many columns cost least."""
    return NARROW if NARROW_COST * -(-columns // LANES) < -(-columns // NR) else WIDE


def pack_panels(matrices: np.ndarray, panel: tuple = WIDE, out: np.ndarray | None = None) -> np.ndarray:
    """``(groups, K, columns) -> (groups, panels, K, width)``, zero-padded: the order in which tiles read B."""
    groups, depth, columns = matrices.shape
    width = len(panel) * LANES
    shape = groups, -(-columns // width), depth, width
    packed = np.empty(shape, matrices.dtype) if out is None else out.reshape(shape)
    for p in range(shape[1]):
        part = matrices[:, :, p * width : (p + 1) * width]
        packed[:, p, :, : part.shape[2]] = part
        packed[:, p, :, part.shape[2] :] = 0
    return packed


class Rooms(NamedTuple):
    """The packed kernel, each worker's scratch memory, and where the pixels of a task lie."""

    packed: np.ndarray
    """In the order in which the tile reads it."""
    source: np.ndarray
    """``(workers, numbers)``: a padded copy of some rows."""
    products: np.ndarray
    """``(workers, numbers)``: outputs that are still to be pooled."""
    places: np.ndarray
    """int64 ``(pixels,)``: of each output of a task, where in the source it begins."""
    targets: np.ndarray
    """int64 ``(pixels,)``: and where in the output."""


@inlined
def _pool(S, n, first, rows, across, start, columns, out):
    """Bias, ReLU and max-pool on `rows` rows of products, and off to `columns` channels from `start` on."""
    width = out.channels
    for r in range(0, rows - 1, 2):
        for j in range(0, across - 1, 2):
            s, t = (r * across + j) * width + start, window(out, n, first + r, j) + start
            for c in range(0, columns, LANES):
                store_window(S, s + c, width, across * width, out, t + c, start + c)


@jit
def _correlate(worker, source, walk, out, grid, rooms, counter, panel):
    source, walk, out, grid, rooms = Images(*source), Walk(*walk), Output(*out), Grid(*grid), Rooms(*rooms)
    offsets, across = walk.offsets, grid.columns
    block, runs, width = rooms.places.size // across, offsets.size, len(panel) * LANES
    blocks, at_once = -(-grid.rows // block), max(1, K_BLOCK // walk.length)
    groups, panels = rooms.packed.shape[:2]
    columns, no_bias = out.channels // groups, out.channels
    P, C = source.data, out.data
    if not walk.in_place:
        P = rooms.source[worker]
    if out.pooled:
        C = rooms.products[worker]
    for task in tasks(counter, source.number * blocks):
        n, first = task // blocks, task % blocks * block
        rows = min(block, grid.rows - first)
        a, c = source_of(source, walk, n, 1, first, rows, P), 0
        if not out.pooled:
            c = pixel(out, n, grid.first_row + first * grid.row_step, grid.first_column)
        for g in range(groups):
            for start in range(g * columns, (g + 1) * columns, width):
                for t in range(0, runs, at_once):
                    count = min(at_once, runs - t)
                    b = ((g * panels + (start - g * columns) // width) * runs + t) * walk.length * width
                    whole = t + count == runs and not out.pooled
                    for p in range(0, rows * across, tile_rows(panel)):
                        panel_tile(
                            Left(at(P, a + g * (source.channels // groups)), at(rooms.places, p), step=1),
                            Runs(at(offsets, t), count, walk.length),
                            Right(at(rooms.packed, b), row=width),
                            Out(at(C, c + start), at(rooms.targets, p)),
                            min(tile_rows(panel), rows * across - p),
                            min(width, (g + 1) * columns - start),
                            t > 0,
                            Finish(at(out.bias, start if whole else no_bias), whole and out.relu),
                            panel,
                        )
            if out.pooled:
                _pool(C, n, first, rows, across, g * columns, columns, out)


@runtime.locked
def correlate(source: Images, weights: np.ndarray, taps: Taps, out: Output, grid: Grid) -> None:
    """Fill `out`, or the part of it that `grid` names, with the correlation of `source` and `weights`.

    Parameters
    ----------
    source : Images
        If pooled, the gradient of a max-pool.
    weights : ndarray ``(groups, taps * channels / groups, columns)``
        Sorted by tap, as in `taps`.
    taps : Taps
    out : Output
        With ``groups * columns`` channels; if it is pooled, its codes are filled as well, and `grid` is whole.
    grid : Grid
    """
    groups, depth, columns = weights.shape
    size = None if source.pooled else (source.height, source.width)
    way, dtype = walk(taps, source.channels, groups, (grid.rows, grid.columns), size), source.data.dtype
    workers, panel = runtime.get_num_threads(), panel_of(columns)
    line = grid.columns * out.channels
    block = max(2, BUFFER // (dtype.itemsize * (way.step_y + line)))
    block = min(block, -(-grid.rows // -(-TASKS // source.number)))
    block = min(block + block % 2, grid.rows + grid.rows % 2)  # even, for the pooling windows
    packed, P, S, shifts = runtime.scratch(
        dtype,
        groups * -(-columns // (len(panel) * LANES)) * depth * len(panel) * LANES,
        0 if way.in_place else workers * padded_rows(way, block) * way.width * source.channels,
        workers * block * line if out.pooled else 0,
        out.channels + NR,
    )
    steps = (line, out.channels)
    if not out.pooled:
        steps = grid.row_step * out.width * out.channels, grid.column_step * out.channels
    rooms = Rooms(
        pack_panels(weights, panel, packed),
        P.reshape(workers, -1),
        S.reshape(workers, -1),
        places_of(block, grid.columns, way.step_y, way.step_x),
        places_of(block, grid.columns, *steps),
    )
    shifts[: out.channels], shifts[out.channels :] = out.bias, 0  # the latter for a sum that is not yet whole
    out = Output(*out[:-2], shifts, out.relu)
    runtime.run(_correlate, source, way, out, grid, rooms, runtime.task_counter(), panel)
