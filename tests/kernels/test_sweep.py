import numpy as np
import pytest

from tinycnn.kernels import runtime
from tinycnn.kernels.compile import inlined, jit
from tinycnn.kernels.simd import LANES
from tinycnn.kernels.sweep import TASK, sweep


@inlined
def rms_equation(values, settings):
    p, g, v = values
    rate, rho = settings
    v = rho * v + (1 - rho) * (g * g)
    return p - rate * g / (v + 1.0), v


@jit
def rms(worker, into, sources, settings, counter):
    sweep(rms_equation, into, sources, settings, counter)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, LANES, LANES + 1, TASK - 1, 2 * TASK + LANES + 3])
def test_an_equation_is_all_that_a_new_optimizer_needs(size, dtype):
    p, g, v = (np.random.default_rng(seed).random(size).astype(dtype) for seed in range(3))
    expected_v = 0.9 * v.astype(float) + 0.1 * g.astype(float) ** 2
    expected_p = p - 0.5 * g.astype(float) / (expected_v + 1)
    settings = dtype(0.5), dtype(0.9)
    runtime.locked(runtime.run)(rms, (p, v), (p, g, v), settings, runtime.task_counter())
    tolerance = 8 * np.finfo(dtype).eps
    assert np.allclose(p, expected_p, rtol=tolerance, atol=tolerance)
    assert np.allclose(v, expected_v, rtol=tolerance, atol=tolerance)
