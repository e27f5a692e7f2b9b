"""Which inputs make an output, and which outputs an input has a part in, by which weights: for each kind of layer."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn.inside.windows import upsampling_weights, window_axes
from tinycnn.layers.activation import ACTIVATIONS, LeakyReLU, ReLU, Softmax
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

if TYPE_CHECKING:
    from tinycnn.inside.trace import Trace

Index = tuple[int, ...]


class Reach(NamedTuple):
    """The inputs of one output, or the outputs of one input, with their weights.

    Attributes
    ----------
    positions : ndarray of int, shape (..., axes)
    weights : ndarray, shape (...)
    bias : float
        Of an output.
    values : ndarray or None
        Numbers or gradients at the positions, where they are not those of the layer's own input or output.
    details : dict
    """

    positions: np.ndarray
    weights: np.ndarray
    bias: float = 0.0
    values: np.ndarray | None = None
    details: dict[str, Any] = {}


def lies_inside(positions: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Whether there is such a place in the array; shape ``positions.shape[:-1]``."""
    return np.all((positions >= 0) & (positions < array.shape), axis=-1)


def values_at(array: np.ndarray, positions: np.ndarray, outside: float) -> np.ndarray:
    """The array's numbers at positions, `outside` where there are none; float64."""
    inside = lies_inside(positions, array)
    values = np.full(inside.shape, outside)
    values[inside] = array[tuple(positions[inside].T)]
    return values


def _grid(image: int, *axes: np.ndarray) -> np.ndarray:
    """Positions ``(image, row, column, channel)`` of all combinations, shape ``(rows, columns, channels, 4)``."""
    return np.stack(np.meshgrid([image], *axes, indexing="ij"), axis=-1)[0]


def _under_window(layer: Layer, kernel: np.ndarray, index: Index, groups: int = 1) -> Reach:
    """What a convolution's window at `index` covers, zeros of the padding included."""
    image, row, column, filter = index
    rows, columns = (axis.inputs_of(at) for axis, at in zip(window_axes(layer), (row, column), strict=True))
    depth, filters = kernel.shape[2:]
    channels = filter // (filters // groups) * depth + np.arange(depth)
    return Reach(_grid(image, rows, columns, channels), kernel[..., filter])


def _over_pixel(layer: Layer, kernel: np.ndarray, index: Index, groups: int = 1) -> Reach:
    """The positions of a convolution's window that cover `index`, and the weight that each has there."""
    image, row, column, channel = index
    (rows, r), (columns, s) = (axis.outputs_of(at) for axis, at in zip(window_axes(layer), (row, column), strict=True))
    depth, filters = kernel.shape[2:]
    width = filters // groups
    chosen = channel // depth * width + np.arange(width)
    return Reach(_grid(image, rows, columns, chosen), kernel[np.ix_(r, s, [channel % depth], chosen)][:, :, 0])


def _conv_terms(trace: "Trace", layer: Conv2D, index: Index) -> Reach:
    return _under_window(layer, layer.params["kernel"], index, layer.groups)._replace(bias=_bias(layer, index))


def _conv_back(trace: "Trace", layer: Conv2D, index: Index) -> Reach:
    return _over_pixel(layer, layer.params["kernel"], index, layer.groups)


def _transposed_terms(trace: "Trace", layer: Conv2DTranspose, index: Index) -> Reach:
    """A convolution's gradient: an output here is an input of that convolution."""
    return _over_pixel(layer, layer.params["kernel"], index)._replace(bias=_bias(layer, index))


def _transposed_back(trace: "Trace", layer: Conv2DTranspose, index: Index) -> Reach:
    return _under_window(layer, layer.params["kernel"], index)


def _bias(layer: Layer, index: Index) -> float:
    return float(layer.params["bias"][index[-1]]) if "bias" in layer.params else 0.0


def _dense_terms(trace: "Trace", layer: Dense, index: Index) -> Reach:
    image, unit = index
    inputs = np.arange(layer.input_shape[0])
    positions = np.stack([np.full_like(inputs, image), inputs], axis=1)
    return Reach(positions, layer.params["kernel"][:, unit], _bias(layer, index))


def _dense_back(trace: "Trace", layer: Dense, index: Index) -> Reach:
    image, position = index
    units = np.arange(layer.units)
    return Reach(np.stack([np.full_like(units, image), units], axis=1), layer.params["kernel"][position])


