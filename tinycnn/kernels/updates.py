"""The optimizers' updates, one pass over memory each, and the sum of squares that clipping and weight decay ask for."""

import math

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.sweep import sweep
from tinycnn.kernels.tasks import tasks

SUM = 1 << 16  # elements whose squares are summed in a row


@inlined
def _adam_equation(values, settings):
    p, g, m, v = values
    lr, rest_1, rest_2, epsilon, decay, grad_scale = settings
    g = grad_scale * g
    m = m + rest_1 * (g - m)
    v = v + rest_2 * (g * g - v)
    return p - (lr * m / (math.sqrt(v) + epsilon) + decay * p), m, v


@jit
def _adam(worker, into, sources, settings, counter):
    sweep(_adam_equation, into, sources, settings, counter)


@runtime.locked
def adam_update(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    lr_t: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """One Adam step in place; p, g, m and v are read once and p, m and v written once.

    ``g = grad_scale * grad;  m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v);
    param -= lr_t m / (sqrt(v) + epsilon) + decay param``

    `lr_t` is the bias-corrected rate ``lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`` (Kingma and Ba 2015, end of
    section 2; `epsilon` is their epsilon hat, as in Keras).
    """
    shape = param.shape
    check("adam_update", param=(param, shape), grad=(grad, shape), m=(m, shape), v=(v, shape))
    p, g, m, v = (a.reshape(-1) for a in (param, grad, m, v))
    settings = tuple(p.dtype.type(s) for s in (lr_t, 1 - beta_1, 1 - beta_2, epsilon, decay, grad_scale))
    runtime.run(_adam, (p, m, v), (p, g, m, v), settings, runtime.task_counter())


@inlined
def _sgd_equation(values, settings):
    p, g, velocity = values
    lr, momentum, nesterov, decay, grad_scale = settings
    g = grad_scale * g
    velocity = momentum * velocity - lr * g
    if nesterov:
        return p + (momentum * velocity - lr * g) - decay * p, velocity
    return p + velocity - decay * p, velocity


@jit
def _sgd(worker, into, sources, settings, counter):
    sweep(_sgd_equation, into, sources, settings, counter)


@runtime.locked
def sgd_update(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray,
    lr: float,
    momentum: float,
    nesterov: bool,
    decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """One SGD step in place, with Keras's momentum: ``velocity = momentum velocity - lr g;  param += velocity``.

    ``g = grad_scale * grad``.  Nesterov's variant adds ``momentum velocity - lr g`` instead; ``decay param`` is
    subtracted either way.
    """
    shape = param.shape
    check("sgd_update", param=(param, shape), grad=(grad, shape), velocity=(velocity, shape))
    p, g, velocity = (a.reshape(-1) for a in (param, grad, velocity))
    lr, momentum, decay, grad_scale = (p.dtype.type(s) for s in (lr, momentum, decay, grad_scale))
    settings = lr, momentum, bool(nesterov), decay, grad_scale
    runtime.run(_sgd, (p, velocity), (p, g, velocity), settings, runtime.task_counter())


@jit
def _squares(worker, a, partial, counter):
    for task in tasks(counter, partial.size):
        total = 0.0
        for i in range(task * SUM, min((task + 1) * SUM, a.size)):
            total += np.float64(a[i]) * np.float64(a[i])
        partial[task] = total


@runtime.locked
def sum_of_squares(a: np.ndarray) -> float:
    """Sum of ``a**2``, accumulated in float64 in a fixed order."""
    check("sum_of_squares", a=(a, a.shape))
    partial = np.zeros(-(-a.size // SUM))
    runtime.run(_squares, a.reshape(-1), partial, runtime.task_counter())
    return float(partial.sum())
