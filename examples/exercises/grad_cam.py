"""Grad-CAM: where a network looked.

Checked by ``python -m tinycnn.exercises grad_cam``.
"""

import numpy as np


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
    raise NotImplementedError
