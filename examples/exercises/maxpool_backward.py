"""Max-pooling backward, with windows that overlap.

Checked by ``python -m tinycnn.exercises maxpool_backward``.
"""

import numpy as np


def maxpool_backward(
    x: np.ndarray, grad_y: np.ndarray, window: tuple[int, int], strides: tuple[int, int]
) -> np.ndarray:
    """Gradient of max-pooling: each output's goes to the one pixel that was the largest of its window.

    ::

        y[n, i, j, c]      = max over r, s of  x[n, i*sy + r, j*sx + s, c]
        grad_x[n, a, b, c] = sum of  grad_y[n, i, j, c]  over all (i, j) whose window has its maximum at (a, b)

    Of several equal maxima the first counts, row by row.  With a stride smaller than the window, windows overlap, and a
    pixel may be the maximum of several.

    Parameters
    ----------
    x : ndarray ``(n, h, w, c)``
    grad_y : ndarray ``(n, oh, ow, c)``
        Gradient of the loss with respect to y.
    window : (kh, kw)
    strides : (sy, sx)

    Returns
    -------
    grad_x : ndarray ``(n, h, w, c)``

    Examples
    --------
    >>> x, grad_y = np.array([1.0, 5.0, 5.0]).reshape(1, 1, 3, 1), np.array([3.0, 4.0]).reshape(1, 1, 2, 1)
    >>> maxpool_backward(x, grad_y, window=(1, 2), strides=(1, 1)).ravel()
    array([0., 7., 0.])
    """
    raise NotImplementedError
