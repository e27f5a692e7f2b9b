"""Windows of images as rows of a matrix: im2col."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers, window_mistakes


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
    kh, kw = window
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    oh = (padded.shape[1] - kh) // strides[0] + 1
    ow = (padded.shape[2] - kw) // strides[1] + 1
    columns = np.zeros((len(x), oh, ow, kh, kw, x.shape[3]))
    for i in range(oh):
        for j in range(ow):
            row, column = i * strides[0], j * strides[1]
            columns[:, i, j] = padded[:, row : row + kh, column : column + kw]
    return columns.reshape(len(x) * oh * ow, kh * kw * x.shape[3])


def _case(seed, shape, window, strides=(1, 1), padding=((0, 0), (0, 0))):
    return {"x": numbers(seed, *shape), "window": window, "strides": strides, "padding": padding}


LAST = "return columns.reshape("
EXERCISE = Exercise(
    solution=im2col,
    outputs=("columns",),
    oracle=reference.im2col,
    cases={
        "one row, by hand": {
            "x": np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1),
            "window": (1, 2),
            "strides": (1, 1),
            "padding": ((0, 0), (0, 0)),
        },
        "one image, one channel": _case(0, (1, 3, 4, 1), (2, 2)),
        "channels": _case(1, (1, 3, 4, 3), (2, 2)),
        "several images": _case(2, (3, 3, 3, 2), (2, 2)),
        "a window of 2 x 3": _case(3, (2, 4, 5, 2), (2, 3)),
        "padding": _case(4, (1, 3, 3, 1), (2, 2), padding=((1, 0), (0, 2))),
        "strides": _case(5, (1, 5, 7, 2), (2, 3), strides=(1, 2)),
        "everything": _case(6, (2, 5, 6, 2), (3, 2), (2, 3), ((2, 1), (0, 1))),
    },
    suspects=[
        Suspect("the result is transposed: a window is a row here", "kh * kw * x.shape[3])", "kh * kw * x.shape[3]).T"),
        Suspect(
            "channels run slowest in each row; they must run fastest",
            LAST,
            f"columns = columns.transpose(0, 1, 2, 5, 3, 4)\n    {LAST}",
        ),
        Suspect("s runs slower than r in each row", LAST, f"columns = columns.swapaxes(3, 4)\n    {LAST}"),
        Suspect(
            "images run fastest over the rows; they must run slowest",
            LAST,
            f"columns = columns.transpose(1, 2, 0, 3, 4, 5)\n    {LAST}",
        ),
        Suspect("j runs slower than i over the rows", LAST, f"columns = columns.swapaxes(1, 2)\n    {LAST}"),
        Suspect("each window is flipped", LAST, f"columns = columns[:, :, :, ::-1, ::-1]\n    {LAST}"),
        *window_mistakes("kh, kw = window"),
        Suspect("the edge is repeated: outside of x there are zeros", "(0, 0)))", '(0, 0)), mode="edge")'),
    ],
    hints=[
        "Make an array of six axes first, (n, oh, ow, kh, kw, c), and reshape it at the very end.",
        "Two loops, over i and j: columns[:, i, j] is a slice of the padded images, (n, kh, kw, c).",
        "If the shape is right and the order is not: look at which axes stand where before the reshape.",
    ],
)
