import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels import winograd
from tinycnn.kernels.codes import DEAD
from tinycnn.kernels.nhwc import Output, as_images
from tinycnn.kernels.simd import LANES, NR
from tinycnn.reference_winograd import transform_kernel

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}

# images, image size, channels, filters, padding
CASES = [
    (2, (8, 12), NR, NR, ((1, 1), (1, 1))),
    (3, (7, 9), NR, 2 * NR, ((1, 1), (1, 1))),
    (1, (1, 1), NR, NR, ((1, 1), (1, 1))),
    (9, (5, 3), 2 * NR, NR, ((1, 1), (1, 1))),
    (2, (6, 11), NR, NR, ((0, 0), (0, 0))),
    (1, (4, 6), NR, NR, ((2, 0), (0, 2))),
    (1, (50, 61), NR, NR, ((1, 1), (1, 1))),
    (2, (7, 10), 3 * LANES, LANES, ((1, 1), (1, 1))),
]


CASES_OF_5 = [
    (3, (7, 9), NR, 2 * NR, ((2, 2), (2, 2))),
    (2, (6, 5), LANES, 3 * LANES, ((0, 0), (0, 0))),
    (1, (3, 4), NR, LANES, ((4, 1), (0, 3))),
]
TILES_AND_CASES = [(tile, 3, *case) for tile in (2, 4) for case in CASES]
TILES_AND_CASES += [(2, 5, *case) for case in CASES_OF_5]


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


def wide(*arrays):
    return [a.astype(float) for a in arrays]


def corner(padding):
    return padding[0][0], padding[1][0]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("tile", [2, 4])
def test_kernel_transform_equals_reference(tile, transposed):
    kernel = normal(3, 3, NR, 2 * NR)
    expected = transform_kernel(kernel, tile).reshape(-1, NR, 2 * NR)  # (points, channels, filters)
    if transposed:
        expected = expected.transpose(0, 2, 1)
    U = np.full(expected.size, np.nan)
    winograd.transform_kernel(kernel, tile, U, NR, transposed)
    points, depth, columns = expected.shape
    unpacked = U.reshape(points, columns // NR, depth, NR).transpose(0, 2, 1, 3).reshape(expected.shape)
    assert np.allclose(unpacked, expected, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("tile, side, images, size, channels, filters, padding", TILES_AND_CASES)
def test_forward_equals_reference(tile, side, images, size, channels, filters, padding, relu, dtype):
    x, bias = normal(images, *size, channels, dtype=dtype), normal(filters, dtype=dtype, seed=1)
    kernel = normal(side, side, channels, filters, dtype=dtype, seed=2)
    exact = reference.conv2d_forward(*wide(x, kernel, bias), padding=padding)
    if relu:
        exact = reference.relu_forward(exact)
    y = np.full(exact.shape, np.nan, dtype)
    winograd.forward(as_images(x), kernel, corner(padding), Output(*as_images(y), bias, relu), tile)
    assert close(y, exact, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tile, side, images, size, channels, filters, padding", TILES_AND_CASES)
def test_backward_equals_reference(tile, side, images, size, channels, filters, padding, dtype):
    x = normal(images, *size, channels, dtype=dtype)
    kernel = normal(side, side, channels, filters, dtype=dtype, seed=2)
    shape = reference.conv2d_forward(x, kernel, padding=padding).shape
    grad = normal(*shape, dtype=dtype, seed=3)
    exact = reference.conv2d_backward(*wide(x, kernel, grad), padding=padding)
    results = [np.full(a.shape, np.nan, dtype) for a in exact]
    winograd.backward(as_images(x), kernel, as_images(grad), corner(padding), results, tile)
    for ours, theirs in zip(results, exact, strict=True):
        assert close(ours, theirs, dtype)
    only = np.full(kernel.shape, np.nan, dtype)
    winograd.backward(as_images(x), kernel, as_images(grad), corner(padding), (None, only, None), tile)
    assert np.array_equal(only, results[1])


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", [(8, 12), (7, 9), (2, 3), (13, 6)])
def test_pooling_in_the_tile(size, relu, dtype, tile):
    """Pooled and unpooled run do the same arithmetic, so values and winners agree exactly."""
    images, padding = 2, (1, 1)
    x, bias = normal(images, *size, NR, dtype=dtype), normal(NR, dtype=dtype, seed=1)
    kernel = normal(3, 3, NR, NR, dtype=dtype, seed=2)
    whole = np.empty((images, *size, NR), dtype)
    winograd.forward(as_images(x), kernel, padding, Output(*as_images(whole), bias, relu), tile)
    expected, expected_codes = reference.maxpool_forward(whole, (2, 2), (2, 2))
    y, codes = np.full(expected.shape, np.nan, dtype), np.full(expected.shape, 77, np.uint8)
    winograd.forward(as_images(x), kernel, padding, Output(*as_images(y, codes, size), bias, relu), tile)
    assert np.array_equal(y, expected)
    assert np.array_equal(codes, np.where(relu & (y == 0), DEAD, expected_codes))


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("size", [(8, 12), (7, 9), (3, 2), (13, 6)])
def test_backward_expands_a_pooled_gradient(size, tile):
    x, kernel = normal(3, *size, NR), normal(3, 3, NR, NR, seed=2)
    grad = normal(3, size[0] // 2, size[1] // 2, NR, seed=3)
    codes = np.random.default_rng(4).integers(0, 5, grad.shape).astype(np.uint8)
    live = np.where(codes == DEAD, 0, grad)
    full = reference.maxpool_backward(live, np.minimum(codes, 3), x.shape, (2, 2), (2, 2))
    results = []
    for source in (as_images(grad, codes, size), as_images(full)):
        arrays = np.full(x.shape, np.nan), np.full(kernel.shape, np.nan), np.full(NR, np.nan)
        winograd.backward(as_images(x), kernel, source, (1, 1), arrays, tile)
        results.append(arrays)
    for pooled, plain in zip(*results, strict=True):
        assert np.allclose(pooled, plain, atol=1e-13)


@pytest.mark.parametrize("tile", [2, 4])
def test_nan_reaches_the_output_and_the_gradients(tile):
    x, kernel = normal(1, 8, 8, NR), normal(3, 3, NR, NR, seed=1)
    x[0, 5, 2, 3] = np.nan
    y = np.zeros((1, 8, 8, NR))
    winograd.forward(as_images(x), kernel, (1, 1), Output(*as_images(y), np.zeros(NR), True), tile)
    assert np.isnan(y[0, 4:7, 1:4]).all()
    grad_kernel = np.zeros_like(kernel)
    winograd.backward(as_images(x), kernel, as_images(np.ones_like(y)), (1, 1), (None, grad_kernel, None), tile)
    assert np.isnan(grad_kernel[:, :, 3]).all()
