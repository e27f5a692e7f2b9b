"""A kernel, a bias and an activation: what dense layers and convolutions have in common."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import initializers, regularizers
from tinycnn.arguments import flag
from tinycnn.kernels.sets import active
from tinycnn.layers.activation import Elementwise, get
from tinycnn.layers.base import Layer
from tinycnn.layers.registry import describe
from tinycnn.regularizers import Regularizer


class Weighted(Layer):
    """``y = activation(linear(x; kernel, bias))``.

    A subclass writes `forward_linear` and `backward_linear`.  A model whose last layer has a softmax for an activation
    trains on what comes before it.

    Parameters
    ----------
    activation : None, str or Layer
        As in `tinycnn.layers.activation.get`.
    use_bias : bool
    kernel_initializer, bias_initializer : str
        As in `tinycnn.initializers`.
    kernel_regularizer, bias_regularizer : None, L1L2, str or dict
        As in `tinycnn.regularizers.get`.
    """

    def __init__(
        self,
        activation: str | Layer | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.activation = get(activation)
        self.use_bias = flag(use_bias, f"{type(self).__name__}: use_bias")
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        given = {"kernel": kernel_regularizer, "bias": bias_regularizer if use_bias else None}
        found = {key: regularizers.get(penalty) for key, penalty in given.items()}
        self.regularizers = {key: penalty for key, penalty in found.items() if penalty is not None}

    def config(self) -> dict[str, Any]:
        config = {
            "activation": describe(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }
        return config | {f"{key}_regularizer": penalty.config() for key, penalty in self.regularizers.items()}

    def sublayers(self) -> list[Layer]:
        return [] if self.activation is None else [self.activation]

    def create_weights(self, kernel_shape: tuple[int, ...], units: int) -> None:
        """Draw ``params["kernel"]`` of that shape and, with a bias, ``params["bias"]`` of shape ``(units,)``."""
        kernel = initializers.get(self.kernel_initializer if self.initialize else "zeros")
        self.params["kernel"] = kernel(kernel_shape, self.rng, self.dtype)
        if self.use_bias:
            bias = initializers.get(self.bias_initializer if self.initialize else "zeros")
            self.params["bias"] = bias((units,), self.rng, self.dtype)
        if self.activation is not None:
            self.activation.build(self.output_shape, self.rng, self.dtype)

    @property
    def last_output(self) -> np.ndarray:
        return self._still_there(self._y) if self.activation is None else self.activation.last_output

    @property
    def writes_over(self) -> bool:
        """Whether `activation` is written over what it is applied to, as unless every array is to be kept."""
        return isinstance(self.activation, Elementwise) and active().reuses_outputs

    def _activate(self, z: np.ndarray, training: bool) -> np.ndarray:
        """`activation` of `z`."""
        if self.activation is None:
            return z
        if self.writes_over:
            return self.activation.over(z)
        return self.activation.forward(z, training)

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """Fill ``grads``; return the input's gradient, or None if `input_grad` is False (a network's first layer)."""
        grad, memory = self._enter_backward(grad_y), self._memory if self._shares else None
        # inside a block, others may read the same gradient
        if isinstance(self.activation, Elementwise) and memory is not None and memory.may_overwrite(grad):
            grad = self.activation.back_over(grad)
        elif self.activation is not None:
            grad = self.activation.backward(grad)
        return self.backward_linear(grad, input_grad)

    def forward_linear(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """The layer without its activation."""
        raise NotImplementedError

    def backward_linear(self, grad: np.ndarray, input_grad: bool = True) -> np.ndarray | None:
        """Fill ``grads`` from the gradient before the activation; the gradient to the input, or None if unwanted."""
        raise NotImplementedError
