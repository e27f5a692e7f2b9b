"""Convolution by direct GEMM tiles: any kernel size, stride, padding, dilation and number of groups.

`correlate` computes, for every position (i, j) of a grid of outputs,

    y[i, j, :] = sum over taps t of  source[i*sy + ty[t], j*sx + tx[t], :] @ weights[t]

with zeros outside the source.  The forward pass is one call (taps = kernel positions).  The gradient to the input of a
convolution of stride s is s*s calls, one per phase: input pixels with equal ``(row mod s, column mod s)`` see the
same subset of taps, so each phase is again a plain correlation over the output gradient.

im2col (one row per output pixel, one column per kernel element) turns it into a matrix product; here it never exists.
In NHWC a kernel row is ``kw * channels`` consecutive numbers, so the tile reads it where it lies: a few image rows
are copied to a zero-padded buffer that stays in cache, and each kernel row is one run of `gemm.gemm_tile`.
See `tinycnn.reference.im2col` for the version with the matrix.
"""

import functools
from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.gemm import Left, Out, Right, Runs, gemm_tile
from tinycnn.kernels.nhwc import Images, Output, load_row, pixel, store_window, window
from tinycnn.kernels.simd import L2, LANES, MR, NR, at, load, relu, store
from tinycnn.kernels.tasks import tasks

K_BLOCK = 512  # so many rows of a B panel (32 KB in float32) stay in the first-level cache
BUFFER = L2 * 5 // 16  # bytes of image rows and products per task: together within the second-level cache


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


@functools.lru_cache
def walk(taps: Taps, channels: int, groups: int, columns: int) -> Walk:
    """The walk over `columns` outputs side by side."""
    places = np.array(taps.places[:: taps.merge])
    (top, left), (bottom, right) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    (stride_y, stride_x), merge = taps.strides, taps.merge
    width = (columns - 1) * stride_x + right - left + merge
    offsets = ((places[:, 0] - top) * width + places[:, 1] - left) * channels
    steps = stride_y * width * channels, stride_x * channels
    return Walk(
        offsets.astype(np.int64), merge * channels // groups, *steps, stride_y, top, bottom - top, -left, width, groups
    )


def padded_rows(walk: Walk, rows: int) -> int:
    """How many rows of the source `rows` rows of outputs need."""
    return (rows - 1) * walk.stride_y + walk.tall + 1


@inlined
def load_rows(images, walk, n, first, rows, P):
    """Fill P with the padded source rows of the outputs of image n from row `first` on."""
    for r in range((rows - 1) * walk.stride_y + walk.tall + 1):
        row = first * walk.stride_y + walk.top + r
        load_row(images, n, row, walk.left, P, r * walk.width * images.channels, walk.width)


class Grid(NamedTuple):
    """Which pixels of the output are computed: `rows` x `columns` of them."""

    rows: int
    columns: int
    first_row: int = 0
    row_step: int = 1
    first_column: int = 0
    column_step: int = 1


def pack_panels(matrices: np.ndarray) -> np.ndarray:
    """``(groups, K, columns) -> (groups, panels, K, NR)``, zero-padded: the order in which tiles read B."""
    groups, depth, columns = matrices.shape
    packed = np.zeros((groups, -(-columns // NR), depth, NR), matrices.dtype)
    for p in range(packed.shape[1]):
        part = matrices[:, :, p * NR : (p + 1) * NR]
        packed[:, p, :, : part.shape[2]] = part
    return packed


@inlined
def _finish(S, n, first, rows, start, columns, out, grid):
    """Bias, ReLU and, if wanted, max-pool on `rows` rows of products, and off to `columns` channels from `start` on."""
    _, across, width = S.shape
    whole = columns // LANES * LANES
    if out.y.pooled:
        for r in range(0, rows - 1, 2):
            for j in range(0, across - 1, 2):
                s, t = (r * across + j) * width, window(out.y, n, first + r, j) + start
                for c in range(0, columns, LANES):
                    store_window(S, s + c, width, across * width, out, t + c, start + c)
        return
    for r in range(rows):
        row = grid.first_row + (first + r) * grid.row_step
        for j in range(across):
            s = (r * across + j) * width
            t = pixel(out.y, n, row, grid.first_column + j * grid.column_step) + start
            for c in range(0, whole, LANES):
                v = load(S, s + c) + load(out.bias, start + c)
                store(out.y.data, t + c, relu(v) if out.relu else v)
            for c in range(whole, columns):
                u = S[r, j, c] + out.bias[start + c]
                out.y.data[t + c] = relu(u) if out.relu else u


@jit
def _correlate(worker, source, walk, packed, out, grid, rooms, counter):
    P, S, offsets = rooms[0][worker], rooms[1][worker], walk.offsets
    (block, across, width), runs = S.shape, offsets.size
    blocks, at_once = -(-grid.rows // block), max(1, K_BLOCK // walk.length)
    groups, panels = packed.shape[:2]
    columns = out.y.channels // groups
    for task in tasks(counter, source.number * blocks):
        n, first = task // blocks, task % blocks * block
        rows = min(block, grid.rows - first)
        load_rows(source, walk, n, first, rows, P)
        for g in range(groups):
            for panel in range(panels):
                for t in range(0, runs, at_once):
                    count = min(at_once, runs - t)
                    b = ((g * panels + panel) * runs + t) * walk.length * NR
                    for r in range(rows):
                        a = r * walk.step_y + g * (source.channels // groups)
                        for j in range(0, across, MR):
                            gemm_tile(
                                Left(at(P, a + j * walk.step_x), row=walk.step_x, step=1),
                                Runs(at(offsets, t), count, walk.length),
                                Right(at(packed, b), row=NR),
                                Out(at(S, (r * across + j) * width + panel * NR), row=width),
                                min(MR, across - j),
                                NR,
                                t > 0,
                            )
            _finish(S, n, first, rows, g * columns, columns, out, grid)


@runtime.locked
def correlate(source: Images, weights: np.ndarray, taps: Taps, out: Output, grid: Grid) -> None:
    """Fill ``out.y``, or the part of it that `grid` names, with the correlation of `source` and `weights`.

    Parameters
    ----------
    source : Images
        If pooled, the gradient of a max-pool.
    weights : ndarray ``(groups, taps * channels / groups, columns)``
        Sorted by tap, as in `taps`.
    taps : Taps
    out : Output
        With ``groups * columns`` channels; if ``out.y`` is pooled, its codes are filled as well, and `grid` is whole.
    grid : Grid
    """
    groups, _, columns = weights.shape
    way, dtype = walk(taps, source.channels, groups, grid.columns), source.data.dtype
    packed, workers = pack_panels(weights), runtime.get_num_threads()
    width = packed.shape[1] * NR
    block = max(2, BUFFER // (dtype.itemsize * (way.step_y + grid.columns * width)))
    block = min(block + block % 2, grid.rows + grid.rows % 2)  # even, for the pooling windows
    bias = np.zeros(groups * columns + NR, dtype)  # a vector may be read past its end
    bias[: groups * columns] = out.bias
    P, S, B = runtime.scratch(
        dtype,
        workers * padded_rows(way, block) * way.width * source.channels,
        workers * block * grid.columns * width,
        packed.size,
    )
    B = B.reshape(packed.shape)
    B[...] = packed
    rooms = P.reshape(workers, -1), S.reshape(workers, block, grid.columns, width)
    runtime.run(_correlate, source, way, B, out._replace(bias=bias), grid, rooms, runtime.task_counter())
