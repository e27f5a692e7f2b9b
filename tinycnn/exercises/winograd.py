"""Winograd's F(2, 3): a tile of convolution with 16 instead of 36 multiplications."""

import numpy as np

from tinycnn import reference, reference_winograd
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


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
    B_T = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    A_T = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    V = np.einsum("ai,ijc,bj->abc", B_T, d, B_T)
    U = np.einsum("ai,ijcf,bj->abcf", G, g, G)
    M = np.einsum("abc,abcf->abf", V, U)
    y = np.einsum("ai,ijf,bj->abf", A_T, M, A_T)
    return V, U, y


def _oracle(d, g):
    y = reference.conv2d_forward(d[None], g)[0]
    return reference_winograd.sandwich(reference_winograd.B_T[2], d), reference_winograd.transform_kernel(g, 2), y


def _case(seed, channels, filters):
    return {"d": numbers(seed, 4, 4, channels), "g": numbers(seed + 1, 3, 3, channels, filters)}


B = "[[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]"
TO_V, TO_U = '"ai,ijc,bj->abc", B_T, d, B_T', '"ai,ijcf,bj->abcf", G, g, G'
TO_M, TO_Y = '"abc,abcf->abf", V, U', '"ai,ijf,bj->abf", A_T, M, A_T'
EXERCISE = Exercise(
    solution=winograd,
    outputs=("V", "U", "y"),
    oracle=_oracle,
    cases={
        "ones": {"d": np.ones((4, 4, 1)), "g": np.ones((3, 3, 1, 1))},
        "one channel, one filter": _case(0, 1, 1),
        "channels": _case(10, 3, 1),
        "channels and filters": _case(20, 2, 3),
    },
    suspects=[
        Suspect(
            "the other side is missing: only rows of d are recombined", TO_V, '"ai,ijc,bj->abc", B_T, d, np.eye(4)'
        ),
        Suspect("B d B^T is computed: B^T stands on the left", TO_V, '"ia,ijc,jb->abc", B_T, d, B_T'),
        Suspect("B^T d B^T is computed: the right factor is B, its transpose", TO_V, '"ai,ijc,jb->abc", B_T, d, B_T'),
        Suspect("V comes out transposed", TO_V, '"ai,jic,bj->abc", B_T, d, B_T'),
        Suspect("the last row of B^T has the wrong sign", B, B.replace("[0, 1, 0, -1]", "[0, -1, 0, 1]")),
        Suspect("the third row of B^T has the wrong sign", B, B.replace("[0, -1, 1, 0]", "[0, 1, -1, 0]")),
        Suspect(
            "the other side is missing: only rows of g are recombined", TO_U, '"ai,ijcf,bj->abcf", G, g, np.eye(4, 3)'
        ),
        Suspect("the kernel is flipped", TO_U, '"ai,ijcf,bj->abcf", G, g[::-1, ::-1], G'),
        Suspect("U comes out transposed", TO_U, '"ai,jicf,bj->abcf", G, g, G'),
        Suspect("the halves of G are missing", "[0.5, 0.5, 0.5], [0.5, -0.5, 0.5]", "[1, 1, 1], [1, -1, 1]"),
        Suspect("the sum over channels is missing", TO_M, '"abc,abcf->abf", V[..., -1:], U[:, :, -1:]'),
        Suspect("a matrix product V U where they are multiplied element by element", TO_M, '"aic,ibcf->abf", V, U'),
        Suspect("y comes out transposed", TO_Y, '"ai,jif,bj->abf", A_T, M, A_T'),
        Suspect("the last sign of A^T is wrong", "[0, 1, -1, -1]", "[0, 1, -1, 1]"),
        Suspect("the signs of A^T's second row are wrong", "[0, 1, -1, -1]", "[0, 1, 1, 1]"),
        Suspect(
            "the sum over channels is missing: only the first is there",
            TO_M,
            '"abc,abcf->abf", V[..., :1], U[:, :, :1]',
        ),
        Suspect(
            "the halves of G became 0: its array is one of integers",
            "[0.5, 0.5, 0.5], [0.5, -0.5, 0.5]",
            "[0, 0, 0], [0, 0, 0]",
        ),
    ],
    hints=[
        "B^T d B for one channel is B_T @ d[:, :, c] @ B_T.T. A loop over channels and filters will do.",
        "M is no matrix product: V and U are multiplied place by place, and only channels are summed.",
        'np.einsum("ai,ijc,bj->abc", B_T, d, B_T) is B^T d B for all channels at once.',
    ],
)
