"""Going through a model's layers and their sublayers: names, paths, parameters, and where NaN began."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from tinycnn.layers.base import Layer, snake_case
from tinycnn.summary import keras_class


class NonFinite(NamedTuple):
    """Where NaN or infinity was first seen: the layer's index and name, and which of its arrays."""

    index: int
    name: str
    what: str


def name_layers(layers, prefix="", index=None):
    """Give every layer its index in the model and, unless it has one, a name that is unique in the model.

    Names are Keras's (``conv2d``, ``conv2d_1``); a layer inside another has its owner's in front:
    ``residual/conv2d``.

    Raises
    ------
    ValueError
        If two layers have one name.
    """
    given = Counter(layer.name for layer in layers if layer.name)
    for name, times in given.items():
        if times > 1:
            raise ValueError(f"{times} layers are called {name!r}; names must differ, since they key the weights")
        if "/" in name.removeprefix(prefix):
            raise ValueError(f"layer name {name!r} has a '/', which is what separates a layer from its parameters")
    numbers = Counter()
    for i, layer in enumerate(layers):
        layer.index = i if index is None else index
        while not layer.name:
            stem = prefix + snake_case(keras_class(layer))
            name = f"{stem}_{numbers[stem]}" if numbers[stem] else stem
            numbers[stem] += 1
            if name not in given:
                layer.name = name
        name_layers(layer.sublayers(), f"{layer.name}/", layer.index)


def walk(layer):
    """Yield `layer` and everything inside it."""
    yield layer
    for part in layer.sublayers():
        yield from walk(part)


def trainable(layer):
    """Yield ``(key, parameter, gradient)`` of `layer` and everything inside it, frozen parts left out."""
    if layer.trainable:
        for key, param in layer.params.items():
            yield f"{layer.name}/{key}", param, layer.grads[key]
        for part in layer.sublayers():
            yield from trainable(part)


def layers_of(step):
    """The layers that one step of a model runs: the step itself, or those that a fused step holds."""
    return [step] if isinstance(step, Layer) else list(step.layers)


def ends_in(layer, activation):
    """Whether `layer` is that activation or applies it last."""
    last = getattr(layer, "activation", None) or layer
    return last == activation or snake_case(type(last).__name__) == activation


def first_nonfinite(layers, x=None):
    """Search `layers` in order, running them on `x` if it is given; see `Sequential.first_nonfinite`."""
    if x is not None and not np.isfinite(x).all():
        return NonFinite(-1, "input", "the images")
    for i, layer in enumerate(layers):
        for part in walk(layer):
            for key, array in (part.params | part.state).items():
                if not np.isfinite(array).all():
                    return NonFinite(i, part.name, key)
        if x is not None:
            x = layer.forward(x)
            if not np.isfinite(x).all():
                return NonFinite(i, layer.name, "output")
    return None


def copy_weights(weights, own, source):
    """Copy `weights` into the arrays of `own` if all keys and shapes agree; see `Sequential.set_weights`."""
    for key in [*own, *(key for key in weights if key not in own)]:
        layer, _, what = key.rpartition("/")
        if key not in weights:
            raise ValueError(f"layer '{layer}' needs {what} of shape {own[key].shape}, but {source} has none")
        shape = np.shape(weights[key])
        if key not in own:
            raise ValueError(f"{source} has {what} of shape {shape} for layer '{layer}', which this model lacks")
        if shape != own[key].shape:
            raise ValueError(f"layer '{layer}' has {what} of shape {own[key].shape}, but {source} has {shape}")
    for key, array in own.items():
        array[...] = weights[key]


def weights_of(arrays):
    """The weights among the arrays of a saved model or checkpoint, by the keys that `copy_weights` takes."""
    return {key.removeprefix("weights/"): array for key, array in arrays.items() if key.startswith("weights/")}
