"""The fully connected layer.  Its sums, to read: `tinycnn.kernels.plain_dense`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import brief, flag, listed, positive_int
from tinycnn.kernels.sets import active
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.weighted import Weighted
from tinycnn.regularizers import Regularizer


class Dense(Weighted):
    """Every output is a weighted sum of every input.

    ::

        forward    y = activation(x @ kernel + bias)
        backward   grad = activation'(dL/dy)        the gradient before the activation
                   grad_kernel = x.T @ grad,   grad_bias = sum of grad over the images,   dL/dx = grad @ kernel.T

    Parameters
    ----------
    units : int
        Outputs.
    activation : None, str or Layer
        As in `tinycnn.layers.activation.get`.
    use_bias : bool
    kernel_initializer, bias_initializer : str
        As in `tinycnn.initializers`.
    kernel_regularizer, bias_regularizer : None, L1L2, str or dict
        A penalty on kernel or bias, as in `tinycnn.regularizers.get`.

    Input shape ``(images, inputs)``; output shape ``(images, units)``; ``kernel (inputs, units)``,
    ``bias (units,)``.

    Raises
    ------
    ValueError
        If `units` is not a positive int; on building, if the input is not a vector per image.

    References
    ----------
    Goodfellow, Bengio and Courville, Deep Learning, sections 6.1 and 6.5.4.

    Examples
    --------
    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer.forward(np.float32([[1, 2, 3]])), layer.backward(np.float32([[1, 10]]))
    (array([[6., 6.]], dtype=float32), array([[11., 11., 11.]], dtype=float32))
    >>> layer.grads["kernel"].tolist(), layer.grads["bias"].tolist()
    ([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], [1.0, 10.0])
    """

    def __init__(
        self,
        units: int,
        activation: str | Layer | None = None,
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, name
        )
        self.units = positive_int(units, "Dense: units")

    def config(self) -> dict[str, Any]:
        return {"units": self.units, **super().config()}

    def output_shape_of(self, input_shape: Shape) -> Shape:
        if len(listed(input_shape, "input_shape")) != 1:
            raise ValueError(
                f"{self.where()} needs one vector per image, shape (inputs,), got {brief(tuple(input_shape))}; "
                "put a Flatten or a GlobalAveragePool2D before it"
            )
        return (self.units,)

    def create(self, input_shape: Shape) -> None:
        self.create_weights((input_shape[0], self.units), self.units)

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``activation(x @ kernel + bias)``, shape ``(images, units)``."""
        return self._activate(self.forward_linear(x), training)

    def forward_linear(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``x @ kernel + bias``."""
        x = self._enter(x)
        z = self._output()
        active().dense_forward(x, self.params["kernel"], self.params.get("bias"), z)
        return z

    def backward_linear(self, grad: ArrayLike, input_grad: bool = True) -> np.ndarray | None:
        """Fill ``grads`` from the gradient before the activation; the gradient to the input, or None if unwanted."""
        grad = self._enter_backward(grad)
        grad_x = self._input_gradient(grad) if flag(input_grad, "input_grad") else None
        active().dense_backward(self._x, self.params["kernel"], grad, grad_x, self.grads["kernel"])
        if self.use_bias:
            np.add.reduce(grad, axis=0, out=self.grads["bias"])
        return grad_x
