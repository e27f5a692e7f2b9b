"""Winograd's transform of a convolution kernel, and the way back for its gradient.

Once per pass, not once per tile: ``U = G g G^T`` before the products of `winograd`,
``grad_g = G^T grad_U G`` after them.  Both go over columns first and rows second.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.simd import LANES, load, store, transpose_square
from tinycnn.kernels.tasks import tasks
from tinycnn.kernels.winograd_transforms import kernel_1d, kernel_adjoint_1d, rows_of

SQUARE = LANES * LANES  # of channels and filters, transposed in registers: a column of the kernel lies far apart


@jit
def _transform_kernel(worker, kernel, shape, U, T, panels, counter, like):
    """U[point] = G g G^T for every pair of channels, in panels of columns as `panel_tile` reads them.

    `panels` are their width and whether they are transposed: columns are filters and rows channels, or the other way
    round.  A task is LANES columns.
    """
    (channels, filters), (width, transposed) = shape, panels
    depth, columns = (filters, channels) if transposed else (channels, filters)
    T, side, plane = T[worker], len(like[0]), channels * filters
    size = side - len(like[1]) + 1
    half, row = size * size * SQUARE, size * LANES  # in T, behind a square for each tap
    for task in tasks(counter, columns // LANES):
        n = task * LANES
        for k in range(depth):
            source, start, tap = kernel, k * filters + n, plane
            if transposed:
                if k % LANES == 0:
                    for t in range(size * size):
                        transpose_square(kernel, t * plane + n * filters + k, filters, T, t * SQUARE, LANES)
                source, start, tap = T, k % LANES * LANES, SQUARE
            for j in range(size):  # columns: half[:, j] = G g[:, j]
                kernel_1d(source, start + j * tap, size * tap, T, half + j * LANES, row, like)
            u = (n // width * depth + k) * width + n % width
            for i in range(side):  # rows: U[i, :] = half[i, :] G^T
                kernel_1d(T, half + i * row, LANES, U, i * side * plane + u, plane, like)


@jit
def _gather_kernel_gradient(worker, partial, shape, grad_kernel, T, counter, like):
    """grad_g = G^T [sum of the chunks] G, chunks in order.  A task is LANES filters, a cache line."""
    channels, filters = shape
    T, side = T[worker], len(like[0])
    size, points = side - len(like[1]) + 1, side * side
    chunk, sums = points * filters * channels, size * size * SQUARE  # in T, behind a square for each tap
    half = sums + points * LANES
    for task in tasks(counter, filters // LANES):
        for c in range(0, channels, LANES):
            for f in range(LANES):
                for p in range(points):
                    start = (p * filters + task * LANES + f) * channels + c
                    total = load(partial, start)
                    for place in range(start + chunk, partial.size, chunk):
                        total = total + load(partial, place)
                    store(T, sums + p * LANES, total)
                for j in range(side):  # columns: half[:, j] = G^T grad_U[:, j]
                    kernel_adjoint_1d(T, sums + j * LANES, side * LANES, T, half + j * LANES, side * LANES, like)
                for i in range(size):  # rows: grad_g[i, :] = half[i, :] G
                    square = i * size * SQUARE + f * LANES
                    kernel_adjoint_1d(T, half + i * side * LANES, LANES, T, square, SQUARE, like)
            for t in range(size * size):
                g = (t * channels + c) * filters + task * LANES
                transpose_square(T, t * SQUARE, LANES, grad_kernel, g, filters)


def _workspace(tile, size, dtype):
    side = tile + size - 1
    return np.empty((runtime.get_num_threads(), size * size * SQUARE + (side * side + size * side) * LANES), dtype)


def transform_kernel(kernel: np.ndarray, tile: int, U: np.ndarray, width: int, transposed: bool = False) -> None:
    """Fill `U`, flat, with the transformed kernel in panels of `width` columns.

    Only inside a `runtime.locked` function, like the next one.
    """
    runtime.run(
        _transform_kernel,
        kernel.reshape(-1),
        kernel.shape[2:],
        U,
        _workspace(tile, kernel.shape[0], kernel.dtype),
        (width, transposed),
        runtime.task_counter(),
        rows_of(tile, kernel.shape[0]),
    )


def gather_kernel_gradient(partial: np.ndarray, tile: int, grad_kernel: np.ndarray) -> None:
    """Fill `grad_kernel` ``(size, size, channels, filters)`` from the chunks' gradients of the transformed kernel."""
    runtime.run(
        _gather_kernel_gradient,
        partial.reshape(-1),
        grad_kernel.shape[2:],
        grad_kernel.reshape(-1),
        _workspace(tile, grad_kernel.shape[0], grad_kernel.dtype),
        runtime.task_counter(),
        rows_of(tile, grad_kernel.shape[0]),
    )
