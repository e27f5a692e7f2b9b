"""Element-wise activations and softmax, and how a layer's ``activation=`` argument becomes one of them."""

import importlib

import numpy as np

from tinycnn.kernels.activation import relu_backward
from tinycnn.layers.base import Layer


class ReLU(Layer):
    """Rectified linear unit.

    ::

        forward    y = max(x, 0)
        backward   dL/dx = dL/dy where y > 0, else 0

    The gradient at ``x = 0`` is 0, as in Keras and PyTorch.  Any shape in, the same shape out.

    References
    ----------
    Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.

    Examples
    --------
    >>> relu = ReLU()
    >>> relu.forward(np.float32([[-1, 2]])), relu.backward(np.float32([[5, 5]]))
    (array([[0., 2.]], dtype=float32), array([[0., 5.]], dtype=float32))
    """

    def forward(self, x, training=False):
        """``y = max(x, 0)``; a NaN stays a NaN."""
        x = self._enter(x)
        self._y = np.maximum(x, 0, out=self._buffer("y", x.shape))
        return self._y

    def backward(self, grad_y):
        """``grad_y`` where the output was positive, else 0."""
        grad_y = self._enter_backward(grad_y)
        grad_x = self._buffer("grad_x", grad_y.shape)
        relu_backward(grad_y, self._y, grad_x)
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

    def __init__(self, negative_slope=0.3, name=None):
        super().__init__(name)
        if not 0 <= negative_slope < np.inf:
            raise ValueError(f"LeakyReLU: negative_slope must be a finite number >= 0, got {negative_slope!r}")
        self.negative_slope = float(negative_slope)

    def config(self):
        return {"negative_slope": self.negative_slope}

    def forward(self, x, training=False):
        """``y = x`` where positive, ``negative_slope * x`` elsewhere."""
        x = self._enter(x)
        self._positive = np.greater(x, 0, out=self._buffer("positive", x.shape, bool))
        y = np.multiply(x, self.negative_slope, out=self._buffer("y", x.shape))
        np.copyto(y, x, where=self._positive)
        return y

    def backward(self, grad_y):
        """``grad_y`` where the input was positive, ``negative_slope * grad_y`` elsewhere."""
        grad_y = self._enter_backward(grad_y)
        grad_x = np.multiply(grad_y, self.negative_slope, out=self._buffer("grad_x", grad_y.shape))
        np.copyto(grad_x, grad_y, where=self._positive)
        return grad_x


class Sigmoid(Layer):
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

    def forward(self, x, training=False):
        """``y = 1 / (1 + exp(-x))``."""
        x = self._enter(x)
        e = np.abs(x, out=self._buffer("e", x.shape))
        np.exp(np.negative(e, out=e), out=e)
        y = self._buffer("y", x.shape)
        np.copyto(y, e)
        np.copyto(y, 1, where=np.greater_equal(x, 0, out=self._buffer("positive", x.shape, bool)))
        self._y = np.divide(y, np.add(e, 1, out=e), out=y)
        return y

    def backward(self, grad_y):
        """``grad_y * y * (1 - y)``."""
        grad_y = self._enter_backward(grad_y)
        grad_x = np.subtract(1, self._y, out=self._buffer("grad_x", grad_y.shape))
        grad_x *= self._y
        grad_x *= grad_y
        return grad_x


class Tanh(Layer):
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

    def forward(self, x, training=False):
        """``y = tanh(x)``."""
        x = self._enter(x)
        self._y = np.tanh(x, out=self._buffer("y", x.shape))
        return self._y

    def backward(self, grad_y):
        """``grad_y * (1 - y**2)``."""
        grad_y = self._enter_backward(grad_y)
        grad_x = np.multiply(self._y, self._y, out=self._buffer("grad_x", grad_y.shape))
        np.subtract(1, grad_x, out=grad_x)
        grad_x *= grad_y
        return grad_x


