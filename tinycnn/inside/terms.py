"""What one number of a layer is made of: for each kind of layer its inputs and weights, and the same backwards.

Every layer here is, around the numbers it saw, a weighted sum: an output is the sum of products of some inputs with
weights, plus a bias, and the gradient to an input is the sum of products of the outputs' gradients with the same
weights.  Each kind says which inputs and which weights; adding up is the same for all.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn.inside.windows import upsampling_weights, window_axes
from tinycnn.layers.activation import ACTIVATIONS, LeakyReLU, ReLU, Softmax
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.upsample import UpSample2D

if TYPE_CHECKING:
    from tinycnn.inside.trace import Trace

Index = tuple[int, ...]


class Terms(NamedTuple):
    """What makes one output: ``total = products.sum() + bias``, with ``products = patch * weights``.

    Attributes
    ----------
    inputs : ndarray of int, shape (*patch.shape, axes of the layer's input)
        Where each number of the patch lies in the layer's input; outside of it in the padding.  Of a residual block: in
        what its shortcut and its branch gave.
    patch : ndarray of float64
        Those inputs: ``(kernel rows, kernel columns, channels)`` of a convolution, ``(window rows, window columns)`` of
        a pool, ``(inputs,)`` of a dense layer.  Cells outside the image are 0, and nan in a pool, where they take no
        part.
    weights, products : ndarray of float64
        Of the patch's shape.
    bias : float
    details : dict
        More of some kinds: ``mean`` and ``variance`` of a batch normalisation, ``winner`` of a max-pool (where in the
        input), ``exponentials`` and ``sum`` of a softmax.
    """

    inputs: np.ndarray
    patch: np.ndarray
    weights: np.ndarray
    products: np.ndarray
    bias: float
    details: dict[str, Any]

    @property
    def total(self) -> float:
        """What the layer computed, before its activation, to rounding."""
        return float(self.products.sum()) + self.bias

    def __str__(self) -> str:
        lines = _lines("input", self.inputs, self.patch, self.weights, self.products)
        return "\n".join([*lines, f"{'bias':>49} = {self.bias:9.5f}", f"{'sum':>49} = {self.total:9.5f}"])


class Back(NamedTuple):
    """What makes the gradient to one input: ``total = products.sum()``, with ``products = weights * gradients``.

    Attributes
    ----------
    outputs : ndarray of int, shape (terms, axes of the layer's output)
        The outputs that this input has a part in; of a residual block, the input itself, of shortcut and branch.
    weights : ndarray of float64, shape (terms,)
        By how much each of them changes per unit of the input.
    gradients : ndarray of float64, shape (terms,)
        The loss's gradient to each of them, before the activation.
    products : ndarray of float64, shape (terms,)
    """

    outputs: np.ndarray
    weights: np.ndarray
    gradients: np.ndarray
    products: np.ndarray

    @property
    def total(self) -> float:
        """The gradient that the layer handed on, to rounding."""
        return float(self.products.sum())

    def __str__(self) -> str:
        lines = _lines("output", self.outputs, self.gradients, self.weights, self.products)
        return "\n".join([*lines, f"{'sum':>49} = {self.total:9.5f}"])


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


def terms_of(trace: "Trace", layer: Layer, index: Index) -> Terms:
    """The `Terms` of output `index` of a traced layer."""
    reach, pools = _kind(layer)[0](trace, layer, index), isinstance(layer, (MaxPool2D, AveragePool2D))
    values, weights = reach.values, np.asarray(reach.weights, np.float64)
    if values is None:
        values = _values_at(trace[str(layer.name)].input, reach.positions, math.nan if pools else 0.0)
    # A cell that loses counts for nothing, even if it holds nan or infinity.
    products = np.multiply(values, weights, out=np.zeros(weights.shape), where=(weights != 0) | (not pools))
    return Terms(reach.positions, values, weights, products, float(reach.bias), reach.details)


def back_of(trace: "Trace", layer: Layer, index: Index) -> Back:
    """The `Back` of input `index` of a layer that was traced backwards."""
    reach = _kind(layer)[1](trace, layer, index)
    positions = reach.positions.reshape(-1, reach.positions.shape[-1])
    weights, values = np.ravel(reach.weights).astype(np.float64), reach.values
    if values is None:
        gradients = trace[str(layer.name)].grad_pre_activation
        inside = _inside(positions, gradients)
        positions, weights = positions[inside], weights[inside]
        values = _values_at(gradients, positions, 0.0)
    return Back(positions, weights, values, weights * values)


def _inside(positions: np.ndarray, array: np.ndarray) -> np.ndarray:
    return np.all((positions >= 0) & (positions < array.shape), axis=-1)


def _values_at(array: np.ndarray, positions: np.ndarray, outside: float) -> np.ndarray:
    inside = _inside(positions, array)
    values = np.full(inside.shape, outside)
    values[inside] = array[tuple(positions[inside].T)]
    return values


def _kind(layer: Layer) -> "tuple[Direction, Direction]":
    for base in type(layer).__mro__:
        if base in KINDS:
            return KINDS[base]
    known = ", ".join(sorted(kind.__name__ for kind in KINDS))
    raise ValueError(f"{layer.where()}: what its numbers are made of is known for {known} only")


def _lines(what: str, positions: np.ndarray, values: np.ndarray, weights: np.ndarray, products: np.ndarray) -> list:
    """The largest products, largest first, and how many are left out."""
    order = np.argsort(-np.abs(products), axis=None, kind="stable")
    flat = positions.reshape(-1, positions.shape[-1])
    lines = [
        f"{f'{what} {tuple(flat[i].tolist())}':28}{values.flat[i]:9.5f} * {weights.flat[i]:9.5f}"
        f" = {products.flat[i]:9.5f}"
        for i in order[:9]
    ]
    return lines if len(order) <= 9 else [*lines, f"and {len(order) - 9} more, none larger"]


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
    patch, inside = _values_at(source, positions, math.nan), _inside(positions, source)
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
    return _searched(trace, layer, index, _grid(image, rows, columns, np.array([channel])))


def _searched(trace: "Trace", layer: Layer, index: Index, candidates: np.ndarray) -> Reach:
    """Those of some outputs that `index` has a part in, by what each of them is made of."""
    candidates = candidates.reshape(-1, candidates.shape[-1])
    weights = np.zeros(len(candidates))
    for i, output in enumerate(candidates.tolist()):
        reach = _kind(layer)[0](trace, layer, tuple(output))
        weights[i] = np.sum(reach.weights[(reach.positions == index).all(axis=-1)])
    return Reach(candidates[weights != 0], weights[weights != 0])


def _global_terms(trace: "Trace", layer: GlobalAveragePool2D, index: Index) -> Reach:
    height, width, _ = layer.input_shape
    positions = _grid(index[0], np.arange(height), np.arange(width), np.array([index[-1]]))[:, :, 0]
    return Reach(positions, np.full((height, width), 1 / (height * width)))


def _global_back(trace: "Trace", layer: GlobalAveragePool2D, index: Index) -> Reach:
    height, width, _ = layer.input_shape
    output = (index[0], *(0 for _ in layer.output_shape[:-1]), index[-1])
    return Reach(np.array([output]), np.array([1 / (height * width)]))


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
    return _searched(trace, layer, index, _grid(image, rows, columns, np.array([channel])))


def _moments(trace: "Trace", layer: BatchNorm, channel: int) -> tuple[float, float, np.ndarray | None]:
    """Mean and variance that the layer took off, and the channel's values if they are the batch's."""
    if trace.training and layer.trainable:
        values = trace[str(layer.name)].input[..., channel].astype(np.float64)
        return float(values.mean()), float(values.var()), values
    return float(layer.state["moving_mean"][channel]), float(layer.state["moving_variance"][channel]), None


def _norm_terms(trace: "Trace", layer: BatchNorm, index: Index) -> Reach:
    mean, variance, _ = _moments(trace, layer, index[-1])
    gamma, beta = (float(layer.params[key][index[-1]]) for key in ("gamma", "beta"))
    scale = gamma / math.sqrt(variance + layer.epsilon)
    details = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    return Reach(np.array([index]), np.array([scale]), beta - mean * scale, details=details)


def _norm_back(trace: "Trace", layer: BatchNorm, index: Index) -> Reach:
    mean, variance, values = _moments(trace, layer, index[-1])
    scale = float(layer.params["gamma"][index[-1]]) / math.sqrt(variance + layer.epsilon)
    if values is None:
        return Reach(np.array([index]), np.array([scale]))
    # Mean and variance depend on every value of the channel, so each output has a part of this input.
    normalised = (values - mean) / math.sqrt(variance + layer.epsilon)
    weights = -(1 + normalised * normalised[index[:-1]]) / values.size
    weights[index[:-1]] += 1
    positions = np.stack([*np.indices(values.shape), np.full(values.shape, index[-1])], axis=-1)
    return Reach(positions, scale * weights)


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


def _residual_terms(trace: "Trace", layer: Residual, index: Index) -> Reach:
    """The shortcut's and the branch's output, in this order."""
    branch = trace[str(layer.layers[-1].name)].output[index]
    shortcut = trace[str(layer.shortcut[-1].name)].output if layer.shortcut else trace[str(layer.name)].input
    return Reach(np.array([index, index]), np.ones(2), values=np.array([shortcut[index], branch], np.float64))


def _residual_back(trace: "Trace", layer: Residual, index: Index) -> Reach:
    """The gradient that comes back through the shortcut, and the one through the branch."""
    own = trace[str(layer.name)].grad_pre_activation
    branch = trace[str(layer.layers[0].name)].grad_input[index]
    shortcut = (trace[str(layer.shortcut[0].name)].grad_input if layer.shortcut else own)[index]
    return Reach(np.array([index, index]), np.ones(2), values=np.array([shortcut, branch], np.float64))


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
    **{kind: (_elementwise_terms, _elementwise_back) for kind in (*ACTIVATIONS, Dropout)},
    Softmax: (_softmax_terms, _softmax_back),
    Flatten: (_view_terms, _view_back),
    Reshape: (_view_terms, _view_back),
    Residual: (_residual_terms, _residual_back),
}
