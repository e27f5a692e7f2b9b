"""Convolution of a batch of images.

Checked by ``python -m tinycnn.exercises conv_forward``.
"""

import numpy as np


def conv_forward(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """Slide every filter over every image.  As everywhere in deep learning, this is a cross-correlation.

    ::

        y[n, i, j, f] = bias[f] + sum over r, s, c of  x[n, i*sy + r - top, j*sx + s - left, c] * kernel[r, s, c, f]

    with zeros outside of x.  The window has ``oh = (h + top + bottom - kh) // sy + 1`` places along the rows, and ow
    along the columns likewise.

    Parameters
    ----------
    x : ndarray ``(n, h, w, c)``
    kernel : ndarray ``(kh, kw, c, filters)``
    bias : ndarray ``(filters,)``
    strides : (sy, sx)
    padding : ((top, bottom), (left, right))
        Rows and columns of zeros around every image.

    Returns
    -------
    y : ndarray ``(n, oh, ow, filters)``

    Examples
    --------
    >>> x, kernel = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), np.array([10.0, 1.0]).reshape(1, 2, 1, 1)
    >>> conv_forward(x, kernel, np.array([0.5]), strides=(1, 1), padding=((0, 0), (0, 1))).ravel()
    array([12.5, 23.5, 30.5])
    """
    raise NotImplementedError
