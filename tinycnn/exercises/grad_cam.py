"""Grad-CAM: where a network looked."""

import numpy as np

from tinycnn.exercises.exercise import Exercise, Suspect, numbers


def grad_cam(features: np.ndarray, grad_features: np.ndarray) -> np.ndarray:
    """Heat maps of what speaks for a class, from a layer's feature maps and the gradient of the class's score.

    ::

        weight[n, k] = mean over i, j of  grad_features[n, i, j, k]
        map[n, i, j] = max(0, sum over k of  weight[n, k] * features[n, i, j, k])

    and each image's map is divided by its own largest value; a map of zeros stays one (Selvaraju et al. 2017).

    Parameters
    ----------
    features : ndarray ``(n, h, w, channels)``
    grad_features : ndarray ``(n, h, w, channels)``
        Gradient of the score, before the softmax, with respect to them.

    Returns
    -------
    maps : ndarray ``(n, h, w)``
        From 0 to 1.

    Examples
    --------
    >>> features = np.array([1.0, 2.0, -3.0]).reshape(1, 1, 3, 1)
    >>> grad_cam(features, np.array([1.0, 4.0, 1.0]).reshape(1, 1, 3, 1)).ravel()
    array([0.5, 1. , 0. ])
    """
    weight = grad_features.mean(axis=(1, 2))  # (n, channels)
    maps = np.maximum(np.einsum("nijk,nk->nij", features, weight), 0)
    largest = maps.max(axis=(1, 2), keepdims=True)  # (n, 1, 1)
    return maps / np.where(largest > 0, largest, 1)


def _oracle(features, grad_features):
    maps = np.zeros(features.shape[:3])
    for n, i, j in np.ndindex(maps.shape):
        for k in range(features.shape[3]):
            maps[n, i, j] += grad_features[n, :, :, k].sum() / grad_features[n, :, :, k].size * features[n, i, j, k]
    for image in maps:
        image[image < 0] = 0
        if image.any():
            image /= image.max()
    return maps


def _case(seed, *shape):
    return {"features": np.maximum(numbers(seed, *shape), 0), "grad_features": numbers(seed + 1, *shape)}


EXERCISE = Exercise(
    solution=grad_cam,
    outputs=("maps",),
    oracle=_oracle,
    cases={
        "three pixels, by hand": {
            "features": np.array([1.0, 2.0, -3.0]).reshape(1, 1, 3, 1),
            "grad_features": np.array([1.0, 4.0, 1.0]).reshape(1, 1, 3, 1),
        },
        "one image": _case(0, 1, 3, 4, 3),
        "several images": _case(10, 3, 3, 3, 4),
        "as many channels as rows and columns": _case(20, 2, 4, 4, 4),
        "features of both signs": {"features": numbers(30, 2, 4, 3, 2), "grad_features": numbers(31, 2, 4, 3, 2)},
        "nothing speaks for the class": {
            "features": np.stack([np.abs(numbers(40, 3, 3, 2)), np.abs(numbers(41, 3, 3, 2))]),
            "grad_features": np.stack([-np.abs(numbers(42, 3, 3, 2)), np.abs(numbers(43, 3, 3, 2))]),
        },
    },
    suspects=[
        Suspect(
            "negative values are kept: max(0, ...) is missing",
            'np.maximum(np.einsum("nijk,nk->nij", features, weight), 0)',
            'np.einsum("nijk,nk->nij", features, weight)',
        ),
        Suspect(
            "the absolute value is taken where negative values become 0",
            'np.maximum(np.einsum("nijk,nk->nij", features, weight), 0)',
            'np.abs(np.einsum("nijk,nk->nij", features, weight))',
        ),
        Suspect(
            "negative weights are dropped: max(0, ...) belongs to the map, after the sum",
            "weight = grad_features.mean(axis=(1, 2))",
            "weight = np.maximum(grad_features.mean(axis=(1, 2)), 0)",
        ),
        Suspect(
            "negative gradients are dropped: max(0, ...) belongs to the map",
            "grad_features.mean",
            "np.maximum(grad_features, 0).mean",
        ),
        Suspect(
            "the gradient is not averaged first: that is gradient times input",
            'np.einsum("nijk,nk->nij", features, weight)',
            "(features * grad_features).sum(axis=-1)",
        ),
        Suspect(
            "features and gradient are exchanged",
            "weight = grad_features",
            "features, grad_features = grad_features, features\n    weight = grad_features",
        ),
        Suspect("the largest gradient is taken where the mean belongs", "grad_features.mean", "grad_features.max"),
        Suspect(
            "weights are averaged over the images: each has its own",
            "grad_features.mean(axis=(1, 2))",
            "np.broadcast_to(grad_features.mean(axis=(0, 1, 2)), (len(features), features.shape[3]))",
        ),
        Suspect(
            "all channels weigh the same: the gradient is not used",
            "grad_features.mean(axis=(1, 2))",
            "np.ones((len(features), features.shape[3]))",
        ),
        Suspect(
            "the sum over channels is missing",
            'np.einsum("nijk,nk->nij", features, weight)',
            "features[..., -1] * weight[:, None, None, -1]",
        ),
        Suspect(
            "divided by the largest value of the batch: each image has its own",
            "maps.max(axis=(1, 2), keepdims=True)",
            "maps.max()",
        ),
        Suspect(
            "the map is not divided by its largest value",
            "return maps / np.where(largest > 0, largest, 1)",
            "return maps",
        ),
        Suspect("a map of zeros is divided by 0", "np.where(largest > 0, largest, 1)", "largest"),
        Suspect(
            "a small number is added to the divisor: the largest value is then not 1",
            "np.where(largest > 0, largest, 1)",
            "(largest + 1e-7)",
        ),
        Suspect(
            "the smallest value is subtracted before dividing",
            "largest = maps.max(",
            "maps = maps - maps.min(axis=(1, 2), keepdims=True)\n    largest = maps.max(",
        ),
        Suspect("rows and columns are exchanged", '->nij"', '->nji"'),
        Suspect(
            "negative features are dropped: max(0, ...) belongs to the map, after the sum",
            "features, weight)",
            "np.maximum(features, 0), weight)",
        ),
        Suspect(
            "negative channels are dropped one by one: max(0, ...) belongs to the map, after the sum",
            'np.maximum(np.einsum("nijk,nk->nij", features, weight), 0)',
            "np.maximum(features * weight[:, None, None], 0).sum(axis=-1)",
        ),
        Suspect(
            "a small number is added to the divisor: the largest value is then not 1",
            "np.where(largest > 0, largest, 1)",
            "(largest + 1e-8)",
        ),
        Suspect(
            "the smallest value is subtracted, where negative values become 0",
            'np.maximum(np.einsum("nijk,nk->nij", features, weight), 0)',
            '(maps := np.einsum("nijk,nk->nij", features, weight)) - maps.min(axis=(1, 2), keepdims=True)',
        ),
    ],
    hints=[
        "One number per image and channel first: how much, on average over the pixels, it raises the score.",
        "Sum the channels, weighted; only then set what is negative to 0.",
        "maps.max(axis=(1, 2), keepdims=True) is (n, 1, 1). Where it is 0, divide by 1.",
    ],
)
