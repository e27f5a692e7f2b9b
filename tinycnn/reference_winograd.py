"""Winograd's convolution for 3x3 kernels, stride 1, "same" padding: fewer multiplications for the same result.

A tile of m x m outputs needs (m + 2) x (m + 2) inputs.  Computed directly, the one-dimensional F(m, 3) takes 3 m
multiplications; Winograd (1980) does with m + 2, if inputs and kernel are first recombined:

    y = A^T [ (G g) * (B^T d) ]              one dimension: d has m + 2 numbers, g has 3, y has m
    Y = A^T [ (G g G^T) * (B^T d B) ] A      two dimensions: rows, then columns

``*`` multiplies element by element.  Over channels these products are summed, so each of the ``(m + 2)^2``
positions is one matrix product of tiles x channels by channels x filters.  F(2x2) takes 16 instead of 36
multiplications per tile and pair of channels, F(4x4) 36 instead of 144; F(4x4) rounds worse, because its
matrices have larger entries.  After Lavin and Gray, Fast algorithms for convolutional neural networks (2016).

Shapes: x ``(n, h, w, c)``, kernel ``(3, 3, c, filters)``, y ``(n, h, w, filters)``; th x tw tiles cover an image.
"""

import numpy as np

B_T = {
    2: np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float),
    4: np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        float,
    ),
}

G = {
    2: np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}

A_T = {
    2: np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float),
    4: np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float),
}


def sandwich(M: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """``M t M^T`` for every tile t: with M ``(l, k)``, ``(..., k, k, channels) -> (..., l, l, channels)``.

    >>> sandwich(np.array([[1, 1]]), np.arange(4).reshape(2, 2, 1))  # sums the tile
    array([[[6]]])
    """
    return np.einsum("ai,...ijc,bj->...abc", M, tiles, M).astype(tiles.dtype)


def _tiles_along(size: int, m: int) -> int:
    return -(-size // m)


def gather_tiles(x: np.ndarray, m: int) -> np.ndarray:
    """Overlapping input tiles, zero-padded: ``(n, h, w, c) -> (n, th, tw, m + 2, m + 2, c)``.

    The tile at (p, q) starts at row ``p * m - 1`` and column ``q * m - 1`` of the image.
    """
    n, h, w, c = x.shape
    th, tw = _tiles_along(h, m), _tiles_along(w, m)
    padded = np.pad(x, ((0, 0), (1, th * m - h + 1), (1, tw * m - w + 1), (0, 0)))
    tiles = np.empty((n, th, tw, m + 2, m + 2, c), x.dtype)
    for p in range(th):
        for q in range(tw):
            tiles[:, p, q] = padded[:, p * m : p * m + m + 2, q * m : q * m + m + 2]
    return tiles


def scatter_tiles(tiles: np.ndarray, h: int, w: int) -> np.ndarray:
    """The adjoint of `gather_tiles`: overlapping tiles add up to an image ``(n, h, w, c)``."""
    n, th, tw, size, _, c = tiles.shape
    m = size - 2
    padded = np.zeros((n, th * m + 2, tw * m + 2, c), tiles.dtype)
    for p in range(th):
        for q in range(tw):
            padded[:, p * m : p * m + m + 2, q * m : q * m + m + 2] += tiles[:, p, q]
    return padded[:, 1 : h + 1, 1 : w + 1]


def join_tiles(tiles: np.ndarray, h: int, w: int) -> np.ndarray:
    """Output tiles side by side, what sticks out cut off: ``(n, th, tw, m, m, f) -> (n, h, w, f)``."""
    n, th, tw, m, _, f = tiles.shape
    return tiles.transpose(0, 1, 3, 2, 4, 5).reshape(n, th * m, tw * m, f)[:, :h, :w]


def split_tiles(y: np.ndarray, m: int) -> np.ndarray:
    """The adjoint of `join_tiles`: ``(n, h, w, f) -> (n, th, tw, m, m, f)``, zeros where tiles stick out."""
    n, h, w, f = y.shape
    th, tw = _tiles_along(h, m), _tiles_along(w, m)
    padded = np.pad(y, ((0, 0), (0, th * m - h), (0, tw * m - w), (0, 0)))
    return padded.reshape(n, th, m, tw, m, f).transpose(0, 1, 3, 2, 4, 5)


def transform_kernel(kernel: np.ndarray, m: int) -> np.ndarray:
    """``U = G g G^T``: ``(3, 3, c, f) -> (m + 2, m + 2, c, f)``."""
    _, _, c, f = kernel.shape
    return sandwich(G[m], kernel.reshape(3, 3, c * f)).reshape(m + 2, m + 2, c, f)


def winograd_conv2d(x: np.ndarray, kernel: np.ndarray, m: int = 2) -> np.ndarray:
    """The convolution of `x` with a 3x3 `kernel`, stride 1, "same", by tiles of m x m outputs (m = 2 or 4).

    ``V = B^T d B``,  ``U = G g G^T``,  ``M[a, b] = V[a, b] @ U[a, b]``,  ``Y = A^T M A``

    >>> x = np.arange(12.0).reshape(1, 3, 4, 1)
    >>> winograd_conv2d(x, np.ones((3, 3, 1, 1)), m=2)[0, :, :, 0].round(12)
    array([[10., 18., 24., 18.],
           [27., 45., 54., 39.],
           [26., 42., 48., 34.]])
    """
    V = sandwich(B_T[m], gather_tiles(x, m))  # (n, th, tw, m + 2, m + 2, c)
    M = np.einsum("npqabc,abcf->npqabf", V, transform_kernel(kernel, m))
    return join_tiles(sandwich(A_T[m], M), *x.shape[1:3])


def winograd_input_gradient(grad_y: np.ndarray, kernel: np.ndarray, m: int = 2) -> np.ndarray:
    """Gradient of `winograd_conv2d` with respect to x: each linear step transposed, in reverse order.

    ``dM = A dY A^T``,  ``dV[a, b] = dM[a, b] @ U[a, b]^T``,  ``dd = B dV B^T``,  and overlapping tiles add up.
    """
    dM = sandwich(A_T[m].T, split_tiles(grad_y, m))  # (n, th, tw, m + 2, m + 2, f)
    dV = np.einsum("npqabf,abcf->npqabc", dM, transform_kernel(kernel, m))
    return scatter_tiles(sandwich(B_T[m].T, dV), *grad_y.shape[1:3])


def winograd_weight_gradient(x: np.ndarray, grad_y: np.ndarray, m: int = 2) -> np.ndarray:
    """Gradient of `winograd_conv2d` with respect to the kernel.

    ``dM = A dY A^T``,  ``dU[a, b] = sum over tiles of  V[a, b]^T @ dM[a, b]``,  ``dg = G^T dU G``
    """
    V = sandwich(B_T[m], gather_tiles(x, m))
    dM = sandwich(A_T[m].T, split_tiles(grad_y, m))
    dU = np.einsum("npqabc,npqabf->abcf", V, dM)  # (m + 2, m + 2, c, f)
    c, f = dU.shape[2:]
    return sandwich(G[m].T, dU.reshape(m + 2, m + 2, c * f)).reshape(3, 3, c, f)
