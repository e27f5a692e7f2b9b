"""Optimizer updates, dropout and the like by every set of kernels against `tinycnn.reference`."""

import gc
import tracemalloc

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels import plain_elementwise, runtime

DTYPES = [np.float32, np.float64]
SHAPES = [(1,), (5, 13), (3, 70_001)]  # the last: more than one task in every set
OPTIONS = [{}, {"decay": 0.01, "grad_scale": 0.3}]


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and np.allclose(
        ours, exact, rtol=16 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", OPTIONS)
def test_adam(kernels, shape, dtype, options):
    param, grad, m, v = (normal(*shape, dtype=dtype, seed=seed) for seed in range(4))
    v, kept = v**2, grad.copy()
    decay, scale = options.get("decay", 0.0), options.get("grad_scale", 1.0)
    numbers = 0.1, 0.9, 0.999, 1e-7
    exact = list(reference.adam_update(*(a.astype(float) for a in (param, scale * grad, m, v)), *numbers))
    exact[0] -= decay * param.astype(float)
    kernels.adam_step([(param, grad, m, v)], [decay], *numbers, scale)
    assert all(close(a, e, dtype) for a, e in zip((param, m, v), exact, strict=True))
    assert np.array_equal(grad, kept)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_sgd(kernels, shape, dtype, nesterov, options):
    param, grad, velocity = (normal(*shape, dtype=dtype, seed=seed) for seed in range(3))
    arguments = dict(lr=0.1, momentum=0.9, nesterov=nesterov) | options
    exact = reference.sgd_update(*(a.astype(float) for a in (param, grad, velocity)), **arguments)
    scale = options.get("grad_scale", 1.0)
    kernels.sgd_step([(param, grad, velocity)], [options.get("decay", 0.0)], 0.1, 0.9, nesterov, scale)
    assert all(close(a, e, dtype) for a, e in zip((param, velocity), exact, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sum_of_squares(kernels, shape, dtype):
    a = normal(*shape, dtype=dtype)
    a.flat[0] = 3000  # in float32 its square would swallow the others
    total = kernels.sum_of_squares(a)
    assert isinstance(total, float) and np.isclose(total, np.square(a, dtype=float).sum(), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_forward_and_add(kernels, shape, dtype):
    a, b = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    a.flat[-1] = np.nan
    out = np.full_like(a, 7)
    for result, call in (
        (np.maximum(a, 0), lambda: kernels.relu_forward(a, out)),
        (a + b, lambda: kernels.add(a, b, out)),
        (reference.relu_forward(a + b), lambda: kernels.add(a, b, out, True)),
    ):
        call()
        assert np.array_equal(out, result, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_tanh_and_sigmoid(kernels, shape, dtype):
    x, grad = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    t, s, out = np.tanh(x), 1 / (1 + np.exp(-x)), np.full_like(x, 7)
    for result, call in (
        (t, lambda: kernels.tanh_forward(x, out)),
        (s, lambda: kernels.sigmoid_forward(x, out)),
        (grad * (1 - t * t), lambda: kernels.tanh_backward(grad, t, out)),
        (grad * s * (1 - s), lambda: kernels.sigmoid_backward(grad, s, out)),
    ):
        call()
        assert close(out, result, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_backward(kernels, shape, dtype):
    grad, y = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    y.flat[0] = 0
    y.flat[-1] = grad.flat[-2 % grad.size] = np.nan
    kernels.relu_backward(grad, y, out := np.full_like(grad, 7))
    assert np.array_equal(out, reference.relu_backward(grad, y), equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_makes_one_mask_in_every_set(kernels, shape, dtype, rate):
    x, key = normal(*shape, dtype=dtype), np.uint64(2**63 + 5)
    x.flat[::3] = np.nan
    kernels.dropout_mask_apply(x, out := np.full_like(x, 7), key, rate)
    assert np.array_equal(out, reference.dropout(x, key, rate), equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scale_u8(kernels, dtype):
    images = np.arange(70_000).astype(np.uint8).reshape(7, 100, 100)
    kernels.scale_u8(images, out := np.full(images.shape, np.nan, dtype), 1 / 255)
    assert np.array_equal(out, images * dtype(1 / 255))


def test_an_update_of_a_copy_is_refused():
    param, (grad, m, v) = normal(6, 4).T, normal(3, 4, 6)
    with pytest.raises(ValueError, match=r"C-contiguous array, got shape \(4, 6\)"):
        plain_elementwise.adam_step([(param, grad, m, v)], [0.0], 0.1, 0.9, 0.999, 1e-7)


def test_a_call_leaves_nothing_behind():
    """No reference that numba keeps, not even to the counter of tasks."""
    a, before = normal(8), runtime.get_num_threads()
    try:
        runtime.set_num_threads(1)
        plain_elementwise.relu_backward(a, a, a)
        tracemalloc.start()
        for _ in range(500):
            plain_elementwise.relu_backward(a, a, a)
        gc.collect()  # of what Python itself puts by
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        runtime.set_num_threads(before)
    assert kept < 5000
