"""One pass over memory each, in plain loops: optimizer updates, dropout, ReLU, sums of squares.

The set "im2col" computes them so.  An array is cut into `CHUNKS` parts, whatever the number of threads.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import jit
from tinycnn.kernels.tasks import share, tasks

Array = np.ndarray


CHUNKS = 64


def _run(kernel, arrays, *numbers):
    """Run ``kernel(worker, counter, *arrays, *numbers)`` on 1-D views; an update of a copy would be lost unseen."""
    for a in arrays:
        if not a.flags.c_contiguous:
            raise ValueError(f"expected a C-contiguous array, got shape {a.shape} with strides {a.strides}")
    runtime.run(kernel, runtime.task_counter(), *(a.reshape(-1) for a in arrays), *numbers)


@jit
def _adam(worker, counter, p, g, m, v, numbers):
    lr, rest_1, rest_2, epsilon, decay, scale = numbers
    for chunk in tasks(counter, CHUNKS):
        first, last = share(p.size, chunk, CHUNKS)
        for i in range(first, last):
            gradient = scale * g[i]
            m[i] += rest_1 * (gradient - m[i])
            v[i] += rest_2 * (gradient * gradient - v[i])
            p[i] -= lr * m[i] / (math.sqrt(v[i]) + epsilon) + decay * p[i]


@runtime.locked
def adam_step(
    parameters: Sequence[tuple[Array, ...]],
    decays: Sequence[float],
    lr_t: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    grad_scale: float = 1.0,
) -> None:
    """One Adam step of every ``(param, grad, m, v)`` in place, each with its decay; see `sets.Kernels`."""
    for arrays, decay in zip(parameters, decays, strict=True):
        kind = arrays[0].dtype.type
        _run(_adam, arrays, tuple(kind(s) for s in (lr_t, 1 - beta_1, 1 - beta_2, epsilon, decay, grad_scale)))


@jit
def _sgd(worker, counter, p, g, velocity, numbers, nesterov):
    lr, momentum, decay, scale = numbers
    for chunk in tasks(counter, CHUNKS):
        first, last = share(p.size, chunk, CHUNKS)
        for i in range(first, last):
            step = lr * scale * g[i]
            velocity[i] = momentum * velocity[i] - step
            p[i] += (momentum * velocity[i] - step if nesterov else velocity[i]) - decay * p[i]


@runtime.locked
def sgd_step(
    parameters: Sequence[tuple[Array, ...]],
    decays: Sequence[float],
    lr: float,
    momentum: float,
    nesterov: bool,
    grad_scale: float = 1.0,
) -> None:
    """One step of gradient descent of every ``(param, grad, velocity)`` in place; see `sets.Kernels`."""
    for arrays, decay in zip(parameters, decays, strict=True):
        kind = arrays[0].dtype.type
        _run(_sgd, arrays, tuple(kind(s) for s in (lr, momentum, decay, grad_scale)), bool(nesterov))


@jit
def _squares(worker, counter, a, partial):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(a.size, chunk, CHUNKS)
        for i in range(first, last):
            partial[chunk] += np.float64(a[i]) * np.float64(a[i])


@runtime.locked
def sum_of_squares(a: Array) -> float:
    """Sum of ``a**2`` as a float, accumulated in float64 in a fixed order."""
    partial = np.zeros(CHUNKS)
    _run(_squares, (a,), partial)
    return float(partial.sum())


@jit
def _scale_u8(worker, counter, images, out, scale):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(out.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = images[i] * scale


@runtime.locked
def scale_u8(images: Array, out: Array, scale: float) -> None:
    """``out[...] = images * scale`` for 8-bit images and a float array of the same size."""
    _run(_scale_u8, (images, out), out.dtype.type(scale))


@jit
def _hash(key, i):
    """SplitMix64 (Steele, Lea and Flood 2014): 64 well-mixed bits from a key and a counter."""
    z = key + (np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _dropout(worker, counter, x, out, key, threshold, keep_scale):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(x.size, chunk, CHUNKS)
        for i in range(first, last):
            kept = (_hash(key, i) >> np.uint64(32)) >= threshold
            out[i] = x[i] * (keep_scale if kept else 0)  # a NaN that is dropped stays one


@runtime.locked
def dropout_mask_apply(x: Array, out: Array, key: int, rate: float) -> None:
    """``out = x / (1 - rate)`` where element i is kept, 0 where it is dropped; see `tinycnn.kernels.sets.Kernels`."""
    threshold = np.uint64(round(rate * 2**32))
    _run(_dropout, (x, out), np.uint64(key), threshold, x.dtype.type(1 / (1 - rate)))


@jit
def _relu_forward(worker, counter, x, out):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(x.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = 0 if x[i] <= 0 else x[i]  # a NaN stays one


@runtime.locked
def relu_forward(x: Array, out: Array) -> None:
    """``out = max(x, 0)``."""
    _run(_relu_forward, (x, out))


@jit
def _add(worker, counter, a, b, out, relu):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(a.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = a[i] + b[i]
            if relu and out[i] <= 0:
                out[i] = 0


@runtime.locked
def add(a: Array, b: Array, out: Array, relu: bool = False) -> None:
    """``out = a + b``, cut at 0 with `relu`."""
    _run(_add, (a, b, out), relu)


@jit
def _relu_backward(worker, counter, grad, y, out):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(grad.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = grad[i] if y[i] > 0 else 0


@runtime.locked
def relu_backward(grad: Array, y: Array, out: Array) -> None:
    """``out = grad`` where the ReLU's output `y` is positive, 0 elsewhere."""
    _run(_relu_backward, (grad, y, out))


@jit
def _tanh_forward(worker, counter, x, out):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(out.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = math.tanh(x[i])


@runtime.locked
def tanh_forward(x: Array, out: Array) -> None:
    """``out = tanh(x)``."""
    _run(_tanh_forward, (x, out))


@jit
def _tanh_backward(worker, counter, grad, y, out):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(out.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = grad[i] * (1 - y[i] * y[i])


@runtime.locked
def tanh_backward(grad: Array, y: Array, out: Array) -> None:
    """``out = grad * (1 - y**2)``."""
    _run(_tanh_backward, (grad, y, out))


@jit
def _sigmoid_forward(worker, counter, x, out):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(out.size, chunk, CHUNKS)
        for i in range(first, last):
            e = math.exp(-abs(x[i]))  # of what is not positive: no overflow
            out[i] = (1 if x[i] >= 0 else e) / (1 + e)


@runtime.locked
def sigmoid_forward(x: Array, out: Array) -> None:
    """``out = 1 / (1 + exp(-x))``."""
    _run(_sigmoid_forward, (x, out))


@jit
def _sigmoid_backward(worker, counter, grad, y, out):
    for chunk in tasks(counter, CHUNKS):
        first, last = share(out.size, chunk, CHUNKS)
        for i in range(first, last):
            out[i] = grad[i] * y[i] * (1 - y[i])


@runtime.locked
def sigmoid_backward(grad: Array, y: Array, out: Array) -> None:
    """``out = grad * y * (1 - y)``."""
    _run(_sigmoid_backward, (grad, y, out))
