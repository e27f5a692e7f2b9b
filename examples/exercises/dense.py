"""A dense layer, forward and backward.

Checked by ``python -m tinycnn.exercises dense``.
"""

import numpy as np


def dense(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, grad_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A dense layer's output, and the gradients of a loss with respect to all that it is made of.

    ::

        y[n, u]           = bias[u] + sum over i of  x[n, i] * kernel[i, u]
        grad_x[n, i]      = sum over u of  grad_y[n, u] * kernel[i, u]
        grad_kernel[i, u] = sum over n of  x[n, i] * grad_y[n, u]
        grad_bias[u]      = sum over n of  grad_y[n, u]

    Parameters
    ----------
    x : ndarray ``(n, inputs)``
    kernel : ndarray ``(inputs, units)``
    bias : ndarray ``(units,)``
    grad_y : ndarray ``(n, units)``
        Gradient of the loss with respect to y.

    Returns
    -------
    y, grad_x, grad_kernel, grad_bias : ndarray

    Examples
    --------
    >>> x, kernel, grad_y = np.array([[1.0, 2.0]]), np.array([[10.0, 20.0], [1.0, 2.0]]), np.array([[1.0, -1.0]])
    >>> [found.tolist() for found in dense(x, kernel, np.array([100.0, 0.0]), grad_y)]
    [[[112.0, 24.0]], [[-10.0, -1.0]], [[1.0, -1.0], [2.0, -2.0]], [1.0, -1.0]]
    """
    raise NotImplementedError
