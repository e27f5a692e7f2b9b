"""Residual block: a branch of layers added to a shortcut around it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import listed
from tinycnn.kernels.sets import active
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.block import Block, spec
from tinycnn.layers.registry import restore


class Residual(Block):
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

    Names and ``trainable`` as in `Block`.  A layer can also be given as the dict that `config` nests,
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
        self.layers = [restore(layer) for layer in listed(layers, "Residual: layers")]
        self.shortcut = [restore(layer) for layer in listed([] if shortcut is None else shortcut, "Residual: shortcut")]
        if not self.layers:
            raise ValueError("Residual: the branch needs at least one layer")
        super().__init__((self.layers, self.shortcut), activation, name)

    def config(self) -> dict[str, Any]:
        return {
            "layers": [spec(layer) for layer in self.layers],
            "shortcut": [spec(layer) for layer in self.shortcut] or None,
            "activation": spec(self.activation),
        }

    def output_shape_of(self, input_shape: Shape) -> Shape:
        branch, through = self.path_shapes(input_shape)
        if branch != through:
            raise ValueError(
                f"{self.where()}: the branch gives {branch} and the shortcut {through} for input "
                f"{tuple(input_shape)}; give a shortcut with the branch's filters and strides"
            )
        return branch if self.activation is None else tuple(self.activation.output_shape_of(branch))

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``act(S(x) + F(x))``; a ReLU in one pass with the sum."""
        if not self.fuses_relu:
            return super().forward(x, training)
        return self.activation.receive(self._sum(x, training, relu=True))

    @property
    def fuses_relu(self) -> bool:
        """Whether a ReLU runs in one pass with the sum."""
        return self.fuse and active().fuses and isinstance(self.activation, ReLU)

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``S(x) + F(x)``."""
        return self._sum(x, training, relu=False)

    def _sum(self, x: ArrayLike, training: bool, relu: bool) -> np.ndarray:
        x = self._enter(x)
        branch, shortcut = (self.along(path, x, training) for path in self.paths)
        y = self._output()
        active().add(shortcut, branch, y, relu)
        return y

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """``S'(grad) + F'(grad)``; None where nobody asks for it."""
        grad = self._enter_backward(grad)
        branch, shortcut = (self.back(path, grad, input_grad) for path in self.paths)
        if not input_grad:
            return None
        grad_x = self._input_gradient(grad)
        active().add(shortcut, branch, grad_x)
        return grad_x
