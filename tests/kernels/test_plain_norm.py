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
    mean_grad, mean_grad_xhat = ((s / len(x)).astype(x.dtype) for s in (grad_beta, grad_gamma))
    slope = inverse_std * mean_grad_xhat
    kernels.norm_input_gradient(x, grad_y, centre, gamma * inverse_std, mean_grad, slope, grad_x)
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (200, 67)])
def test_with_a_relu_the_same_bits_as_one_after_the_other(kernels, shape, dtype):
    x, grad_y, gamma, beta = arrays_of(shape, dtype)
    x[-1, -1] = np.nan if shape == (2, 5) else x[-1, -1]
    if shape == (200, 67):  # cut at exactly 0, and NaN that the ReLU stops on its way back
        x[0], beta[[0, -2]], grad_y[0, :5] = 0.25, 0, np.nan  # both in a vector and in what is left over
    mean, scale = np.full(shape[1], 0.25, dtype), gamma
    y, through, both, grad_x, grad_both = (np.full_like(x, 7) for _ in range(5))
    kernels.normalize(x, mean, scale, beta, y)
    kernels.relu_forward(y, y)
    kernels.normalize(x, mean, scale, beta, both, True)
    assert np.array_equal(both, y, equal_nan=True)
    kernels.relu_backward(grad_y, y, through)
    alone = kernels.gradient_sums(x, through, mean, gamma)
    together = kernels.gradient_sums(x, grad_y, mean, gamma, scale, beta)
    factors = mean, scale, gamma, beta
    kernels.norm_input_gradient(x, through, *factors, grad_x)
    kernels.norm_input_gradient(x, grad_y, *factors, grad_both, beta)
    assert np.array_equal(grad_both, grad_x, equal_nan=True)
    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a[:-1], b[:-1], equal_nan=True)
        assert np.isfinite(b[-1]) <= (a[-1] == b[-1])  # the last column has the NaN, which counts as 0 * NaN alone
