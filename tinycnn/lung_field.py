"""A rough outline of the lungs in a frontal chest film, from grey levels alone."""

import numpy as np

_SIDE = 96  # the outline is sought at this resolution: finer detail is ribs and vessels
_SMALLEST = 0.02  # of the film: less than that is no lung


def lung_field_mask(images):
    """Where the two lungs roughly are.

    At 96x96 pixels, after blurring: the film is divided at the spine; in each half, within the central region, the
    largest dark area (Otsu's threshold) after opening is taken, and its convex hull.  Where nothing large enough is
    dark, an ellipse at the usual place stands in.

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

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9, 1979.

    Examples
    --------
    >>> from tinycnn.data import chest_phantoms
    >>> train, _, _ = chest_phantoms(n_train=1, n_test=0, size=64, mode="L")
    >>> mask = lung_field_mask(train.images)
    >>> mask.shape, bool((mask.mean(axis=(1, 2)) > 0.1).all())
    ((3, 64, 64), True)
    """
    images = np.asarray(images)
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
    """Mask of one film of 96x96."""
    grey = _blur(_blur(grey, 1), 1)
    place = np.linspace(-1, 1, _SIDE)
    y, x = place[:, None], place[None, :]
    central = (np.abs(x) < 0.86) & (y > -0.84) & (y < 0.8)
    dark = central & (grey < _otsu(grey[central]))
    spine = _spine_column(grey)
    mask = np.zeros((_SIDE, _SIDE), bool)
    columns = np.arange(_SIDE)[None, :]
    for side, centre in ((columns < spine - 1, -0.42), (columns > spine + 1, 0.42)):
        lung = _largest_component(_opened(dark & side, 2), anchor=(np.abs(x - centre) < 0.3) & (np.abs(y + 0.1) < 0.55))
        if lung.mean() < _SMALLEST:
            lung = ((x - centre) / 0.3) ** 2 + ((y + 0.08) / 0.6) ** 2 < 1
        mask |= _hull(lung) & side & central
    return mask


def _shrink(grey):
    """Area averages at 96x96 of a film of any size (repeated pixels where it is smaller)."""
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


def _otsu(values):
    """The threshold that splits `values` into two classes with the least variance within them."""
    counts, edges = np.histogram(values, 128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * middles)
    above = counts.sum() - below
    between = below * above * (sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)) ** 2
    return edges[1:-1][between.argmax()]


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
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:  # each pixel takes the largest number among its neighbours until nothing changes
        padded = np.pad(labels, 1)
        spread = np.max([labels, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]], axis=0)
        spread = np.where(mask, spread, 0)
        if (spread == labels).all():
            break
        labels = spread
    inside = np.bincount(labels[anchor & mask], minlength=1)
    inside[0] = 0
    return (labels == inside.argmax()) & mask if inside.any() else np.zeros_like(mask)


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