def _pool_terms(trace: "Trace", layer: MaxPool2D | AveragePool2D, index: Index) -> Reach:
    image, row, column, channel = index
    rows, columns = (axis.inputs_of(at) for axis, at in zip(window_axes(layer), (row, column), strict=True))
    positions = _grid(image, rows, columns, np.array([channel]))[:, :, 0]  # (window rows, window columns, 4)
    source = trace[str(layer.name)].input
    patch, inside = values_at(source, positions, math.nan), lies_inside(positions, source)
    if isinstance(layer, AveragePool2D):
        return Reach(positions, inside / inside.sum())
    # The first of equal values wins, and NaN over every number, the last of several.
    broken = np.flatnonzero(inside & np.isnan(patch))
    winner = broken[-1] if broken.size else np.argmax(np.where(inside, patch, -math.inf))
    chosen = np.zeros(patch.shape)
    chosen.flat[winner] = 1
    return Reach(positions, chosen, details={"winner": tuple(positions[chosen > 0][0].tolist())})


def _pool_back(trace: "Trace", layer: MaxPool2D | AveragePool2D, index: Index) -> Reach:
    image, row, column, channel = index
    (rows, _), (columns, _) = (axis.outputs_of(at) for axis, at in zip(window_axes(layer), (row, column), strict=True))
    return _searched(_pool_terms, trace, layer, index, _grid(image, rows, columns, np.array([channel])))


def _searched(terms: "Direction", trace: "Trace", layer: Layer, index: Index, candidates: np.ndarray) -> Reach:
    """Those of some outputs that `index` has a part in, by the `terms` of each of them."""
    candidates = candidates.reshape(-1, candidates.shape[-1])
    weights = np.zeros(len(candidates))
    for i, output in enumerate(candidates.tolist()):
        reach = terms(trace, layer, tuple(output))
        weights[i] = np.sum(reach.weights[(reach.positions == index).all(axis=-1)])
    return Reach(candidates[weights != 0], weights[weights != 0])


def _whole(layer: Layer, index: Index) -> np.ndarray:
    """Positions of the channel of a global pool's output, shape ``(rows, columns, 4)``."""
    height, width, _ = layer.input_shape
    return _grid(index[0], np.arange(height), np.arange(width), np.array([index[-1]]))[:, :, 0]


def _global_terms(trace: "Trace", layer: GlobalAveragePool2D, index: Index) -> Reach:
    height, width, _ = layer.input_shape
    return Reach(_whole(layer, index), np.full((height, width), 1 / (height * width)))


def _global_back(trace: "Trace", layer: GlobalAveragePool2D, index: Index) -> Reach:
    height, width, _ = layer.input_shape
    output = (index[0], *(0 for _ in layer.output_shape[:-1]), index[-1])
    return Reach(np.array([output]), np.array([1 / (height * width)]))


def _global_max_terms(trace: "Trace", layer: GlobalMaxPool2D, index: Index) -> Reach:
    positions, picture = _whole(layer, index), trace[str(layer.name)].input[index[0], :, :, index[-1]]
    chosen = np.zeros(picture.shape)
    chosen.flat[picture.argmax()] = 1  # the first of equal values, and of several nan
    return Reach(positions, chosen, details={"winner": tuple(positions[chosen > 0][0].tolist())})


def _global_max_back(trace: "Trace", layer: GlobalMaxPool2D, index: Index) -> Reach:
    output = (index[0], *(0 for _ in layer.output_shape[:-1]), index[-1])
    return _searched(_global_max_terms, trace, layer, index, np.array([output]))


def _padded_terms(trace: "Trace", layer: ZeroPadding2D, index: Index) -> Reach:
    image, row, column, channel = index
    rows, columns = (axis.inputs_of(at) for axis, at in zip(window_axes(layer), (row, column), strict=True))
    return Reach(np.array([(image, rows[0], columns[0], channel)]), np.ones(1))


def _padded_back(trace: "Trace", layer: ZeroPadding2D, index: Index) -> Reach:
    image, row, column, channel = index
    (rows, _), (columns, _) = (axis.outputs_of(at) for axis, at in zip(window_axes(layer), (row, column), strict=True))
    return Reach(np.array([(image, rows[0], columns[0], channel)]), np.ones(1))


