"""Dropout from a hash of each element's number, and that hash."""

import numpy as np

from tinycnn.kernels import runtime
from tinycnn.kernels.check import check
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.sweep import TASK
from tinycnn.kernels.tasks import tasks


@inlined
def split_mix(key, i):
    """SplitMix64 (Steele, Lea and Flood 2014): 64 well-mixed bits from a key and a counter."""
    z = key + (np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _dropout(worker, x, out, key, threshold, keep_scale, counter):
    for task in tasks(counter, -(-x.size // TASK)):
        for i in range(task * TASK, min((task + 1) * TASK, x.size)):
            kept = (split_mix(key, i) >> np.uint64(32)) >= threshold
            out[i] = x[i] * keep_scale if kept else x[i] * x.dtype.type(0)


@runtime.locked
def dropout_mask_apply(x: np.ndarray, out: np.ndarray, key: np.uint64, rate: float) -> None:
    """Inverted dropout: ``out = x / (1 - rate)`` where element i is kept, 0 where it is dropped.

    Whether i is kept is a hash of `key` and i, so no mask is stored, the same call on the output gradient is the
    backward pass, and the result does not depend on the number of threads.
    """
    check("dropout", x=(x, x.shape), out=(out, x.shape))
    threshold = np.uint64(round(rate * 2**32))
    keep_scale = x.dtype.type(1 / (1 - rate))
    counter = runtime.task_counter()
    runtime.run(_dropout, x.reshape(-1), out.reshape(-1), np.uint64(key), threshold, keep_scale, counter)
