"""What each pixel does to a class's score: its gradient, and three ways of making more of it.

Attributions are signed numbers, one for each pixel and channel; `tinycnn.inside.heat_map` makes a heat map of them.
Whether a method shows what the network learnt is to be measured, not seen: `tinycnn.inside.randomization_check`, and,
where the truth is known, `tinycnn.inside.mass_inside` and `tinycnn.inside.pointing_game`.
"""

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, generator, number, of_class, positive_int
from tinycnn.inside.class_score import Classes, Images, batches, score_gradient
from tinycnn.inside.twin import twin_of
from tinycnn.kernels.sets import active
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.model import Sequential


def saliency(model: Sequential, images: Images, class_index: Classes = None, batch_size: int = 16) -> np.ndarray:
    """Gradient of a class's score to the image: by how much the score would grow per unit of each pixel.

    ::

        a[i, j, c] = d s / d x[i, j, c],   s the class's score before the softmax

    Parameters
    ----------
    model : Sequential
        Its weights stay as they are; its layers' `grads` are overwritten.
    images : Dataset or array, shape (images, height, width, channels)
        uint8 (scaled by 1/255) or float (as it is): gradients are per unit of what the first layer sees.
    class_index : int or sequence of int, shape (images,), optional
        Class to explain; by default the one that each image is called.
    batch_size : int
        Images at a time; the result does not depend on it beyond rounding.

    Returns
    -------
    ndarray, shape (images, height, width, channels)
        In the model's dtype.

    Raises
    ------
    ValueError
        If the images do not fit, or the model has no such class.

    References
    ----------
    K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks", ICLR 2014 workshop, section 3.

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(2, kernel_initializer="ones")])
    >>> saliency(model, np.zeros((1, 2, 2, 1), np.uint8)).ravel()
    array([1., 1., 1., 1.], dtype=float32)
    """
    return np.concatenate([score_gradient(model, x, k) for x, k in batches(model, images, class_index, batch_size)])


class GuidedReLU(Layer):
    """A ReLU through which only positive gradients come back; see `guided_backpropagation`.

    ::

        forward    y = max(x, 0)
        backward   max(dL/dy, 0) where y > 0, else 0

    Examples
    --------
    >>> relu = GuidedReLU()
    >>> relu.forward(np.float32([[-1, 2, 3]])), relu.backward(np.float32([[5, 5, -5]]))
    (array([[0., 2., 3.]], dtype=float32), array([[0., 5., 0.]], dtype=float32))
    """

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``y = max(x, 0)``."""
        x = self._enter(x)
        return np.maximum(x, 0, out=self._output())

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y`` where it and the output are positive, else 0."""
        grad = np.maximum(self._enter_backward(grad_y), 0)
        grad_x = self._input_gradient(grad)
        active().relu_backward(grad, self._y, grad_x)
        return grad_x


def guided_backpropagation(
    model: Sequential, images: Images, class_index: Classes = None, batch_size: int = 16
) -> np.ndarray:
    """`saliency` in which every ReLU also stops negative gradients, so that only what speaks for the class comes back.

    It draws clean edges, and much of that is the image's doing and not the network's: check it before you believe it.
    Activations other than ReLU go backward as always.

    Parameters
    ----------
    model, images, class_index, batch_size
        As for `saliency`; a copy of the model runs.

    Returns
    -------
    ndarray, shape (images, height, width, channels)

    Raises
    ------
    ValueError
        As of `saliency`.

    References
    ----------
    J. T. Springenberg et al., "Striving for simplicity: the all convolutional net", ICLR 2015 workshop, section 3.4;
    W. Nie, Y. Zhang, A. Patel, "A theoretical explanation for perplexing behaviors of backpropagation-based
    visualizations", ICML 2018 (why it restores the image).

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(3, activation="relu", kernel_initializer="ones"), Dense(2)])
    >>> images = np.full((1, 2, 2, 1), 255, np.uint8)
    >>> bool((guided_backpropagation(model, images, 0) >= saliency(model, images, 0)).all())
    True
    """
    of_class(model, Sequential, "model")
    if not model.built:
        next(batches(model, images, class_index, batch_size))
    return saliency(twin_of(model, _guided), images, class_index, batch_size)