def _upsample_terms(trace: "Trace", layer: UpSample2D, index: Index) -> Reach:
    image, row, column, channel = index
    bilinear = layer.interpolation == "bilinear"
    (rows, r), (columns, s) = (
        upsampling_weights(factor, bilinear, at, n)
        for factor, at, n in zip(layer.size, (row, column), layer.input_shape[:2], strict=True)
    )
    return Reach(_grid(image, rows, columns, np.array([channel]))[:, :, 0], np.outer(r, s))


def _upsample_back(trace: "Trace", layer: UpSample2D, index: Index) -> Reach:
    image, row, column, channel = index
    rows, columns = (
        np.arange(max(0, factor * (at - 1)), min(n, factor * (at + 2)))
        for factor, at, n in zip(layer.size, (row, column), layer.output_shape[:2], strict=True)
    )
    return _searched(_upsample_terms, trace, layer, index, _grid(image, rows, columns, np.array([channel])))


def _moments(trace: "Trace", layer: BatchNorm | LayerNorm, index: Index) -> tuple[float, float, np.ndarray | None]:
    """Mean and variance that the layer took off, and the values that they are of: of the batch or of the pixel."""
    record, values = trace[str(layer.name)], None
    if isinstance(layer, LayerNorm):
        values = record.input[index[:-1]]  # (channels,)
    elif trace.training and layer.trainable:
        values = record.input[..., index[-1]]  # (images, rows, columns)
    if values is None:
        mean, variance = (layer.state[f"moving_{key}"][index[-1]] for key in ("mean", "variance"))
        return float(mean), float(variance), None
    values = values.astype(np.float64)
    return float(values.mean()), float(values.var()), values


def _norm_terms(trace: "Trace", layer: BatchNorm | LayerNorm, index: Index) -> Reach:
    """The line by which a number becomes its output, mean and variance being what they are."""
    mean, variance, _ = _moments(trace, layer, index)
    gamma, beta = (float(layer.params[key][index[-1]]) for key in ("gamma", "beta"))
    scale = gamma / math.sqrt(variance + layer.epsilon)
    details = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    return Reach(np.array([index]), np.array([scale]), beta - mean * scale, details=details)


def _norm_back(trace: "Trace", layer: BatchNorm | LayerNorm, index: Index) -> Reach:
    mean, variance, values = _moments(trace, layer, index)
    std, gamma = math.sqrt(variance + layer.epsilon), layer.params["gamma"].astype(np.float64)
    if values is None:
        return Reach(np.array([index]), np.array([gamma[index[-1]] / std]))
    # Mean and variance depend on every value, so each output has a part of this input.
    place = index[-1:] if isinstance(layer, LayerNorm) else index[:-1]
    normalised = (values - mean) / std
    weights = -(1 + normalised * normalised[place]) / values.size
    weights[place] += 1
    if isinstance(layer, LayerNorm):
        return Reach(np.array([(*index[:-1], channel) for channel in range(len(values))]), gamma / std * weights)
    positions = np.stack([*np.indices(values.shape), np.full(values.shape, index[-1])], axis=-1)
    return Reach(positions, gamma[index[-1]] / std * weights)


def _slope(trace: "Trace", layer: Layer, index: Index) -> float:
    """How much the output changes per unit of the input, as the layer itself says (dropout's mask included)."""
    output = trace[str(layer.name)].output
    return float(layer.backward(np.ones_like(output))[index])  # type: ignore[index]


def _elementwise_terms(trace: "Trace", layer: Layer, index: Index) -> Reach:
    """A line through 0, or where the function bends everywhere its tangent."""
    slope, record = _slope(trace, layer, index), trace[str(layer.name)]
    straight = isinstance(layer, (ReLU, LeakyReLU, Dropout))
    bias = 0.0 if straight else float(record.output[index]) - slope * float(record.input[index])
    return Reach(np.array([index]), np.array([slope]), bias)


def _elementwise_back(trace: "Trace", layer: Layer, index: Index) -> Reach:
    return Reach(np.array([index]), np.array([_slope(trace, layer, index)]))


def _untouched(trace: "Trace", layer: Augmentation, index: Index) -> Reach:
    if trace.training:
        raise ValueError(
            f"{layer.where()} makes other images in training, and its numbers are no sums of a few: trace without "
            "training=True to take one apart"
        )
    return Reach(np.array([index]), np.ones(1))


