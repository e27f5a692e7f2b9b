"""Rows back onto the images that they were read from: col2im.

Checked by ``python -m tinycnn.exercises col2im``.
"""

import numpy as np


def col2im(
    columns: np.ndarray,
    x_shape: tuple[int, int, int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """Add every row of a matrix of windows onto the pixels that `im2col` would have read it from.

    ::

        image[n, a, b, c] = sum of  columns[(n, i, j), (r, s, c)]  where  i*sy + r - top = a  and  j*sx + s - left = b

    The adjoint of im2col: ``sum(im2col(x) * columns) == sum(x * col2im(columns))`` for all x and columns.  So it is the
    way back of a gradient through im2col.  What falls onto the padding is dropped.

    Parameters
    ----------
    columns : ndarray ``(n * oh * ow, kh * kw * c)``
        ``(n, i, j)`` and ``(r, s, c)`` with the last running fastest.
    x_shape : (n, h, w, c)
    window : (kh, kw)
    strides : (sy, sx)
    padding : ((top, bottom), (left, right))

    Returns
    -------
    image : ndarray ``(n, h, w, c)``

    Examples
    --------
    >>> columns = np.array([[1.0, 2.0], [10.0, 20.0]])
    >>> col2im(columns, (1, 1, 3, 1), (1, 2), strides=(1, 1), padding=((0, 0), (0, 0))).ravel()
    array([ 1., 12., 20.])
    """
    raise NotImplementedError
