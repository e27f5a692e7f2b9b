"""Do heat maps depend on what a network learnt?"""

from collections.abc import Callable

import numpy as np

from tinycnn.arguments import function, positive_int
from tinycnn.inside.cam import Where, coarse_grad_cam, layer_position
from tinycnn.inside.class_score import Images, checked_images
from tinycnn.layers.registry import describe, restore
from tinycnn.model import Sequential
from tinycnn.walk import walk

Explain = Callable[[Sequential, np.ndarray, np.ndarray], np.ndarray]  # model, images, classes -> heat maps


def randomization_check(
    model: Sequential,
    images: Images,
    layer: Where = None,
    seed: int = 1,
    batch_size: int = 16,
    explain: Explain | None = None,
) -> dict[str, float]:
    """Do the heat maps depend on what was learnt?  Layer by layer from the top, replace weights by fresh random ones.

    After each step, maps of the same images and classes (those that the trained model called them) are compared with
    the trained model's by Spearman's rank correlation over their pixels.  Maps worth showing lose their likeness: the
    correlation falls well below 1.  Maps that stay alike show edges of the image, whatever the network.

    Parameters
    ----------
    model : Sequential
        Not changed, apart from its layers' `grads`; the weights of a copy are randomised.
    images : Dataset or array, shape (images, height, width, channels)
    layer, batch_size
        As for `grad_cam`, unless there is an `explain`.
    seed : int
        Of the random weights, drawn by each layer's own initializer.
    explain : callable, optional
        ``explain(model, images, classes) -> maps`` of shape (images, rows, columns); Grad-CAM by default, compared at
        the resolution of its layer.

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
    films, size = checked_images(model, images), positive_int(batch_size, "batch_size")
    position = None if layer is None else layer_position(model, layer)  # the copy has other layer objects

    def grad_cam_maps(model: Sequential, films: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return coarse_grad_cam(model, films, classes, position, size)

    explain = grad_cam_maps if explain is None else explain
    function(explain, "explain")
    classes = model.predict(films, size).argmax(axis=1)
    before = explain(model, films, classes)
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
        after = explain(twin, films, classes)
        correlations[str(owner.name)] = float(
            np.mean([_rank_correlation(a, b) for a, b in zip(before, after, strict=True)])
        )
    return correlations


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