def _softmax_back(trace: "Trace", layer: Softmax, index: Index) -> Reach:
    shares = trace[str(layer.name)].output[index[:-1]].astype(np.float64)
    own = (np.arange(len(shares)) == index[-1]) * 1.0
    positions = np.array([(*index[:-1], other) for other in range(len(shares))])
    return Reach(positions, shares * (own - shares[index[-1]]))


def _softmax_terms(trace: "Trace", layer: Softmax, index: Index) -> Reach:
    """The tangent; its matrix of slopes is symmetric."""
    record, reach = trace[str(layer.name)], _softmax_back(trace, layer, index)
    scores = record.input[index[:-1]].astype(np.float64)
    exponentials = np.exp(scores - scores.max())
    details = {"exponentials": exponentials, "sum": float(exponentials.sum())}
    return reach._replace(bias=float(record.output[index] - scores @ reach.weights), details=details)


def _view_terms(trace: "Trace", layer: Layer, index: Index) -> Reach:
    place = np.ravel_multi_index(index[1:], layer.output_shape)
    return Reach(np.array([(index[0], *np.unravel_index(place, layer.input_shape))]), np.ones(1))


def _view_back(trace: "Trace", layer: Layer, index: Index) -> Reach:
    place = np.ravel_multi_index(index[1:], layer.input_shape)
    return Reach(np.array([(index[0], *np.unravel_index(place, layer.output_shape))]), np.ones(1))


def paths_of(layer: Block) -> Sequence[list[Layer]]:
    """A block's paths as their outputs are put together here: of a residual block the shortcut first."""
    return (layer.shortcut, layer.layers) if isinstance(layer, Residual) else layer.paths


def first_channels(layer: Block) -> list[int]:
    """Where each path's channels begin in the block's output: at 0, unless they are laid beside each other."""
    if not isinstance(layer, Parallel) or layer.merge != "concat":
        return [0] * len(layer.paths)
    return [0, *accumulate(shape[-1] for shape in layer.path_shapes(layer.input_shape)[:-1])]


def _block_terms(trace: "Trace", layer: Block, index: Index) -> Reach:
    """What the paths gave that are added up; of those laid beside each other, the one with this channel."""
    places, values, names = [], [], []
    for path, first in zip(paths_of(layer), first_channels(layer), strict=True):
        given = trace[str(path[-1].name)].output if path else trace[str(layer.name)].input
        place = (*index[:-1], index[-1] - first)
        if 0 <= place[-1] < given.shape[-1]:
            places.append(place)
            values.append(float(given[place]))
            names.append(str(path[-1].name) if path else "input")
    return Reach(np.array(places), np.ones(len(values)), values=np.array(values), details={"from": names})


def _block_back(trace: "Trace", layer: Block, index: Index) -> Reach:
    """The gradients that come back through the paths."""
    own, values = trace[str(layer.name)].grad_pre_activation, []
    for path, first in zip(paths_of(layer), first_channels(layer), strict=True):
        through = trace[str(path[0].name)].grad_input[index] if path else own[(*index[:-1], index[-1] + first)]
        values.append(float(through))
    return Reach(np.array([index] * len(values)), np.ones(len(values)), values=np.array(values))


Direction = Callable[["Trace", Any, Index], Reach]
KINDS: dict[type[Layer], tuple[Direction, Direction]] = {
    Conv2D: (_conv_terms, _conv_back),
    Conv2DTranspose: (_transposed_terms, _transposed_back),
    Dense: (_dense_terms, _dense_back),
    MaxPool2D: (_pool_terms, _pool_back),
    AveragePool2D: (_pool_terms, _pool_back),
    GlobalAveragePool2D: (_global_terms, _global_back),
    UpSample2D: (_upsample_terms, _upsample_back),
    BatchNorm: (_norm_terms, _norm_back),
    LayerNorm: (_norm_terms, _norm_back),
    ZeroPadding2D: (_padded_terms, _padded_back),
    GlobalMaxPool2D: (_global_max_terms, _global_max_back),
    **{kind: (_elementwise_terms, _elementwise_back) for kind in (*ACTIVATIONS, Dropout, Rescaling)},
    Augmentation: (_untouched, _untouched),
    Softmax: (_softmax_terms, _softmax_back),
    Flatten: (_view_terms, _view_back),
    Reshape: (_view_terms, _view_back),
    **{kind: (_block_terms, _block_back) for kind in (Residual, Parallel, SeparableConv2D)},
}
