"""A rough outline of the lungs in a frontal chest film, from grey levels alone."""

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array

_SIDE = 64  # the outline is sought at this resolution: finer detail is ribs and vessels
_SMALLEST = 0.03  # of the film: less than that is no lung
_LEVELS = np.linspace(0.1, 0.75, 14)  # thresholds to try, from the region's dark end to its bright one


def lung_field_mask(images: ArrayLike) -> np.ndarray:
    """Where the two lungs roughly are.

    At 64x64 pixels, after blurring, the film is divided at the spine.  In each half the largest area darker than a
    threshold is taken, after an opening, for the threshold that gives the most of it inside, and the least outside,
    of an ellipse where a lung usually lies; then its convex hull.  Where nothing large enough is dark, the ellipse
    itself stands in.

    This is a measuring aid, not a segmentation: lungs that disease has made white, or the part behind the heart,
    are cut short, and air in the stomach may be taken in.  It assumes an upright, frontal film with air dark.

    Parameters
    ----------
    images : array, shape (images, height, width, channels) or (images, height, width)
        uint8 or float; colour is averaged.

    Returns
    -------
    ndarray of bool, shape (images, height, width)

    Raises
    ------
    ValueError
        For another number of axes, no image, or images smaller than 16x16.

    Examples
    --------
    >>> from tinycnn.study.films.phantoms import chest_phantoms
    >>> train, _, _ = chest_phantoms(n_train=1, n_test=0, size=64, mode="L")
    >>> mask = lung_field_mask(train.images)
    >>> mask.shape, bool((mask.mean(axis=(1, 2)) > 0.1).all())
    ((3, 64, 64), True)
    """
    images = as_array(images, "images")
    if images.ndim not in (3, 4) or len(images) == 0 or min(images.shape[1:3]) < 16:
        raise ValueError(
            f"images of shape (images, height, width[, channels]), at least 16x16, are needed, got {images.shape}"
        )
    masks = np.empty(images.shape[:3], bool)
    rows, columns = (np.arange(n) * _SIDE // n for n in images.shape[1:3])
    for i, image in enumerate(images):
        grey = image.astype(np.float32)
        grey = _shrink(grey.mean(axis=2) if grey.ndim == 3 else grey)
        masks[i] = _outline(grey)[rows[:, None], columns]
    return masks


def _outline(grey):
    """Mask of one film of 64x64."""
    grey = _blur(_blur(grey, 1), 1)
    place = np.linspace(-1, 1, _SIDE)
    y, x = place[:, None], place[None, :]
    central = (np.abs(x) < 0.9) & (np.abs(y) < 0.86)
    dark, bright = np.quantile(grey[central], (0.05, 0.95))
    spine = place[_spine_column(grey)]
    mask = np.zeros((_SIDE, _SIDE), bool)
    for side in (-1, 1):
        half = central & (side * (x - spine) > 0.03)
        # Distance from where a lung usually lies, 1 at the rim of that ellipse.
        distance = ((x - spine - side * 0.43) / 0.37) ** 2 + ((y + 0.1) / 0.72) ** 2
        usual = distance < 1
        best, best_score = np.zeros_like(mask), 0
        for level in dark + _LEVELS * (bright - dark):
            lung = _largest_component(_opened(half & (grey < level), 2), usual)
            score = lung[usual].sum() - 2 * lung[~usual].sum()
            if score > best_score:
                best, best_score = lung, score
        if best.mean() < _SMALLEST:
            best = distance < 0.8
        mask |= _hull(best) & half & (distance < 1.3)
    return mask


def _shrink(grey):
    """Area averages at 64x64 of a film of any size (repeated pixels where it is smaller)."""
    for axis in (0, 1):
        n = grey.shape[axis]
        edges = np.arange(_SIDE + 1) * n / _SIDE
        total = np.concatenate([np.zeros_like(grey.take([0], axis)), grey.cumsum(axis, dtype=np.float64)], axis)
        low = np.minimum(edges.astype(int), n - 1)
        part = (edges - low)[:, None] if axis == 0 else edges - low
        at_edges = total.take(low, axis) * (1 - part) + total.take(low + 1, axis) * part
        grey = np.diff(at_edges, axis=axis) * (_SIDE / n)
    return grey


def _blur(grey, radius):
    """Mean over a square window, borders repeated."""
    for axis in (0, 1):
        padded = np.pad(grey, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        grey = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis).mean(axis=-1)
    return grey


def _spine_column(grey):
    """The brightest column of the middle, over the rows of the lungs."""
    profile = grey[_SIDE // 6 : 2 * _SIDE // 3].mean(axis=0)
    profile = np.convolve(profile, np.ones(7) / 7, mode="same")
    low, high = int(0.36 * _SIDE), int(0.64 * _SIDE)
    return low + int(profile[low:high].argmax())


def _opened(mask, radius):
    """Erosion, then dilation: bridges and specks thinner than ``2 * radius + 1`` pixels disappear."""
    return _grown(~_grown(~mask, radius), radius)


def _grown(mask, radius):
    """Dilation by a diamond, one pixel at a time."""
    for _ in range(radius):
        padded = np.pad(mask, 1)
        mask = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def _largest_component(mask, anchor):
    """The 4-connected part of `mask` with the most pixels inside `anchor`, the usual place; empty if none is there."""
    if not (mask & anchor).any():
        return np.zeros_like(mask)
    numbers = np.arange(1, mask.size + 1).reshape(mask.shape)
    labels = np.where(mask, numbers, 0)
    while True:
        padded = np.pad(labels, 1)
        spread = labels
        for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            spread = np.maximum(spread, neighbour)
        spread = np.where(mask, spread, 0)
        # A label is the number of a pixel of the same part: that pixel's own label is as good or better.
        spread = np.where(mask, spread.ravel()[spread - 1], 0)
        if (spread == labels).all():
            break
        labels = spread
    return labels == np.bincount(labels[anchor & mask]).argmax()


def _hull(mask):
    """Convex hull, as the intersection of 32 half planes that hold the whole mask."""
    if not mask.any():
        return mask
    points = np.argwhere(mask)  # (n, 2)
    grid = np.indices(mask.shape)
    hull = np.ones_like(mask)
    for angle in np.arange(32) * np.pi / 16:
        direction = np.array([np.sin(angle), np.cos(angle)])
        hull &= np.tensordot(direction, grid, 1) <= (points @ direction).max() + 1e-9
    return hull
