"""Grad-CAM heat maps and feature maps: what the layers of a network hold of an image.

A heat map is a hint, not an explanation.  It can look convincing and yet not depend on what the network learnt
(`tinycnn.inside.randomization_check` shows that), and it can point outside the lungs (`tinycnn.inside.mass_inside` with
`tinycnn.study.films.lung_field.lung_field_mask` measures that).
"""

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, positive_int
from tinycnn.data.dataset import Dataset
from tinycnn.inside.class_score import Classes, Images, checked_classes, checked_images, one_hot
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.steps import plan
from tinycnn.model import Sequential
from tinycnn.walk import walk

Where = str | int | Layer | None  # a layer of the model, by name, index or itself


def grad_cam(
    model: Sequential,
    images: Images,
    class_index: Classes = None,
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
    films = checked_images(model, images)
    return resize(coarse_grad_cam(model, films, class_index, layer, batch_size), films.shape[1:3]).astype(np.float32)


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
    films = images.images if isinstance(images, Dataset) else as_array(images, "images")
    single = films.ndim == 3
    films = checked_images(model, films[None] if single else films)
    steps = [step for part in plan(model.layers[: layer_position(model, layer) + 1], fuse=False) for step in part]
    features = _run(steps, model.prepare(films)).copy()
    return features[0] if single else features


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


def coarse_grad_cam(
    model: Sequential, images: Images, class_index: Classes = None, layer: Where = None, batch_size: int = 16
) -> np.ndarray:
    """`grad_cam` before it is enlarged: float64 maps of the rows and columns of the layer, each with a maximum of 1."""
    films, size = checked_images(model, images), positive_int(batch_size, "batch_size")
    classes, position = checked_classes(model, class_index, len(films)), layer_position(model, layer)
    below = [step for part in plan(model.layers[: position + 1], fuse=False) for step in part]
    above, _ = plan(model.layers[position + 1 :], fuse=False)  # scores: before a softmax
    maps = []
    for start in range(0, len(films), size):
        rows = slice(start, start + size)
        features = _run(below, model.prepare(films[rows])).copy()  # (n, rows, columns, channels)
        scores = _run(above, features)
        grad = one_hot(scores, scores.argmax(axis=1) if classes is None else classes[rows])
        for step in reversed(above):
            grad = step.backward(grad)
        weights = grad.mean(axis=(1, 2), dtype=np.float64)  # (n, channels)
        heat = np.maximum(np.einsum("nijk,nk->nij", features, weights), 0)
        peak = heat.max(axis=(1, 2), keepdims=True)
        maps.append(heat / np.where(peak > 0, peak, 1))
    return np.concatenate(maps)


def _run(steps, x):
    for step in steps:
        x = step.forward(x)
    return x


def layer_position(model: Sequential, layer: Where) -> int:
    """Index of `layer`, or of the one that `grad_cam` takes by itself, in the model; errors as of `grad_cam`."""
    spatial = [i for i, part in enumerate(model.layers[:-1]) if len(part.output_shape) == 3]
    known = ", ".join(str(model.layers[i].name) for i in spatial) or "none"
    if layer is None:
        convolutions = [i for i in spatial if any(isinstance(part, Conv2D) for part in walk(model.layers[i]))]
        if not convolutions:
            raise ValueError(f"model '{model.name}' has no Conv2D below its last layer; layers to choose from: {known}")
        return convolutions[-1]
    if isinstance(layer, Layer):
        found = [i for i, part in enumerate(model.layers) if part is layer]
    elif isinstance(layer, str):
        found = [i for i, part in enumerate(model.layers) if part.name == layer]
    elif not isinstance(layer, int | np.integer):
        found = []
    else:
        found = [range(len(model.layers))[layer]] if -len(model.layers) <= layer < len(model.layers) else []
    if not found or found[0] not in spatial:
        raise ValueError(
            f"{brief(layer)} is no layer of model '{model.name}' with an image-like output below its last layer; "
            f"choose one of: {known}"
        )
    return found[0]
