"""Windows of images as rows of a matrix: im2col.

Checked by ``python -m tinycnn.exercises im2col``.
"""

import numpy as np


def im2col(
    x: np.ndarray,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """Lay what each output pixel of a convolution sees out as a row, so that the convolution is one matrix product.

    ::

        columns[(n, i, j), (r, s, c)] = x[n, i*sy + r - top, j*sx + s - left, c]

    with zeros outside of x.  ``(n, i, j)`` stands for ``(n * oh + i) * ow + j``: the last runs fastest.  Likewise
    ``(r, s, c)``: the order of a kernel's numbers in memory, so ``columns @ kernel.reshape(-1, filters)`` convolves.

    Parameters
    ----------
    x : ndarray ``(n, h, w, c)``
    window : (kh, kw)
    strides : (sy, sx)
    padding : ((top, bottom), (left, right))

    Returns
    -------
    columns : ndarray ``(n * oh * ow, kh * kw * c)``

    Examples
    --------
    >>> im2col(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), (1, 2), strides=(1, 1), padding=((0, 0), (0, 1)))
    array([[1., 2.],
           [2., 3.],
           [3., 0.]])
    """
    raise NotImplementedError
