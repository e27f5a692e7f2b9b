"""The dense layer as three calls of `im2col.gemm`, a block of inputs at a time; the set "im2col" computes it so."""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.im2col import gemm, panels_of
from tinycnn.kernels.tasks import share, tasks

Array = np.ndarray
Maybe = np.ndarray | None


CHUNKS = 32  # parts of the sum over the inputs, however many threads add them up
BLOCK = 1024  # inputs whose two gradients a worker computes at a time


@jit
def _forward(worker, counter, x, panels, partial):
    chunks = len(partial)
    for chunk in tasks(counter, chunks):
        first, last = share(x.shape[1], chunk, chunks)
        gemm(x[:, first:last], panels[:, first:last], partial[chunk], False)


@runtime.locked
def dense_forward(x: Array, kernel: Array, bias: Maybe, y: Array) -> None:
    """``y = x @ kernel + bias``, the sum over the inputs in parts that are added in order.

    In float32 within 1e-6 of the exact result, relative to the largest; in float64 1e-14.
    """
    partial = np.empty((min(CHUNKS, x.shape[1]), *y.shape), x.dtype)
    runtime.run(_forward, runtime.task_counter(), x, panels_of(kernel), partial)
    np.add.reduce(partial, axis=0, out=y)
    if bias is not None:
        y += bias


@jit
def _backward(worker, counter, x, kernel, panels, grad_x_t, grad_x, grad_kernel):
    grad, grad_t = panels
    inputs = x.shape[1]
    for task in tasks(counter, -(-inputs // BLOCK)):
        first, last = task * BLOCK, min((task + 1) * BLOCK, inputs)
        gemm(x[:, first:last].T, grad, grad_kernel[first:last], False)
        if grad_x is not None:
            block = grad_x_t[worker, : last - first]  # (inputs, images)
            gemm(kernel[first:last], grad_t, block, False)
            for n in range(len(x)):
                for k in range(first, last):
                    grad_x[n, k] = block[k - first, n]


@runtime.locked
def dense_backward(x: Array, kernel: Array, grad: Array, grad_x: Maybe, grad_kernel: Array) -> None:
    """``grad_kernel = x.T @ grad`` and, unless `grad_x` is None, ``grad_x.T = kernel @ grad.T``.

    Of the two ways to write grad_x this one has the large matrix, the kernel, on the left, where it is read as it lies.
    In float32 within 1e-6 of the exact results, relative to the largest; in float64 1e-14.
    """
    grad_x_t = np.empty((runtime.get_num_threads(), min(BLOCK, x.shape[1]), len(x)), x.dtype)
    panels = tuple(np.ascontiguousarray(panels_of(matrix)) for matrix in (grad, grad.T))
    runtime.run(_backward, runtime.task_counter(), x, kernel, panels, grad_x_t, grad_x, grad_kernel)
