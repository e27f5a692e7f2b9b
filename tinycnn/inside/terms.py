"""What one number of a layer is made of: its inputs, weights, products and bias, and the same backwards.

Every layer here is, around the numbers it saw, a weighted sum: an output is the sum of products of some inputs with
weights, plus a bias, and the gradient to an input is the sum of products of the outputs' gradients with the same
weights.  `tinycnn.inside.reaches` says for each kind of layer which inputs and which weights; adding up is here.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn.inside.reaches import KINDS, Direction, Index, lies_inside, values_at
from tinycnn.layers.base import Layer
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.pool import AveragePool2D, MaxPool2D

if TYPE_CHECKING:
    from tinycnn.inside.trace import Trace


class Terms(NamedTuple):
    """What makes one output: ``total = products.sum() + bias``, with ``products = patch * weights``.

    Attributes
    ----------
    inputs : ndarray of int, shape (*patch.shape, axes of the layer's input)
        Where each number of the patch lies in the layer's input; outside of it in the padding.  Of a block: in what its
        paths gave, of a residual one the shortcut and the branch.
    patch : ndarray of float64
        Those inputs: ``(kernel rows, kernel columns, channels)`` of a convolution, ``(window rows, window columns)`` of
        a pool, ``(inputs,)`` of a dense layer.  Cells outside the image are 0, and nan in a pool, where they take no
        part.
    weights, products : ndarray of float64
        Of the patch's shape.
    bias : float
    details : dict
        More of some kinds: ``mean`` and ``variance`` of a normalisation, ``winner`` of a max-pool (where in the input),
        ``exponentials`` and ``sum`` of a softmax, ``from`` of a block (the layers that gave the numbers).
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
        The outputs that this input has a part in; of a block, the input itself, for each path.
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


def terms_of(trace: "Trace", layer: Layer, index: Index) -> Terms:
    """The `Terms` of output `index` of a traced layer."""
    reach, pools = _kind(layer)[0](trace, layer, index), isinstance(layer, (MaxPool2D, AveragePool2D, GlobalMaxPool2D))
    values, weights = reach.values, np.asarray(reach.weights, np.float64)
    if values is None:
        values = values_at(trace[str(layer.name)].input, reach.positions, math.nan if pools else 0.0)
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
        inside = lies_inside(positions, gradients)
        positions, weights = positions[inside], weights[inside]
        values = values_at(gradients, positions, 0.0)
    return Back(positions, weights, values, weights * values)


def _kind(layer: Layer) -> tuple[Direction, Direction]:
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
