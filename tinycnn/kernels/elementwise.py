"""One pass over memory each: optimizer updates, dropout, scaling of 8-bit images, sums of squares."""

import math

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.runtime import inlined, jit
from tinycnn.kernels.simd import LANES, fetch_add, load, store, where_positive

TASK = 1 << 16  # elements per task: long enough to hide drawing it, short enough to balance the cores


def _flat(*arrays):
    """1-D views; a copy would silently swallow an in-place update, so it is refused."""
    for a in arrays:
        if not a.flags.c_contiguous:
            raise ValueError(f"expected a C-contiguous array, got shape {a.shape} with strides {a.strides}")
    return [a.reshape(-1) for a in arrays]


@inlined
def _adam_step(p, g, m, v, lr, rest_1, rest_2, epsilon, decay):
    """The equation, for numbers and for vectors of them."""
    m = m + rest_1 * (g - m)
    v = v + rest_2 * (g * g - v)
    return p - (lr * m / (math.sqrt(v) + epsilon) + decay * p), m, v


@jit
def _adam(worker, p, g, m, v, lr, rest_1, rest_2, epsilon, decay, scale, counter):
    while True:
        start = fetch_add(counter, 1) * TASK
        if start >= p.size:
            break
        stop = min(start + TASK, p.size)
        vectors = start + (stop - start) // LANES * LANES
        for i in range(start, vectors, LANES):
            p_, m_, v_ = _adam_step(
                load(p, i), scale * load(g, i), load(m, i), load(v, i), lr, rest_1, rest_2, epsilon, decay
            )
            store(p, i, p_)
            store(m, i, m_)
            store(v, i, v_)
        for i in range(vectors, stop):
            p[i], m[i], v[i] = _adam_step(p[i], scale * g[i], m[i], v[i], lr, rest_1, rest_2, epsilon, decay)


@runtime.locked
def adam_update(param, grad, m, v, lr_t, beta_1, beta_2, epsilon, decay=0.0, grad_scale=1.0):
    """One Adam step in place; p, g, m and v are read once and p, m and v written once.

    ``g = grad_scale * grad;  m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v);
    param -= lr_t m / (sqrt(v) + epsilon) + decay param``

    `lr_t` is the bias-corrected rate ``lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`` (Kingma and Ba 2015, end of
    section 2; `epsilon` is their epsilon hat, as in Keras).
    """
    scalars = [param.dtype.type(s) for s in (lr_t, 1 - beta_1, 1 - beta_2, epsilon, decay, grad_scale)]
    runtime.run(_adam, *_flat(param, grad, m, v), *scalars, runtime.task_counter())


@inlined
def _sgd_step(p, g, velocity, lr, momentum, nesterov, decay):
    velocity = momentum * velocity - lr * g
    if nesterov:
        return p + (momentum * velocity - lr * g) - decay * p, velocity
    return p + velocity - decay * p, velocity


@jit
def _sgd(worker, p, g, velocity, lr, momentum, nesterov, decay, scale, counter):
    while True:
        start = fetch_add(counter, 1) * TASK
        if start >= p.size:
            break
        stop = min(start + TASK, p.size)
        vectors = start + (stop - start) // LANES * LANES
        for i in range(start, vectors, LANES):
            p_, velocity_ = _sgd_step(load(p, i), scale * load(g, i), load(velocity, i), lr, momentum, nesterov, decay)
            store(p, i, p_)
            store(velocity, i, velocity_)
        for i in range(vectors, stop):
            p[i], velocity[i] = _sgd_step(p[i], scale * g[i], velocity[i], lr, momentum, nesterov, decay)


@runtime.locked
def sgd_update(param, grad, velocity, lr, momentum, nesterov, decay=0.0, grad_scale=1.0):
    """One SGD step in place, with Keras's momentum: ``velocity = momentum velocity - lr g;  param += velocity``.

    Nesterov's variant adds ``momentum velocity - lr g`` instead; ``decay param`` is subtracted either way.
    """
    lr, momentum, decay, scale = (param.dtype.type(s) for s in (lr, momentum, decay, grad_scale))
    runtime.run(_sgd, *_flat(param, grad, velocity), lr, momentum, bool(nesterov), decay, scale, runtime.task_counter())


@jit
def _squares(worker, a, partial, counter):
    while True:
        task = fetch_add(counter, 1)
        if task >= partial.size:
            break
        total = 0.0
        for i in range(task * TASK, min((task + 1) * TASK, a.size)):
            total += np.float64(a[i]) * np.float64(a[i])
        partial[task] = total


@runtime.locked
def sum_of_squares(a):
    """Sum of ``a**2`` as a float, accumulated in float64 in a fixed order."""
    partial = np.zeros(-(-a.size // TASK))
    runtime.run(_squares, *_flat(a), partial, runtime.task_counter())
    return float(partial.sum())


@jit
def _scale_u8(worker, images, out, scale, counter):
    while True:
        start = fetch_add(counter, 1) * TASK
        if start >= out.size:
            break
        for i in range(start, min(start + TASK, out.size)):
            out[i] = images[i] * scale


@runtime.locked
def scale_u8(images, out, scale):
    """``out[...] = images * scale`` for 8-bit images and a float array of the same size."""
    runtime.run(_scale_u8, *_flat(images, out), out.dtype.type(scale), runtime.task_counter())


@inlined
def _hash(key, i):
    """SplitMix64 (Steele, Lea and Flood 2014): 64 well-mixed bits from a key and a counter."""
    z = key + (np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _dropout(worker, x, out, key, threshold, keep_scale, counter):
    while True:
        start = fetch_add(counter, 1) * TASK
        if start >= x.size:
            break
        for i in range(start, min(start + TASK, x.size)):
            kept = (_hash(key, i) >> np.uint64(32)) >= threshold
            out[i] = x[i] * keep_scale if kept else x[i] * x.dtype.type(0)


@runtime.locked
def dropout_mask_apply(x, out, key, rate):
    """Inverted dropout: ``out = x / (1 - rate)`` where element i is kept, 0 where it is dropped.

    Whether i is kept is a hash of `key` and i, so no mask is stored, the same call on the output gradient is the
    backward pass, and the result does not depend on the number of threads.
    """
    threshold = np.uint64(round(rate * 2**32))
    keep_scale = x.dtype.type(1 / (1 - rate))
    runtime.run(_dropout, *_flat(x, out), np.uint64(key), threshold, keep_scale, runtime.task_counter())


@jit
def _relu_backward(worker, grad, y, out, counter):
    while True:
        start = fetch_add(counter, 1) * TASK
        if start >= grad.size:
            break
        stop = min(start + TASK, grad.size)
        vectors = start + (stop - start) // LANES * LANES
        for i in range(start, vectors, LANES):  # in vectors: a branch per number would be mispredicted half of the time
            store(out, i, where_positive(load(grad, i), load(y, i)))
        for i in range(vectors, stop):
            out[i] = grad[i] if y[i] > 0 else grad.dtype.type(0)


@runtime.locked
def relu_backward(grad, y, out):
    """``out = grad`` where the ReLU's output `y` is positive, 0 elsewhere."""
    runtime.run(_relu_backward, *_flat(grad, y, out), runtime.task_counter())
