"""Inverted dropout, forward and backward.

Checked by ``python -m tinycnn.exercises dropout``.
"""

import numpy as np


def dropout(
    x: np.ndarray, grad_y: np.ndarray, uniform: np.ndarray, rate: float, training: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Set a share `rate` of the elements to zero in training; leave all as they are in prediction.

    ::

        training:    y = x / (1 - rate)  where uniform >= rate,  0 elsewhere
        prediction:  y = x

    Dividing by the share that is kept leaves the mean of y equal to that of x, so that prediction needs no correction.
    The gradient goes the same way: through the same mask, with the same factor.

    Parameters
    ----------
    x, grad_y : ndarray of any shape
        Input, and the gradient of the loss with respect to y.
    uniform : ndarray of the same shape
        Random numbers from 0 to 1, 1 excluded, one for each element.
    rate : float
        From 0 to 1, 1 excluded.
    training : bool

    Returns
    -------
    y, grad_x : ndarray

    Examples
    --------
    >>> x, grad_y, uniform = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([0.1, 0.8])
    >>> [found.tolist() for found in dropout(x, grad_y, uniform, rate=0.5, training=True)]
    [[0.0, 4.0], [0.0, 10.0]]
    """
    raise NotImplementedError
