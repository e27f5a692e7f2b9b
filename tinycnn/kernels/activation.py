"""Element-wise activations, forward and backward from their output; and the sum that ends a residual block."""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.exponential import sigmoid, tanh
from tinycnn.kernels.simd import relu, where_positive
from tinycnn.kernels.sweep import sweep


def _each(caller, kernel, out, settings=(), **sources):
    """Run `kernel`, a sweep, over arrays that must be alike."""
    first = next(iter(sources.values()))
    arrays = {name: (array, first.shape) for name, array in sources.items()}
    check(caller, **arrays, out=(out, first.shape))
    flat = tuple([array.reshape(-1) for array in sources.values()])
    runtime.run(kernel, (out.reshape(-1),), flat, settings, runtime.task_counter())


@inlined
def _relu(values, settings):
    return (relu(values[0]),)


@jit
def _relu_forward(worker, into, sources, settings, counter):
    sweep(_relu, into, sources, settings, counter)


@runtime.locked
def relu_forward(x: np.ndarray, out: np.ndarray) -> None:
    """``out = max(x, 0)``; a NaN stays a NaN."""
    _each("relu_forward", _relu_forward, out, x=x)


@inlined
def _relu_gradient(values, settings):
    grad, y = values  # in vectors for once: a branch per number would be mispredicted half of the time
    return (where_positive(grad, y),)


@jit
def _relu_backward(worker, into, sources, settings, counter):
    sweep(_relu_gradient, into, sources, settings, counter)


@runtime.locked
def relu_backward(grad: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """``out = grad`` where the ReLU's output `y` is positive, 0 elsewhere."""
    _each("relu_backward", _relu_backward, out, grad=grad, y=y)


@inlined
def _tanh(values, settings):
    return (tanh(values[0]),)


@jit
def _tanh_forward(worker, into, sources, settings, counter):
    sweep(_tanh, into, sources, settings, counter)


@runtime.locked
def tanh_forward(x: np.ndarray, out: np.ndarray) -> None:
    """``out = tanh(x)``, to 3 units in the last place."""
    _each("tanh_forward", _tanh_forward, out, x=x)


@inlined
def _tanh_gradient(values, settings):
    grad, y = values
    return (grad * (settings[0] - y * y),)


@jit
def _tanh_backward(worker, into, sources, settings, counter):
    sweep(_tanh_gradient, into, sources, settings, counter)


@runtime.locked
def tanh_backward(grad: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """``out = grad * (1 - y**2)``."""
    _each("tanh_backward", _tanh_backward, out, (y.dtype.type(1),), grad=grad, y=y)


@inlined
def _sigmoid(values, settings):
    return (sigmoid(values[0]),)


@jit
def _sigmoid_forward(worker, into, sources, settings, counter):
    sweep(_sigmoid, into, sources, settings, counter)


@runtime.locked
def sigmoid_forward(x: np.ndarray, out: np.ndarray) -> None:
    """``out = 1 / (1 + exp(-x))``, to 3 units in the last place."""
    _each("sigmoid_forward", _sigmoid_forward, out, x=x)


@inlined
def _sigmoid_gradient(values, settings):
    grad, y = values
    return (grad * (y * (settings[0] - y)),)


@jit
def _sigmoid_backward(worker, into, sources, settings, counter):
    sweep(_sigmoid_gradient, into, sources, settings, counter)


@runtime.locked
def sigmoid_backward(grad: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """``out = grad * y * (1 - y)``."""
    _each("sigmoid_backward", _sigmoid_backward, out, (y.dtype.type(1),), grad=grad, y=y)


@inlined
def _sum(values, settings):
    return (values[0] + values[1],)


@jit
def _add(worker, into, sources, settings, counter):
    sweep(_sum, into, sources, settings, counter)


@inlined
def _relu_of_sum(values, settings):
    return (relu(values[0] + values[1]),)


@jit
def _add_relu(worker, into, sources, settings, counter):
    sweep(_relu_of_sum, into, sources, settings, counter)


@runtime.locked
def add(a: np.ndarray, b: np.ndarray, out: np.ndarray, relu: bool = False) -> None:
    """``out = a + b``, and what is negative becomes 0 with `relu`."""
    _each("add", _add_relu if relu else _add, out, a=a, b=b)
