"""ReLU, forward where no convolution has done it already, and backward; and the sum that ends a residual block."""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.simd import relu, where_positive
from tinycnn.kernels.sweep import sweep


@inlined
def _relu(values, settings):
    return (relu(values[0]),)


@jit
def _relu_forward(worker, into, sources, settings, counter):
    sweep(_relu, into, sources, settings, counter)


@runtime.locked
def relu_forward(x: np.ndarray, out: np.ndarray) -> None:
    """``out = max(x, 0)``; a NaN stays a NaN."""
    check("relu_forward", x=(x, x.shape), out=(out, x.shape))
    runtime.run(_relu_forward, (out.reshape(-1),), (x.reshape(-1),), (), runtime.task_counter())


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
    check("add", a=(a, a.shape), b=(b, a.shape), out=(out, a.shape))
    a, b, out = (array.reshape(-1) for array in (a, b, out))
    runtime.run(_add_relu if relu else _add, (out,), (a, b), (), runtime.task_counter())


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
    check("relu_backward", grad=(grad, grad.shape), y=(y, grad.shape), out=(out, grad.shape))
    grad, y, out = (a.reshape(-1) for a in (grad, y, out))
    runtime.run(_relu_backward, (out,), (grad, y), (), runtime.task_counter())
