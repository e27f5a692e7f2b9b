"""Residual block: a branch of layers added to a shortcut around it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.kernels.sets import active
from tinycnn.layers.activation import get
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.registry import describe, restore


class Residual(Layer):
    """A branch of layers and a shortcut around it, added.

    ::

        forward    y = act(S(x) + F(x))
        backward   g = act'(dL/dy),   dL/dx = S'(g) + F'(g)

    ``F`` is `layers` in turn, ``S`` is `shortcut` in turn or the identity, and a dash is the layer's backward.
    The identity carries the gradient past ``F`` unchanged, which is what lets deep networks train.

    Parameters
    ----------
    layers : list of Layer
        The branch ``F``, at least one layer.
    shortcut : list of Layer, optional
        ``S``; needed where ``F`` changes the shape, usually one 1x1 convolution.
    activation : str or Layer, optional
        Applied to the sum.

    Each layer gets a name with the block's in front (``residual/conv2d``, ``residual/conv2d_1``, ...), so that names
    are unique in a model whose blocks have unique names.  Setting ``trainable``
    sets it for every layer of the block.  A layer can also be given as the dict that `config` nests,
    ``{"class": name, "config": {...}}``.

    Raises
    ------
    ValueError
        If `layers` is empty or a layer appears twice; on building, if branch and shortcut differ in shape.

    References
    ----------
    He, Zhang, Ren and Sun, Deep residual learning for image recognition, 2016.

    Examples
    --------
    >>> from tinycnn.layers.activation import LeakyReLU
    >>> block = Residual([LeakyReLU(0.5)], activation="relu")
    >>> block.forward(np.float32([[-2, 2]]))
    array([[0., 4.]], dtype=float32)
    >>> block.backward(np.float32([[1, 1]]))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(
        self,
        layers: Sequence[Layer | dict[str, Any]],
        shortcut: Sequence[Layer | dict[str, Any]] | None = None,
        activation: str | Layer | dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.layers: list[Layer] = []
        self.shortcut: list[Layer] = []
        super().__init__(name)
        self.layers = [restore(layer) for layer in layers]
        self.shortcut = [restore(layer) for layer in shortcut or []]
        self.activation = get(activation)
        if not self.layers:
            raise ValueError("Residual: the branch needs at least one layer")
        every = self.sublayers()
        if len({id(layer) for layer in every}) < len(every):
            raise ValueError("Residual: a layer appears twice; each place needs a layer of its own")

    def sublayers(self) -> list[Layer]:
        return [*self.layers, *self.shortcut, *([self.activation] if self.activation else [])]

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        """False freezes every layer of the block."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value
        for layer in self.sublayers():
            layer.trainable = value

    def config(self) -> dict[str, Any]:
        def spec(layer: Layer | None) -> Any:
            """Only a name given by the user: others follow from the block's."""
            found = describe(layer)
            if layer is not None:
                found.pop("name", None)
                found |= {"name": layer.given_name} if layer.given_name else {}
            return found

        shortcut = [spec(layer) for layer in self.shortcut] or None
        return {
            "layers": [spec(layer) for layer in self.layers],
            "shortcut": shortcut,
            "activation": spec(self.activation),
        }

    def output_shape_of(self, input_shape: Shape) -> Shape:
        branch = through = tuple(input_shape)
        for layer in self.layers:
            branch = tuple(layer.output_shape_of(branch))
        for layer in self.shortcut:
            through = tuple(layer.output_shape_of(through))
        if branch != through:
            raise ValueError(
                f"{self.where()}: the branch gives {branch} and the shortcut {through} for input "
                f"{tuple(input_shape)}; give a shortcut with the branch's filters and strides"
            )
        return branch if self.activation is None else tuple(self.activation.output_shape_of(branch))

    def create(self, input_shape: Shape) -> None:
        for path in (self.layers, self.shortcut):
            shape = input_shape
            for layer in path:
                shape = layer.build(shape, self.rng, self.dtype)
        if self.activation:
            self.activation.build(shape, self.rng, self.dtype)

    @property
    def last_output(self) -> np.ndarray:
        return self._still_there(self._y) if self.activation is None else self.activation.last_output

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``act(S(x) + F(x))``."""
        z = self.forward_linear(x, training)
        return z if self.activation is None else self.activation.forward(z, training)

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``S(x) + F(x)``."""
        branch = shortcut = self._enter(x)
        for layer in self.layers:
            branch = layer.forward(branch, training)
        for layer in self.shortcut:
            shortcut = layer.forward(shortcut, training)
        y = self._output()
        active().add(shortcut, branch, y)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """``S'(g) + F'(g)`` with ``g = act'(grad_y)``; fills the grads of every layer."""
        grad_y = self._enter_backward(grad_y)
        return self.backward_linear(grad_y if self.activation is None else self.activation.backward(grad_y), input_grad)

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """``S'(grad) + F'(grad)``; None where nobody asks for it."""
        grad = self._enter_backward(grad)
        branch, shortcut = (_back(path, grad, input_grad) for path in (self.layers, self.shortcut))
        if not input_grad:
            return None
        grad_x = self._input_gradient(grad)
        active().add(shortcut, branch, grad_x)
        return grad_x


def _back(path: list[Layer], grad: np.ndarray, input_grad: bool) -> Any:
    for i, layer in reversed(list(enumerate(path))):
        grad = layer.backward(grad, input_grad or i > 0)  # type: ignore[assignment]
    return grad
