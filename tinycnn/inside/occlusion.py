"""What a class's score loses when a part of the image is hidden."""

import numpy as np

from tinycnn.arguments import brief, numbers, positive_int
from tinycnn.inside.class_score import Classes, Images, batches, score_of
from tinycnn.model import Sequential


def occlusion(
    model: Sequential,
    images: Images,
    class_index: Classes = None,
    window: int | None = None,
    stride: int | None = None,
    fill: float | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Slide a plain square over the image and note by how much the class's score falls.

    ::

        a[i, j] = mean over the squares that cover (i, j) of  s(x) - s(x with the square filled)

    No gradient is asked, so it works for any model, and it measures what it says: it is slow, and coarse.

    Parameters
    ----------
    model, images, class_index
        As for `tinycnn.inside.saliency.saliency`.
    window : int, optional
        Side of the square in pixels; an eighth of the image's shorter side by default.
    stride : int, optional
        Pixels from one square to the next, at most `window`; half of it by default.  The last square of a row or
        column ends with the image.
    fill : float, optional
        Value in the square, as the first layer sees it; by default the image's mean of each channel.
    batch_size : int
        Hidden copies at a time.

    Returns
    -------
    ndarray, shape (images, height, width)
        In units of the score; positive where the hidden part speaks for the class.

    Raises
    ------
    ValueError
        If the images do not fit, there is no such class, the window is larger than the image, or the stride larger
        than the window.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(1, kernel_initializer="ones")])
    >>> occlusion(model, np.float32([[[[1.0], [3.0]]]]), 0, window=1, fill=0)
    array([[[1., 3.]]], dtype=float32)
    """
    drops = [
        _drops(model, x[0], int(classes[0]), window, stride, fill, positive_int(batch_size, "batch_size"))
        for x, classes in batches(model, images, class_index, 1)
    ]
    return np.stack(drops)


def _drops(model, x, k, window, stride, fill, batch_size):
    """`occlusion` of one prepared image (height, width, channels), for class `k`."""
    height, width, _ = x.shape
    window = max(1, min(height, width) // 8) if window is None else positive_int(window, "window")
    stride = max(1, window // 2) if stride is None else positive_int(stride, "stride")
    if window > min(height, width) or stride > window:
        raise ValueError(
            f"a window of {window} with stride {stride} does not fit images of {height}x{width}: the window must be "
            "at most the shorter side, the stride at most the window"
        )
    corners = [(top, left) for top in _starts(height, window, stride) for left in _starts(width, window, stride)]
    filling = x.mean(axis=(0, 1)) if fill is None else numbers(fill, "fill")  # (channels,)
    if filling.shape not in ((), x.shape[2:]):
        raise ValueError(f"fill must be one number, or one for each of {x.shape[2]} channels, got {brief(fill)}")
    whole = score_of(model, x[None], [k])[0]
    total, covered = np.zeros((height, width), x.dtype), np.zeros((height, width), x.dtype)
    for start in range(0, len(corners), batch_size):
        part = corners[start : start + batch_size]
        hidden = np.repeat(x[None], len(part), axis=0)
        for copy, (top, left) in zip(hidden, part, strict=True):
            copy[top : top + window, left : left + window] = filling
        for (top, left), score in zip(part, score_of(model, hidden, [k] * len(part)), strict=True):
            total[top : top + window, left : left + window] += whole - score
            covered[top : top + window, left : left + window] += 1
    return total / covered


def _starts(size, window, stride):
    """Where squares begin along an axis, the last one ending with it.

    >>> _starts(10, 4, 3), _starts(9, 4, 3)
    ([0, 3, 6], [0, 3, 5])
    """
    return sorted({*range(0, size - window + 1, stride), size - window})
