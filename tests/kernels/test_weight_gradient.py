import numpy as np
import pytest
from kernel_cases import CONVOLUTIONS, merges, places_of, pooled_gradient

from tinycnn import reference
from tinycnn.kernels import runtime
from tinycnn.kernels.correlate import Taps
from tinycnn.kernels.nhwc import as_images
from tinycnn.kernels.simd import LANES
from tinycnn.kernels.weight_gradient import sum_bias, weight_gradient

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_weight_gradient_equals_reference(case, dtype):
    size, channels, filters, window, strides, padding, dilation, groups = case
    x = normal(3, *size, channels, dtype=dtype)
    kernel = normal(*window, channels // groups, filters, dtype=dtype, seed=2)
    shape = reference.conv2d_forward(x, kernel, None, strides, padding, dilation, groups).shape
    grad = normal(*shape, dtype=dtype, seed=3)
    _, exact, exact_bias = reference.conv2d_backward(
        *(a.astype(float) for a in (x, kernel, grad)), strides, padding, dilation, groups
    )
    for merge in merges(window, dilation, groups):
        grad_kernel, grad_bias = np.full(kernel.shape, np.nan, dtype), np.full(filters, np.nan, dtype)
        arrays = as_images(x), as_images(grad), Taps(places_of(window, padding, dilation), strides, merge), groups
        weight_gradient(*arrays, grad_kernel, grad_bias)
        assert close(grad_kernel, exact, dtype) and close(grad_bias, exact_bias, dtype)
        kept = grad_kernel.copy()
        weight_gradient(*arrays, grad_kernel, None)
        assert np.array_equal(grad_kernel, kept)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(6, 8), (7, 9), (3, 2), (17, 300)])  # the last in several blocks of rows
def test_weight_gradient_expands_a_pooled_gradient(size, dtype):
    grad, codes, full = pooled_gradient(size, 2 * LANES, dtype)
    x = normal(3, *size, 3, dtype=dtype)
    taps = Taps(places_of((3, 3), ((1, 1), (1, 1)), (1, 1)), (1, 1), merge=3)
    results = []
    for source in (as_images(grad, codes, size), as_images(full)):
        grad_kernel, grad_bias = np.full((3, 3, 3, 2 * LANES), np.nan, dtype), np.full(2 * LANES, np.nan, dtype)
        weight_gradient(as_images(x), source, taps, 1, grad_kernel, grad_bias)
        results.append((grad_kernel, grad_bias))
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (3, 40, 31, 2)])
def test_sum_of_the_bias(shape, dtype):
    grad, grad_bias = normal(*shape, dtype=dtype), np.full(shape[3], np.nan, dtype)
    sum_bias(grad, grad_bias)
    assert close(grad_bias, grad.astype(float).sum(axis=(0, 1, 2)), dtype)


def test_the_bias_of_a_million_pixels_keeps_its_digits():
    grad, grad_bias = np.full((1, 1000, 1000, 1), 0.1, np.float32), np.empty(1, np.float32)
    sum_bias(grad, grad_bias)
    assert grad_bias == np.float32(1e6 * float(np.float32(0.1)))


def test_one_image_is_fewer_than_the_chunks():
    x, grad, padding = normal(1, 5, 7, 3), normal(1, 5, 7, 4, seed=3), ((1, 1), (1, 1))
    _, exact, exact_bias = reference.conv2d_backward(x, np.zeros((3, 3, 3, 4)), grad, padding=padding)
    runtime.locked(runtime.scratch)(x.dtype, 1 << 14)[0].fill(np.nan)  # where the chunks' sums will lie
    grad_kernel, grad_bias = np.full(exact.shape, np.nan), np.full(4, np.nan)
    taps = Taps(places_of((3, 3), padding, (1, 1)), (1, 1))
    weight_gradient(as_images(x), as_images(grad), taps, 1, grad_kernel, grad_bias)
    assert close(grad_kernel, exact, np.float64) and close(grad_bias, exact_bias, np.float64)


@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 0), (0, 0))])
@pytest.mark.parametrize("filters", [1, 4 * LANES])
def test_several_small_images_in_one_sum(filters, padding):
    """Long kernels, so that the gradient of many filters is copied with gaps; in place where nothing is padded."""
    x, kernel = normal(37, 5, 4, 64), normal(3, 3, 64, filters, seed=2)
    grad = normal(*reference.conv2d_forward(x, kernel, None, padding=padding).shape, seed=3)
    _, exact, exact_bias = reference.conv2d_backward(x, kernel, grad, padding=padding)
    grad_kernel, grad_bias = np.full(kernel.shape, np.nan), np.full(filters, np.nan)
    taps = Taps(places_of((3, 3), padding, (1, 1)), (1, 1), merge=3)
    weight_gradient(as_images(x), as_images(grad), taps, 1, grad_kernel, grad_bias)
    assert close(grad_kernel, exact, np.float64) and close(grad_bias, exact_bias, np.float64)


def test_one_image_in_several_sums():
    """Whole vectors of filters, so that the gradient is read where it lies."""
    x, kernel, padding = normal(1, 41, 31, 3), normal(3, 3, 3, LANES, seed=2), ((1, 1), (1, 1))
    grad = normal(1, 41, 31, LANES, seed=3)
    _, exact, exact_bias = reference.conv2d_backward(x, kernel, grad, padding=padding)
    grad_kernel, grad_bias = np.full(kernel.shape, np.nan), np.full(LANES, np.nan)
    taps = Taps(places_of((3, 3), padding, (1, 1)), (1, 1), merge=3)
    weight_gradient(as_images(x), as_images(grad), taps, 1, grad_kernel, grad_bias)
    assert close(grad_kernel, exact, np.float64) and close(grad_bias, exact_bias, np.float64)
