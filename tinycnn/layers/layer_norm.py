"""Layer normalisation."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import positive
from tinycnn.layers.base import Layer, Shape


class LayerNorm(Layer):
    """Normalise the channels of each pixel (or of each vector) to mean 0 and variance 1, then scale and shift them.

    With ``mean`` taken over the last axis, of ``C`` channels, and ``s = sqrt(mean((x - mean(x))^2) + epsilon)``::

        forward    xhat = (x - mean(x)) / s,    y = gamma * xhat + beta
        backward   g = gamma * dL/dy
                   dL/dx = (g - mean(g) - xhat * mean(g * xhat)) / s
                   dL/dgamma = sum(dL/dy * xhat),   dL/dbeta = sum(dL/dy)     over all pixels of all images

    Nothing is taken over the batch, so training and inference are the same.  As Keras's ``LayerNormalization``;
    PyTorch's ``LayerNorm(C)`` has an epsilon of 1e-5.

    Parameters
    ----------
    epsilon : float
        Added to the variance; positive.

    Raises
    ------
    ValueError
        If `epsilon` is not positive.

    References
    ----------
    Ba, Kiros and Hinton, Layer normalization, arXiv:1607.06450.

    Examples
    --------
    >>> norm = LayerNorm(epsilon=1e-12)
    >>> norm.forward(np.array([[1.0, 3.0], [10.0, 30.0]])).round(6)
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    reads_output = False

    def __init__(self, epsilon: float = 1e-3, name: str | None = None) -> None:
        super().__init__(name)
        self.epsilon = positive(epsilon, "LayerNorm: epsilon")

    def config(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}

    def create(self, input_shape: Shape) -> None:
        ones = np.ones if self.initialize else np.zeros
        self.params = {"gamma": ones(input_shape[-1], self.dtype), "beta": np.zeros(input_shape[-1], self.dtype)}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``."""
        x = self._enter(x)
        centred = x - x.mean(axis=-1, keepdims=True)
        self._std = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + self.epsilon)  # (..., 1)
        self._xhat = np.divide(centred, self._std, out=self._buffer("xhat", x.shape))
        y = np.multiply(self._xhat, self.params["gamma"], out=self._output())
        y += self.params["beta"]
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``(g - mean(g) - xhat * mean(g * xhat)) / s`` with ``g = gamma * grad_y``."""
        grad_y = self._enter_backward(grad_y)
        rows = tuple(range(grad_y.ndim - 1))
        self.grads["gamma"][...] = (grad_y * self._xhat).sum(axis=rows)
        self.grads["beta"][...] = grad_y.sum(axis=rows)
        g = grad_y * self.params["gamma"]
        along = (g * self._xhat).mean(axis=-1, keepdims=True)  # (..., 1)
        grad_x = np.subtract(g, g.mean(axis=-1, keepdims=True), out=self._input_gradient(grad_y))
        grad_x -= self._xhat * along
        grad_x /= self._std
        return grad_x
