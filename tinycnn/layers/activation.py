"""Element-wise activations and softmax, and how a layer's ``activation=`` argument becomes one of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import brief, number
from tinycnn.kernels.sets import active
from tinycnn.layers.base import Layer
from tinycnn.layers.registry import restore
from tinycnn.layers.smooth import ELU, GELU, SiLU, Softplus


class Elementwise(Layer):
    """An activation of each number by itself, whose gradient follows from its output: one kernel each way.

    So the output may lie over the input. A subclass writes `_apply` and `_through`.
    """

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The function of each number of `x`."""
        x = self._enter(x)
        y = self._output()
        self._apply(x, y)
        return y

    def over(self, x: np.ndarray) -> np.ndarray:
        """`forward` of what the layer before has just computed, written over it."""
        x = self._enter(x)
        self._apply(x, x)
        self._x, self._y = None, x
        return x

    def receive(self, y: np.ndarray) -> np.ndarray:
        """Take `y` for this layer's output, which the layer before fills in one pass with its own; return it."""
        self.runs += 1
        self._x, self._y, self._images = None, y, len(y)
        self._pass = None if self._memory is None else self._memory.running
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """`grad_y` times the slope of each number."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        self._through(grad_y, grad_x)
        return grad_x

    def back_over(self, grad_y: np.ndarray) -> np.ndarray:
        """`backward`, written over `grad_y`."""
        grad_y = self._enter_backward(grad_y)
        self._through(grad_y, grad_y)
        return grad_y

    def _apply(self, x: np.ndarray, y: np.ndarray) -> None:
        """Fill `y`, which may be `x`."""
        raise NotImplementedError

    def _through(self, grad_y: np.ndarray, grad_x: np.ndarray) -> None:
        """Fill `grad_x` from `grad_y` and the last output."""
        raise NotImplementedError


class ReLU(Elementwise):
    """Rectified linear unit.

    ::

        forward    y = max(x, 0)
        backward   dL/dx = dL/dy where y > 0, else 0

    The gradient at ``x = 0`` is 0, as in Keras and PyTorch; a NaN stays a NaN.  Any shape in, the same shape out.

    References
    ----------
    Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.

    Examples
    --------
    >>> relu = ReLU()
    >>> relu.forward(np.float32([[-1, 2]])), relu.backward(np.float32([[5, 5]]))
    (array([[0., 2.]], dtype=float32), array([[0., 5.]], dtype=float32))
    """

    def _apply(self, x: np.ndarray, y: np.ndarray) -> None:
        active().relu_forward(x, y)

    def _through(self, grad_y: np.ndarray, grad_x: np.ndarray) -> None:
        active().relu_backward(grad_y, self._y, grad_x)


class ReLU6(Layer):
    """Rectified linear unit that goes no higher than 6, so that few bits hold what it gives.

    ::

        forward    y = min(max(x, 0), 6)
        backward   dL/dx = dL/dy where 0 < y < 6, else 0

    References
    ----------
    Howard et al., MobileNets, arXiv:1704.04861; Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.

    Examples
    --------
    >>> relu6 = ReLU6()
    >>> relu6.forward(np.float32([[-1, 2, 7]])), relu6.backward(np.float32([[5, 5, 5]]))
    (array([[0., 2., 6.]], dtype=float32), array([[0., 5., 0.]], dtype=float32))
    """

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``y = min(max(x, 0), 6)``."""
        x = self._enter(x)
        return np.clip(x, 0, 6, out=self._output())

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y`` where the output was between 0 and 6, else 0."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._input_gradient(grad_y)
        grad_x[...] = np.where((self._y > 0) & (self._y < 6), grad_y, 0)
        return grad_x


class LeakyReLU(Layer):
    """Rectified linear unit with a small slope for negative inputs.

    ::

        forward    y = x where x > 0, else negative_slope * x
        backward   dL/dx = dL/dy where x > 0, else negative_slope * dL/dy

    Parameters
    ----------
    negative_slope : float
        At least 0.  The default is that of Keras's layer; the *string* ``activation="leaky_relu"`` means a
        slope of 0.2, again as in Keras.

    Raises
    ------
    ValueError
        If `negative_slope` is negative or not finite.

    References
    ----------
    Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013.

    Examples
    --------
    >>> LeakyReLU(0.5).forward(np.float32([[-2, 2]]))
    array([[-1.,  2.]], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, name: str | None = None) -> None:
        super().__init__(name)
        self.negative_slope = number(negative_slope, "LeakyReLU: negative_slope")

    def config(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope}

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """``y = x`` where positive, ``negative_slope * x`` elsewhere."""
        x = self._enter(x)
        self._positive = np.greater(x, 0, out=self._buffer("positive", x.shape, bool))
        y = np.multiply(x, self.negative_slope, out=self._output())
        np.copyto(y, x, where=self._positive)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``grad_y`` where the input was positive, ``negative_slope * grad_y`` elsewhere."""
        grad_y = self._enter_backward(grad_y)
        grad_x = np.multiply(grad_y, self.negative_slope, out=self._input_gradient(grad_y))
        np.copyto(grad_x, grad_y, where=self._positive)
        return grad_x


