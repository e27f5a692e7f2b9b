"""Batch normalisation backward: why two means are subtracted.

Checked by ``python -m tinycnn.exercises batchnorm_backward``.
"""

import numpy as np


def batchnorm_backward(
    x: np.ndarray, gamma: np.ndarray, grad_y: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of batch normalisation in training, channel by channel.

    The forward pass, with m and v the mean and the variance of x over images, rows and columns::

        xhat = (x - m) / sqrt(v + epsilon)            v = mean((x - m)**2)
        y    = gamma * xhat + beta

    m and v depend on every x, so that each x has three ways to the loss: directly, through m and through v.  With means
    over images, rows and columns, they add up to::

        grad_x     = gamma / sqrt(v + epsilon) * (grad_y - mean(grad_y) - xhat * mean(grad_y * xhat))
        grad_gamma = sum of  grad_y * xhat
        grad_beta  = sum of  grad_y

    Parameters
    ----------
    x, grad_y : ndarray ``(n, h, w, c)``
    gamma : ndarray ``(c,)``
    epsilon : float

    Returns
    -------
    grad_x ``(n, h, w, c)``, grad_gamma ``(c,)``, grad_beta ``(c,)`` : ndarray

    Examples
    --------
    >>> x, grad_y = (np.array(row).reshape(3, 1, 1, 1) for row in ([-1.0, -1.0, 2.0], [4.0, 0.0, 2.0]))
    >>> found = batchnorm_backward(x, np.array([2.0**0.5]), grad_y, epsilon=0.0)
    >>> [(gradient.ravel().round(3) + 0.0).tolist() for gradient in found]
    [[2.0, -2.0, 0.0], [0.0], [6.0]]
    """
    raise NotImplementedError
