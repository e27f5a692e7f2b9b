"""Winograd's F(2, 3): a tile of convolution with 16 instead of 36 multiplications.

Checked by ``python -m tinycnn.exercises winograd``.
"""

import numpy as np


def winograd(d: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convolve one tile of an image with 3x3 kernels: recombine, multiply element by element, recombine.

    ::

        V[:, :, c]    = B^T d[:, :, c] B                              B^T = 1  0 -1  0
        U[:, :, c, f] = G g[:, :, c, f] G^T                                 0  1  1  0
        M[a, b, f]    = sum over c of  V[a, b, c] * U[a, b, c, f]           0 -1  1  0
        y[:, :, f]    = A^T M[:, :, f] A                                    0  1  0 -1

        G = 1    0    0         A^T = 1  1  1  0
            1/2  1/2  1/2             0  1 -1 -1
            1/2 -1/2  1/2
            0    0    1

    y is the convolution of d with g, without padding.  Per channel and filter M takes 4 * 4 multiplications, where the
    four outputs directly take 4 * 9 (Lavin and Gray 2016).

    Parameters
    ----------
    d : ndarray ``(4, 4, c)``
        A tile of the input.
    g : ndarray ``(3, 3, c, filters)``
        The kernel.

    Returns
    -------
    V ``(4, 4, c)``, U ``(4, 4, c, filters)``, y ``(2, 2, filters)`` : ndarray

    Examples
    --------
    >>> V, U, y = winograd(np.ones((4, 4, 1)), np.ones((3, 3, 1, 1)))
    >>> V.sum(), U[1, 1, 0, 0], y[:, :, 0].tolist()
    (np.float64(4.0), np.float64(2.25), [[9.0, 9.0], [9.0, 9.0]])
    """
    raise NotImplementedError
