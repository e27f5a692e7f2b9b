"""Heat maps of attributions, and how much of the heat lies where it should."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import numbers


def heat_map(attributions: ArrayLike) -> np.ndarray:
    """How much each pixel matters, 0 to 1 (the most in its image): the sizes of its channels' attributions, added.

    ::

        map[i, j] = sum over c of |a[i, j, c]|,   divided by its largest value

    Parameters
    ----------
    attributions : array, shape (images, height, width, channels)
        Of `tinycnn.inside.saliency`.

    Returns
    -------
    ndarray, shape (images, height, width)

    Raises
    ------
    ValueError
        For another number of axes.

    Examples
    --------
    >>> heat_map([[[[1.0, -1.0], [0.0, 4.0]]]])
    array([[[0.5, 1. ]]])
    """
    attributions = numbers(attributions, "attributions")
    if attributions.ndim != 4:
        raise ValueError(f"attributions (images, height, width, channels) are needed, got shape {attributions.shape}")
    heat = np.abs(attributions).sum(axis=3)
    peak = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(peak > 0, peak, 1)


def mass_inside(maps: ArrayLike, masks: ArrayLike) -> np.ndarray:
    """Share of each heat map's sum that lies inside its mask.

    Compare it with ``masks.mean(axis=(1, 2))``, which is what a map that looks everywhere alike has.

    Parameters
    ----------
    maps : array of float, shape (images, height, width)
        Not negative.
    masks : array of bool, shape (images, height, width)

    Returns
    -------
    ndarray of float64, shape (images,)
        nan for a map without any heat.

    Raises
    ------
    ValueError
        If the shapes differ or a map is negative somewhere.

    Examples
    --------
    >>> mass_inside([[[1.0, 3.0]]], [[[False, True]]])
    array([0.75])
    """
    maps, masks = _checked(maps, masks)
    total = maps.sum(axis=(1, 2))
    inside = (maps * masks).sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def pointing_game(maps: ArrayLike, masks: ArrayLike) -> np.ndarray:
    """Whether the hottest pixel of each heat map lies inside its mask.

    Compare its mean with ``masks.mean()``, which is what pointing anywhere gives.

    Parameters
    ----------
    maps, masks
        As for `mass_inside`.

    Returns
    -------
    ndarray of float64, shape (images,)
        1 or 0, the first pixel counting where several are hottest; nan for a map without any heat.

    Raises
    ------
    ValueError
        As of `mass_inside`.

    References
    ----------
    J. Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126, 2018, section 4.2 (with a tolerance
    of 15 pixels; none here).

    Examples
    --------
    >>> pointing_game([[[1.0, 3.0]], [[2.0, 0.0]]], [[[False, True]], [[False, True]]])
    array([1., 0.])
    """
    maps, masks = _checked(maps, masks)
    flat = maps.reshape(len(maps), -1)
    hit = np.take_along_axis(masks.reshape(flat.shape), flat.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(flat.max(axis=1) > 0, hit, np.nan)


def inside_by_class(
    maps: ArrayLike, masks: ArrayLike, labels: ArrayLike, class_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """`mass_inside` for each class, beside what the masks cover.

    Parameters
    ----------
    maps, masks
        As for `mass_inside`.
    labels : sequence of int, shape (images,)
    class_names : sequence of str

    Returns
    -------
    dict of str -> dict
        For each class ``share`` (mean over its maps with any heat, None if there is none), ``area`` (mean share of
        the image within the mask, None without images) and ``images`` (how many maps the share is of).

    Examples
    --------
    >>> maps, masks = np.array([[[1.0, 3.0]], [[2.0, 2.0]]]), np.array([[[False, True]], [[False, True]]])
    >>> inside_by_class(maps, masks, [0, 0], ["Covid"])
    {'Covid': {'share': 0.625, 'area': 0.5, 'images': 2}}
    """
    shares, areas, labels = mass_inside(maps, masks), np.asarray(masks).mean(axis=(1, 2)), np.asarray(labels)
    if labels.shape != shares.shape:
        raise ValueError(f"{len(shares)} maps need labels of shape ({len(shares)},), got {labels.shape}")
    table = {}
    for k, name in enumerate(class_names):
        of_class = labels == k
        known = shares[of_class & ~np.isnan(shares)]
        table[str(name)] = {
            "share": float(known.mean()) if known.size else None,
            "area": float(areas[of_class].mean()) if of_class.any() else None,
            "images": int(known.size),
        }
    return table


def _checked(maps: ArrayLike, masks: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = numbers(maps, "maps").astype(np.float64), numbers(masks, "masks")
    if maps.shape != masks.shape or maps.ndim != 3 or masks.dtype != bool:
        raise ValueError(
            f"maps and boolean masks of one shape (images, height, width) are needed, got {maps.shape} and "
            f"{masks.dtype} {masks.shape}"
        )
    if (maps < 0).any():
        raise ValueError(f"heat must not be negative, the least is {maps.min()}")
    return maps, masks
