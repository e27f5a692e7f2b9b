"""Batch normalisation over the rows of a matrix: moments, normalisation and gradients, one column per channel.

The rows are cut into a fixed number of chunks, which are the workers' tasks.  Sums over a chunk run in float64, and
the chunks are added in order: the result does not depend on how many threads took part.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import IN_PYTHON, jit
from tinycnn.kernels.simd import LANES, load, rounded_product, store, widen
from tinycnn.kernels.tasks import share, tasks

CHUNKS = 64


def _check(x, **arrays):
    """`x`, `y` and their gradients are matrices, the others have a number per column."""
    matrices = ("y", "grad_y", "grad_x")
    shapes = {name: x.shape if name in matrices else x.shape[1:] for name in arrays}
    check("batch norm", x=(x, x.shape), **{name: (array, shapes[name]) for name, array in arrays.items()})


@runtime.locked
def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each column of `x`, in float64.

    Each chunk sums differences from its own first row, so that a large mean costs no digits, and the chunks'
    moments are then merged one after the other (Chan, Golub and LeVeque, Updating formulae and a pairwise
    algorithm for computing sample variances, 1979)::

        n = n_a + n_b,  d = mean_b - mean_a,  mean = mean_a + d * n_b / n,  M2 = M2_a + M2_b + d^2 * n_a * n_b / n

    Parameters
    ----------
    x : ndarray, float32 or float64, shape (rows, channels), C-contiguous

    Returns
    -------
    mean, variance : ndarray, float64, shape (channels,)
    """
    _check(x)
    sums = np.empty((CHUNKS, 2, x.shape[1]))
    runtime.run(_chunk_moments, runtime.task_counter(), x.reshape(-1), x.shape, sums.reshape(-1))
    mean, variance = np.empty((2, x.shape[1]))
    _merge_moments(x, sums, mean, variance)
    return mean, variance


@jit
def _chunk_moments(worker, counter, x, shape, sums):
    rows, channels = shape
    whole = 0 if IN_PYTHON else channels // LANES * LANES
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        start, end, into = first * channels, stop * channels, 2 * chunk * channels
        for c in range(into, into + 2 * channels):
            sums[c] = 0
        for c in range(0, whole, LANES):  # sums of many rows stay in registers
            total, squares = load(sums, into + c), load(sums, into + channels + c)
            for i in range(start + c, end + c, channels):
                d = widen(load(x, i)) - widen(load(x, start + c))
                total, squares = total + d, squares + rounded_product(d, d)
            store(sums, into + c, total)
            store(sums, into + channels + c, squares)
        for row in range(start, end, channels):
            for c in range(whole, channels):
                d = np.float64(x[row + c]) - np.float64(x[start + c])
                sums[into + c] += d
                sums[into + channels + c] += d * d


@jit
def _merge_moments(x, sums, mean, variance):
    rows, channels = x.shape
    for c in range(channels):
        count, centre, m2 = 0, 0.0, 0.0
        for chunk in range(CHUNKS):
            first = chunk * rows // CHUNKS
            more = (chunk + 1) * rows // CHUNKS - first
            if more > 0:
                total = sums[chunk, 0, c]
                d = x[first, c] + total / more - centre
                m2 += sums[chunk, 1, c] - total * total / more + d * d * count * more / (count + more)
                centre += d * more / (count + more)
                count += more
        mean[c] = centre
        variance[c] = 0.0 if m2 < 0.0 else m2 / rows  # rounding may take it below 0; a NaN must stay one


@runtime.locked
def normalize(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, beta: np.ndarray, y: np.ndarray) -> None:
    """``y = (x - mean) * scale + beta``, column by column.

    Parameters
    ----------
    x, y : ndarray, shape (rows, channels), C-contiguous
        `y` is overwritten.
    mean, scale, beta : ndarray, shape (channels,), same dtype as `x`
    """
    _check(x, y=y, mean=mean, scale=scale, beta=beta)
    runtime.run(_normalize, runtime.task_counter(), x, mean, scale, beta, y)


