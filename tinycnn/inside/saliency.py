"""Where a network looks: Grad-CAM heat maps, feature maps, and checks on whether to believe them.

A heat map is a hint, not an explanation.  It can look convincing and yet not depend on what the network learnt
(`randomization_check` shows that), and it can point outside the lungs (`mass_inside` with
`tinycnn.study.films.lung_field.lung_field_mask` measures that).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.data.dataset import Dataset
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.registry import describe, restore
from tinycnn.layers.steps import plan
from tinycnn.model import Sequential
from tinycnn.walk import walk

Images = Dataset | np.ndarray
Where = str | int | Layer | None  # a layer of the model, by name, index or itself


def grad_cam(
    model: Sequential,
    images: Images,
    class_index: int | Sequence[int] | np.ndarray | None = None,
    layer: Where = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Heat maps of what speaks for a class, 0 (nothing) to 1 (the most in this image).

    With the feature maps ``A[i, j, k]`` that `layer` gives and the class's score ``s`` before the softmax::

        weight[k] = mean over i, j of  ds / dA[i, j, k]
        map[i, j] = max(0, sum over k of  weight[k] * A[i, j, k])

    divided by its largest value, and enlarged to the image by bilinear interpolation.

    Parameters
    ----------
    model : Sequential
        Its weights stay as they are; its layers' `grads` are overwritten.
    images : Dataset or array, shape (images, height, width, channels)
        uint8 (scaled by 1/255) or float (as it is).
    class_index : int or sequence of int, shape (images,), optional
        Class to explain; by default the one that each image is called.
    layer : str, int or Layer, optional
        Name, index or object of one of ``model.layers`` with an output of shape (rows, columns, channels); by
        default the last one that is, or contains, a `Conv2D`.
    batch_size : int
        Images at a time; the maps do not depend on it beyond rounding.

    Returns
    -------
    ndarray of float32, shape (images, height, width)
        A map is 0 throughout where nothing speaks for the class.

    Raises
    ------
    ValueError
        If the images do not fit, the model has no such layer or class, or the layer's output is no image.

    References
    ----------
    R. R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
    ICCV 2017, equations 1 and 2.

    Examples
    --------
    >>> from tinycnn.models import report_cnn
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    >>> maps = grad_cam(report_cnn(), images)
    >>> maps.shape, bool(maps.min() >= 0), bool(maps.max() <= 1)
    ((2, 16, 16), True, True)
    """
    films = _images(model, images)
    position = _position(model, layer)
    classes = None if class_index is None else _classes(model, class_index, len(films))
    maps = np.empty((len(films), *films.shape[1:3]), np.float32)
    for rows, coarse, _ in _coarse_maps(model, films, position, classes, batch_size):
        maps[rows] = resize(coarse, films.shape[1:3])
    return maps


def feature_maps(model: Sequential, images: Images, layer: Where = None) -> np.ndarray:
    """What a layer gives for each image: one picture per channel.

    Parameters
    ----------
    model, layer
        As for `grad_cam`.
    images : array, shape (height, width, channels) or (images, height, width, channels)
        Few enough for one batch.

    Returns
    -------
    ndarray, shape (rows, columns, channels) or (images, rows, columns, channels)

    Raises
    ------
    ValueError
        As for `grad_cam`.

    Examples
    --------
    >>> from tinycnn.models import report_cnn
    >>> feature_maps(report_cnn(), np.zeros((16, 16, 3), np.uint8), layer="conv2d_1").shape
    (8, 8, 64)
    """
    single = not isinstance(images, Dataset) and np.ndim(images) == 3
    films = _images(model, np.asarray(images)[None] if single else images)
    steps = [step for part in plan(model.layers[: _position(model, layer) + 1], fuse=False) for step in part]
    features = _run(steps, model.prepare(films)).copy()
    return features[0] if single else features


def randomization_check(
    model: Sequential, images: Images, layer: Where = None, seed: int = 1, batch_size: int = 16
) -> dict[str, float]:
    """Do the heat maps depend on what was learnt?  Layer by layer from the top, replace weights by fresh random ones.

    After each step, Grad-CAM maps of the same images and classes (those that the trained model called them) are
    compared with the trained model's by Spearman's rank correlation over their pixels.  Maps worth showing lose their
    likeness: the correlation falls well below 1.  Maps that stay alike show edges of the image, whatever the network.

    Parameters
    ----------
    model : Sequential
        Not changed, apart from its layers' `grads`; the weights of a copy are randomised.
    images, layer, batch_size
        As for `grad_cam`.
    seed : int
        Of the random weights, drawn by each layer's own initializer.

    Returns
    -------
    dict of str -> float
        Name of the layer randomised last, from the output downwards, and the mean correlation over the images
        with all layers above it randomised too.  A map without any heat correlates 0 with every other.

    Raises
    ------
    ValueError
        As for `grad_cam`.

    References
    ----------
    J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (cascading randomization).

    Examples
    --------
    >>> from tinycnn.models import report_cnn
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    >>> list(randomization_check(report_cnn(), images))
    ['dense_2', 'dense_1', 'dense', 'conv2d_2', 'conv2d_1', 'conv2d']
    """
    images = _images(model, images)
    position = _position(model, layer)
    before, classes = _all_maps(model, images, position, None, batch_size)
    twin = type(model)([restore(describe(part)) for part in model.layers], seed=seed, name=model.name)
    twin.build(model.input_shape, dtype=model.dtype)
    weights, fresh = model.get_weights(), twin.get_weights()
    correlations = {}
    for owner in reversed(model.layers):
        keys = [f"{part.name}/{key}" for part in walk(owner) for key in part.params]
        if not keys:
            continue
        weights |= {key: fresh[key] for key in keys}
        twin.set_weights(weights)
        after, _ = _all_maps(twin, images, position, classes, batch_size)
        correlations[str(owner.name)] = float(
            np.mean([_rank_correlation(a, b) for a, b in zip(before, after, strict=True)])
        )
    return correlations


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
    maps, masks = np.asarray(maps, np.float64), np.asarray(masks)
    if maps.shape != masks.shape or maps.ndim != 3 or masks.dtype != bool:
        raise ValueError(
            f"maps and boolean masks of one shape (images, height, width) are needed, got {maps.shape} and "
            f"{masks.dtype} {masks.shape}"
        )
    if (maps < 0).any():
        raise ValueError(f"heat must not be negative, the least is {maps.min()}")
    total = maps.sum(axis=(1, 2))
    inside = (maps * masks).sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


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


