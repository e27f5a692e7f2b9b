"""Winograd's transform of a convolution kernel, and the way back for its gradient.

Once per pass, not once per tile: ``U = G g G^T`` before the products of `winograd`,
``grad_g = G^T grad_U G`` after them.
"""

from tinycnn.kernels import runtime
from tinycnn.kernels.direct import zero
from tinycnn.kernels.runtime import jit
from tinycnn.kernels.simd import NR, fetch_add
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
    """grad_g = G^T [sum of the chunks] G, chunks in order.  A task is one filter, `rows` its workspace."""
    channels, filters = shape
    side = G.shape[0]
    R = rows[worker]
    while True:
        f = fetch_add(counter, 1)
        if f >= filters:
            break
        for p in range(side * side):
            start = (p * filters + f) * channels
            for c in range(channels):
                R[p * channels + c] = partial[0, start + c]
            for chunk in range(1, partial.shape[0]):
                for c in range(channels):
                    R[p * channels + c] += partial[chunk, start + c]
        total = side * side * channels  # one more row of R, for the sum over points
        for i in range(3):
            for j in range(3):
                zero(R, total, channels)
                for p in range(side * side):
                    weight = G[p // side, i] * G[p % side, j]
                    if weight != 0:
                        for c in range(channels):
                            R[total + c] += weight * R[p * channels + c]
                for c in range(channels):
                    grad_kernel[((i * 3 + j) * channels + c) * filters + f] = R[total + c]


def transform_kernel(kernel, tile, U, transposed=False):
    """Fill `U`, flat, with the transformed kernel; only inside a `runtime.locked` function, like the next one."""
    channels, filters = kernel.shape[2:]
    G = KERNEL[tile].astype(kernel.dtype)
    runtime.run(_transform_kernel, kernel.reshape(-1), (channels, filters), G, U, transposed, runtime.task_counter())


def gather_kernel_gradient(partial, tile, grad_kernel, rows):
    """Fill `grad_kernel` ``(3, 3, channels, filters)`` from the chunks' gradients of the transformed kernel."""
    G = KERNEL[tile].astype(grad_kernel.dtype)
    runtime.run(
        _gather_kernel_gradient, partial, grad_kernel.shape[2:], G, grad_kernel.reshape(-1), rows,
        runtime.task_counter(),
    )  # fmt: skip
