"""Batch normalisation in plain loops over the rows of a matrix; the set "im2col" computes it so.

Rows are cut into `CHUNKS` parts.  Sums over a part run in float64 and the parts are added in order, so the number of
threads changes nothing.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.plain_elementwise import relu_backward
from tinycnn.kernels.tasks import share, tasks

Array = np.ndarray


CHUNKS = 64


@jit
def _sums(worker, counter, x, centre, power, partial):
    rows, channels = x.shape
    for chunk in tasks(counter, len(partial)):
        first, last = share(rows, chunk, len(partial))
        for row in range(first, last):
            for c in range(channels):
                d = x[row, c] - centre[c]
                partial[chunk, c] += d if power == 1 else d * d


@runtime.locked
def moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each column, in float64: ``sum(x) / N`` and ``sum((x - mean)**2) / N``.

    In two passes: the short cut ``sum(x**2) / N - mean**2`` loses all digits where the mean is large.
    """
    centre = np.zeros(x.shape[1])
    for power in (1, 2):
        partial = np.zeros((CHUNKS, x.shape[1]))
        runtime.run(_sums, runtime.task_counter(), x, centre, power, partial)
        moment = partial.sum(axis=0) / len(x)
        if power == 1:
            centre = moment
    return centre, moment


@jit
def _normalize(worker, counter, x, mean, scale, beta, y, relu):
    rows, channels = x.shape
    for chunk in tasks(counter, CHUNKS):
        first, last = share(rows, chunk, CHUNKS)
        for row in range(first, last):
            for c in range(channels):
                y[row, c] = (x[row, c] - mean[c]) * scale[c] + beta[c]
                if relu and y[row, c] < 0:
                    y[row, c] = 0


@runtime.locked
def normalize(x: Array, mean: Array, scale: Array, beta: Array, y: Array, relu: bool = False) -> None:
    """``y = (x - mean) * scale + beta``, column by column, cut at 0 with `relu`."""
    runtime.run(_normalize, runtime.task_counter(), x, mean, scale, beta, y, relu)


@jit
def _gradient_sums(worker, counter, x, grad_y, mean, centred, plain):
    rows, channels = x.shape
    for chunk in tasks(counter, CHUNKS):
        first, last = share(rows, chunk, CHUNKS)
        for row in range(first, last):
            for c in range(channels):
                centred[chunk, c] += grad_y[row, c] * (x[row, c] - mean[c])
                plain[chunk, c] += grad_y[row, c]


@runtime.locked
def gradient_sums(
    x: Array,
    grad_y: Array,
    mean: Array,
    inverse_std: Array,
    scale: Array | None = None,
    beta: Array | None = None,
) -> tuple[Array, Array]:
    """``grad_gamma = sum of grad_y * (x - mean) * inverse_std`` and ``grad_beta = sum of grad_y``, in float64.

    With `beta` only over what a ReLU of ``(x - mean) * scale + beta`` lets through.
    """
    if beta is not None:
        grad_y = _through_relu(x, grad_y, mean, scale, beta)
    centred, plain = np.zeros((2, CHUNKS, x.shape[1]))
    runtime.run(_gradient_sums, runtime.task_counter(), x, grad_y, mean, centred, plain)
    return centred.sum(axis=0) * inverse_std, plain.sum(axis=0)


def _through_relu(x, grad_y, mean, scale, beta):
    y, through = np.empty_like(x), np.empty_like(x)
    normalize(x, mean, scale, beta, y)
    relu_backward(grad_y, y, through)
    return through


@jit
def _input_gradient(worker, counter, x, grad_y, per_channel, grad_x):
    mean, scale, mean_grad, slope = per_channel
    rows, channels = x.shape
    for chunk in tasks(counter, CHUNKS):
        first, last = share(rows, chunk, CHUNKS)
        for row in range(first, last):
            for c in range(channels):
                grad_x[row, c] = scale[c] * (grad_y[row, c] - mean_grad[c] - (x[row, c] - mean[c]) * slope[c])


@runtime.locked
def norm_input_gradient(
    x: Array,
    grad_y: Array,
    mean: Array,
    scale: Array,
    mean_grad: Array,
    slope: Array,
    grad_x: Array,
    beta: Array | None = None,
) -> None:
    """``grad_x = scale * (grad_y - mean_grad - (x - mean) * slope)``; with `beta` as `gradient_sums`."""
    if beta is not None:
        grad_y = _through_relu(x, grad_y, mean, scale, beta)
    runtime.run(_input_gradient, runtime.task_counter(), x, grad_y, (mean, scale, mean_grad, slope), grad_x)
