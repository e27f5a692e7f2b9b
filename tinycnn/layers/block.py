"""Layers inside a layer: what a residual block, parallel branches and a separable convolution have in common."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag, whole_shape
from tinycnn.kernels.sets import Kernels, active
from tinycnn.layers.activation import get
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.fused import Step, steps_of
from tinycnn.layers.registry import describe


class Block(Layer):
    """``y = activation(linear(x))``, where `linear` runs other layers, in one or more paths from the block's input.

    A subclass writes `output_shape_of`, `forward_linear` and `backward_linear`.

    Each layer gets a name with the block's in front (``residual/conv2d``, ``residual/conv2d_1``, ...), so that names
    are unique in a model whose blocks have unique names.  Setting ``trainable`` sets it for every layer of the block.

    Parameters
    ----------
    paths : sequence of lists of Layer
        The layers of each path in turn; of an empty one the output is the input.
    activation : None, str or Layer
        As in `tinycnn.layers.activation.get`.

    Attributes
    ----------
    fuse : bool
        Of the class True: several layers of a path may run as one step, see `fused.steps_of`.
    """

    fuse = True

    def __init__(
        self,
        paths: Sequence[list[Layer]],
        activation: str | Layer | dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.paths: Sequence[list[Layer]] = ()
        super().__init__(name)
        self.paths, self.activation = paths, get(activation)
        self._planned_for: Kernels | None = None
        self._plans: dict[tuple, list[Step]] = {}
        every = self.sublayers()
        if len({id(layer) for layer in every}) < len(every):
            raise ValueError(f"{type(self).__name__}: a layer appears twice; each place needs a layer of its own")

    def sublayers(self) -> list[Layer]:
        return [*(layer for path in self.paths for layer in path), *([self.activation] if self.activation else [])]

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        """False freezes every layer of the block."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value
        for layer in self.sublayers():
            layer.trainable = value

    def path_shapes(self, input_shape: Shape) -> list[Shape]:
        """What each path makes of an input of that shape."""
        shapes = []
        for path in self.paths:
            shape = whole_shape(input_shape, self.where())
            for layer in path:
                shape = tuple(layer.output_shape_of(shape))
            shapes.append(shape)
        return shapes

    def create(self, input_shape: Shape) -> None:
        self._planned_for = None
        for path in self.paths:
            shape = tuple(input_shape)
            for layer in path:
                shape = layer.build(shape, self.rng, self.dtype)
        if self.activation:
            self.activation.build(self.output_shape, self.rng, self.dtype)

    @property
    def last_output(self) -> np.ndarray:
        return self._still_there(self._y) if self.activation is None else self.activation.last_output

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``activation(linear(x))``."""
        z = self.forward_linear(x, training)
        return z if self.activation is None else self.activation.forward(z, training)

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """`backward_linear` of the gradient before the activation; fills the grads of every layer."""
        grad_y = self._enter_backward(grad_y)
        return self.backward_linear(grad_y if self.activation is None else self.activation.backward(grad_y), input_grad)

    def _steps(self, path, predicts=False):
        """`steps_of` a path, which hold until other kernels are chosen."""
        if self._planned_for is not active():
            self._planned_for, self._plans = active(), {}
        key = id(path), self.fuse, predicts
        if key not in self._plans:
            self._plans[key] = steps_of(path, self.fuse, predicts)
        return self._plans[key]

    def along(self, path: Sequence[Layer], x: np.ndarray, training: bool) -> np.ndarray:
        """`x` through the layers of `path`."""
        predicts = not flag(training, "training") and self._memory is not None and self._memory.predicts
        for step in self._steps(path, predicts):
            x = step.forward(x, training)
        return x

    def back(self, path: Sequence[Layer], grad: np.ndarray, input_grad: bool) -> Any:
        """`grad` back through them; the first need not hand it on if nobody asks for it."""
        for i, step in reversed(list(enumerate(self._steps(path)))):
            wanted = {} if i > 0 or flag(input_grad, "input_grad") else {"input_grad": False}
            grad = step.backward(grad, **wanted)  # type: ignore[assignment]
        return grad

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The block without its activation."""
        raise NotImplementedError

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """The gradient to the input from the one before the activation; None where nobody asks for it."""
        raise NotImplementedError


def spec(layer: Layer | None) -> Any:
    """`describe`, but only with a name given by the user: others follow from the block's."""
    found = describe(layer)
    if layer is not None:
        found.pop("name", None)
        found |= {"name": layer.given_name} if layer.given_name else {}
    return found
