"""Layers of another library's model and what feeds what, made into a `Sequential` of layers and blocks.

Every reader fills a `Graph`, and `Graph.sequential` does what all have in common: paths that fork and meet become
`Residual`, padding and activations go into the layers that take them, and weights get into the order of NHWC.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.arguments import of_class
from tinycnn.layers.activation import ACTIVATIONS, ReLU, Sigmoid, Softmax
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.padding import check_padding, resolve_padding
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten, Reshape
from tinycnn.layers.residual import Residual
from tinycnn.layers.weighted import Weighted
from tinycnn.model import Sequential

Sides = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)
Weights = Mapping[str, np.ndarray]  # by tinycnn's names, axes in tinycnn's order: HWIO, (inputs, units)


class Pad(NamedTuple):
    """Pixels of one value around an image; negative numbers cut.  It goes into the layer behind it, or before it."""

    sides: Sides
    value: float = 0.0


class Merge(NamedTuple):
    """Where paths meet."""

    how: Literal["add", "concat"]


class Node(NamedTuple):
    """One operation of the other model; a layer of None gives what it gets."""

    key: str
    layer: Layer | Pad | Merge | None
    inputs: Sequence[str]
    weights: Weights
    channels_first: bool  # of a Flatten or Reshape: whether the other model's numbers are channel by channel


class Graph:
    """What a reader found, operation by operation, each after those that feed it.

    Parameters
    ----------
    source : str
        The reader's name, for errors.
    entry : str
        Key of the input.
    input_shape : tuple of int
        ``(height, width, channels)`` or ``(inputs,)``.

    Examples
    --------
    >>> graph = Graph("from_nowhere", "x", (4,))
    >>> graph.add("dense", Dense(4, use_bias=False), ["x"], {"kernel": 2 * np.eye(4)})
    >>> graph.add("sum", Merge("add"), ["dense", "x"])
    >>> graph.add("relu", ReLU(), ["sum"])
    >>> model = graph.sequential("relu")
    >>> model
    Sequential([Residual(layers=[...], shortcut=None, activation={...})], seed=0, name='sequential')
    >>> model.forward(np.float32([[-1, 0, 1, 2]]))
    array([[0., 0., 3., 6.]], dtype=float32)
    """

    def __init__(self, source: str, entry: str, input_shape: Shape) -> None:
        self.source, self.entry, self.input_shape = source, entry, tuple(input_shape)
        self.nodes: dict[str, Node] = {entry: Node(entry, None, (), {}, False)}
        self.shapes: dict[str, Shape] = {entry: self.input_shape}
        self._dominator: dict[str, str] = {}  # the last operation that every way to this one goes through
        self._depth = {entry: 0}
        self._used: set[str] = set()
        self._placed: list[tuple[Layer, Weights]] = []  # with weights, in the model

    def cannot(self, key: str, why: str) -> NoReturn:
        """Raise the ValueError that says at which operation it ended, and why."""
        raise ValueError(f"{self.source}: {key!r}: {why}")

    def add(
        self,
        key: str,
        layer: Layer | Pad | Merge | None,
        inputs: Sequence[str],
        weights: Weights | None = None,
        channels_first: bool = False,
    ) -> None:
        """Note the operation `key`; its layer is not built yet.

        Raises
        ------
        ValueError
            With the operation, if it cannot take its input's shape or gets none.
        """
        for name in inputs:
            if name not in self.shapes:
                self.cannot(key, f"it takes {name!r}, which no layer gives; only layers in a row and blocks convert")
        try:
            shape = _shape_after(layer, [self.shapes[name] for name in inputs])
        except ValueError as error:
            self.cannot(key, str(error))
        if isinstance(layer, Layer) and not layer.name and key.isidentifier() and not key.startswith("_"):
            layer.name = layer.given_name = key
        self.nodes[key] = Node(key, layer, inputs, weights or {}, channels_first)
        self.shapes[key] = shape
        fork = inputs[0]
        for other in inputs[1:]:  # up both ways until they meet
            while fork != other:
                fork, other = (
                    (self._dominator[fork], other)
                    if self._depth[fork] >= self._depth[other]
                    else (fork, self._dominator[other])
                )
        self._dominator[key], self._depth[key] = fork, self._depth[fork] + 1

    def sequential(self, output: str, dtype: DTypeLike = np.float32, name: str = "sequential") -> Sequential:
        """The model whose output is what the operation `output` gives, with all weights.

        Raises
        ------
        ValueError
            For what is no row of layers and blocks, and for weights that do not fit.
        """
        self._used, self._placed = set(), []
        path = self._path(output, self.entry)
        if not path:
            self.cannot(output, "there is no layer between it and the input")
        model = Sequential([node.layer for node in path], name=name)  # type: ignore[misc]  # no Pad is left
        for layer in model.all_layers():
            layer.initialize = False
        model.build(self.input_shape, dtype=dtype)
        for layer in model.all_layers():
            layer.initialize = True
        foreign = {id(node.layer) for node in path if node.channels_first}
        orders = feature_orders(model.layers, self.source, lambda layer: id(layer) in foreign)
        ours = [None if order is None else np.argsort(order) for order in orders]
        around = {id(layer): pair for layer, pair in zip(model.layers, zip(ours, ours[1:], strict=False), strict=True)}
        weights = {}
        for layer, given in self._placed:
            for key, value in given.items():
                weights[f"{layer.name}/{key}"] = reordered(key, np.asarray(value), *around.get(id(layer), (None, None)))
        model.set_weights(weights, source=self.source)
        return model

    def _path(self, key: str, start: str) -> list[Node]:
        """Layers from behind `start` to `key`; what lies between a fork and where its branches meet is one layer."""
        path = []
        while key != start:
            node = self.nodes[key]
            if key in self._used:
                self.cannot(key, "its output goes to two places that do not meet in one block; only blocks convert")
            self._used.add(key)
            key = self._dominator[key]
            if isinstance(node.layer, Merge):
                branches = [self._path(name, key) for name in node.inputs]
                node = node._replace(layer=self._block(node, branches))
            path.append(node)
        return self._folded(path[::-1])

    def _block(self, node: Node, branches: list[list[Node]]) -> Layer:
        rows = [[part.layer for part in branch] for branch in branches]
        if node.layer == Merge("add") and len(rows) == 2 and any(rows):
            short, long = sorted(rows, key=len) if len(rows[0]) != len(rows[1]) else rows[::-1]
            return Residual(long, short or None)  # type: ignore[arg-type]
        return Parallel(rows, node.layer.how)  # type: ignore[union-attr, arg-type]

    def _folded(self, path: list[Node]) -> list[Node]:
        """Without nodes that do nothing; padding and activations inside the layers beside them."""
        row: list[Node] = []
        for node in path:
            last, layer = row[-1] if row else None, node.layer
            if layer is None or isinstance(layer, Pad) and not np.any(layer.sides):
                continue
            if last is not None and isinstance(last.layer, Pad):
                before = row[-2].layer if len(row) > 1 else None
                row[-1] = node._replace(layer=self._padded(last, node, before))
            elif last is not None and isinstance(layer, Pad) and isinstance(last.layer, Conv2DTranspose):
                row[-1] = last._replace(layer=self._cut(last, node))
            elif isinstance(layer, Flatten) and last is not None and isinstance(last.layer, GlobalAveragePool2D):
                row[-1] = last._replace(layer=_with(last.layer, keepdims=False))
            elif last is not None and isinstance(layer, ACTIVATIONS) and _takes_activation(last.layer):
                row[-1] = last._replace(layer=_with(last.layer, activation=layer))
            else:
                row.append(node)
        if row and isinstance(row[-1].layer, Pad):
            self.cannot(row[-1].key, "padding converts only before a convolution or a max-pool, which can pad itself")
        self._placed += [(node.layer, node.weights) for node in row if isinstance(node.layer, Layer) and node.weights]
        return row

    def _padded(self, pad: Node, node: Node, before: Any) -> Layer:
        """The node's layer, padding by itself what `pad` would."""
        layer, (sides, value) = node.layer, pad.layer  # type: ignore[misc]
        # A pool's window never sees its own padding; zeros are as good where nothing is below zero.
        floors = (ReLU, Sigmoid, Softmax)
        floor = isinstance(before, Layer) and (isinstance(before, floors) or isinstance(before.activation, floors))
        pool = isinstance(layer, MaxPool2D) and (value == -math.inf or value == 0 and floor)
        if np.min(sides) < 0 or not (pool or isinstance(layer, Conv2D) and value == 0):
            self.cannot(pad.key, f"padding by {value} does not go into the {node.key!r} behind it; pad there instead")
        own = sides_of(layer, self.shapes[pad.key])  # type: ignore[arg-type]
        return _with(layer, padding=tuple((a + c, b + d) for (a, b), (c, d) in zip(sides, own, strict=True)))

    def _cut(self, node: Node, pad: Node) -> Layer:
        """The transposed convolution, cutting off by itself what a negative `pad` behind it would."""
        layer, sides = node.layer, pad.layer.sides  # type: ignore[union-attr]
        if np.max(sides) > 0 or layer.activation is not None:  # type: ignore[union-attr]
            self.cannot(pad.key, "padding converts only before a convolution or a max-pool, which can pad itself")
        size = self.shapes[node.inputs[0]]
        cut = tuple(
            tuple(crop - more for crop, more in zip(crops, side, strict=True))
            for crops, side in zip(crops_of(layer, size), sides, strict=True)  # type: ignore[arg-type]
        )
        if np.min(cut) < 0:
            self.cannot(pad.key, f"it cuts {sides} of an image that has been made larger; cut otherwise")
        return _with(layer, padding=cut)


