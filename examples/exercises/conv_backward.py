"""Convolution backward: gradients to the input, the kernel and the bias.

Checked by ``python -m tinycnn.exercises conv_backward``.
"""

import numpy as np


def conv_backward(
    x: np.ndarray,
    kernel: np.ndarray,
    grad_y: np.ndarray,
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of a convolution: every output pixel hands its gradient back to what it was made of.

    The forward pass is, with zeros outside of x::

        y[n, i, j, f] = bias[f] + sum over r, s, c of  x[n, i*sy + r - top, j*sx + s - left, c] * kernel[r, s, c, f]

    Each product in it gives to each of its two factors the other one, times ``grad_y[n, i, j, f]``::

        grad_x[n, a, b, c]      = sum over i, j, f of  grad_y[n, i, j, f] * kernel[a+top - i*sy, b+left - j*sx, c, f]
        grad_kernel[r, s, c, f] = sum over n, i, j of  grad_y[n, i, j, f] * x[n, i*sy + r - top, j*sx + s - left, c]
        grad_bias[f]            = sum over n, i, j of  grad_y[n, i, j, f]

    where an index outside of the kernel or of x counts as zero.

    Parameters
    ----------
    x : ndarray ``(n, h, w, c)``
    kernel : ndarray ``(kh, kw, c, filters)``
    grad_y : ndarray ``(n, oh, ow, filters)``
        Gradient of the loss with respect to y.
    strides : (sy, sx)
    padding : ((top, bottom), (left, right))

    Returns
    -------
    grad_x, grad_kernel, grad_bias : ndarray
        Of the shapes of x, kernel and bias ``(filters,)``.

    Examples
    --------
    >>> x, kernel, grad_y = (np.array(row).reshape(1, 1, -1, 1) for row in ([1.0, 2.0, 3.0], [10.0, 20.0], [1.0, 7.0]))
    >>> found = conv_backward(x, kernel.reshape(1, 2, 1, 1), grad_y, strides=(1, 1), padding=((0, 0), (0, 0)))
    >>> [gradient.ravel().tolist() for gradient in found]
    [[10.0, 90.0, 140.0], [15.0, 23.0], [8.0]]
    """
    raise NotImplementedError
