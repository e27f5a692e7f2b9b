"""The parts of batch normalisation by every set of kernels against `tinycnn.reference`."""

import numpy as np
import pytest

from tinycnn import reference

DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1), (2, 5), (63, 3), (64, 1), (1000, 7)]
EPSILON = 1e-3


def close(ours, exact, dtype, rtol=1e-5):
    rtol = rtol if dtype == np.float32 else 1e-12
    return np.allclose(ours, exact, rtol=rtol, atol=rtol * max(1, abs(exact).max()))


def arrays_of(shape, dtype, offset=0.5):
    rng = np.random.default_rng(0)
    x, grad_y = (rng.normal(size=(2, *shape)) + [[[offset]], [[0]]]).astype(dtype)
    gamma, beta = rng.normal(size=(2, shape[1])).astype(dtype)
    return x, grad_y, gamma, beta


def batchnorm(kernels, x, grad_y, gamma, beta):
    """(y, mean, variance, grad_x, grad_gamma, grad_beta), as the layer puts the parts together."""
    mean, variance = kernels.moments(x)
    centre, inverse_std = mean.astype(x.dtype), (1 / np.sqrt(variance + EPSILON)).astype(x.dtype)
    y, grad_x = np.full_like(x, np.nan), np.full_like(x, np.nan)
    kernels.normalize(x, centre, gamma * inverse_std, beta, y)
    grad_gamma, grad_beta = kernels.gradient_sums(x, grad_y, centre, inverse_std)
    shares = ((s / len(x)).astype(x.dtype) for s in (grad_beta, grad_gamma))
    kernels.norm_input_gradient(x, grad_y, centre, inverse_std, gamma, *shares, grad_x)
    return y, mean, variance, grad_x, grad_gamma, grad_beta


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_passes(kernels, shape, dtype):
    arrays = arrays_of(shape, dtype)
    ours = batchnorm(kernels, *arrays)
    x, grad_y, gamma, beta = (a.astype(float) for a in arrays)
    exact = reference.batchnorm_forward(x, gamma, beta, EPSILON)
    exact += reference.batchnorm_backward(x, gamma, grad_y, EPSILON)
    assert [a.dtype for a in ours] == [dtype, float, float, dtype, float, float]
    assert all(close(a, e, dtype) for a, e in zip(ours, exact, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_mean_costs_the_variance_no_digits(kernels, dtype):
    x, *_ = arrays_of((1000, 3), dtype, offset=4096)
    mean, variance = kernels.moments(x)
    assert np.allclose(mean, x.astype(float).mean(axis=0), rtol=1e-14)
    assert np.allclose(variance, x.astype(float).var(axis=0), rtol=1e-11)


def test_nan_stays_in_its_channel(kernels):
    x, grad_y, gamma, beta = arrays_of((100, 4), np.float32)
    x[50, 1] = grad_y[70, 2] = np.nan
    y, mean, variance, grad_x, grad_gamma, grad_beta = batchnorm(kernels, x, grad_y, gamma, beta)
    for result in (y[0], mean, variance):
        assert np.isnan(result).tolist() == [False, True, False, False]
    for result in (grad_x[0], grad_gamma):
        assert np.isnan(result).tolist() == [False, True, True, False]
    assert np.isnan(grad_beta).tolist() == [False, False, True, False]
