"""The optimizers' updates, one pass over memory each, and the sum of squares that clipping and weight decay ask for."""

import ctypes
import math
from collections.abc import Sequence

import numpy as np
from numba import types
from numba.np.arrayobj import populate_array

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.simd import intrinsic
from tinycnn.kernels.sweep import TASK, sweep, sweep_part
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


@intrinsic
def _array_at(typing_context, address, size, like):
    """The flat array of `size` numbers, of the dtype of `like`, that lies at `address`."""
    kind = types.Array(like.dtype, 1, "C")

    def generate(context, builder, sig, args):
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(args[0], context.get_data_type(kind.dtype).as_pointer())
        strides = [context.get_constant(types.intp, kind.dtype.bitwidth // 8)]
        populate_array(
            array, data, [args[1]], strides, context.get_constant(types.intp, kind.dtype.bitwidth // 8), None
        )
        return array._getvalue()

    return kind(types.int64, types.intp, like), generate


def _address(array):
    """``array.ctypes.data`` in a quarter of the time; a TypeError if the array must not be written to."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array))


FIRST, SIZE, ARRAYS = 0, 1, 2  # columns of a row per parameter: its first task, its size, the addresses of its arrays


@jit
def _adam(worker, table, decays, settings, counter):
    lr, rest_1, rest_2, epsilon, grad_scale = settings
    k, last = 0, len(decays)
    for task in tasks(counter, table[last, FIRST]):
        while task >= table[k + 1, FIRST]:
            k += 1
        size, start = table[k, SIZE], (task - table[k, FIRST]) * TASK
        p, g, m, v = (
            _array_at(table[k, ARRAYS], size, decays),
            _array_at(table[k, ARRAYS + 1], size, decays),
            _array_at(table[k, ARRAYS + 2], size, decays),
            _array_at(table[k, ARRAYS + 3], size, decays),
        )
        own = lr, rest_1, rest_2, epsilon, decays[k], grad_scale
        sweep_part(_adam_equation, (p, m, v), (p, g, m, v), own, start, min(start + TASK, size))


@runtime.locked
def adam_step(
    parameters: Sequence[tuple[np.ndarray, ...]],
    decays: Sequence[float],
    lr_t: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    grad_scale: float = 1.0,
) -> None:
    """One Adam step of all `parameters` in place, each ``(param, grad, m, v)`` with its decay, in one kernel.

    ``g = grad_scale * grad;  m += (1 - beta_1) (g - m);  v += (1 - beta_2) (g^2 - v);
    param -= lr_t m / (sqrt(v) + epsilon) + decay param``; all are read once and param, m and v written once.

    `lr_t` is the bias-corrected rate ``lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`` (Kingma and Ba 2015, end of
    section 2; `epsilon` is their epsilon hat, as in Keras).
    """
    for param, grad, m, v in parameters:
        shape = param.shape
        check("adam_step", param=(param, shape), grad=(grad, shape), m=(m, shape), v=(v, shape))
    for dtype in dict.fromkeys(arrays[0].dtype for arrays in parameters):
        every = zip(parameters, decays, strict=True)
        chosen = [(arrays, decay) for arrays, decay in every if arrays[0].dtype == dtype and arrays[0].size]
        rows, task = [], 0
        for (param, grad, m, v), _ in chosen:
            of_grad = _address(grad) if grad.flags.writeable else grad.ctypes.data
            rows.append((task, param.size, _address(param), of_grad, _address(m), _address(v)))
            task += -(-param.size // TASK)
        table = np.array([*rows, (task, 0, 0, 0, 0, 0)], np.int64)
        settings = tuple(dtype.type(s) for s in (lr_t, 1 - beta_1, 1 - beta_2, epsilon, grad_scale))
        own = np.array([decay for _, decay in chosen], dtype)
        runtime.run(_adam, table, own, settings, runtime.task_counter())


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
