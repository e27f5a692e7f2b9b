"""Max-pooling backward, with windows that overlap."""

import numpy as np

from tinycnn import reference
from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def maxpool_backward(
    x: np.ndarray, grad_y: np.ndarray, window: tuple[int, int], strides: tuple[int, int]
) -> np.ndarray:
    """Gradient of max-pooling: each output's goes to the one pixel that was the largest of its window.

    ::

        y[n, i, j, c]      = max over r, s of  x[n, i*sy + r, j*sx + s, c]
        grad_x[n, a, b, c] = sum of  grad_y[n, i, j, c]  over all (i, j) whose window has its maximum at (a, b)

    Of several equal maxima the first counts, row by row.  With a stride smaller than the window, windows overlap, and a
    pixel may be the maximum of several.

    Parameters
    ----------
    x : ndarray ``(n, h, w, c)``
    grad_y : ndarray ``(n, oh, ow, c)``
        Gradient of the loss with respect to y.
    window : (kh, kw)
    strides : (sy, sx)

    Returns
    -------
    grad_x : ndarray ``(n, h, w, c)``

    Examples
    --------
    >>> x, grad_y = np.array([1.0, 5.0, 5.0]).reshape(1, 1, 3, 1), np.array([3.0, 4.0]).reshape(1, 1, 2, 1)
    >>> maxpool_backward(x, grad_y, window=(1, 2), strides=(1, 1)).ravel()
    array([0., 7., 0.])
    """
    grad_x = np.zeros(x.shape)
    kh, kw = window
    for n, i, j, c in np.ndindex(*grad_y.shape):
        row, column = i * strides[0], j * strides[1]
        patch = x[n, row : row + kh, column : column + kw, c]  # (kh, kw)
        r, s = divmod(int(patch.argmax()), kw)
        grad_x[n, row + r, column + s, c] += grad_y[n, i, j, c]
    return grad_x


def _oracle(x, grad_y, window, strides):
    _, codes = reference.maxpool_forward(x, window, strides)
    return reference.maxpool_backward(grad_y, codes, x.shape, window, strides)


def _case(seed, shape, window, strides, ties=False):
    n, h, w, c = shape
    oh, ow = ((size - k) // step + 1 for size, k, step in zip((h, w), window, strides, strict=True))
    x = numbers(seed, *shape)
    return {
        "x": np.round(x) if ties else x,
        "grad_y": numbers(seed + 1, n, oh, ow, c),
        "window": window,
        "strides": strides,
    }


ADD = "grad_x[n, row + r, column + s, c] += grad_y[n, i, j, c]"
EXERCISE = Exercise(
    solution=maxpool_backward,
    outputs=("grad_x",),
    oracle=_oracle,
    cases={
        "one row, by hand": {
            "x": np.array([1.0, 5.0, 4.0]).reshape(1, 1, 3, 1),
            "grad_y": np.array([3.0, 4.0]).reshape(1, 1, 2, 1),
            "window": (1, 2),
            "strides": (1, 1),
        },
        "windows side by side": _case(0, (1, 4, 4, 1), (2, 2), (2, 2)),
        "channels and images": _case(10, (2, 4, 4, 3), (2, 2), (2, 2)),
        "a window of 2 x 3": _case(20, (1, 4, 6, 1), (2, 3), (2, 3)),
        "windows that overlap": _case(30, (1, 5, 5, 2), (3, 3), (1, 1)),
        "overlap along rows alone": _case(40, (1, 5, 4, 2), (3, 2), (1, 2)),
        "pixels that no window sees": _case(50, (1, 6, 7, 1), (2, 2), (2, 3)),
        "equal maxima": _case(60, (2, 5, 5, 2), (3, 3), (2, 2), ties=True),
    },
    suspects=[
        Suspect("windows that overlap overwrite one another: `=` where `+=` is needed", ADD, ADD.replace("+=", "=")),
        Suspect(
            "equal maxima all get the gradient; only the first of them may",
            ADD,
            "for r, s in np.argwhere(patch == patch.max()):\n            " + ADD,
        ),
        Suspect(
            "equal maxima share the gradient; the first of them gets all",
            ADD,
            "for r, s in (most := np.argwhere(patch == patch.max())):\n            " + ADD + " / len(most)",
        ),
        Suspect(
            "the last of equal maxima gets the gradient, not the first",
            "divmod(int(patch.argmax()), kw)",
            "np.argwhere(patch == patch.max())[-1]",
        ),
        Suspect(
            "of equal maxima the first column by column, not row by row",
            "divmod(int(patch.argmax()), kw)",
            "divmod(int(patch.T.argmax()), kh)[::-1]",
        ),
        Suspect(
            "divided by the window's height where its width belongs",
            "divmod(int(patch.argmax()), kw)",
            "divmod(int(patch.argmax()), kh)",
        ),
        Suspect("r and s are exchanged", "row + r, column + s", "row + s, column + r"),
        Suspect("the gradient goes to the smallest value", "patch.argmax()", "patch.argmin()"),
        Suspect("the largest absolute value is taken for the maximum", "patch.argmax()", "np.abs(patch).argmax()"),
        Suspect("the stride is ignored", "i * strides[0], j * strides[1]", "i, j"),
        Suspect(
            "windows move by their own size instead of the stride", "i * strides[0], j * strides[1]", "i * kh, j * kw"
        ),
        Suspect("the gradient goes to the window's corner, not to its maximum", "row + r, column + s", "row, column"),
        Suspect("the upstream gradient is not used", "+= grad_y[n, i, j, c]", "+= 1"),
        Suspect(
            "the gradient is multiplied by the maximum", "+= grad_y[n, i, j, c]", "+= grad_y[n, i, j, c] * patch.max()"
        ),
        Suspect(
            "the gradient is shared out among the whole window: that is average-pooling",
            ADD,
            "grad_x[n, row : row + kh, column : column + kw, c] += grad_y[n, i, j, c] / (kh * kw)",
        ),
        Suspect(
            "vertical and horizontal stride are exchanged",
            "i * strides[0], j * strides[1]",
            "i * strides[1], j * strides[0]",
        ),
        Suspect(
            "the maximum of all channels is looked for: each channel has its own",
            "column : column + kw, c]",
            "column : column + kw].max(axis=-1)",
        ),
    ],
    hints=[
        "Four loops, np.ndindex(*grad_y.shape); for each output its window is a slice (kh, kw) of one channel.",
        "argmax gives the place in the flattened window, and the first of equal maxima: divmod(place, kw) is (r, s).",
        "Add with +=. Comparing x with y and multiplying looks simpler, and is wrong for ties and for overlaps.",
    ],
)
