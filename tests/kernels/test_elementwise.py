import math

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.elementwise import (
    TASK,
    adam_update,
    dropout_mask_apply,
    relu_backward,
    scale_u8,
    sgd_update,
    sum_of_squares,
)

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
    settings = dict(beta_1=0.8, beta_2=0.96, epsilon=1e-3, decay=0.01, grad_scale=0.5)
    for step in range(3):
        grad = normal(shape, dtype, seed=step + 1)
        kept = grad.copy()
        adam_update(param, grad, m, v, 0.1, **settings)
        exact = reference.adam_update(exact[0], grad.astype(float), *exact[1:], 0.1, **settings)
        assert np.array_equal(grad, kept)
    assert all(close(ours, wide, dtype) for ours, wide in zip((param, m, v), exact, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_equals_reference(shape, nesterov, dtype):
    param, velocity = normal(shape, dtype), np.zeros(shape, dtype)
    exact = [a.astype(float) for a in (param, velocity)]
    for step in range(3):
        grad = normal(shape, dtype, seed=step + 1)
        sgd_update(param, grad, velocity, 0.1, 0.9, nesterov, decay=0.01, grad_scale=0.5)
        exact = reference.sgd_update(exact[0], grad.astype(float), exact[1], 0.1, 0.9, nesterov, 0.01, 0.5)
    assert all(close(ours, wide, dtype) for ours, wide in zip((param, velocity), exact, strict=True))


def test_updates_refuse_what_they_would_have_to_copy():
    strided = np.zeros((4, 6))[:, ::2]
    whole = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"C-contiguous array, got shape \(4, 3\)"):
        adam_update(strided, whole, whole, whole, 0.1, 0.9, 0.999, 1e-7)
    with pytest.raises(ValueError, match="C-contiguous"):
        sgd_update(whole, whole, strided, 0.1, 0.9, False)


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(256,), (3, 5, 7, 2), (TASK + 1,)])
def test_scale_u8(shape, dtype):
    images = np.resize(np.arange(256, dtype=np.uint8), shape)
    out = np.full(shape, np.nan, dtype)
    scale_u8(images, out, 1 / 255)
    assert np.array_equal(out, images.astype(dtype) * dtype(1 / 255))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.999])
def test_dropout_equals_reference_bit_for_bit(shape, rate, dtype):
    x = normal(shape, dtype)
    for key in (0, 12345, 2**64 - 1):
        out = np.full(shape, np.nan, dtype)
        dropout_mask_apply(x, out, np.uint64(key), rate)
        assert out.tobytes() == reference.dropout(x, key, rate).tobytes()


def test_dropout_keeps_its_share_and_differs_between_keys():
    x = np.ones(100_000, np.float32)
    one, two = np.empty_like(x), np.empty_like(x)
    dropout_mask_apply(x, one, np.uint64(1), 0.25)
    dropout_mask_apply(x, two, np.uint64(2), 0.25)
    assert (one == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert ((one == 0) & (two == 0)).mean() == pytest.approx(0.0625, abs=0.01)
    assert ((one[1:] == 0) & (one[:-1] == 0)).mean() == pytest.approx(0.0625, abs=0.01)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_backward_equals_reference(shape, dtype):
    grad, y = normal(shape, dtype), reference.relu_forward(normal(shape, dtype, seed=1))
    out = np.full(shape, np.nan, dtype)
    relu_backward(grad, y, out)
    assert np.array_equal(out, reference.relu_backward(grad, y))