@jit
def _normalize(worker, counter, x, mean, scale, beta, y):
    rows, channels = x.shape
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        for row in range(first, stop):
            for c in range(channels):
                y[row, c] = (x[row, c] - mean[c]) * scale[c] + beta[c]


@runtime.locked
def gradient_sums(
    x: np.ndarray, grad_y: np.ndarray, mean: np.ndarray, inverse_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``grad_gamma = sum of grad_y * (x - mean) * inverse_std`` and ``grad_beta = sum of grad_y`` over the rows.

    Parameters
    ----------
    x, grad_y : ndarray, shape (rows, channels), C-contiguous
    mean, inverse_std : ndarray, shape (channels,), same dtype as `x`

    Returns
    -------
    grad_gamma, grad_beta : ndarray, float64, shape (channels,)
    """
    _check(x, grad_y=grad_y, mean=mean, inverse_std=inverse_std)
    sums = np.empty((CHUNKS, 2, x.shape[1]))
    arrays = x.reshape(-1), grad_y.reshape(-1), mean
    runtime.run(_chunk_gradient_sums, runtime.task_counter(), arrays, x.shape, sums.reshape(-1))
    centred, plain = np.zeros((2, x.shape[1]))
    for chunk in sums:
        centred += chunk[0]
        plain += chunk[1]
    return centred * inverse_std, plain


@jit
def _chunk_gradient_sums(worker, counter, arrays, shape, sums):
    (x, grad_y, mean), (rows, channels) = arrays, shape
    whole = 0 if IN_PYTHON else channels // LANES * LANES
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        start, end, into = first * channels, stop * channels, 2 * chunk * channels
        for c in range(into, into + 2 * channels):
            sums[c] = 0
        for c in range(0, whole, LANES):
            centred, plain = load(sums, into + c), load(sums, into + channels + c)
            for i in range(start + c, end + c, channels):
                g = load(grad_y, i)
                centred = centred + widen(rounded_product(g, load(x, i) - load(mean, c)))
                plain = plain + widen(g)
            store(sums, into + c, centred)
            store(sums, into + channels + c, plain)
        for row in range(start, end, channels):
            for c in range(whole, channels):
                g = grad_y[row + c]
                sums[into + c] += np.float64(g * (x[row + c] - mean[c]))
                sums[into + channels + c] += np.float64(g)


@runtime.locked
def input_gradient(
    x: np.ndarray,
    grad_y: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    gamma: np.ndarray,
    mean_grad: np.ndarray,
    mean_grad_xhat: np.ndarray,
    grad_x: np.ndarray,
) -> None:
    """``grad_x = gamma * inverse_std * (grad_y - mean_grad - xhat * mean_grad_xhat)``, xhat = (x - mean) * inverse_std.

    Parameters
    ----------
    x, grad_y, grad_x : ndarray, shape (rows, channels), C-contiguous
        `grad_x` is overwritten.
    mean, inverse_std, gamma, mean_grad, mean_grad_xhat : ndarray, shape (channels,), same dtype as `x`
    """
    columns = {"mean": mean, "inverse_std": inverse_std, "gamma": gamma}
    _check(x, grad_y=grad_y, grad_x=grad_x, **columns, mean_grad=mean_grad, mean_grad_xhat=mean_grad_xhat)
    factors = mean, gamma * inverse_std, mean_grad, inverse_std * mean_grad_xhat
    runtime.run(_input_gradient, runtime.task_counter(), x, grad_y, factors, grad_x)


@jit
def _input_gradient(worker, counter, x, grad_y, factors, grad_x):
    mean, scale, mean_grad, slope = factors
    rows, channels = x.shape
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        for row in range(first, stop):
            for c in range(channels):
                grad_x[row, c] = scale[c] * (grad_y[row, c] - mean_grad[c] - (x[row, c] - mean[c]) * slope[c])
