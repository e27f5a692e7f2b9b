"""Convolution as im2col and one matrix product: the textbook's way, made fast by numba, threads and one good GEMM.

`im2col` lays what the kernel sees at each output pixel out as a row.  With ``K = kernel rows * kernel columns *
channels`` numbers in a row, and the kernel as a matrix ``(K, filters)``::

    columns      (pixels, K)       = im2col(x)
    y            (pixels, filters) = columns @ kernel + bias
    grad_kernel  (K, filters)      = columns.T @ grad_y        summed over the pixels of all images
    grad_x                         = col2im(grad_y @ kernel.T)

and a transposed convolution is the last line with x in place of grad_y, plus bias.  Groups are convolutions of their
own, side by side in the channels.

The matrix is ``kernel rows * kernel columns`` times as large as the image (Chellapilla, Puri and Simard, High
performance convolutional neural networks for document processing, 2006), so it is never there whole: a worker lays out
a *band*, a few rows of outputs whose columns stay in its core's cache, multiplies it, and takes the next.  So im2col
costs ``threads * max(BAND, bytes of the columns of one row of outputs)``, whatever the batch; the kernel's gradient is
summed in `CHUNKS` copies, and needs the gradient of a band in panels besides.

Bands, and the order of all sums, depend on shapes alone: the same bytes for any number of threads.
"""

from typing import NamedTuple

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.gemm import Left, Out, Right, gemm_tile, one_run
from tinycnn.kernels.geometry import Geometry
from tinycnn.kernels.simd import L2, MR, NR, at
from tinycnn.kernels.tasks import share, tasks

Array = np.ndarray
Maybe = np.ndarray | None


BAND = L2 // 2  # bytes of columns that a worker lays out at a time
K_BLOCK = 256  # rows of a panel of B: they stay in the first-level cache
CHUNKS = 8  # in which the kernel's gradient is summed, however many threads there are


@jit
def gemm(A, B, C, add):
    """``C = A @ B``, or ``C += A @ B`` with `add`, tile by tile in registers.

    Parameters
    ----------
    A : array ``(rows, K)``
        With any strides: the transpose of a matrix is a view of it.
    B : array ``(panels, K, NR)``
        A matrix ``(K, columns)`` as `panels_of` cuts it.
    C : array ``(rows, columns)``
        With any stride from row to row.
    """
    rows, depth = A.shape
    a_row, a_k = A.strides[0] // A.itemsize, A.strides[1] // A.itemsize
    b_panel, b_k = B.strides[0] // B.itemsize, B.strides[1] // B.itemsize
    c_row = C.strides[0] // C.itemsize
    for p in range(len(B)):
        width = min(NR, C.shape[1] - p * NR)
        for k in range(0, depth, K_BLOCK):
            run, more = min(K_BLOCK, depth - k), add or k > 0
            b = p * b_panel + k * b_k
            for i in range(0, rows, MR):
                a, c, height = i * a_row + k * a_k, i * c_row + p * NR, min(MR, rows - i)
                left, right, out = Left(at(A, a), a_row, a_k), Right(at(B, b), b_k), Out(at(C, c), c_row)
                gemm_tile(left, one_run(run), right, out, height, width, more)


def panels_of(matrix: Array) -> Array:
    """A matrix ``(..., K, columns)`` as panels ``(..., panels, K, NR)``; a view unless columns have to be added."""
    *others, depth, columns = matrix.shape
    missing = -columns % NR
    if missing:
        matrix = np.concatenate([matrix, np.zeros((*others, depth, missing), matrix.dtype)], axis=-1)
    return matrix.reshape(*others, depth, -1, NR).swapaxes(-2, -3)


@jit
def im2col(x, geometry, first, group, columns):
    """Fill `columns` with what the kernel sees at the outputs from row `first` on.

    ::

        columns[i, j, r, s, c] = x[(first + i)*stride + r*dilation - top, j*stride + s*dilation - left, c of group]

    Parameters
    ----------
    x : array ``(height, width, channels)``
        One image; zeros lie around it.
    columns : array ``(rows, output columns, kernel rows, kernel columns, channels / groups)``
    """
    height, width, _ = x.shape
    rows, out_columns, kernel_rows, kernel_columns, depth = columns.shape
    _, (stride_y, stride_x), ((top, _), (left, _)), (step_y, step_x), _ = geometry
    for i in range(rows):
        for j in range(out_columns):
            for r in range(kernel_rows):
                row = (first + i) * stride_y + r * step_y - top
                for s in range(kernel_columns):
                    column = j * stride_x + s * step_x - left
                    if 0 <= row < height and 0 <= column < width:
                        pixel = x[row, column, group * depth : (group + 1) * depth]
                        for c in range(depth):
                            columns[i, j, r, s, c] = pixel[c]
                    else:
                        for c in range(depth):
                            columns[i, j, r, s, c] = 0


