"""The dense layer by every set of kernels against `tinycnn.reference`."""

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.simd import NR

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}
# images, inputs, units
SHAPES = [(1, 1, 1), (1, 70, 9), (2, 31, NR), (5, 33, 3), (16, 1000, 2 * NR), (3, 2500, NR + 1), (40, 1025, 1)]


def arrays_of(shape, dtype):
    images, inputs, units = shape
    rng = np.random.default_rng(0)
    sizes = (images, inputs), (inputs, units), units, (images, units)
    return [rng.normal(size=size).astype(dtype) for size in sizes]


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", SHAPES)
def test_forward(kernels, shape, dtype):
    x, kernel, bias, grad = arrays_of(shape, dtype)
    for b in (bias, None):
        y = np.full_like(grad, np.nan)
        kernels.dense_forward(x, kernel, b, y)
        assert close(y, reference.dense_forward(*(a if a is None else a.astype(float) for a in (x, kernel, b))), dtype)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", SHAPES)
def test_backward(kernels, shape, dtype):
    x, kernel, _, grad = arrays_of(shape, dtype)
    exact_x, exact_kernel, _ = reference.dense_backward(*(a.astype(float) for a in (x, kernel, grad)))
    grad_x, grad_kernel, alone = (np.full_like(a, np.nan) for a in (x, kernel, kernel))
    kernels.dense_backward(x, kernel, grad, grad_x, grad_kernel)
    assert close(grad_x, exact_x, dtype) and close(grad_kernel, exact_kernel, dtype)
    kernels.dense_backward(x, kernel, grad, None, alone)
    assert np.array_equal(alone, grad_kernel)
