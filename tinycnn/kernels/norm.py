"""Batch normalisation over the rows of a matrix: moments, normalisation and gradients, one column per channel.

The rows are cut into a fixed number of chunks, which are the workers' tasks.  Sums over a chunk run in float64, and
the chunks are added in order: the result does not depend on how many threads took part.
"""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import IN_PYTHON, inlined, jit
from tinycnn.kernels.simd import LANES, load, relu, rounded_product, store, where_positive, widen
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
    mean, variance = np.zeros((2, x.shape[1]))
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
    count = 0
    for chunk in range(CHUNKS):
        first = chunk * rows // CHUNKS
        more = (chunk + 1) * rows // CHUNKS - first
        if more > 0:
            for c in range(channels):
                total = sums[chunk, 0, c]
                d = x[first, c] + total / more - mean[c]
                variance[c] += sums[chunk, 1, c] - total * total / more + d * d * count * more / (count + more)
                mean[c] += d * more / (count + more)
            count += more
    for c in range(channels):
        m2 = variance[c]
        variance[c] = 0.0 if m2 < 0.0 else m2 / rows  # rounding may take it below 0; a NaN must stay one


@inlined
def _affine(x, mean, scale, beta):
    """A vector of outputs, in the same bits wherever it is computed: backward asks anew what the ReLU let through."""
    return rounded_product(x - mean, scale) + beta


@runtime.locked
def normalize(
    x: np.ndarray, mean: np.ndarray, scale: np.ndarray, beta: np.ndarray, y: np.ndarray, relu: bool = False
) -> None:
    """``y = (x - mean) * scale + beta``, column by column; with `relu` what is negative becomes 0.

    Parameters
    ----------
    x, y : ndarray, shape (rows, channels), C-contiguous
        `y` is overwritten.
    mean, scale, beta : ndarray, shape (channels,), same dtype as `x`
    """
    _check(x, y=y, mean=mean, scale=scale, beta=beta)
    arrays = x.reshape(-1), y.reshape(-1), mean, scale, beta
    runtime.run(_normalize, runtime.task_counter(), arrays, x.shape, bool(relu))


@jit
def _normalize(worker, counter, arrays, shape, cut):
    (x, y, mean, scale, beta), (rows, channels) = arrays, shape
    whole = 0 if IN_PYTHON else channels // LANES * LANES
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        for row in range(first * channels, stop * channels, channels):
            for c in range(0, whole, LANES):
                value = _affine(load(x, row + c), load(mean, c), load(scale, c), load(beta, c))
                store(y, row + c, relu(value) if cut else value)
            for c in range(whole, channels):
                value = (x[row + c] - mean[c]) * scale[c] + beta[c]
                y[row + c] = 0 if cut and value <= 0 else value


@runtime.locked
def gradient_sums(
    x: np.ndarray,
    grad_y: np.ndarray,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    scale: np.ndarray | None = None,
    beta: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """``grad_gamma = sum of grad_y * (x - mean) * inverse_std`` and ``grad_beta = sum of grad_y`` over the rows.

    Parameters
    ----------
    x, grad_y : ndarray, shape (rows, channels), C-contiguous
    mean, inverse_std : ndarray, shape (channels,), same dtype as `x`
    scale, beta : ndarray, shape (channels,), same dtype as `x`
        If given, a ReLU came next: `grad_y` counts where ``(x - mean) * scale + beta`` is positive.

    Returns
    -------
    grad_gamma, grad_beta : ndarray, float64, shape (channels,)
    """
    _check(x, grad_y=grad_y, mean=mean, inverse_std=inverse_std, scale=scale, beta=beta)
    sums = np.empty((CHUNKS, 2, x.shape[1]))
    cut = (mean, mean) if beta is None else (scale, beta)  # read only if there is a `beta`
    arrays = x.reshape(-1), grad_y.reshape(-1), mean, *cut
    runtime.run(_chunk_gradient_sums, runtime.task_counter(), arrays, x.shape, beta is not None, sums.reshape(-1))
    centred, plain = sums.sum(axis=0)  # one chunk after the other
    return centred * inverse_std, plain


@jit
def _chunk_gradient_sums(worker, counter, arrays, shape, cut, sums):
    (x, grad_y, mean, scale, beta), (rows, channels) = arrays, shape
    whole = 0 if IN_PYTHON else channels // LANES * LANES
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        start, end, into = first * channels, stop * channels, 2 * chunk * channels
        for c in range(into, into + 2 * channels):
            sums[c] = 0
        for c in range(0, whole, LANES):
            centred, plain = load(sums, into + c), load(sums, into + channels + c)
            for i in range(start + c, end + c, channels):
                value, g = load(x, i), load(grad_y, i)
                if cut:
                    g = where_positive(g, _affine(value, load(mean, c), load(scale, c), load(beta, c)))
                centred = centred + widen(rounded_product(g, value - load(mean, c)))
                plain = plain + widen(g)
            store(sums, into + c, centred)
            store(sums, into + channels + c, plain)
        for row in range(start, end, channels):
            for c in range(whole, channels):
                g, d = grad_y[row + c], x[row + c] - mean[c]
                if not cut or d * scale[c] + beta[c] > 0:
                    sums[into + c] += np.float64(g * d)
                    sums[into + channels + c] += np.float64(g)


@runtime.locked
def input_gradient(
    x: np.ndarray,
    grad_y: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    mean_grad: np.ndarray,
    slope: np.ndarray,
    grad_x: np.ndarray,
    beta: np.ndarray | None = None,
) -> None:
    """``grad_x = scale * (grad_y - mean_grad - (x - mean) * slope)``.

    Parameters
    ----------
    x, grad_y, grad_x : ndarray, shape (rows, channels), C-contiguous
        `grad_x` is overwritten.
    mean, scale, mean_grad, slope : ndarray, shape (channels,), same dtype as `x`
    beta : ndarray, shape (channels,), same dtype as `x`
        If given, a ReLU came next, as for `gradient_sums`.
    """
    columns = {"mean": mean, "scale": scale, "mean_grad": mean_grad, "slope": slope, "beta": beta}
    _check(x, grad_y=grad_y, grad_x=grad_x, **columns)
    arrays = x.reshape(-1), grad_y.reshape(-1), grad_x.reshape(-1)
    factors = mean, scale, mean_grad, slope, mean if beta is None else beta
    runtime.run(_input_gradient, runtime.task_counter(), arrays, x.shape, factors, beta is not None)


@jit
def _input_gradient(worker, counter, arrays, shape, factors, cut):
    (x, grad_y, grad_x), (rows, channels), (mean, scale, mean_grad, slope, beta) = arrays, shape, factors
    whole = 0 if IN_PYTHON else channels // LANES * LANES
    for chunk in tasks(counter, CHUNKS):
        first, stop = share(rows, chunk, CHUNKS)
        for row in range(first * channels, stop * channels, channels):
            for c in range(0, whole, LANES):
                value, g = load(x, row + c), load(grad_y, row + c)
                if cut:
                    g = where_positive(g, _affine(value, load(mean, c), load(scale, c), load(beta, c)))
                share_ = rounded_product(value - load(mean, c), load(slope, c))
                store(grad_x, row + c, load(scale, c) * (g - load(mean_grad, c) - share_))
            for c in range(whole, channels):
                d, g = x[row + c] - mean[c], grad_y[row + c]
                if cut and not d * scale[c] + beta[c] > 0:
                    g = grad_x.dtype.type(0)
                grad_x[row + c] = scale[c] * (g - mean_grad[c] - d * slope[c])