@jit
def col2im(columns, geometry, first, group, x):
    """The adjoint of `im2col`: add each entry of `columns` to the pixel of `x` that it would be read from."""
    height, width, _ = x.shape
    rows, out_columns, kernel_rows, kernel_columns, depth = columns.shape
    _, (stride_y, stride_x), ((top, _), (left, _)), (step_y, step_x), _ = geometry
    for i in range(rows):
        for j in range(out_columns):
            for r in range(kernel_rows):
                row = (first + i) * stride_y + r * step_y - top
                for s in range(kernel_columns):
                    column = j * stride_x + s * step_x - left
                    if 0 <= row < height and 0 <= column < width:
                        pixel = x[row, column, group * depth : (group + 1) * depth]
                        for c in range(depth):
                            pixel[c] += columns[i, j, r, s, c]


class Plan(NamedTuple):
    """What every pass needs: how the kernel moves, and scratch memory to lay bands out in."""

    geometry: Geometry
    columns: np.ndarray  # (workers, rows of a band, output columns, kernel rows, kernel columns, channels / groups)
    counter: np.ndarray  # of the tasks drawn


def _plan(geometry, kernel_shape, out_columns, columns):
    """A `Plan` in scratch memory of as many `columns` as `_room` says."""
    columns = columns.reshape(runtime.get_num_threads(), -1, out_columns, *kernel_shape[:3])
    return Plan(geometry, columns, runtime.task_counter())


