"""The fully connected layer."""

import numpy as np

from tinycnn import initializers
from tinycnn.kernels.dense import dense_backward, dense_forward
from tinycnn.layers import activation as activations
from tinycnn.layers.base import Layer


class Dense(Layer):
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

    skips_input_grad = True

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        name=None,
    ):
        super().__init__(name)
        if not isinstance(units, (int, np.integer)) or units < 1:
            raise ValueError(f"Dense: units must be a positive int, got {units!r}")
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def config(self):
        return {
            "units": self.units,
            "activation": activations.describe(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }

    def sublayers(self):
        return [] if self.activation is None else [self.activation]

    def output_shape_of(self, input_shape):
        if len(input_shape) != 1:
            raise ValueError(
                f"{self.where()} needs one vector per image, shape (inputs,), got {tuple(input_shape)}; "
                "put a Flatten or a GlobalAveragePool2D before it"
            )
        return (self.units,)

    def create(self, input_shape):
        kernel_shape = (input_shape[0], self.units)
        self.params["kernel"] = initializers.get(self.kernel_initializer)(kernel_shape, self.rng, self.dtype)
        if self.use_bias:
            self.params["bias"] = initializers.get(self.bias_initializer)((self.units,), self.rng, self.dtype)
        if self.activation is not None:
            self.activation.build(self.output_shape, self.rng, self.dtype)

    def forward(self, x, training=False, logits=False):
        """``activation(x @ kernel + bias)``, shape ``(images, units)``; with ``logits=True`` without a softmax."""
        self._x = x = self._enter(x)
        y = self._buffer("y", (len(x), self.units))
        dense_forward(x, self.params["kernel"], self.params.get("bias"), y)
        if self.activation is None:
            return y
        return self.activation.forward(y, training, **self._options(logits))

    def backward(self, grad_y, logits=False, input_grad=True):
        """Fill ``grads``; return the input's gradient, or None if `input_grad` is False (a network's first layer).

        `logits` as in the forward before.
        """
        grad = self._enter_backward(grad_y)
        if self.activation is not None:
            grad = self.activation.backward(grad, **self._options(logits))
        grad_x = self._buffer("grad_x", self._x.shape) if input_grad else None
        dense_backward(self._x, self.params["kernel"], grad, grad_x, self.grads["kernel"])
        if self.use_bias:
            np.sum(grad, axis=0, out=self.grads["bias"])
        return grad_x

    def _options(self, logits):
        return {"logits": logits} if isinstance(self.activation, activations.Softmax) else {}
