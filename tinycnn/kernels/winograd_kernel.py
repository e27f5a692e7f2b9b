"""Winograd's transform of a convolution kernel, and the way back for its gradient.

Once per pass, not once per tile: ``U = G g G^T`` before the products of `winograd`,
``grad_g = G^T grad_U G`` after them.
"""

from tinycnn.kernels import runtime
from tinycnn.kernels.runtime import jit
from tinycnn.kernels.simd import LANES, NR, fetch_add, load, store, zero
from tinycnn.kernels.winograd_transforms import KERNEL


@jit
def _transform_kernel(worker, kernel, shape, G, U, transposed, counter):
    """U[point] = G g G^T for every pair of channels, in panels of NR columns as `gemm_tile` reads them.

    Columns are filters and rows channels, or the other way round if `transposed`.  A task is one point.
    """
    channels, filters = shape
    depth = filters if transposed else channels
    side = G.shape[0]
    while True:
        p = fetch_add(counter, 1)
        if p >= side * side:
            break
        plane = p * channels * filters
        zero(U, plane, channels * filters)
        for i in range(3):
            for j in range(3):
                weight = G[p // side, i] * G[p % side, j]
                if weight != 0:
                    for c in range(channels):
                        start = ((i * 3 + j) * channels + c) * filters
                        for f in range(filters):
                            row, column = (f, c) if transposed else (c, f)
                            U[plane + (column // NR * depth + row) * NR + column % NR] += weight * kernel[start + f]


@jit
def _gather_kernel_gradient(worker, partial, shape, G, grad_kernel, rows, counter):
    """grad_g = G^T [sum of the chunks] G, chunks in order.  A task is one filter, a row of `rows` its workspace."""
    channels, filters = shape
    side = G.shape[0]
    points = side * side
    size = points * filters * channels
    R = rows[worker]
    while True:
        f = fetch_add(counter, 1)
        if f >= filters:
            break
        for c in range(0, channels, LANES):
            for p in range(points):
                start = (p * filters + f) * channels + c
                total = load(partial, start)
                for chunk in range(start + size, partial.size, size):
                    total = total + load(partial, chunk)
                store(R, p * LANES, total)
            for i in range(3):
                for j in range(3):
                    total = G[0, i] * G[0, j] * load(R, 0)
                    for p in range(1, points):
                        total = total + G[p // side, i] * G[p % side, j] * load(R, p * LANES)
                    store(R, points * LANES, total)
                    for lane in range(LANES):
                        grad_kernel[((i * 3 + j) * channels + c + lane) * filters + f] = R[points * LANES + lane]


def transform_kernel(kernel, tile, U, transposed=False):
    """Fill `U`, flat, with the transformed kernel; only inside a `runtime.locked` function, like the next one."""
    channels, filters = kernel.shape[2:]
    G = KERNEL[tile].astype(kernel.dtype)
    runtime.run(_transform_kernel, kernel.reshape(-1), (channels, filters), G, U, transposed, runtime.task_counter())


def gather_kernel_gradient(partial, tile, grad_kernel, rows):
    """Fill `grad_kernel` ``(3, 3, channels, filters)`` from the chunks' gradients of the transformed kernel."""
    G = KERNEL[tile].astype(grad_kernel.dtype)
    runtime.run(
        _gather_kernel_gradient, partial.reshape(-1), grad_kernel.shape[2:], G, grad_kernel.reshape(-1), rows,
        runtime.task_counter(),
    )  # fmt: skip