def _takes_activation(layer: Any) -> bool:
    return isinstance(layer, (Weighted, Residual, Parallel)) and layer.activation is None


def _with(layer: Any, **changes: Any) -> Any:
    """An unbuilt layer like `layer`, changed."""
    if isinstance(layer, Residual):  # its config describes what is inside; here the layers themselves are to stay
        return Residual(layer.layers, layer.shortcut, **changes, name=layer.given_name)
    if isinstance(layer, Parallel):
        return Parallel(layer.branches, layer.merge, **changes, name=layer.given_name)
    return type(layer)(**{**layer.config(), **changes}, name=layer.given_name)


def _shape_after(layer: Layer | Pad | Merge | None, shapes: list[Shape]) -> Shape:
    if layer is None:
        return shapes[0]
    if isinstance(layer, Pad):
        *size, channels = shapes[0]
        rows, columns = (n + sum(side) for n, side in zip(size, layer.sides, strict=True))
        return rows, columns, channels
    if isinstance(layer, Merge):
        if layer.how == "concat":
            return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
        if len(set(shapes)) > 1:
            raise ValueError(f"shapes {shapes} do not add up; arrays that are stretched to fit do not convert")
        return shapes[0]
    return tuple(layer.output_shape_of(shapes[0]))


def sides_of(layer: Conv2D | Conv2DTranspose | MaxPool2D | AveragePool2D, image_shape: Shape) -> Sides:
    """Cells outside the image, ``(top, bottom), (left, right)``, that windows of `layer` reach over.

    >>> sides_of(MaxPool2D(3, strides=2, padding="same"), (8, 9, 1))
    ((0, 1), (1, 1))
    """
    if isinstance(layer, Conv2D):
        return layer.geometry(image_shape).pads
    window = layer.kernel_size if isinstance(layer, Conv2DTranspose) else layer.pool_size
    axes = check_padding(layer.padding, type(layer).__name__)
    rows, columns = map(resolve_padding, axes, image_shape[:2], window, layer.strides)
    return rows, columns


