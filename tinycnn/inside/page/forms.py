"""What the page must know of a layer to add up any of its numbers itself: the form of its sum, and its weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinycnn.inside.page.arrays import Arrays
from tinycnn.inside.reaches import first_channels, paths_of
from tinycnn.inside.trace import Record
from tinycnn.inside.windows import upsampling_weights, window_axes
from tinycnn.layers.activation import ACTIVATIONS, Softmax
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.base import Layer
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.depthwise import SeparableConv2D
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.rescaling import Rescaling
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.summary import keras_class

# A dense layer with more weights is not put into the page whole, but with its largest terms.
WHOLE = 100_000
LARGEST_FORWARD, LARGEST_BACKWARD = 16, 2

Form = dict[str, Any]


def form_of(layer: Layer, record: Record, arrays: Arrays) -> Form:
    """The form of a traced layer's sums, its weights added to `arrays`; of an unknown kind, ``{"type": "unknown"}``."""
    for base in type(layer).__mro__:
        if base in FORMS:
            return FORMS[base](layer, record, arrays)
    return {"type": "unknown"}


def _axes(layer: Layer) -> Form:
    return dict(zip(("rows", "columns"), (axis._asdict() for axis in window_axes(layer)), strict=True))


def _convolution(layer: Conv2D | Conv2DTranspose, record: Record, arrays: Arrays) -> Form:
    return {
        "type": "convolution",
        "transposed": isinstance(layer, Conv2DTranspose),
        **_axes(layer),
        "groups": layer.groups if isinstance(layer, Conv2D) else 1,
        "kernel_shape": record.params["kernel"].shape,
        **_weights(record, arrays),
    }


def _weights(record: Record, arrays: Arrays) -> Form:
    return {
        **{key: arrays.add(value) for key, value in record.params.items()},
        **{f"{key}_gradient": arrays.add(value) for key, value in record.grads.items()},
    }


def _pool(layer: MaxPool2D | AveragePool2D, record: Record, arrays: Arrays) -> Form:
    return {"type": "pool", "max": isinstance(layer, MaxPool2D), **_axes(layer)}


def _whole_pool(layer: GlobalMaxPool2D | GlobalAveragePool2D, record: Record, arrays: Arrays) -> Form:
    return {"type": "whole", "max": isinstance(layer, GlobalMaxPool2D)}


def _padded(layer: ZeroPadding2D, record: Record, arrays: Arrays) -> Form:
    return {"type": "padded", **_axes(layer)}


def _dense(layer: Dense, record: Record, arrays: Arrays) -> Form:
    kernel = record.params["kernel"]
    form: Form = {"type": "dense", "kernel_shape": kernel.shape}
    if "bias" in record.params:
        form["bias"] = arrays.add(record.params["bias"])
    if kernel.size <= WHOLE:
        return form | {"kernel": arrays.add(kernel)}
    products = np.abs(kernel * record.input[0][:, None])  # (inputs, units)
    form["forward"] = _largest(products.T, kernel.T, LARGEST_FORWARD, arrays)
    if record.grad_pre_activation is not None:
        # Of equal products, as where the gradient is 0, those of the largest weights.
        products = np.abs(kernel * record.grad_pre_activation[0])
        form["backward"] = _largest(products, kernel, LARGEST_BACKWARD, arrays)
    return form


def _largest(products: np.ndarray, weights: np.ndarray, count: int, arrays: Arrays) -> Form:
    """For each row the places of the `count` largest products, largest first, and the weights there."""
    count = min(count, products.shape[1])
    places = np.argpartition(-products, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(products, places, 1), axis=1, kind="stable")
    places = np.take_along_axis(places, order, 1)
    chosen = np.take_along_axis(weights, places, 1)
    return {"count": count, "places": arrays.add(places), "weights": arrays.add(chosen)}


def _norm(layer: BatchNorm | LayerNorm, record: Record, arrays: Arrays) -> Form:
    """A layer normalisation's statistics are those of each pixel's channels, which the page has."""
    statistics = {key: arrays.add(value) for key, value in layer.state.items()}
    pixel = isinstance(layer, LayerNorm)
    return {"type": "norm", "pixel": pixel, "epsilon": layer.epsilon, **statistics, **_weights(record, arrays)}


def _enlarged(layer: UpSample2D, record: Record, arrays: Arrays) -> Form:
    """For each output row and column the inputs that it is made of, and their shares."""
    bilinear = layer.interpolation == "bilinear"
    rows, columns = (
        [[part.tolist() for part in upsampling_weights(factor, bilinear, at, n)] for at in range(factor * n)]
        for factor, n in zip(layer.size, layer.input_shape[:2], strict=True)
    )
    return {"type": "enlarged", "rows": rows, "columns": columns}


def _element(layer: Layer, record: Record, arrays: Arrays) -> Form:
    return {"type": "element", "function": keras_class(layer), "options": layer.config()}


def _block(layer: Block, record: Record, arrays: Arrays) -> Form:
    """For each path its first layer (none for a path without layers) and its channels in what is put together."""
    paths = paths_of(layer)
    return {
        "type": "block",
        "beside": isinstance(layer, Parallel) and layer.merge == "concat",
        "first": [str(path[0].name) if path else None for path in paths],
        "starts": first_channels(layer),
        "widths": [(path[-1].output_shape if path else layer.input_shape)[-1] for path in paths],
    }


def _only(name: str) -> "Maker":
    return lambda layer, record, arrays: {"type": name}


Maker = Callable[[Any, Record, Arrays], Form]
FORMS: dict[type[Layer], Maker] = {
    Conv2D: _convolution,
    Conv2DTranspose: _convolution,
    Dense: _dense,
    MaxPool2D: _pool,
    AveragePool2D: _pool,
    GlobalAveragePool2D: _whole_pool,
    GlobalMaxPool2D: _whole_pool,
    ZeroPadding2D: _padded,
    UpSample2D: _enlarged,
    BatchNorm: _norm,
    LayerNorm: _norm,
    Rescaling: _element,
    **{kind: _element for kind in ACTIVATIONS if kind is not Softmax},
    Softmax: _only("softmax"),
    Augmentation: _only("same"),
    Dropout: _only("same"),
    Flatten: _only("same"),
    Reshape: _only("same"),
    **{kind: _block for kind in (Residual, Parallel, SeparableConv2D)},
}
