"""Layers of another library's model and what feeds what, made into a `Sequential` of layers and blocks.

Every reader fills a `Graph`, and `Graph.sequential` does what all have in common: paths that fork and meet become
`Residual` or `Parallel`, padding and activations go into the layers that take them, and weights get into the order of
NHWC.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from tinycnn.arguments import of_class
from tinycnn.interop.orders import feature_orders, reordered
from tinycnn.layers.activation import ACTIVATIONS, ReLU, ReLU6, Sigmoid, Softmax
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.block import Block
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.padding import check_padding, resolve_padding
from tinycnn.layers.parallel import Parallel
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.layers.weighted import Weighted
from tinycnn.layers.zero_padding import ZeroPadding2D
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
    >>> from tinycnn.layers import Dense
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
        self._concatenated: dict[str, list[str]] = {}  # all that is side by side in it
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
        if layer == Merge("concat"):
            inputs = self._concatenation(key, inputs)
            layer = layer if len(inputs) > 1 else None
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

    def _concatenation(self, key: str, inputs: Sequence[str]) -> Sequence[str]:
        """Of what DenseNet says as ``[a, b]`` and ``[a, b, c]``, the latter as ``[[a, b], c]``: block after block."""
        whole = self._concatenated[key] = list(inputs)
        starts = [k for k, parts in self._concatenated.items() if k != key and parts == whole[: len(parts)]]
        if not starts:
            return inputs
        longest = max(starts, key=lambda k: len(self._concatenated[k]))
        return [longest, *whole[len(self._concatenated[longest]) :]]

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
                inside = self._padded(last, node, row[-2].layer if len(row) > 1 else None)
                if inside is not None:
                    row[-1] = node._replace(layer=inside)
                    continue
                row[-1] = last = self._alone(last)
            if last is not None and isinstance(layer, Pad) and _takes_cut(last.layer, layer.sides):
                row[-1] = last._replace(layer=self._cut(last, node))
            elif last is not None and isinstance(layer, Flatten) and isinstance(last.layer, GLOBAL_POOLS):
                row[-1] = last._replace(layer=_with(last.layer, keepdims=False))
            elif last is not None and isinstance(layer, ACTIVATIONS) and _takes_activation(last.layer):
                row[-1] = last._replace(layer=_with(last.layer, activation=layer))
            else:
                row.append(node)
        if row and isinstance(row[-1].layer, Pad):
            row[-1] = self._alone(row[-1])
        self._placed += [(node.layer, node.weights) for node in row if isinstance(node.layer, Layer) and node.weights]
        return row

    def _padded(self, pad: Node, node: Node, before: Any) -> Layer | None:
        """The node's layer, padding by itself what `pad` would, if it can."""
        layer, (sides, value) = node.layer, pad.layer  # type: ignore[misc]
        # A pool's window never sees its own padding; zeros are as good where nothing is below zero.
        floors = (ReLU, ReLU6, Sigmoid, Softmax)
        floor = isinstance(before, Layer) and (isinstance(before, floors) or isinstance(before.activation, floors))
        pool = isinstance(layer, MaxPool2D) and (value == -math.inf or value == 0 and floor)
        if np.min(sides) < 0 or not (pool or isinstance(layer, Conv2D) and value == 0):
            return None
        own = sides_of(layer, self.shapes[pad.key])  # type: ignore[arg-type]
        return _with(layer, padding=tuple((a + c, b + d) for (a, b), (c, d) in zip(sides, own, strict=True)))

    def _alone(self, pad: Node) -> Node:
        """A layer for padding that no other takes."""
        sides, value = pad.layer  # type: ignore[misc]
        if value != 0 or np.min(sides) < 0:
            why = f"padding by {value}, {sides}, is no layer here, and none beside it does it; pad by zeros"
            self.cannot(pad.key, why)
        return pad._replace(layer=ZeroPadding2D(sides))

    def _cut(self, node: Node, pad: Node) -> Layer:
        """The transposed convolution, cutting off by itself what a negative `pad` behind it would."""
        layer, sides = node.layer, pad.layer.sides  # type: ignore[union-attr]
        size = self.shapes[node.inputs[0]]
        cut = tuple(
            tuple(crop - more for crop, more in zip(crops, side, strict=True))
            for crops, side in zip(crops_of(layer, size), sides, strict=True)  # type: ignore[arg-type]
        )
        if np.min(cut) < 0:
            self.cannot(pad.key, f"it cuts {sides} of an image that has been made larger; cut otherwise")
        return _with(layer, padding=cut)


GLOBAL_POOLS = (GlobalAveragePool2D, GlobalMaxPool2D)


def _takes_cut(layer: Any, sides: Sides) -> bool:
    return isinstance(layer, Conv2DTranspose) and layer.activation is None and np.max(sides) <= 0


def _takes_activation(layer: Any) -> bool:
    return isinstance(layer, (Weighted, Block)) and layer.activation is None


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