class Softmax(Layer):
    """Softmax over the last axis: positive numbers that add up to 1.

    ::

        forward    y_i = exp(x_i - max x) / sum_j exp(x_j - max x)
        backward   dL/dx_i = y_i * (dL/dy_i - sum_j dL/dy_j * y_j)

    Subtracting the row's maximum changes nothing in exact arithmetic and keeps every exponential at most 1.
    With ``logits=True`` both directions are the identity: a loss on logits takes softmax and logarithm
    together, which is more exact than their product.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning, section 4.3.4.

    Examples
    --------
    >>> softmax = Softmax()
    >>> softmax.forward(np.float32([[1000, 1000]]))
    array([[0.5, 0.5]], dtype=float32)
    >>> softmax.forward(np.float32([[1000, 1000]]), logits=True)
    array([[1000., 1000.]], dtype=float32)
    """

    def forward(self, x, training=False, logits=False):
        """Probabilities along the last axis, or `x` itself with ``logits=True``."""
        x = self._enter(x)
        if logits:
            self._y = None
            return x
        y = np.subtract(x, x.max(axis=-1, keepdims=True), out=self._buffer("y", x.shape))
        np.exp(y, out=y)
        y /= y.sum(axis=-1, keepdims=True)
        self._y = y
        return y

    def backward(self, grad_y, logits=False):
        """``y * (grad_y - sum(grad_y * y))``, or `grad_y` itself with ``logits=True``.

        Raises
        ------
        RuntimeError
            If only one of the last forward and this backward runs with ``logits=True``.
        """
        grad_y = self._enter_backward(grad_y)
        if logits != (self._y is None):
            raise RuntimeError(f"{self.where()}: backward needs logits={not logits}, as forward had")
        if logits:
            return grad_y
        grad_x = np.multiply(grad_y, self._y, out=self._buffer("grad_x", grad_y.shape))
        np.subtract(grad_y, grad_x.sum(axis=-1, keepdims=True), out=grad_x)
        grad_x *= self._y
        return grad_x


_BY_NAME = {
    "linear": lambda: None,
    "relu": ReLU,
    "leaky_relu": lambda: LeakyReLU(0.2),
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softmax": Softmax,
}


def get(activation):
    """The layer that an ``activation=`` argument stands for.

    Parameters
    ----------
    activation : None, str, Layer or dict
        ``None`` or ``"linear"``: no activation; ``"relu"``, ``"leaky_relu"`` (slope 0.2), ``"sigmoid"``,
        ``"tanh"``, ``"softmax"``; a layer is returned as it is; a dict is what `describe` made of one.

    Returns
    -------
    Layer or None

    Raises
    ------
    ValueError
        For anything else; the message lists the names.

    Examples
    --------
    >>> get("relu"), get(None), get(describe(LeakyReLU(0.1)))
    (ReLU(), None, LeakyReLU(negative_slope=0.1))
    """
    if activation is None:
        return None
    if isinstance(activation, (Layer, dict)):
        return restore(activation)
    if not isinstance(activation, str) or activation not in _BY_NAME:
        raise ValueError(
            f"unknown activation {activation!r}: use None, one of {', '.join(sorted(_BY_NAME))}, or a layer"
        )
    return _BY_NAME[activation]()


def describe(layer):
    """A layer's architecture as a JSON-able dict ``{"class": ..., "config": {...}}``; None stays None.

    A name that the layer carries is kept under ``"name"``; weights are not part of it.

    >>> describe(LeakyReLU(0.1))
    {'class': 'LeakyReLU', 'config': {'negative_slope': 0.1}}
    """
    if layer is None:
        return None
    spec = {"class": type(layer).__name__, "config": layer.config()}
    return spec if layer.name is None else {**spec, "name": layer.name}


def restore(spec):
    """A new, unbuilt layer from what `describe` returned; a layer is returned as it is.

    Raises
    ------
    ValueError
        If `spec` is neither, or names a class that no imported module defines.

    Examples
    --------
    >>> restore({"class": "LeakyReLU", "config": {"negative_slope": 0.1}})
    LeakyReLU(negative_slope=0.1)
    """
    if isinstance(spec, Layer):
        return spec
    if not isinstance(spec, dict) or not {"class", "config"} <= spec.keys():
        raise ValueError(f'expected a layer or a dict {{"class": ..., "config": {{...}}}}, got {spec!r}')
    if spec["class"] not in Layer.registry:
        _import_all_layers()
    if spec["class"] not in Layer.registry:
        raise ValueError(
            f"unknown layer class {spec['class']!r}: import the module that defines it first; "
            f"known are {', '.join(sorted(Layer.registry))}"
        )
    layer = Layer.registry[spec["class"]](**spec["config"])
    layer.name = spec.get("name")
    return layer


def _import_all_layers():
    # A class registers itself when its module is imported, and a saved architecture may name any of them.
    package = importlib.import_module("tinycnn.layers")
    for name in package.__all__:
        getattr(package, name)