def smooth_grad(
    model: Sequential,
    images: Images,
    class_index: Classes = None,
    samples: int = 25,
    noise: float = 0.15,
    seed: int | np.random.Generator = 0,
    batch_size: int = 16,
) -> np.ndarray:
    """Mean `saliency` of noisy copies of each image: what the gradient's own fluctuations leave over.

    ::

        a = mean over samples of  d s / d x  at  x + N(0, (noise * (max x - min x))^2)

    Parameters
    ----------
    model, images, class_index, batch_size
        As for `saliency`; the class is that of the image without noise.
    samples : int
        Noisy copies of each image.
    noise : float
        Standard deviation, as a share of the range of the image's pixels.
    seed : int or numpy.random.Generator

    Returns
    -------
    ndarray, shape (images, height, width, channels)

    Raises
    ------
    ValueError
        As of `saliency`, or for no samples or negative noise.

    References
    ----------
    D. Smilkov et al., "SmoothGrad: removing noise by adding noise", arXiv:1706.03825, 2017.

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(2)])  # the gradient of a linear model is the same everywhere
    >>> images = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    >>> bool(np.allclose(smooth_grad(model, images, 0), saliency(model, images, 0)))
    True
    """
    samples, rng = positive_int(samples, "samples"), generator(seed)
    noise = number(noise, "noise")
    attributions = []
    for x, classes in batches(model, images, class_index, batch_size):
        axes = (1, 2, 3)
        deviation = noise * (x.max(axis=axes, keepdims=True) - x.min(axis=axes, keepdims=True))  # (n, 1, 1, 1)
        total = np.zeros_like(x)
        for _ in range(samples):
            noisy = x + deviation * rng.standard_normal(x.shape).astype(x.dtype)
            total += score_gradient(model, noisy, classes)
        attributions.append(total / samples)
    return np.concatenate(attributions)


def integrated_gradients(
    model: Sequential,
    images: Images,
    class_index: Classes = None,
    baseline: float | np.ndarray = 0.0,
    steps: int = 32,
    batch_size: int = 16,
) -> np.ndarray:
    """What each pixel adds to the score on the straight way from a baseline to the image.

    ::

        a = (x - x0) * integral over t from 0 to 1 of  ds/dx (x0 + t (x - x0))

    by the midpoint rule.  The attributions of an image add up to ``s(x) - s(x0)``, as exactly as the steps are fine.

    Parameters
    ----------
    model, images, class_index, batch_size
        As for `saliency`.
    baseline : float or array, shape (height, width, channels)
        An image that says nothing, as the first layer sees it; black by default.  A pixel equal to it gets 0.
    steps : int
        Points on the way.

    Returns
    -------
    ndarray, shape (images, height, width, channels)
        In units of the score.

    Raises
    ------
    ValueError
        As of `saliency`, for no steps, or for a baseline of another shape.

    References
    ----------
    M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks", ICML 2017, section 3.

    Examples
    --------
    >>> from tinycnn.layers import Dense, Flatten
    >>> model = Sequential([Flatten(), Dense(2, kernel_initializer="ones")])
    >>> integrated_gradients(model, np.float32([[[[0.5], [2.0]]]])).ravel()
    array([0.5, 2. ], dtype=float32)
    """
    steps, start = positive_int(steps, "steps"), as_array(baseline, "baseline")
    attributions = []
    for x, classes in batches(model, images, class_index, batch_size):
        found = start.shape if start.dtype.kind in "biuf" else brief(baseline)
        if start.dtype.kind not in "biuf" or start.shape not in ((), x.shape[1:]):
            raise ValueError(f"the baseline must be a number or have the shape {x.shape[1:]}, got {found}")
        way, total = (x - start).astype(x.dtype), np.zeros_like(x)
        for step in range(steps):
            t = x.dtype.type((step + 0.5) / steps)
            total += score_gradient(model, x - (1 - t) * way, classes)
        attributions.append(way * total / steps)
    return np.concatenate(attributions)


def _guided(layer: Layer) -> Layer:
    """The layer with a `GuidedReLU` in place of each ReLU in it."""
    if isinstance(layer, ReLU):
        return GuidedReLU(layer.given_name)
    if isinstance(layer, Block):
        for path in layer.paths:
            path[:] = map(_guided, path)
    if layer.activation is not None:
        layer.activation = _guided(layer.activation)
    return layer
