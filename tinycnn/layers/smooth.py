"""Smooth relatives of ReLU: ELU, softplus, SiLU and GELU."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import flag, number
from tinycnn.layers.base import Layer

_erf = np.vectorize(math.erf, otypes=[np.float64])  # NumPy has none


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))`` without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


class ELU(Layer):
    """Exponential linear unit: ReLU with a soft bend down to ``-alpha``.

    ::

        forward    y = x where x > 0, else alpha * (exp(x) - 1)
        backward   dL/dx = dL/dy where x > 0, else dL/dy * alpha * exp(x)

    Parameters
    ----------
    alpha : float
        At least 0.

    Raises
    ------
    ValueError
        If `alpha` is negative or not finite.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by exponential linear units, 2016.

    Examples
    --------
    >>> elu = ELU()
    >>> elu.forward(np.float64([[-1000, 0, 2]])), elu.backward(np.float64([[1, 1, 1]]))
    (array([[-1.,  0.,  2.]]), array([[0., 1., 1.]]))
    """

    reads_output = False

    def __init__(self, alpha: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.alpha = number(alpha, "ELU: alpha")

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``y = x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
        x = self._enter(x)
        y = np.multiply(np.expm1(np.minimum(x, 0)), self.alpha, out=self._output())
        np.copyto(y, x, where=x > 0)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y`` where the input was positive, ``grad_y * alpha * exp(x)`` elsewhere."""
        grad_y = self._enter_backward(grad_y)
        slope = np.where(self._x > 0, 1, self.alpha * np.exp(np.minimum(self._x, 0)))
        return np.multiply(grad_y, slope, out=self._input_gradient(grad_y))


class Softplus(Layer):
    """A smooth ReLU, whose slope is the logistic function.

    ::

        forward    y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
        backward   dL/dx = dL/dy / (1 + exp(-x))

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau and Garcia, Incorporating second-order functional knowledge for better option
    pricing, 2001.

    Examples
    --------
    >>> Softplus().forward(np.float64([[-1000, 0, 1000]])).round(4)
    array([[0.000e+00, 6.931e-01, 1.000e+03]])
    """

    reads_output = False

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``max(x, 0) + log(1 + exp(-|x|))``."""
        x = self._enter(x)
        return np.add(np.maximum(x, 0), np.log1p(np.exp(-np.abs(x))), out=self._output())

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y`` times the logistic function of the input."""
        grad_y = self._enter_backward(grad_y)
        return np.multiply(grad_y, _sigmoid(self._x), out=self._input_gradient(grad_y))


class SiLU(Layer):
    """Sigmoid-weighted linear unit, also called swish.

    ::

        s = 1 / (1 + exp(-x))
        forward    y = x * s
        backward   dL/dx = dL/dy * s * (1 + x * (1 - s))

    References
    ----------
    Elfwing, Uchibe and Doya, Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning, 2018.

    Examples
    --------
    >>> SiLU().forward(np.float64([[-1000, 0, 1000]])).tolist()
    [[-0.0, 0.0, 1000.0]]
    """

    reads_output = False

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``x * sigmoid(x)``."""
        x = self._enter(x)
        return np.multiply(x, _sigmoid(x), out=self._output())

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y * s * (1 + x * (1 - s))``."""
        grad_y = self._enter_backward(grad_y)
        s = _sigmoid(self._x)
        return np.multiply(grad_y, s + s * (1 - s) * self._x, out=self._input_gradient(grad_y))


class GELU(Layer):
    """Gaussian error linear unit: ``x`` times the probability that a standard normal number is smaller.

    ::

        forward    y = x * P(x),    P(x) = (1 + erf(x / sqrt(2))) / 2
        backward   dL/dx = dL/dy * (P(x) + x * p(x)),    p(x) = exp(-x^2 / 2) / sqrt(2 pi)

        approximate   P(x) = (1 + tanh(u)) / 2,   u = sqrt(2 / pi) * (x + 0.044715 x^3),   p = P'

    Parameters
    ----------
    approximate : bool
        With tanh in the place of erf, which NumPy lacks: some ten times as fast, and off by less than 0.001.

    References
    ----------
    Hendrycks and Gimpel, Gaussian error linear units, arXiv:1606.08415.

    Examples
    --------
    >>> GELU().forward(np.float64([[-1, 0, 1]])).round(4), GELU(approximate=True).forward(np.float64([[1]])).round(4)
    (array([[-0.1587,  0.    ,  0.8413]]), array([[0.8412]]))
    """

    reads_output = False

    def __init__(self, approximate: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.approximate = flag(approximate, "GELU: approximate")

    def config(self) -> dict[str, Any]:
        return {"approximate": self.approximate}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``x * P(x)``."""
        x = self._enter(x)
        y = self._output()
        y[...] = x * self._probability()[0]
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y * (P(x) + x * p(x))``."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        below, density = self._probability()
        grad_x[...] = grad_y * (below + self._x * density)
        return grad_x

    def _probability(self) -> tuple[np.ndarray, np.ndarray]:
        """P and p of the input."""
        x = np.clip(self._x, -40, 40)  # beyond, P is 0 or 1, and squares would overflow
        if self.approximate:
            t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
            return (1 + t) / 2, (1 - t * t) / 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return (1 + _erf(x / math.sqrt(2))) / 2, np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
