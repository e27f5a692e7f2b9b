"""The optimizers' updates, one pass over memory each, and the sum of squares that clipping and weight decay ask for."""

import ctypes
import math
import weakref
from collections.abc import Sequence

import numpy as np
from numba import types
from numba.np.arrayobj import populate_array

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.simd import intrinsic
from tinycnn.kernels.sweep import TASK, sweep_part
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


@inlined
def _place(table, k, task):
    """Which parameter a task is of, k or one after it, and the first and one past the last index there."""
    while task >= table[k + 1, FIRST]:
        k += 1
    start = (task - table[k, FIRST]) * TASK
    return k, start, min(start + TASK, table[k, SIZE])


@inlined
def _array(table, k, i, like):
    return _array_at(table[k, ARRAYS + i], table[k, SIZE], like)


@jit
def _adam(worker, table, decays, settings, counter):
    lr, rest_1, rest_2, epsilon, grad_scale = settings
    k = 0
    for task in tasks(counter, table[len(decays), FIRST]):
        k, start, stop = _place(table, k, task)
        p, g = _array(table, k, 0, decays), _array(table, k, 1, decays)
        m, v = _array(table, k, 2, decays), _array(table, k, 3, decays)
        own = lr, rest_1, rest_2, epsilon, decays[k], grad_scale
        sweep_part(_adam_equation, (p, m, v), (p, g, m, v), own, start, stop)


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
    for dtype, (table, own) in _tables(("adam_step", "param", "grad", "m", "v"), parameters).items():
        settings = tuple([dtype.type(s) for s in (lr_t, 1 - beta_1, 1 - beta_2, epsilon, grad_scale)])
        runtime.run(_adam, table, np.array([decays[i] for i in own], dtype), settings, runtime.task_counter())


_last: tuple[Sequence[str], list, dict] = (), [], {}  # names and weak references of the last step's arrays, and tables


def _tables(names, parameters):
    """``{dtype: (table for a kernel, indices of its parameters)}``; those of the last step, if the arrays are the same.

    `names` are of the caller and of the arrays of a parameter: the first, then its gradient, which is only read.
    """
    global _last
    arrays = [array for of_one in parameters for array in of_one]
    same = names == _last[0] and len(arrays) == len(_last[1])
    if same and all([known() is array for known, array in zip(_last[1], arrays, strict=True)]):
        return _last[2]
    tables: dict = {}
    for i, of_one in enumerate(parameters):
        shape, dtype = of_one[0].shape, of_one[0].dtype
        check(names[0], **{name: (array, shape) for name, array in zip(names[1:], of_one, strict=True)})
        table, own, task = tables.setdefault(dtype, ([], [], 0))
        if of_one[0].size:
            addresses = [array.ctypes.data if k == 1 else _address(array) for k, array in enumerate(of_one)]
            tables[dtype] = [*table, (task, of_one[0].size, *addresses)], [*own, i], task - (-of_one[0].size // TASK)
    end = [0] * len(names)
    tables = {d: (np.array([*table, (task, *end)], np.int64), own) for d, (table, own, task) in tables.items()}
    _last = names, [weakref.ref(array) for array in arrays], tables
    return tables


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
def _sgd(worker, table, decays, settings, counter):
    lr, momentum, nesterov, grad_scale = settings
    k = 0
    for task in tasks(counter, table[len(decays), FIRST]):
        k, start, stop = _place(table, k, task)
        p, g, velocity = _array(table, k, 0, decays), _array(table, k, 1, decays), _array(table, k, 2, decays)
        own = lr, momentum, nesterov, decays[k], grad_scale
        sweep_part(_sgd_equation, (p, velocity), (p, g, velocity), own, start, stop)


@runtime.locked
def sgd_step(
    parameters: Sequence[tuple[np.ndarray, ...]],
    decays: Sequence[float],
    lr: float,
    momentum: float,
    nesterov: bool,
    grad_scale: float = 1.0,
) -> None:
    """One SGD step of all `parameters` in place, each ``(param, grad, velocity)`` with its decay, in one kernel.

    With Keras's momentum: ``velocity = momentum velocity - lr g;  param += velocity``, ``g = grad_scale * grad``.
    Nesterov's variant adds ``momentum velocity - lr g`` instead; ``decay param`` is subtracted either way.
    """
    for dtype, (table, own) in _tables(("sgd_step", "param", "grad", "velocity"), parameters).items():
        kind = dtype.type
        settings = kind(lr), kind(momentum), bool(nesterov), kind(grad_scale)
        runtime.run(_sgd, table, np.array([decays[i] for i in own], dtype), settings, runtime.task_counter())


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
