import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels import pool
from tinycnn.kernels.simd import LANES

# image size, window, strides, padding
GEOMETRIES = [
    ((4, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((5, 7), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((5, 2 * LANES + 7), (2, 2), (2, 2), ((0, 0), (0, 0))),  # rows that hold vectors and more
    ((5, 7), (2, 2), (2, 2), ((0, 1), (0, 1))),
    ((3, 4), (2, 2), (2, 2), ((0, 1), (0, 0))),
    ((4, 3), (2, 2), (2, 2), ((0, 0), (0, 1))),
    ((3, 3), (2, 2), (2, 2), ((1, 0), (1, 0))),
    ((6, 5), (3, 2), (1, 1), ((1, 1), (0, 1))),
    ((7, 4), (2, 3), (3, 1), ((0, 0), (1, 1))),
    ((4, 9), (1, 2), (2, 4), ((0, 0), (0, 0))),
    ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((5, 4), (5, 4), (1, 1), ((0, 0), (0, 0))),
    ((17, 15), (17, 15), (1, 1), ((0, 0), (0, 0))),
    ((9, 11), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((9, 40), (3, 3), (2, 2), ((0, 0), (0, 0))),  # rows that hold vectors of a few channels and more
    ((6, 5), (1, 2), (3, 3), ((0, 0), (0, 0))),  # pixels that no window covers
]


def kernel_geometry(window, strides, padding):
    return (*window, *strides, padding[0][0], padding[1][0])


def few_values(shape, dtype, seed=0):
    """Numbers with many ties, some NaN and some infinities."""
    rng = np.random.default_rng(seed)
    values, shares = np.array([-np.inf, -1, -0.0, 0.0, 1, 2, np.nan], dtype), [0.05, 0.2, 0.2, 0.2, 0.2, 0.1, 0.05]
    return rng.choice(values, shape, p=shares)


def output_shape(x, window, strides, padding):
    sizes = [reference.output_size(x.shape[1 + a], window[a], strides[a], padding[a]) for a in (0, 1)]
    return (len(x), *sizes, x.shape[3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, LANES // 2 + 1, LANES, LANES + 1, 2 * LANES])
@pytest.mark.parametrize("size, window, strides, padding", GEOMETRIES)
def test_max_pool_equals_reference(size, window, strides, padding, channels, dtype):
    x, geometry = few_values((2, *size, channels), dtype), kernel_geometry(window, strides, padding)
    y = np.full(output_shape(x, window, strides, padding), 77, dtype)
    codes = np.full(y.shape, 77, np.uint8)
    pool.maxpool_forward(x, geometry, y, codes)
    expected, expected_codes = reference.maxpool_forward(x, window, strides, padding)
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(codes, expected_codes)

    grad_y = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
    grad_x = np.full(x.shape, 77, dtype)
    pool.maxpool_backward(grad_y, codes, geometry, grad_x)
    assert np.array_equal(grad_x, reference.maxpool_backward(grad_y, codes, x.shape, window, strides, padding))


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("channels", [1, 3, LANES // 2 + 1, LANES, LANES + 1])
@pytest.mark.parametrize("size, window, strides, padding", GEOMETRIES)
def test_average_pool_equals_reference(size, window, strides, padding, channels, dtype, tolerance):
    rng, geometry = np.random.default_rng(0), kernel_geometry(window, strides, padding)
    x = rng.normal(size=(2, *size, channels)).astype(dtype)
    y = np.full(output_shape(x, window, strides, padding), 77, dtype)
    pool.avgpool_forward(x, geometry, y)
    assert np.allclose(y, reference.avgpool_forward(x, window, strides, padding), rtol=tolerance, atol=tolerance)

    grad_y = rng.normal(size=y.shape).astype(dtype)
    grad_x = np.full(x.shape, 77, dtype)
    pool.avgpool_backward(grad_y, geometry, grad_x)
    expected = reference.avgpool_backward(grad_y, x.shape, window, strides, padding)
    assert np.allclose(grad_x, expected, rtol=tolerance, atol=tolerance)


def test_mean_of_a_large_image_keeps_its_digits():
    x = np.full((1, 300, 301, 1), 0.1, np.float32)
    y = np.empty((1, 1, 1, 1), np.float32)
    pool.avgpool_forward(x, (300, 301, 1, 1, 0, 0), y)
    assert y.item() == np.float32(0.1)


def test_arrays_that_do_not_fit_are_refused():
    x, y, geometry = np.ones((2, 6, 6, 3), np.float32), np.zeros((2, 3, 3, 3), np.float32), (2, 2, 2, 2, 0, 0)
    codes = np.zeros(y.shape, np.uint8)
    with pytest.raises(ValueError, match="max-pool: output is float64 and image is float32"):
        pool.maxpool_forward(x, geometry, y.astype(float), codes)
    with pytest.raises(ValueError, match="codes is int64, but must be uint8"):
        pool.maxpool_backward(y, codes.astype(int), geometry, x)
    with pytest.raises(ValueError, match=r"output has shape \(1, 3, 3, 3\), but must have shape \(2, 3, 3, 3\)"):
        pool.avgpool_forward(x, geometry, y[:1])
    with pytest.raises(ValueError, match="output is float64 and image is float32"):
        pool.avgpool_backward(y.astype(float), geometry, x)
