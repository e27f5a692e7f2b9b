"""Batch normalisation over the rows of a matrix: moments, normalisation and gradients, one column per channel.

So many rows as end where a vector ends are taken as one line: with 24 channels and vectors of 16 numbers a line is two
rows or three vectors, and the columns' factors are repeated to its width.  The lines are cut into chunks by the
matrix's size alone, which are the workers' tasks.  Sums over a chunk run in float64, and the chunks are added in order:
the result does not depend on how many threads took part.
"""

import math

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import IN_PYTHON, inlined, jit
from tinycnn.kernels.simd import LANES, load, relu, rounded_product, store, where_positive, widen
from tinycnn.kernels.tasks import tasks

CHUNK = 1 << 14  # numbers of a chunk, unless that makes more than CHUNKS
CHUNKS = 64
RUN = 16  # lines that are summed vector by vector: they stay in the first-level cache, the sums in registers


def _check(x, **arrays):
    """`x`, `y` and their gradients are matrices, the others have a number per column."""
    matrices = ("y", "grad_y", "grad_x")
    shapes = {name: x.shape if name in matrices else x.shape[1:] for name in arrays}
    check("batch norm", x=(x, x.shape), **{name: (array, shapes[name]) for name, array in arrays.items()})


def _lines(x, *columns):
    """Width of a line, how many chunks, and `columns` repeated to that width."""
    width = math.lcm(x.shape[1], LANES)
    repeated = (column if column.size == width else np.tile(column, width // column.size) for column in columns)
    return width, max(2, min(CHUNKS, x.size // CHUNK)), *repeated


@inlined
def _part(size, width, chunk, chunks):
    """First index of a chunk, one past its last whole line, and one past its last; no line is whole without vectors."""
    lines = -(-size // width)
    start, end = lines * chunk // chunks * width, min(lines * (chunk + 1) // chunks * width, size)
    return start, start if IN_PYTHON else end - (end - start) % width, end


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
    width, chunks = _lines(x)
    sums = np.empty((chunks, 3, width))
    runtime.run(_chunk_moments, runtime.task_counter(), x.reshape(-1), x.shape[1], sums)
    mean, variance = np.zeros((2, x.shape[1]))
    _merge_moments(x.shape[0], sums, mean, variance)
    return mean, variance


@jit
def _chunk_moments(worker, counter, x, channels, sums):
    chunks, _, width = sums.shape
    sums = sums.reshape(-1)
    for chunk in tasks(counter, chunks):
        start, whole, end = _part(x.size, width, chunk, chunks)
        into = 3 * chunk * width
        squared, first = into + width, into + 2 * width
        for c in range(width if start < end else 0):
            sums[into + c], sums[squared + c] = 0, 0
            sums[first + c] = x[start + c % channels]
        for run in range(start, whole, RUN * width):
            for c in range(0, width, LANES):
                total, squares, shift = load(sums, into + c), load(sums, squared + c), load(sums, first + c)
                for i in range(run + c, min(run + RUN * width, whole), width):
                    d = widen(load(x, i)) - shift
                    total, squares = total + d, squares + rounded_product(d, d)
                store(sums, into + c, total)
                store(sums, squared + c, squares)
        for i in range(whole, end):
            c = (i - start) % width
            d = np.float64(x[i]) - sums[first + c]
            sums[into + c] += d
            sums[squared + c] += d * d


@jit
def _merge_moments(rows, sums, mean, variance):
    channels, (chunks, _, width) = mean.size, sums.shape
    count = 0
    for chunk in range(chunks):
        start, _, end = _part(rows * channels, width, chunk, chunks)
        more = (end - start) // channels
        if more > 0:
            for c in range(channels):
                total, squares = sums[chunk, 0, c], sums[chunk, 1, c]
                for k in range(c + channels, width, channels):
                    total += sums[chunk, 0, k]
                    squares += sums[chunk, 1, k]
                d = sums[chunk, 2, c] + total / more - mean[c]
                variance[c] += squares - total * total / more + d * d * count * more / (count + more)
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
    width, chunks, *columns = _lines(x, mean, scale, beta)
    runtime.run(_normalize, runtime.task_counter(), chunks, (x.reshape(-1), y.reshape(-1), *columns), bool(relu))


@jit
def _normalize(worker, counter, chunks, arrays, cut):
    x, y, mean, scale, beta = arrays
    width = mean.size
    for chunk in tasks(counter, chunks):
        start, whole, end = _part(x.size, width, chunk, chunks)
        for row in range(start, whole, width):
            for c in range(0, width, LANES):
                value = _affine(load(x, row + c), load(mean, c), load(scale, c), load(beta, c))
                store(y, row + c, relu(value) if cut else value)
        for i in range(whole, end):
            c = (i - start) % width
            value = (x[i] - mean[c]) * scale[c] + beta[c]
            y[i] = 0 if cut and value <= 0 else value


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
    cut = (mean, mean) if beta is None else (scale, beta)  # read only if there is a `beta`
    width, chunks, *columns = _lines(x, mean, *cut)
    sums = np.empty((chunks, 2, width))
    arrays = x.reshape(-1), grad_y.reshape(-1), *columns
    runtime.run(_chunk_gradient_sums, runtime.task_counter(), arrays, beta is not None, sums)
    centred, plain = sums.sum(axis=0).reshape(2, -1, x.shape[1]).sum(axis=1)  # one chunk after the other
    return centred * inverse_std, plain


@jit
def _chunk_gradient_sums(worker, counter, arrays, cut, sums):
    (x, grad_y, mean, scale, beta), (chunks, _, width) = arrays, sums.shape
    sums = sums.reshape(-1)
    for chunk in tasks(counter, chunks):
        start, whole, end = _part(x.size, width, chunk, chunks)
        into = 2 * chunk * width
        for c in range(into, into + 2 * width):
            sums[c] = 0
        for run in range(start, whole, RUN * width):
            for c in range(0, width, LANES):
                centred, plain = load(sums, into + c), load(sums, into + width + c)
                for i in range(run + c, min(run + RUN * width, whole), width):
                    value, g = load(x, i), load(grad_y, i)
                    if cut:
                        g = where_positive(g, _affine(value, load(mean, c), load(scale, c), load(beta, c)))
                    centred = centred + widen(rounded_product(g, value - load(mean, c)))
                    plain = plain + widen(g)
                store(sums, into + c, centred)
                store(sums, into + width + c, plain)
        for i in range(whole, end):
            c = (i - start) % width
            g, d = grad_y[i], x[i] - mean[c]
            if not cut or d * scale[c] + beta[c] > 0:
                sums[into + c] += np.float64(g * d)
                sums[into + width + c] += np.float64(g)


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
    width, chunks, *factors = _lines(x, mean, scale, mean_grad, slope, mean if beta is None else beta)
    runtime.run(_input_gradient, runtime.task_counter(), chunks, arrays, tuple(factors), beta is not None)


@jit
def _input_gradient(worker, counter, chunks, arrays, factors, cut):
    (x, grad_y, grad_x), (mean, scale, mean_grad, slope, beta) = arrays, factors
    width = mean.size
    for chunk in tasks(counter, chunks):
        start, whole, end = _part(x.size, width, chunk, chunks)
        for row in range(start, whole, width):
            for c in range(0, width, LANES):
                value, g = load(x, row + c), load(grad_y, row + c)
                if cut:
                    g = where_positive(g, _affine(value, load(mean, c), load(scale, c), load(beta, c)))
                share_ = rounded_product(value - load(mean, c), load(slope, c))
                store(grad_x, row + c, load(scale, c) * (g - load(mean_grad, c) - share_))
        for i in range(whole, end):
            c = (i - start) % width
            d, g = x[i] - mean[c], grad_y[i]
            if cut and not d * scale[c] + beta[c] > 0:
                g = grad_x.dtype.type(0)
            grad_x[i] = scale[c] * (g - mean_grad[c] - d * slope[c])
