import numpy as np
import pytest
from kernel_cases import CONVOLUTIONS, merges, places_of, pooled_gradient

from tinycnn import reference
from tinycnn.kernels.codes import DEAD
from tinycnn.kernels.correlate import Grid, Taps, correlate, pack_panels
from tinycnn.kernels.nhwc import Output, as_images
from tinycnn.kernels.simd import LANES, NR

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def weights_of(kernel, groups):
    """HWIO ``(kh, kw, c, filters) -> (groups, kh * kw * c, filters / groups)``."""
    return np.stack([part.reshape(-1, part.shape[3]) for part in np.split(kernel, groups, axis=3)])


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_correlate_equals_reference(case, relu, dtype):
    size, channels, filters, window, strides, padding, dilation, groups = case
    x, bias = normal(3, *size, channels, dtype=dtype), normal(filters, dtype=dtype, seed=1)
    kernel = normal(*window, channels // groups, filters, dtype=dtype, seed=2)
    exact = reference.conv2d_forward(*(a.astype(float) for a in (x, kernel, bias)), strides, padding, dilation, groups)
    if relu:
        exact = reference.relu_forward(exact)
    for merge in merges(window, dilation, groups):
        y = np.full(exact.shape, np.nan, dtype)
        taps = Taps(places_of(window, padding, dilation), strides, merge)
        out = Output(*as_images(y), bias, relu)
        correlate(as_images(x), weights_of(kernel, groups), taps, out, Grid(*exact.shape[1:3]))
        assert close(y, exact, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_input_gradient_is_a_correlation_with_the_flipped_kernel(dtype):
    """With stride 1, input pixel i gets ``grad[i + pad - k] @ kernel[k].T``."""
    x, kernel = normal(2, 6, 7, 3, dtype=dtype), normal(3, 2, 3, 5, dtype=dtype, seed=1)
    padding = ((1, 1), (1, 0))
    grad = normal(*reference.conv2d_forward(x, kernel, None, (1, 1), padding).shape, dtype=dtype, seed=2)
    exact, _, _ = reference.conv2d_backward(*(a.astype(float) for a in (x, kernel, grad)), (1, 1), padding)
    taps = Taps(tuple((1 - r, 1 - s) for r, s in np.ndindex(3, 2))[::-1], (1, 1))
    weights = kernel[::-1, ::-1].transpose(0, 1, 3, 2).reshape(1, -1, 3)
    grad_x = np.full(x.shape, np.nan, dtype)
    correlate(as_images(grad), weights, taps, Output(*as_images(grad_x), np.zeros(3, dtype), False), Grid(6, 7))
    assert close(grad_x, exact, dtype)


def test_grid_writes_its_own_pixels_only():
    x, weights = normal(2, 3, 4, 2), normal(1, 2, 3, seed=1)
    y = np.full((2, 7, 12, 3), 77.0)
    out = Output(*as_images(y), np.zeros(3), False)
    correlate(as_images(x), weights, Taps(((0, 0),), (1, 1)), out, Grid(3, 4, 1, 2, 2, 3))
    assert np.allclose(y[:, 1::2, 2::3], x @ weights[0], atol=1e-14)
    y[:, 1::2, 2::3] = 77
    assert (y == 77).all()


POOLED = [
    ((6, 8), 3, LANES),
    ((7, 9), 4, 2 * LANES),
    ((5, 4), 1, NR + LANES),
    ((2, 2), 3, LANES),
    ((40, 300), 2, LANES),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size, channels, filters", POOLED)
def test_pooling_in_the_tile(size, channels, filters, relu, dtype):
    """The fused result is that of convolution, ReLU and pooling one after the other, bit for bit."""
    images, padding = 2, ((1, 1), (1, 1))
    x, bias = normal(images, *size, channels, dtype=dtype), normal(filters, dtype=dtype, seed=1)
    weights = weights_of(normal(3, 3, channels, filters, dtype=dtype, seed=2), 1)
    taps = Taps(places_of((3, 3), padding, (1, 1)), (1, 1), merge=3)
    whole = np.empty((images, *size, filters), dtype)
    correlate(as_images(x), weights, taps, Output(*as_images(whole), bias, relu), Grid(*size))
    y = np.full((images, size[0] // 2, size[1] // 2, filters), np.nan, dtype)
    codes = np.full(y.shape, 77, np.uint8)
    correlate(as_images(x), weights, taps, Output(*as_images(y, codes, size), bias, relu), Grid(*size))
    windows = whole[:, : 2 * y.shape[1], : 2 * y.shape[2]].reshape(images, y.shape[1], 2, y.shape[2], 2, filters)
    windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(*y.shape, 4)
    assert np.array_equal(y, windows.max(axis=-1))
    assert np.array_equal(codes, np.where(relu & (y == 0), DEAD, windows.argmax(axis=-1)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(6, 8), (7, 9), (3, 2)])
def test_correlate_expands_a_pooled_gradient(size, dtype):
    grad, codes, full = pooled_gradient(size, 2 * LANES, dtype)
    weights = normal(1, 9 * 2 * LANES, 5, dtype=dtype)
    taps = Taps(places_of((3, 3), ((1, 1), (1, 1)), (1, 1)), (1, 1))
    results = []
    for source in (as_images(grad, codes, size), as_images(full)):
        y = np.full((3, *size, 5), np.nan, dtype)
        correlate(source, weights, taps, Output(*as_images(y), np.zeros(5, dtype), False), Grid(*size))
        results.append(y)
    assert np.array_equal(*results)


def test_large_rows_are_cut_into_blocks():
    x, kernel = normal(1, 37, 200, 16, dtype=np.float32), normal(3, 3, 16, 20, dtype=np.float32, seed=1)
    padding = ((1, 1), (1, 1))
    exact = reference.conv2d_forward(x.astype(float), kernel.astype(float), None, padding=padding)
    y = np.full(exact.shape, np.nan, np.float32)
    taps = Taps(places_of((3, 3), padding, (1, 1)), (1, 1), merge=3)
    out = Output(*as_images(y), np.zeros(20, np.float32), False)
    correlate(as_images(x), weights_of(kernel, 1), taps, out, Grid(37, 200))
    assert close(y, exact, np.float32)


def test_panels_hold_every_column_once():
    packed = pack_panels(np.arange(2 * 3 * (NR + 2), dtype=float).reshape(2, 3, NR + 2))
    assert packed.shape == (2, 2, 3, NR)
    assert packed[1, 0, 2, 5] == 5 * (NR + 2) + 5 and packed[0, 1, 1, :2].tolist() == [2 * NR + 2, 2 * NR + 3]
    assert (packed[:, 1, :, 2:] == 0).all()