def ceil_sides(size: int, window: int, stride: int, before: int = 0, after: int = 0) -> tuple[int, int]:
    """Cells outside an axis where the last window may reach over the end, but not begin there: "ceil mode".

    >>> ceil_sides(5, 2, 2), ceil_sides(4, 1, 2), ceil_sides(6, 3, 2, 1, 1)
    ((0, 1), (0, 0), (1, 2))
    """
    windows = -(-(size + before + after - window) // stride) + 1
    windows -= (windows - 1) * stride >= size + before
    return before, max(after, (windows - 1) * stride + window - size - before)


def crops_of(layer: Conv2DTranspose, input_shape: Shape) -> Sides:
    """Pixels that `layer` cuts off ``(size - 1) * stride + kernel``, per side; negative where it adds some.

    >>> crops_of(Conv2DTranspose(1, 3, strides=2, padding="same"), (8, 8, 1))
    ((0, 1), (0, 1))
    """
    size = layer.output_shape_of(input_shape)[:2]
    tops = [before for before, _ in sides_of(layer, (*size, layer.filters))]
    full = [(n - 1) * s + k for n, s, k in zip(input_shape[:2], layer.strides, layer.kernel_size, strict=False)]
    rows, columns = ((top, whole - top - n) for top, whole, n in zip(tops, full, size, strict=True))
    return rows, columns


def check_built(model: Sequential, target: str) -> None:
    """Refuse a model without weights.

    Raises
    ------
    ValueError
        Saying what to do.
    """
    of_class(model, Sequential, f"{target}: model")
    if not model.built:
        raise ValueError(f"{target}: the model has no weights yet; call model.build(input_shape) first")


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
    >>> from tinycnn.layers import Flatten
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
        elif isinstance(layer, (BatchNorm, Dropout, *ACTIVATIONS)):
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
        if not j or not isinstance(layers[j - 1], (BatchNorm, Dropout, *ACTIVATIONS)):
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
