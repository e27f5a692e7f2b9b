"""Rows back onto the images that they were read from: col2im."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


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
    n, h, w, c = x_shape
    (top, bottom), (left, right) = padding
    kh, kw = window
    oh = (h + top + bottom - kh) // strides[0] + 1
    ow = (w + left + right - kw) // strides[1] + 1
    patches = columns.reshape(n, oh, ow, kh, kw, c)
    padded = np.zeros((n, h + top + bottom, w + left + right, c))
    for i in range(oh):
        for j in range(ow):
            row, column = i * strides[0], j * strides[1]
            padded[:, row : row + kh, column : column + kw] += patches[:, i, j]
    return padded[:, top : top + h, left : left + w]


def _case(seed, x_shape, window, strides=(1, 1), padding=((0, 0), (0, 0))):
    n, h, w, c = x_shape
    rows = reference.output_size(h, window[0], strides[0], padding[0])
    rows *= n * reference.output_size(w, window[1], strides[1], padding[1])
    columns = numbers(seed, rows, window[0] * window[1] * c)
    return {"columns": columns, "x_shape": x_shape, "window": window, "strides": strides, "padding": padding}


ADD = "padded[:, row : row + kh, column : column + kw] += patches[:, i, j]"
LARGEST = """here = padded[:, row : row + kh, column : column + kw]
            here[...] = np.maximum(here, patches[:, i, j])"""
RESHAPE = "columns.reshape(n, oh, ow, kh, kw, c)"
EXERCISE = Exercise(
    solution=col2im,
    outputs=("image",),
    oracle=reference.col2im,
    cases={
        "one row, by hand": {
            "columns": np.array([[1.0, 2.0], [10.0, 20.0]]),
            "x_shape": (1, 1, 3, 1),
            "window": (1, 2),
            "strides": (1, 1),
            "padding": ((0, 0), (0, 0)),
        },
        "windows side by side": _case(0, (1, 4, 4, 1), (2, 2), (2, 2)),
        "windows that overlap": _case(1, (1, 3, 4, 1), (2, 2)),
        "channels": _case(2, (1, 3, 3, 3), (2, 2)),
        "several images": _case(3, (3, 3, 3, 2), (2, 2)),
        "padding": _case(4, (1, 3, 3, 1), (2, 2), padding=((1, 0), (0, 1))),
        "strides, pixels that no window sees": _case(5, (1, 6, 8, 1), (2, 3), (3, 4)),
        "everything": _case(6, (2, 5, 6, 2), (3, 2), (2, 1), ((2, 1), (0, 1))),
    },
    suspects=[
        Suspect("overlapping windows overwrite one another: `=` where `+=` is needed", ADD, ADD.replace("+=", "=")),
        Suspect(
            "windows that overlap are averaged; a gradient is their sum",
            "return padded[",
            "count = np.zeros(padded.shape)\n    for i in range(oh):\n        for j in range(ow):\n"
            "            count[:, i * strides[0] : i * strides[0] + kh, j * strides[1] : j * strides[1] + kw] += 1\n"
            "    padded = padded / np.maximum(count, 1)\n    return padded[",
        ),
        Suspect(
            "the padding is cut off on the wrong side",
            "top : top + h, left : left + w",
            "bottom : bottom + h, right : right + w",
        ),
        Suspect("the padding is not cut off", "padded[:, top : top + h, left : left + w]", "padded"),
        Suspect("the padding is cut off below and on the right alone", "top : top + h, left : left + w", ":h, :w"),
        Suspect("the window does not move by the stride", "i * strides[0], j * strides[1]", "i, j"),
        Suspect(
            "channels are taken to run slowest in each row",
            RESHAPE,
            "columns.reshape(n, oh, ow, c, kh, kw).transpose(0, 1, 2, 4, 5, 3)",
        ),
        Suspect("s is taken to run slower than r", RESHAPE, "columns.reshape(n, oh, ow, kw, kh, c).swapaxes(3, 4)"),
        Suspect(
            "images are taken to run fastest over the rows",
            RESHAPE,
            "columns.reshape(oh, ow, n, kh, kw, c).transpose(2, 0, 1, 3, 4, 5)",
        ),
        Suspect(
            "j is taken to run slower than i over the rows",
            RESHAPE,
            "columns.reshape(n, ow, oh, kh, kw, c).swapaxes(1, 2)",
        ),
        Suspect("each window is flipped", "+= patches[:, i, j]", "+= patches[:, i, j, ::-1, ::-1]"),
        Suspect("only the last window of each row of windows is added", "for j in range(ow)", "for j in [ow - 1]"),
        Suspect(
            "the padding is cut off with negative indices, and -0 is 0: nothing is left where there is no padding",
            "top : top + h, left : left + w",
            "top:-bottom, left:-right",
        ),
        Suspect("of windows that overlap the largest value is kept: a gradient is their sum", ADD, LARGEST),
    ],
    hints=[
        "Read it as im2col run backwards: where im2col reads a slice, col2im adds to it.",
        "Reshape the rows to (n, oh, ow, kh, kw, c) and start with zeros of the padded image's shape.",
        "Add with +=, since windows overlap; at the end cut the padding off: rows top to top + h.",
    ],
)
