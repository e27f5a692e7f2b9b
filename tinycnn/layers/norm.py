"""Batch normalisation.  Its sums, to read: `tinycnn.kernels.plain_norm`."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag, number, share
from tinycnn.kernels.sets import active
from tinycnn.layers.activation import ReLU
from tinycnn.layers.base import Layer, Shape


class BatchNorm(Layer):
    """Normalise each channel to mean 0 and variance 1 over the batch, then scale and shift it.

    A channel is a position on the last axis; with ``N`` the number of values per channel (images, or images *
    height * width)::

        training    mu = sum(x) / N,   var = sum((x - mu)^2) / N
                    moving = momentum * moving + (1 - momentum) * batch,   for mean and variance
        inference   mu = moving_mean,  var = moving_variance

        forward     xhat = (x - mu) / sqrt(var + epsilon),   y = gamma * xhat + beta
        backward    dL/dbeta = sum(dL/dy),   dL/dgamma = sum(dL/dy * xhat)
          training    dL/dx = gamma / sqrt(var + epsilon) * (dL/dy - dL/dbeta / N - xhat * dL/dgamma / N)
          inference   dL/dx = gamma / sqrt(var + epsilon) * dL/dy

    The two means taken away in training are there because mu and var depend on x themselves.  As in Keras, the
    moving variance uses the biased ``var`` (PyTorch multiplies it by ``N / (N - 1)`` and calls
    ``1 - momentum`` momentum), and a layer with ``trainable = False`` always runs in inference mode.

    Parameters
    ----------
    momentum : float
        Weight of the past in the moving statistics, ``0 <= momentum <= 1``.
    epsilon : float
        Added to the variance; positive.

    Raises
    ------
    ValueError
        If `momentum` or `epsilon` is out of range.

    References
    ----------
    Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing internal covariate
    shift, 2015.

    Examples
    --------
    >>> norm = BatchNorm(epsilon=1e-12)
    >>> norm.forward(np.array([[1.0, 10.0], [3.0, 30.0]]), training=True).round(6)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> norm.state["moving_mean"]
    array([0.02, 0.2 ])
    """

    reads_output = False

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, name: str | None = None) -> None:
        super().__init__(name)
        self.momentum, self.epsilon = share(momentum, "BatchNorm: momentum"), number(epsilon, "BatchNorm: epsilon")
        if not self.epsilon:
            raise ValueError(f"BatchNorm: epsilon must be positive, got {epsilon!r}")

    def config(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "epsilon": self.epsilon}

    def create(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        ones = np.ones if self.initialize else np.zeros
        self.params = {"gamma": ones(channels, self.dtype), "beta": np.zeros(channels, self.dtype)}
        self.state = {"moving_mean": np.zeros(channels, self.dtype), "moving_variance": ones(channels, self.dtype)}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``gamma * (x - mu) / sqrt(var + epsilon) + beta`` with the batch's moments or the moving ones."""
        x = self._enter(x)
        return self._normalize(x, training, self._output(), relu=False)

    def forward_rectified(self, x: ArrayLike, relu: ReLU, training: bool = False) -> np.ndarray:
        """``relu(norm(x))`` in one pass over memory, bit for bit."""
        x = self._enter(x)
        y = relu.receive(self._output())
        self._y = None  # what lies between the two was never there
        return self._normalize(x, training, y, relu=True)

    def _normalize(self, x: np.ndarray, training: bool, y: np.ndarray, relu: bool) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1])  # (N, channels)
        self._batch_moments = flag(training, "training") and self.trainable
        if self._batch_moments:
            mean, variance = active().moments(rows)
            for key, batch in (("moving_mean", mean), ("moving_variance", variance)):
                self.state[key][...] = self.momentum * self.state[key] + (1 - self.momentum) * batch
        else:
            mean, variance = self.state["moving_mean"], self.state["moving_variance"]
        self._mean, self._inverse_std = mean.astype(self.dtype), self._inverse_root(variance)
        self._scale = self.params["gamma"] * self._inverse_std
        active().normalize(rows, self._mean, self._scale, self.params["beta"], y.reshape(rows.shape), relu)
        return y

    def _inverse_root(self, variance: np.ndarray) -> np.ndarray:
        return (1 / np.sqrt(variance + self.epsilon)).astype(self.dtype)

    def folded(self, kernel: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a convolution that does the work of this layer, after its own, in a prediction.

        ::

            gamma * (kernel * x + bias - mu) / sqrt(var + epsilon) + beta = (kernel * scale) * x + shift
            scale = gamma / sqrt(var + epsilon),   shift = (bias - mu) * scale + beta

        Both are rounded to the layer's dtype, so that outputs differ from those of two layers by rounding.
        """
        scale = self.params["gamma"] * self._inverse_root(self.state["moving_variance"])  # (channels,)
        centre = -self.state["moving_mean"] if bias is None else bias - self.state["moving_mean"]
        return kernel * scale, centre * scale + self.params["beta"]

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """The gradient through the moments too, where forward took them from the batch."""
        return self._backward(grad_y)

    def backward_rectified(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """The same, through the ReLU of `forward_rectified` first; its outputs are worked out again, not read."""
        return self._backward(grad_y, self._scale, self.params["beta"])

    def _backward(self, grad_y: ArrayLike, *relu: np.ndarray) -> np.ndarray:
        grad_y = self._enter_backward(grad_y)
        rows, grad_rows = (a.reshape(-1, a.shape[-1]) for a in (self._x, grad_y))  # (N, channels)
        grad_gamma, grad_beta = active().gradient_sums(rows, grad_rows, self._mean, self._inverse_std, *relu)
        self.grads["gamma"][...], self.grads["beta"][...] = grad_gamma, grad_beta
        # Moving moments are constants: nothing flows through them.
        share = 1 / len(rows) if self._batch_moments else 0
        mean_grad = (share * grad_beta).astype(self.dtype)
        slope = self._inverse_std * (share * grad_gamma).astype(self.dtype)
        grad_x = self._input_gradient(grad_y)
        active().norm_input_gradient(
            rows, grad_rows, self._mean, self._scale, mean_grad, slope, grad_x.reshape(rows.shape), *relu[1:]
        )
        return grad_x
