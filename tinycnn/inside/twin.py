"""A second model with the same weights, to be looked into while the first stays as it is."""

from collections.abc import Callable

from tinycnn.layers.base import Layer
from tinycnn.layers.registry import describe, restore
from tinycnn.model import Sequential


def twin_of(model: Sequential, change: Callable[[Layer], Layer] = lambda layer: layer) -> Sequential:
    """A model of the same layers and weights, about to draw the same random numbers.

    Parameters
    ----------
    model : Sequential
        Built.
    change : callable
        What becomes of each of its layers, not yet built; names and shapes of the parameters must stay.

    Examples
    --------
    >>> import numpy as np
    >>> from tinycnn.layers import Dense
    >>> model = Sequential([Dense(2)])
    >>> x = np.ones((1, 3), np.float32)
    >>> bool((model.forward(x) == twin_of(model).forward(x)).all())
    True
    """
    twin = type(model)([change(restore(describe(layer))) for layer in model.layers], name=model.name)
    for layer in twin.all_layers():
        layer.initialize = False  # the weights are copied
    twin.build(model.input_shape, dtype=model.dtype)
    twin.set_weights(model.get_weights(), source=f"model '{model.name}'")
    for mine, theirs in zip(twin.all_layers(), model.all_layers(), strict=True):
        mine.trainable = theirs.trainable
    generators = model.generators()
    for name, generator in twin.generators().items():
        generator.bit_generator.state = generators[name].bit_generator.state
    return twin
