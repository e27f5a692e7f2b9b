"""In what order a library of channels first and one of channels last have the numbers of a flattened image."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tinycnn.layers.activation import ACTIVATIONS
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape

EACH_NUMBER = (BatchNorm, Dropout, LayerNorm, Rescaling, *ACTIVATIONS)  # whatever the order of the numbers of a vector


def feature_orders(
    layers: Sequence[Layer], source: str, channels_first: Callable[[Layer], bool] = lambda layer: True
) -> list[np.ndarray | None]:
    """How a channels-first library orders the numbers before, between and behind built `layers`.

    Where a Flatten makes images of vectors, or a Reshape vectors of images, that library has channel after channel and
    tinycnn pixel after pixel; up to the next Dense everything is in that order.  ``theirs[j] = ours[order[j]]``; None
    where both agree.

    Parameters
    ----------
    layers : sequence of Layer
        Of a built model.
    source : str
        Which conversion it is, for errors.
    channels_first : callable
        Whether a Flatten or Reshape works on channels first in the other library.

    Raises
    ------
    ValueError
        Where no weights can make up for the order.

    Examples
    --------
    >>> from tinycnn.model import Sequential
    >>> model = Sequential([Flatten(), Dense(3)])
    >>> model.build((2, 1, 2))
    (3,)
    >>> feature_orders(model.layers, "to_torch")
    [None, array([0, 2, 1, 3]), None]
    """
    orders: list[np.ndarray | None] = [None] * (len(layers) + 1)

    def refuse(i: int, why: str) -> NoReturn:
        raise ValueError(f"{source}: {layers[i].where()}: {why}")

    for i, layer in enumerate(layers):
        image = len(layer.input_shape) == 3
        if isinstance(layer, Flatten) and image and channels_first(layer):
            orders[i + 1] = _channels_first_order(layer.input_shape)
        elif isinstance(layer, EACH_NUMBER):
            orders[i + 1] = orders[i]
        elif orders[i] is not None and not isinstance(layer, (Dense, Reshape)):
            refuse(i, "it gets images flattened channel after channel; put a Dense before, which can put that right")
        if isinstance(layer, Reshape) and layer.input_shape != layer.output_shape and channels_first(layer):
            if image and _channels_first_order(layer.input_shape) is not None:
                refuse(i, "channels first and channels last reshape images differently; flatten and use a Dense before")
            if len(layer.output_shape) == 3:
                _want(_channels_first_order(layer.output_shape), i, layers, orders, refuse)
                continue
        if isinstance(layer, Reshape) and orders[i] is not None:
            refuse(i, "it gets images flattened channel after channel; put a Dense before, which can put that right")
    if orders[-1] is not None:
        refuse(len(layers) - 1, "the model gives an image's numbers channel after channel; end with a Dense")
    return orders


def _want(order: np.ndarray | None, i: int, layers: Sequence[Layer], orders: list[Any], refuse: Callable) -> None:
    """Have layer i's input in that order, from the Dense before it on."""
    for j in range(i, -1, -1):
        if orders[j] is not None and (order is None or not np.array_equal(orders[j], order)):
            refuse(i, "it makes images of numbers in another order; put a Dense before")
        orders[j] = order
        if j and isinstance(layers[j - 1], Dense) or order is None:
            return
        if not j or not isinstance(layers[j - 1], EACH_NUMBER):
            refuse(i, "channels first and channels last read a vector differently; put a Dense before")


def _channels_first_order(image_shape: Shape) -> np.ndarray | None:
    order = np.arange(math.prod(image_shape)).reshape(image_shape).transpose(2, 0, 1).ravel()
    return order if np.any(np.diff(order) != 1) else None


def reordered(key: str, array: np.ndarray, before: np.ndarray | None, after: np.ndarray | None) -> np.ndarray:
    """A Dense's kernel ``(inputs, units)`` or a vector of parameters, inputs taken in one order, outputs in another.

    >>> reordered("kernel", np.array([[1, 2], [3, 4]]), np.array([1, 0]), None).tolist()
    [[3, 4], [1, 2]]
    """
    if key == "kernel" and before is not None:
        array = array[before]
    return array if after is None else array[..., after]
