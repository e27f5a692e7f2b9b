r"""Winograd's convolution for 3x3 kernels, stride 1, "same" padding: fewer multiplications for the same result.

A tile of m x m outputs needs (m + 2) x (m + 2) inputs.  Computed directly, the one-dimensional F(m, 3) takes 3 m
multiplications; Winograd (1980) does with m + 2, if inputs and kernel are first recombined:

    y = A^T [ (G g) * (B^T d) ]              one dimension: d has m + 2 numbers, g has 3, y has m
    Y = A^T [ (G g G^T) * (B^T d B) ] A      two dimensions: rows, then columns

``*`` multiplies element by element.  Over channels these products are summed, so each of the ``(m + 2)^2``
positions is one matrix product of tiles x channels by channels x filters.  F(2x2) takes 16 instead of 36
multiplications per tile and pair of channels, F(4x4) 36 instead of 144; F(4x4) rounds worse, because its
matrices have larger entries.  After Lavin and Gray, Fast algorithms for convolutional neural networks (2016).

Where A, G and B come from (`cook_toom` computes them):

1.  Multiply two polynomials, ``g(x) = g0 + g1 x + g2 x^2`` and ``h(x)`` with m coefficients.  Term by term that takes
    3 m multiplications.  But the product ``s(x)`` has only ``n = m + 2`` coefficients: its values at n points fix it,
    and the value at a point a is one multiplication, ``s(a) = g(a) h(a)`` (Toom 1963, Cook 1966).  Evaluate, multiply,
    interpolate:

        s = V^-1 [ (E g) * (A h) ]           E, A and V have one row per point: 1, a, a^2, ... up to 3, m and n columns

    E g are the values of g, A h those of h, and V^-1 leads from the values of s back to its coefficients.  Small
    points make small powers: 0, 1, -1, 2, -2.  "Infinity" serves as one more: the value there is the highest
    coefficient, its rows are 0, ..., 0, 1, and highest coefficients multiply like values do.

2.  For a fixed g, s is a matrix T times h: ``T = V^-1 diag(E g) A``, and T[i + k, i] = g[k], since h[i] x^i times
    g[k] x^k adds to s[i + k].  Its transpose does ``y[i] = sum over k of g[k] d[i + k]``: the convolution of a network!
    Transposing turns the order around and costs no multiplication (Winograd 1980):

        y = T^T d = A^T diag(E g) V^-T d     hence  G = E  and  B^T = V^-T

3.  Row a of V^-T holds the coefficients of Lagrange's polynomial, which is 1 at a and 0 at the other points:
    ``product of (x - b) / product of (a - b)``, over the points b other than a and infinity.  The row of infinity is
    ``product of (x - b)`` over all of them: 0 at each, its highest coefficient 1.

4.  Product number j reaches y as (column j of A^T) (row j of G) (row j of B^T).  Multiply one of the three by a number
    and divide another by it, and y stays the same: the scale of each point is free.  So the denominators go where they
    cost least: into G, which meets each kernel once, while B^T and A^T, which meet every tile, keep whole numbers.
    The sign is free too.  As Lavin and Gray have it, the rows of B^T of 0 and of infinity begin with a positive number.

References: Toom, The complexity of a scheme of functional elements realizing the multiplication of integers (1963);
Cook, On the minimum computation time of functions (1966); Winograd, Arithmetic complexity of computations (1980);
Blahut, Fast algorithms for signal processing (2010), chapter 5.

Shapes: x ``(n, h, w, c)``, kernel ``(3, 3, c, filters)``, y ``(n, h, w, filters)``; th x tw tiles cover an image.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import prod

import numpy as np


def cook_toom(points: Sequence[int | Fraction], taps: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A^T, G and B^T for a kernel of `taps` numbers, exact.

    Parameters
    ----------
    points : sequence of int or Fraction, n - 1
        Where polynomials are evaluated; infinity comes last by itself.
    taps : int
        At most n, so that there are ``m = n - taps + 1`` outputs.

    Returns
    -------
    A^T (m, n), G (n, taps), B^T (n, n) : ndarray of Fraction
        Whole numbers in A^T and B^T if the points are whole.

    Raises
    ------
    ValueError
        If a point comes twice, or there are too few for the kernel.

    Examples
    --------
    >>> A_T, G, B_T = cook_toom([0, 1, -1])  # F(2, 3)
    >>> print(B_T.astype(int))
    [[ 1  0 -1  0]
     [ 0  1  1  0]
     [ 0 -1  1  0]
     [ 0  1  0 -1]]
    >>> print(A_T @ (G @ [5, 0, 1] * (B_T @ [1, 2, 3, 4])))  # 5 * 1 + 1 * 3 and 5 * 2 + 1 * 4
    [Fraction(8, 1) Fraction(14, 1)]
    """
    n = len(points) + 1
    if len(set(points)) < n - 1:
        raise ValueError(f"cook_toom: points must differ, got {points}")
    if not 1 <= taps <= n:
        raise ValueError(f"cook_toom: {len(points)} points and infinity are too few for a kernel of {taps} numbers")
    A, G, B_T = _powers(points, n - taps + 1), _powers(points, taps), np.full((n, n), Fraction(0))
    for j, a in enumerate(points):
        others = [b for b in points if b != a]
        B_T[j, :-1] = _coefficients(others)  # Lagrange's polynomial without its denominator, which goes into G
        G[j] /= prod((a - b for b in others), start=Fraction(1))
        if a == 0 and B_T[j, 0] < 0:
            B_T[j], G[j] = -B_T[j], -G[j]
    B_T[-1] = _coefficients(points)  # infinity
    if B_T[-1][B_T[-1] != 0][0] < 0:
        B_T[-1], A[-1] = -B_T[-1], -A[-1]
    return A.T, G, B_T


def _powers(points: Sequence[int | Fraction], count: int) -> np.ndarray:
    """Row by row ``1, a, a^2, ...`` of every point, and ``0, ..., 0, 1`` of infinity."""
    return np.array(
        [[Fraction(a) ** k for k in range(count)] for a in points] + [[Fraction(0)] * (count - 1) + [Fraction(1)]]
    )


def _coefficients(roots: Sequence[int | Fraction]) -> np.ndarray:
    """Of the product of ``x - b`` over all roots b, lowest power first."""
    c = np.array([Fraction(1)])
    for b in roots:
        c = np.append([0], c) - b * np.append(c, [0])  # x c(x) - b c(x)
    return c


EXACT = {2: cook_toom([0, 1, -1]), 4: cook_toom([0, 1, -1, 2, -2])}
A_T, G, B_T = ({m: EXACT[m][i].astype(float, order="C") for m in EXACT} for i in range(3))


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
