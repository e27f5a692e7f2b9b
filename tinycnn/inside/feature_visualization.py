"""What a channel looks for: an image made for it, by gradient ascent on the pixels."""

import numpy as np

from tinycnn.arguments import brief, count, generator, number, of_class, positive_int
from tinycnn.layers.block import Block
from tinycnn.layers.weighted import Weighted
from tinycnn.model import Sequential


def feature_visualization(
    model: Sequential,
    layer: str,
    channel: int,
    steps: int = 64,
    rate: float = 0.05,
    jitter: int = 1,
    seed: int | np.random.Generator = 0,
) -> np.ndarray:
    """Draw what a channel of a layer looks for.

    From grey with a little noise, uphill in the channel's output y in the middle of the layer, or in the unit's::

        x <- clip(x + rate * g / max |g|, 0, 1),   g = dy / dx

    with the image rolled by a pixel or so, another way in each step, and back again: what must be seen wherever it
    stands holds less of the chequerboards that strides and pooling let through.  What the output does not see stays
    grey.

    Parameters
    ----------
    model : Sequential
        Built; its weights stay as they are, its layers' `grads` are overwritten.
    layer : str
        Name of one of ``model.layers``, before its activation.
    channel : int
        Filter or unit, along the last axis of the layer's output.
    steps : int
    rate : float
        Of a step: how far the pixel that matters most moves.
    jitter : int
        Pixels to roll by at most; 0 keeps the image in its place.
    seed : int or numpy.random.Generator
        Of the noise and the rolling.

    Returns
    -------
    ndarray, shape (height, width, channels)
        In the model's dtype, 0 to 1.

    Raises
    ------
    ValueError
        If the model is not built, or has no such layer or channel.

    References
    ----------
    D. Erhan et al., "Visualizing higher-layer features of a deep network", University of Montreal 1341, 2009;
    C. Olah, A. Mordvintsev, L. Schubert, "Feature visualization", Distill, 2017 (jitter).

    Examples
    --------
    >>> from tinycnn.layers import Conv2D, Dense, Flatten
    >>> model = Sequential([Conv2D(4, 3, activation="relu"), Flatten(), Dense(2, activation="softmax")])
    >>> _ = model.build((8, 8, 1))
    >>> feature_visualization(model, "conv2d", 0).shape
    (8, 8, 1)
    """
    steps, rng = positive_int(steps, "steps"), generator(seed)
    of_class(model, Sequential, "model")
    if not model.built:
        raise ValueError(f"model '{model.name}' must be built before a channel of it can be drawn: train it or load it")
    names = [str(part.name) for part in model.layers]
    if not isinstance(layer, str) or layer not in names:
        raise ValueError(f"no layer {layer!r} in model '{model.name}'; it has {', '.join(names)}")
    layers = model.layers[: names.index(layer) + 1]
    channels = layers[-1].output_shape[-1]
    rate, jitter = number(rate, "rate"), count(jitter, "jitter")
    if not isinstance(channel, int | np.integer) or not 0 <= channel < channels:
        raise ValueError(f"layer '{layer}' has channels 0..{channels - 1}, got {brief(channel)}")
    x = (0.5 + 0.02 * rng.standard_normal((1, *model.input_shape))).astype(model.dtype)
    for _ in range(steps):
        down, right = rng.integers(-jitter, jitter + 1, 2)
        grad = _gradient(layers, np.roll(x, (down, right), axis=(1, 2)), channel)
        largest = np.abs(grad).max()
        if largest > 0:
            x = np.clip(x + rate * np.roll(grad, (-down, -right), axis=(1, 2)) / largest, 0, 1)
    return x[0]


def _gradient(layers, x, channel):
    """Of a channel's middle output to the image, before the last layer's activation: a ReLU at 0 shows no way up."""
    *below, last = layers
    linear = isinstance(last, (Weighted, Block))
    forward, backward = (last.forward_linear, last.backward_linear) if linear else (last.forward, last.backward)
    for layer in below:
        x = layer.forward(x)
    y = forward(x)
    grad = np.zeros_like(y)
    grad[(0, *(n // 2 for n in y.shape[1:-1]), channel)] = 1
    grad = backward(grad)
    for layer in reversed(below):
        grad = layer.backward(grad)
    return grad
