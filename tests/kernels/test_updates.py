import math

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.sweep import TASK
from tinycnn.kernels.updates import adam_step, sgd_step, sum_of_squares

DTYPES = [np.float32, np.float64]
SHAPES = [(1,), (3, 5, 7), (TASK,), (2, TASK + 13), (0,)]  # one task, several, remainders of vectors, nothing


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and np.allclose(ours, exact, rtol=20 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_adam_equals_reference(shape, dtype):
    param, m, v = normal(shape, dtype), np.zeros(shape, dtype), np.zeros(shape, dtype)
    exact = [a.astype(float) for a in (param, m, v)]
    settings = dict(beta_1=0.8, beta_2=0.96, epsilon=1e-3)
    for step in range(3):
        grad = normal(shape, dtype, seed=step + 1)
        kept = grad.copy()
        adam_step([(param, grad, m, v)], [0.01], 0.1, **settings, grad_scale=0.5)
        decayed = 0.01 * exact[0]
        exact = list(reference.adam_update(exact[0], 0.5 * grad.astype(float), *exact[1:], 0.1, **settings))
        exact[0] -= decayed
        assert np.array_equal(grad, kept)
    assert all(close(ours, wide, dtype) for ours, wide in zip((param, m, v), exact, strict=True))


def test_many_parameters_at_once_move_as_each_alone():
    shapes = [(3,), (0,), (TASK + 1,), (2, TASK), (0,), (1,), (70, 3)]
    dtypes = [np.float32] * 4 + [np.float64] * 3  # even of two dtypes
    make = lambda: [[abs(normal(s, d, seed=k)) for k in range(4)] for s, d in zip(shapes, dtypes, strict=True)]  # noqa: E731
    together, alone, decays = make(), make(), [0.1 * i for i in range(len(shapes))]
    adam_step(together, decays, 0.1, 0.8, 0.96, 1e-3, 0.5)
    for arrays, decay in zip(alone, decays, strict=True):
        adam_step([arrays], [decay], 0.1, 0.8, 0.96, 1e-3, 0.5)
    for ours, theirs in zip(together, alone, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    adam_step([], [], 0.1, 0.8, 0.96, 1e-3)


def test_a_step_of_other_arrays_moves_those():
    """Addresses are kept from step to step as long as the arrays are the same ones."""
    first, second = ([np.full((2, 3), value) for value in (1.0, 4.0, 0.0, 0.0)] for _ in range(2))
    for parameter in (first, first, second):
        adam_step([parameter], [0.0], 0.1, 0.5, 0.5, 0.0)
    adam_step([first[:1] + second[1:]], [0.0], 0.0, 0.5, 0.5, 0.0)
    assert np.allclose(second[0], 1 - 0.1 * 2 / np.sqrt(8)) and (second[2] == 3).all() and (first[2] == 3).all()
    sgd_step([tuple(first[:3])], [0.0], 0.5, 0.0, False)
    assert (first[2] == -2).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_equals_reference(shape, nesterov, dtype):
    param, velocity = normal(shape, dtype), np.zeros(shape, dtype)
    exact = [a.astype(float) for a in (param, velocity)]
    for step in range(3):
        grad = normal(shape, dtype, seed=step + 1)
        sgd_step([(param, grad, velocity)], [0.01], 0.1, 0.9, nesterov, grad_scale=0.5)
        exact = reference.sgd_update(exact[0], grad.astype(float), exact[1], 0.1, 0.9, nesterov, 0.01, 0.5)
    assert all(close(ours, wide, dtype) for ours, wide in zip((param, velocity), exact, strict=True))


def test_updates_refuse_what_they_would_have_to_copy():
    strided = np.zeros((4, 6))[:, ::2]
    whole = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"C-contiguous array, got shape \(4, 3\)"):
        adam_step([(strided, whole, whole, whole)], [0], 0.1, 0.9, 0.999, 1e-7)
    with pytest.raises(ValueError, match="C-contiguous"):
        sgd_step([(whole, whole, strided)], [0], 0.1, 0.9, False)


def test_updates_refuse_another_dtype_or_shape():
    param, wide = np.zeros((4, 3), np.float32), np.zeros((4, 3))
    with pytest.raises(ValueError, match="adam_step: grad is float64 and param is float32"):
        adam_step([(param, wide, param, param)], [0], 0.1, 0.9, 0.999, 1e-7)
    fixed = np.zeros((4, 3), np.float32)
    fixed.flags.writeable = False
    with pytest.raises(TypeError, match="not writable"):
        adam_step([(fixed, param, param, param)], [0], 0.1, 0.9, 0.999, 1e-7)
    adam_step([(param, fixed, param.copy(), param.copy())], [0], 0.1, 0.9, 0.999, 1e-7)
    with pytest.raises(ValueError, match=r"velocity has shape \(3, 4\), but must have shape \(4, 3\)"):
        sgd_step([(param, param, np.zeros((3, 4), np.float32))], [0], 0.1, 0.9, False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sum_of_squares(shape, dtype):
    a = normal(shape, dtype)
    total = sum_of_squares(a)
    assert isinstance(total, float)
    assert total == pytest.approx(math.fsum((a.astype(float) ** 2).ravel()), rel=1e-12)


def test_sum_of_squares_does_not_overflow_float32():
    assert sum_of_squares(np.full(3, 1e30, np.float32)) == pytest.approx(3e60, rel=1e-6)
    assert math.isnan(sum_of_squares(np.float32([1, np.nan])))
