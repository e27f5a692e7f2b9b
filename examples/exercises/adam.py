"""One step of Adam.

Checked by ``python -m tinycnn.exercises adam``.
"""

import numpy as np


def adam(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step number t of Adam (Kingma and Ba 2015), in the form of its section 2 that Keras has, too.

    ::

        m     = b1 * m + (1 - b1) * grad             running mean of the gradient
        v     = b2 * v + (1 - b2) * grad**2          and of its square
        rate  = learning_rate * sqrt(1 - b2**t) / (1 - b1**t)
        param = param - rate * m / (sqrt(v) + epsilon)

    with ``b1, b2 = betas``.  m and v begin at 0 and are too small at first; the quotient in `rate` makes up for that.
    The arrays that are given stay as they are.

    Parameters
    ----------
    param, grad, m, v : ndarray of one shape
    t : int
        1 at the first step.
    learning_rate : float
    betas : (b1, b2)
    epsilon : float

    Returns
    -------
    param, m, v : ndarray
        The new ones.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> param, m, v = adam(one, 0.5 * one, 0 * one, 0 * one, t=1, learning_rate=0.1, betas=(0.5, 0.75), epsilon=0.0)
    >>> param.round(6), m, v
    (array([0.9]), array([0.25]), array([0.0625]))
    """
    raise NotImplementedError
