"""Batch normalisation over the rows of a matrix: moments, normalisation and gradients, one column per channel.

Sums run over a fixed number of chunks of rows, in float64, and the chunks are added in order: the result does
not depend on how many threads took part.
"""

import numpy as np
from numba import njit, prange

CHUNKS = 64


@njit(parallel=True, cache=True)
def moments(x, mean, variance):
    """Mean and biased variance of each column of `x`.

    Each chunk sums differences from its own first row, so that a large mean costs no digits, and the chunks'
    moments are then merged pairwise (Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for
    computing sample variances, 1979)::

        n = n_a + n_b,  d = mean_b - mean_a,  mean = mean_a + d * n_b / n,  M2 = M2_a + M2_b + d^2 * n_a * n_b / n

    Parameters
    ----------
    x : ndarray, float32 or float64, shape (rows, channels), C-contiguous
    mean, variance : ndarray, float64, shape (channels,)
        Overwritten.
    """
    rows, channels = x.shape
    sums = np.zeros((CHUNKS, 2, channels))
    for chunk in prange(CHUNKS):
        first, last = chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS
        total, squares = sums[chunk, 0], sums[chunk, 1]
        for row in range(first, last):
            for c in range(channels):
                d = np.float64(x[row, c]) - np.float64(x[first, c])
                total[c] += d
                squares[c] += d * d
    for c in range(channels):
        count, centre, m2 = 0, 0.0, 0.0
        for chunk in range(CHUNKS):
            first, last = chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS
            if first == last:
                continue
            more = last - first
            total = sums[chunk, 0, c]
            d = x[first, c] + total / more - centre
            m2 += sums[chunk, 1, c] - total * total / more + d * d * count * more / (count + more)
            centre += d * more / (count + more)
            count += more
        mean[c] = centre
        variance[c] = 0.0 if m2 < 0.0 else m2 / rows


@njit(parallel=True, cache=True)
def normalize(x, mean, scale, beta, y):
    """``y = (x - mean) * scale + beta`` column by column.

    Parameters
    ----------
    x, y : ndarray, shape (rows, channels), C-contiguous
        `y` is overwritten.
    mean, scale, beta : ndarray, shape (channels,), same dtype as `x`
    """
    rows, channels = x.shape
    for chunk in prange(CHUNKS):
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            for c in range(channels):
                y[row, c] = (x[row, c] - mean[c]) * scale[c] + beta[c]


@njit(parallel=True, cache=True)
def gradient_sums(x, grad_y, mean, inverse_std, grad_gamma, grad_beta):
    """``grad_gamma = sum of grad_y * (x - mean) * inverse_std`` and ``grad_beta = sum of grad_y`` over the rows.

    Parameters
    ----------
    x, grad_y : ndarray, shape (rows, channels), C-contiguous
    mean, inverse_std : ndarray, shape (channels,), same dtype as `x`
    grad_gamma, grad_beta : ndarray, float64, shape (channels,)
        Overwritten.
    """
    rows, channels = x.shape
    sums = np.zeros((CHUNKS, 2, channels))
    for chunk in prange(CHUNKS):
        with_x, alone = sums[chunk, 0], sums[chunk, 1]
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            for c in range(channels):
                g = grad_y[row, c]
                with_x[c] += np.float64(g * (x[row, c] - mean[c]))
                alone[c] += np.float64(g)
    for c in range(channels):
        grad_gamma[c], grad_beta[c] = 0.0, 0.0
        for chunk in range(CHUNKS):
            grad_gamma[c] += sums[chunk, 0, c]
            grad_beta[c] += sums[chunk, 1, c]
        grad_gamma[c] *= inverse_std[c]


@njit(parallel=True, cache=True)
def input_gradient(x, grad_y, mean, inverse_std, gamma, mean_grad, mean_grad_xhat, grad_x):
    """``grad_x = gamma * inverse_std * (grad_y - mean_grad - xhat * mean_grad_xhat)``, xhat = (x - mean) * inverse_std.

    Parameters
    ----------
    x, grad_y, grad_x : ndarray, shape (rows, channels), C-contiguous
        `grad_x` is overwritten.
    mean, inverse_std, gamma, mean_grad, mean_grad_xhat : ndarray, shape (channels,), same dtype as `x`
    """
    rows, channels = x.shape
    scale = gamma * inverse_std
    slope = inverse_std * mean_grad_xhat
    for chunk in prange(CHUNKS):
        for row in range(chunk * rows // CHUNKS, (chunk + 1) * rows // CHUNKS):
            for c in range(channels):
                grad_x[row, c] = scale[c] * (grad_y[row, c] - mean_grad[c] - (x[row, c] - mean[c]) * slope[c])