class Sigmoid(Elementwise):
    """Logistic function, evaluated so that no exponential overflows.

    ::

        forward    y = 1 / (1 + exp(-x)) = (1 if x >= 0 else e) / (1 + e),   e = exp(-|x|)
        backward   dL/dx = dL/dy * y * (1 - y)

    References
    ----------
    Goodfellow, Bengio and Courville, Deep Learning, section 3.10.

    Examples
    --------
    >>> Sigmoid().forward(np.float32([[-1000, 0, 1000]]))
    array([[0. , 0.5, 1. ]], dtype=float32)
    """

    def _apply(self, x: np.ndarray, y: np.ndarray) -> None:
        active().sigmoid_forward(x, y)

    def _through(self, grad_y: np.ndarray, grad_x: np.ndarray) -> None:
        active().sigmoid_backward(grad_y, self._y, grad_x)


class Tanh(Elementwise):
    """Hyperbolic tangent.

    ::

        forward    y = tanh(x)
        backward   dL/dx = dL/dy * (1 - y^2)

    References
    ----------
    LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.

    Examples
    --------
    >>> Tanh().forward(np.float32([[-100, 0, 100]]))
    array([[-1.,  0.,  1.]], dtype=float32)
    """

    def _apply(self, x: np.ndarray, y: np.ndarray) -> None:
        active().tanh_forward(x, y)

    def _through(self, grad_y: np.ndarray, grad_x: np.ndarray) -> None:
        active().tanh_backward(grad_y, self._y, grad_x)


class Softmax(Layer):
    """Softmax over the last axis: positive numbers that add up to 1.

    ::

        forward    y_i = exp(x_i - max x) / sum_j exp(x_j - max x)
        backward   dL/dx_i = y_i * (dL/dy_i - sum_j dL/dy_j * y_j)

    Subtracting the row's maximum changes nothing in exact arithmetic and keeps every exponential at most 1.
    A model that ends in a softmax leaves it out in training: a loss on logits takes softmax and logarithm together,
    which is more exact than their product.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning, section 4.3.4.

    Examples
    --------
    >>> Softmax().forward(np.float32([[1000, 1000]]))
    array([[0.5, 0.5]], dtype=float32)
    """

    def forward(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Probabilities along the last axis."""
        x = self._enter(x)
        y = np.subtract(x, x.max(axis=-1, keepdims=True), out=self._output())
        np.exp(y, out=y)
        y /= y.sum(axis=-1, keepdims=True)
        return y

    def backward(self, grad_y: ArrayLike, input_grad: bool = True) -> np.ndarray:
        """``y * (grad_y - sum(grad_y * y))``."""
        grad_y = self._enter_backward(grad_y)
        grad_x = np.multiply(grad_y, self._y, out=self._input_gradient(grad_y))
        np.subtract(grad_y, grad_x.sum(axis=-1, keepdims=True), out=grad_x)
        grad_x *= self._y
        return grad_x


ACTIVATIONS = (ELU, GELU, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Softplus, Tanh)
_BY_NAME: dict[str, Callable[[], Layer | None]] = {
    "linear": lambda: None,
    "relu": ReLU,
    "relu6": ReLU6,
    "leaky_relu": lambda: LeakyReLU(0.2),
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softmax": Softmax,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "swish": SiLU,
    "softplus": Softplus,
}


def get(activation: str | Layer | dict[str, Any] | None) -> Layer | None:
    """The layer that an ``activation=`` argument stands for.

    Parameters
    ----------
    activation : None, str, Layer or dict
        ``None`` or ``"linear"``: no activation; ``"relu"``, ``"relu6"``, ``"leaky_relu"`` (slope 0.2), ``"elu"``,
        ``"softplus"``, ``"silu"`` or ``"swish"``, ``"gelu"``, ``"sigmoid"``, ``"tanh"``, ``"softmax"``; a layer is
        returned as it is; a dict is what `registry.describe` made of one.

    Returns
    -------
    Layer or None

    Raises
    ------
    ValueError
        For anything else; the message lists the names.

    Examples
    --------
    >>> get("relu"), get(None), get(LeakyReLU(0.1))
    (ReLU(), None, LeakyReLU(negative_slope=0.1))
    """
    if activation is None:
        return None
    if isinstance(activation, (Layer, dict)):
        return restore(activation)
    if not isinstance(activation, str) or activation not in _BY_NAME:
        raise ValueError(
            f"unknown activation {brief(activation)}: use None, one of {', '.join(sorted(_BY_NAME))}, or a layer"
        )
    return _BY_NAME[activation]()