def _room(kernel_shape, size, dtype):
    """Rows of a band for outputs of `size`, and numbers in the columns of all workers' bands."""
    rows, out_columns = size
    row = out_columns * int(np.prod(kernel_shape[:3]))  # numbers in the columns of one row of outputs
    band = max(1, min(rows, BAND // (row * np.dtype(dtype).itemsize)))
    return band, runtime.get_num_threads() * band * row


def _matrices(kernel, groups):
    """The kernel ``(kernel rows, kernel columns, channels / groups, filters)`` as ``(groups, K, filters / groups)``."""
    return kernel.reshape(-1, groups, kernel.shape[3] // groups).swapaxes(0, 1)


@jit
def _band(task, rows, band):
    """Image, first row of outputs and one past the last of band number `task` in the batch."""
    bands = -(-rows // band)
    n, first = task // bands, task % bands * band
    return n, first, min(first + band, rows)


@jit
def _forward(worker, plan, x, panels, bias, relu, y):
    plan = Plan(*plan)
    images, pixels, filters = y.shape
    groups, columns = len(panels), plan.columns[worker]
    band, out_columns = columns.shape[:2]
    rows, per_group = pixels // out_columns, filters // groups
    for task in tasks(plan.counter, images * -(-rows // band)):
        n, first, last = _band(task, rows, band)
        seen, y_band = columns[: last - first], y[n, first * out_columns : last * out_columns]
        for g in range(groups):
            im2col(x[n], plan.geometry, first, g, seen)
            gemm(seen.reshape(len(y_band), -1), panels[g], y_band[:, g * per_group : (g + 1) * per_group], False)
        for p in range(len(y_band)):
            for f in range(filters):
                value = y_band[p, f] + bias[f]
                y_band[p, f] = 0 if relu and value <= 0 else value  # a NaN stays one


@runtime.locked
def conv_forward(
    x: Array, kernel: Array, bias: Maybe, geometry: Geometry, y: Array, relu: bool = False, codes: Maybe = None
) -> None:
    """``y = x * kernel + bias``, cut at 0 with `relu`; see `tinycnn.kernels.sets.Kernels`.

    In float32 within 1e-6 of the exact result, relative to the largest; in float64 1e-14.
    """
    _refuse(codes)
    images, *size, filters = y.shape
    panels = np.ascontiguousarray(panels_of(_matrices(kernel, geometry.groups)))
    bias = np.zeros(filters, x.dtype) if bias is None else bias
    (columns,) = runtime.scratch(x.dtype, _room(kernel.shape, size, x.dtype)[1])
    plan = _plan(geometry, kernel.shape, size[1], columns)
    runtime.run(_forward, plan, x, panels, bias, relu, y.reshape(images, -1, filters))


@jit
def _pack(matrix, panels):
    """Fill `panels` ``(panels, K, NR)`` with `matrix` ``(K, columns)`` and zeros: what `panels_of` does, in cache."""
    depth, columns = matrix.shape
    for p in range(len(panels)):
        for k in range(depth):
            for j in range(NR):
                panels[p, k, j] = matrix[k, p * NR + j] if p * NR + j < columns else 0


@jit
def _kernel_gradient(worker, plan, x, grad, packed, partial, sums):
    plan = Plan(*plan)
    images, pixels, filters = grad.shape
    chunks, groups, _, per_group = partial.shape
    columns, packed = plan.columns[worker], packed[worker]
    band, out_columns = columns.shape[:2]
    rows = pixels // out_columns
    for chunk in tasks(plan.counter, chunks):
        start, stop = share(images * -(-rows // band), chunk, chunks)
        for task in range(start, stop):
            n, first, last = _band(task, rows, band)
            seen, grad_band = columns[: last - first], grad[n, first * out_columns : last * out_columns]
            for g in range(groups):
                im2col(x[n], plan.geometry, first, g, seen)
                _pack(grad_band[:, g * per_group : (g + 1) * per_group], packed)
                gemm(seen.reshape(len(grad_band), -1).T, packed, partial[chunk, g], task > start)
            for p in range(len(grad_band)):
                for f in range(filters):
                    sums[chunk, f] += grad_band[p, f]


@runtime.locked
def conv_kernel_gradient(
    x: Array, grad: Array, geometry: Geometry, grad_kernel: Array, grad_bias: Maybe = None, codes: Maybe = None
) -> None:
    """``grad_kernel = im2col(x).T @ grad`` and, if given, ``grad_bias = sum of grad``; see `sets.Kernels`.

    In float32 within 1e-5 of the exact result, relative to the largest; in float64 1e-13.
    """
    _refuse(codes)
    images, rows, out_columns, filters = grad.shape
    groups, per_group, workers = geometry.groups, filters // geometry.groups, runtime.get_num_threads()
    band, room = _room(grad_kernel.shape, (rows, out_columns), x.dtype)
    chunks = min(CHUNKS, images * -(-rows // band))
    packed_shape = workers, -(-per_group // NR), band * out_columns, NR
    columns, packed, partial = runtime.scratch(x.dtype, room, int(np.prod(packed_shape)), chunks * grad_kernel.size)
    packed, partial = packed.reshape(packed_shape), partial.reshape(chunks, groups, -1, per_group)
    plan, sums = _plan(geometry, grad_kernel.shape, out_columns, columns), np.zeros((chunks, filters))
    runtime.run(_kernel_gradient, plan, x, grad.reshape(images, -1, filters), packed, partial, sums)
    _matrices(grad_kernel, groups)[...] = partial.sum(axis=0)
    if grad_bias is not None:
        grad_bias[...] = sums.sum(axis=0)


@jit
def _input_gradient(worker, plan, grad, panels, bias, grad_x):
    plan = Plan(*plan)
    images, pixels, filters = grad.shape
    groups, columns = len(panels), plan.columns[worker]
    band, out_columns = columns.shape[:2]
    rows, per_group, depth = pixels // out_columns, filters // groups, columns.shape[-1]
    for task in tasks(plan.counter, images * groups):
        n, g = task // groups, task % groups
        for i in range(grad_x.shape[1]):
            for j in range(grad_x.shape[2]):
                for c in range(g * depth, (g + 1) * depth):
                    grad_x[n, i, j, c] = bias[c]
        for first in range(0, rows, band):
            last = min(first + band, rows)
            seen, grad_band = columns[: last - first], grad[n, first * out_columns : last * out_columns]
            matrix = seen.reshape(len(grad_band), -1)
            gemm(grad_band[:, g * per_group : (g + 1) * per_group], panels[g], matrix, False)
            col2im(seen, plan.geometry, first, g, grad_x[n])


@runtime.locked
def conv_input_gradient(
    grad: Array, kernel: Array, geometry: Geometry, grad_x: Array, bias: Maybe = None, codes: Maybe = None
) -> None:
    """``grad_x = col2im(grad @ kernel.T) + bias``, also a transposed convolution's forward; see `sets.Kernels`.

    In float32 within 1e-6 of the exact result, relative to the largest; in float64 1e-14.
    """
    _refuse(codes)
    images, *size, filters = grad.shape
    panels = np.ascontiguousarray(panels_of(_matrices(kernel, geometry.groups).swapaxes(1, 2)))
    bias = np.zeros(grad_x.shape[3], grad.dtype) if bias is None else bias
    (columns,) = runtime.scratch(grad.dtype, _room(kernel.shape, size, grad.dtype)[1])
    plan = _plan(geometry, kernel.shape, size[1], columns)
    runtime.run(_input_gradient, plan, grad.reshape(images, -1, filters), panels, bias, grad_x)


def conv_backward(
    x: Array,
    kernel: Array,
    grad: Array,
    geometry: Geometry,
    grad_x: Maybe,
    grad_kernel: Array,
    grad_bias: Maybe = None,
    codes: Maybe = None,
) -> None:
    """`conv_kernel_gradient` and, unless `grad_x` is None, `conv_input_gradient`."""
    conv_kernel_gradient(x, grad, geometry, grad_kernel, grad_bias, codes)
    if grad_x is not None:
        conv_input_gradient(grad, kernel, geometry, grad_x, codes=codes)


def _refuse(codes):
    if codes is not None:
        raise ValueError('the kernels "im2col" do not fuse pooling: call without codes, then maxpool_forward')


@jit
def _bias_gradient(worker, counter, grad, sums):
    rows, filters = grad.shape
    for chunk in tasks(counter, len(sums)):
        first, last = share(rows, chunk, len(sums))
        for row in range(first, last):
            for f in range(filters):
                sums[chunk, f] += grad[row, f]


@runtime.locked
def bias_gradient(grad: Array, grad_bias: Array) -> None:
    """``grad_bias = sum of grad over images, rows and columns``, in float64; see `sets.Kernels`."""
    sums = np.zeros((CHUNKS, grad.shape[-1]))
    runtime.run(_bias_gradient, runtime.task_counter(), grad.reshape(-1, grad.shape[-1]), sums)
    grad_bias[...] = sums.sum(axis=0)