def resize(maps: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation of (images, rows, columns) to `size`, pixels taken as areas with half-pixel centres.

    >>> resize(np.array([[[0.0, 4.0]]]), (1, 4))
    array([[[0., 1., 3., 4.]]])
    """
    resized = np.asarray(maps)
    for axis, new in ((1, size[0]), (2, size[1])):
        old = resized.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.minimum(at.astype(int), max(0, old - 2))
        part = (at - low).astype(resized.dtype)
        part = part[:, None] if axis == 1 else part
        resized = resized.take(low, axis) * (1 - part) + resized.take(np.minimum(low + 1, old - 1), axis) * part
    return resized


def _coarse_maps(model, images, position, classes, batch_size):
    """Yield rows, Grad-CAM maps at the layer's resolution scaled to a maximum of 1, and the classes explained."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    below = [step for part in plan(model.layers[: position + 1], fuse=False) for step in part]
    above, _ = plan(model.layers[position + 1 :], fuse=False)  # scores: before a softmax
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        features = _run(below, model.prepare(images[rows])).copy()  # (n, rows, columns, channels)
        scores = _run(above, features)
        chosen = scores.argmax(axis=1) if classes is None else classes[rows]
        grad = np.zeros_like(scores)
        grad[np.arange(len(grad)), chosen] = 1
        for step in reversed(above):
            grad = step.backward(grad)
        weights = grad.mean(axis=(1, 2), dtype=np.float64)  # (n, channels)
        maps = np.maximum(np.einsum("nijk,nk->nij", features, weights), 0)
        peak = maps.max(axis=(1, 2), keepdims=True)
        yield rows, maps / np.where(peak > 0, peak, 1), chosen


def _all_maps(model, images, position, classes, batch_size):
    found = list(_coarse_maps(model, images, position, classes, batch_size))
    return np.concatenate([maps for _, maps, _ in found]), np.concatenate([chosen for _, _, chosen in found])


def _run(steps, x):
    for step in steps:
        x = step.forward(x)
    return x


def _images(model, images):
    images = images.images if isinstance(images, Dataset) else np.asarray(images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images of shape (images, height, width, channels) are needed, got {images.shape}")
    if not model.built:
        model.build(images.shape[1:])
    if images.shape[1:] != tuple(model.input_shape):
        raise ValueError(f"images of shape {images.shape[1:]}, but model '{model.name}' takes {model.input_shape}")
    return images


def _classes(model, class_index, n):
    classes = np.broadcast_to(np.asarray(class_index), (n,)) if np.ndim(class_index) == 0 else np.asarray(class_index)
    outputs = model.output_shape[-1]
    if classes.shape != (n,) or classes.dtype.kind not in "iu" or not 0 <= classes.min() <= classes.max() < outputs:
        raise ValueError(
            f"class_index must be one of 0..{outputs - 1}, or {n} of them, one per image; got {class_index!r}"
        )
    return classes


def _position(model, layer):
    """Index of `layer` in the model."""
    spatial = [i for i, part in enumerate(model.layers[:-1]) if len(part.output_shape) == 3]
    known = ", ".join(model.layers[i].name for i in spatial) or "none"
    if layer is None:
        convolutions = [i for i in spatial if any(isinstance(part, Conv2D) for part in walk(model.layers[i]))]
        if not convolutions:
            raise ValueError(f"model '{model.name}' has no Conv2D below its last layer; layers to choose from: {known}")
        return convolutions[-1]
    if isinstance(layer, Layer):
        found = [i for i, part in enumerate(model.layers) if part is layer]
    elif isinstance(layer, str):
        found = [i for i, part in enumerate(model.layers) if part.name == layer]
    else:
        found = [range(len(model.layers))[layer]] if -len(model.layers) <= layer < len(model.layers) else []
    if not found or found[0] not in spatial:
        raise ValueError(
            f"{layer!r} is no layer of model '{model.name}' with an image-like output below its last layer; "
            f"choose one of: {known}"
        )
    return found[0]


def _rank_correlation(a, b):
    """Spearman's: Pearson's correlation of the ranks, ties sharing their mean rank; 0 if one of them is constant."""
    a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else 0.0


def _ranks(values):
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse.ravel()]
