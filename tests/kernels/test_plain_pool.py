"""Pooling by every set of kernels against the loops of `tinycnn.reference`."""

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.simd import LANES
from tinycnn.reference import output_size

DTYPES = [np.float32, np.float64]
# image size, channels, window, strides, (above, below), (left, right)
CASES = [
    ((6, 8), LANES, (2, 2), (2, 2), (0, 0), (0, 0)),
    ((7, 9), LANES, (2, 2), (2, 2), (0, 0), (0, 0)),  # a last row and column without a window
    ((7, 9), 3, (2, 2), (2, 2), (0, 1), (0, 1)),
    ((6, 7), 1, (3, 2), (1, 2), (0, 0), (0, 0)),  # overlapping
    ((9, 8), 5, (3, 3), (2, 2), (1, 1), (0, 1)),
    ((5, 6), 2, (4, 5), (1, 1), (2, 1), (2, 2)),
    ((7, 7), 2, (2, 1), (3, 4), (0, 0), (0, 0)),  # cells in no window
    ((4, 5), 3, (4, 5), (1, 1), (0, 0), (0, 0)),  # the whole image
    ((1, 1), 1, (1, 1), (1, 1), (0, 0), (0, 0)),
    ((15, 17), 1, (15, 17), (1, 1), (0, 0), (0, 0)),  # 255 cells: the largest code is 254
]


def arrays_of(case, dtype, images=3):
    """Six ints of geometry, images with equal values in them, an output gradient, and what `reference` wants."""
    size, channels, window, strides, *padding = case
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(images, *size, channels)) * 2).astype(dtype)
    out = [output_size(*axis) for axis in zip(size, window, strides, padding, strict=True)]
    grad = rng.normal(size=(images, *out, channels)).astype(dtype)
    return (*window, *strides, padding[0][0], padding[1][0]), x, grad, (window, strides, tuple(padding))


def close(ours, exact, dtype):
    return ours.dtype == dtype and np.allclose(ours, exact, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


def maxima(kernels, x, geometry, grad):
    y, codes = np.full_like(grad, np.nan), np.full(grad.shape, 255, np.uint8)
    kernels.maxpool_forward(x, geometry, y, codes)
    return y, codes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_maxima_and_codes(kernels, case, dtype):
    geometry, x, grad, arguments = arrays_of(case, dtype)
    for special in (None, np.nan, -np.inf, np.inf):
        if special is not None:
            x[0, : len(x[0]) // 2 + 1] = special
            x[1, -1, -1] = x[1, 0, 0] = special
        y, codes = maxima(kernels, x, geometry, grad)
        exact, exact_codes = reference.maxpool_forward(x, *arguments)
        assert np.array_equal(y, exact, equal_nan=True) and np.array_equal(codes, exact_codes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_maxima(kernels, case, dtype):
    geometry, x, grad, arguments = arrays_of(case, dtype)
    _, codes = reference.maxpool_forward(x, *arguments)
    grad_x = np.full_like(x, np.nan)
    kernels.maxpool_backward(grad, codes, geometry, grad_x)
    assert close(grad_x, reference.maxpool_backward(grad, codes, x.shape, *arguments), dtype)


def test_a_code_outside_the_window_passes_nothing_on(kernels):
    """The mark of a maximum that a fused ReLU cut off, so that another set can run the backward pass."""
    geometry, x, grad, arguments = arrays_of(CASES[0], np.float32)
    _, codes = maxima(kernels, x, geometry, grad)
    cut = np.random.default_rng(1).random(codes.shape) < 0.5
    grad_x, live_x = np.empty_like(x), np.empty_like(x)
    kernels.maxpool_backward(grad, np.where(cut, 4, codes).astype(np.uint8), geometry, grad_x)
    kernels.maxpool_backward(np.where(cut, 0, grad).astype(np.float32), codes, geometry, live_x)
    assert np.array_equal(grad_x, live_x) and 0 < np.count_nonzero(grad_x) < grad.size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_means_and_their_gradient(kernels, case, dtype):
    geometry, x, grad, arguments = arrays_of(case, dtype)
    y, grad_x = np.full_like(grad, np.nan), np.full_like(x, np.nan)
    kernels.avgpool_forward(x, geometry, y)
    assert close(y, reference.avgpool_forward(x.astype(float), *arguments), dtype)
    kernels.avgpool_backward(grad, geometry, grad_x)
    assert close(grad_x, reference.avgpool_backward(grad.astype(float), x.shape, *arguments), dtype)


def test_means_are_summed_in_float64(kernels):
    x = np.ones((1, 300, 300, 1), np.float32)
    x[0, 0, 0] = 2**25  # from there on float32 would not count ones
    kernels.avgpool_forward(x, (300, 300, 1, 1, 0, 0), y := np.empty((1, 1, 1, 1), np.float32))
    assert y == np.float32((2**25 + 300 * 300 - 1) / 300**2)
