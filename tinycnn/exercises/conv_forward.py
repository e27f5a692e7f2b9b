"""Convolution of a batch of images."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers, window_mistakes


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
    kh, kw, _, filters = kernel.shape
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    oh = (padded.shape[1] - kh) // strides[0] + 1
    ow = (padded.shape[2] - kw) // strides[1] + 1
    y = np.zeros((len(x), oh, ow, filters))
    for i in range(oh):
        for j in range(ow):
            row, column = i * strides[0], j * strides[1]
            patch = padded[:, row : row + kh, column : column + kw]  # (n, kh, kw, c)
            y[:, i, j] = np.tensordot(patch, kernel, axes=3) + bias  # (n, filters)
    return y


def _case(seed, shape, filters, window=(3, 3), strides=(1, 1), padding=((0, 0), (0, 0))):
    return {
        "x": numbers(seed, *shape),
        "kernel": numbers(seed + 1, *window, shape[3], filters),
        "bias": numbers(seed + 2, filters),
        "strides": strides,
        "padding": padding,
    }


FIRST = "kh, kw, _, filters = kernel.shape"
EXERCISE = Exercise(
    solution=conv_forward,
    outputs=("y",),
    oracle=reference.conv2d_forward,
    cases={
        "one row, by hand": {
            "x": np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1),
            "kernel": np.array([10.0, 1.0]).reshape(1, 2, 1, 1),
            "bias": np.array([0.5]),
            "strides": (1, 1),
            "padding": ((0, 0), (0, 0)),
        },
        "one image, one channel, one filter": _case(0, (1, 4, 5, 1), 1),
        "channels and filters": _case(10, (1, 4, 5, 2), 3),
        "several images": _case(20, (3, 4, 4, 2), 2),
        "a kernel of 2 x 3": _case(30, (1, 4, 5, 2), 2, (2, 3)),
        "padding": _case(40, (1, 4, 4, 1), 2, padding=((2, 0), (0, 1))),
        "strides": _case(50, (1, 6, 8, 1), 2, strides=(2, 3)),
        "everything": _case(60, (2, 7, 6, 3), 2, (2, 3), (2, 1), ((1, 0), (2, 1))),
    },
    suspects=[
        Suspect(
            "the kernel is flipped: here convolution means cross-correlation, r and s run the same way in x and kernel",
            "patch, kernel, axes",
            "patch, kernel[::-1, ::-1], axes",
        ),
        Suspect("rows and columns of the kernel are exchanged", FIRST, f"kernel = kernel.swapaxes(0, 1)\n    {FIRST}"),
        *window_mistakes(FIRST),
        Suspect("the bias is left out", " + bias", ""),
        Suspect("the bias is added for every cell of the window instead of once", " + bias", " + kh * kw * bias"),
        Suspect("the sum over channels is missing", "patch, kernel, axes", "patch[..., -1:], kernel[:, :, -1:], axes"),
        Suspect("only one image is convolved", "patch = padded[:,", "patch = padded[:1,"),
        Suspect("the bias is added once for each channel", " + bias", " + kernel.shape[2] * bias"),
        Suspect(
            "every channel is weighed by the kernel of the first",
            "patch, kernel, axes",
            "patch, kernel[:, :, [0] * patch.shape[3]], axes",
        ),
        Suspect(
            "the size is rounded up: the window's last place must lie inside",
            "oh = (padded.shape[1] - kh) // strides[0] + 1",
            "oh = -(-(padded.shape[1] - kh) // strides[0]) + 1",
        ),
    ],
    hints=[
        "Pad first, with np.pad; then i*sy is the first row of the padded image that output row i sees.",
        "Two loops, over i and j. The pixels that output (i, j) sees are a slice: (n, kh, kw, c).",
        "y[:, i, j] is the sum over r, s and c of that slice times the kernel: np.tensordot(patch, kernel, axes=3).",
    ],
)
