import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.direct import NO_CODES, correlate, pack_panels, weight_gradient
from tinycnn.kernels.simd import DEAD, LANES, NR

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def taps_of(window, padding, dilation):
    """Row and column of every kernel element relative to the strided output position."""
    top, left = padding[0][0], padding[1][0]
    return np.array([(r * dilation[0] - top, s * dilation[1] - left) for r, s in np.ndindex(*window)])


def weights_of(kernel, groups):
    """HWIO ``(kh, kw, c, filters) -> (groups, kh * kw * c, filters / groups)``."""
    return np.stack([part.reshape(-1, part.shape[3]) for part in np.split(kernel, groups, axis=3)])


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


# image size, channels, filters, window, strides, padding, dilation, groups
CASES = [
    ((5, 7), 3, 4, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((8, 9), 16, 32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((6, 4), 2, NR + 1, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((7, 6), 5, 3, (2, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((9, 8), 4, 7, (3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 1),
    ((10, 7), 3, 5, (2, 3), (3, 1), ((1, 0), (2, 2)), (1, 1), 1),
    ((9, 10), 3, 6, (3, 2), (1, 1), ((2, 2), (1, 0)), (2, 1), 1),
    ((9, 10), 3, 6, (2, 3), (1, 2), ((0, 0), (3, 3)), (1, 3), 1),
    ((6, 5), 6, 9, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3),
    ((7, 5), 4, 4, (3, 3), (2, 1), ((1, 1), (1, 1)), (1, 2), 4),
    ((1, 1), 1, 1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 2), 2, 2, (5, 4), (1, 1), ((3, 3), (3, 3)), (1, 1), 1),
    ((4, 3), 2, 3, (1, 1), (1, 1), ((3, 0), (0, 4)), (1, 1), 1),
    ((4, 3), 70, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
]


def merges(window, dilation, groups):
    """One tap at a time; a whole kernel row as one run too, where its elements are neighbours in memory."""
    return sorted({1, window[1] if dilation[1] == 1 and groups == 1 else 1})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_correlate_equals_reference(case, relu, dtype):
    size, channels, filters, window, strides, padding, dilation, groups = case
    x, bias = normal(3, *size, channels, dtype=dtype), normal(filters, dtype=dtype, seed=1)
    kernel = normal(*window, channels // groups, filters, dtype=dtype, seed=2)
    exact = reference.conv2d_forward(*(a.astype(float) for a in (x, kernel, bias)), strides, padding, dilation, groups)
    if relu:
        exact = reference.relu_forward(exact)
    for merge in merges(window, dilation, groups):
        y = np.full(exact.shape, np.nan, dtype)
        grid = (*exact.shape[1:3], 0, 1, 0, 1)
        taps = taps_of(window, padding, dilation)
        correlate(x, x.shape, weights_of(kernel, groups), taps, strides, bias, grid, y, relu=relu, merge=merge)
        assert close(y, exact, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
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
        taps = taps_of(window, padding, dilation)
        weight_gradient(x, grad, shape[1:], taps, strides, groups, grad_kernel, grad_bias, merge=merge)
        assert close(grad_kernel, exact, dtype) and close(grad_bias, exact_bias, dtype)
        kept = grad_kernel.copy()
        weight_gradient(x, grad, shape[1:], taps, strides, groups, grad_kernel, None, merge=merge)
        assert np.array_equal(grad_kernel, kept)


@pytest.mark.parametrize("dtype", DTYPES)
def test_input_gradient_is_a_correlation_with_the_flipped_kernel(dtype):
    """With stride 1, input pixel i gets ``grad[i + pad - k] @ kernel[k].T``."""
    x, kernel = normal(2, 6, 7, 3, dtype=dtype), normal(3, 2, 3, 5, dtype=dtype, seed=1)
    padding = ((1, 1), (1, 0))
    grad = normal(*reference.conv2d_forward(x, kernel, None, (1, 1), padding).shape, dtype=dtype, seed=2)
    exact, _, _ = reference.conv2d_backward(*(a.astype(float) for a in (x, kernel, grad)), (1, 1), padding)
    taps = np.array([(1 - r, 1 - s) for r, s in np.ndindex(3, 2)])[::-1]
    weights = kernel[::-1, ::-1].transpose(0, 1, 3, 2).reshape(1, -1, 3)
    grad_x = np.full(x.shape, np.nan, dtype)
    correlate(grad, grad.shape, weights, taps, (1, 1), np.zeros(3, dtype), (6, 7, 0, 1, 0, 1), grad_x)
    assert close(grad_x, exact, dtype)


def test_grid_writes_its_own_pixels_only():
    x, weights = normal(2, 3, 4, 2), normal(1, 2, 3, seed=1)
    y = np.full((2, 7, 12, 3), 77.0)
    correlate(x, x.shape, weights, np.array([(0, 0)]), (1, 1), np.zeros(3), (3, 4, 1, 2, 2, 3), y)
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
    taps, grid = taps_of((3, 3), padding, (1, 1)), (*size, 0, 1, 0, 1)
    whole = np.empty((images, *size, filters), dtype)
    correlate(x, x.shape, weights, taps, (1, 1), bias, grid, whole, relu=relu, merge=3)
    y = np.full((images, size[0] // 2, size[1] // 2, filters), np.nan, dtype)
    codes = np.full(y.shape, 77, np.uint8)
    correlate(x, x.shape, weights, taps, (1, 1), bias, grid, y, relu=relu, pool=True, y_codes=codes, merge=3)
    windows = whole[:, : 2 * y.shape[1], : 2 * y.shape[2]].reshape(images, y.shape[1], 2, y.shape[2], 2, filters)
    windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(*y.shape, 4)
    assert np.array_equal(y, windows.max(axis=-1))
    assert np.array_equal(codes, np.where(relu & (y == 0), DEAD, windows.argmax(axis=-1)))


def pooled_gradient(size, filters, dtype, dead=True):
    """A gradient of the pooled output, its codes, and the same gradient at full size."""
    shape = (3, size[0] // 2, size[1] // 2, filters)
    grad = normal(*shape, dtype=dtype, seed=5)
    codes = np.random.default_rng(6).integers(0, 5 if dead else 4, shape).astype(np.uint8)
    at = np.where(codes == DEAD, 0, codes)
    live = np.where(codes == DEAD, 0, grad).astype(dtype)
    return grad, codes, reference.maxpool_backward(live, at, (3, *size, filters), (2, 2), (2, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(6, 8), (7, 9), (3, 2)])
def test_correlate_expands_a_pooled_gradient(size, dtype):
    grad, codes, full = pooled_gradient(size, 2 * LANES, dtype)
    weights, taps = normal(1, 9 * 2 * LANES, 5, dtype=dtype), taps_of((3, 3), ((1, 1), (1, 1)), (1, 1))
    results = []
    for source, source_codes in ((grad, codes), (full, NO_CODES)):
        y = np.full((3, *size, 5), np.nan, dtype)
        grid = (*size, 0, 1, 0, 1)
        correlate(source, full.shape, weights, taps, (1, 1), np.zeros(5, dtype), grid, y, codes=source_codes)
        results.append(y)
    assert np.array_equal(*results)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(6, 8), (7, 9), (3, 2)])
def test_weight_gradient_expands_a_pooled_gradient(size, dtype):
    grad, codes, full = pooled_gradient(size, 2 * LANES, dtype)
    x, taps = normal(3, *size, 3, dtype=dtype), taps_of((3, 3), ((1, 1), (1, 1)), (1, 1))
    results = []
    for source, source_codes in ((grad, codes), (full, NO_CODES)):
        grad_kernel, grad_bias = np.full((3, 3, 3, 2 * LANES), np.nan, dtype), np.full(2 * LANES, np.nan, dtype)
        weight_gradient(x, source, full.shape[1:], taps, (1, 1), 1, grad_kernel, grad_bias, source_codes, merge=3)
        results.append((grad_kernel, grad_bias))
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))


def test_large_rows_are_cut_into_blocks():
    x, kernel = normal(1, 37, 200, 16, dtype=np.float32), normal(3, 3, 16, 20, dtype=np.float32, seed=1)
    padding = ((1, 1), (1, 1))
    exact = reference.conv2d_forward(x.astype(float), kernel.astype(float), None, padding=padding)
    y = np.full(exact.shape, np.nan, np.float32)
    taps, grid, bias = taps_of((3, 3), padding, (1, 1)), (37, 200, 0, 1, 0, 1), np.zeros(20, np.float32)
    correlate(x, x.shape, weights_of(kernel, 1), taps, (1, 1), bias, grid, y, merge=3)
    assert close(y, exact, np.float32)


def test_panels_hold_every_column_once():
    packed = pack_panels(np.arange(2 * 3 * (NR + 2), dtype=float).reshape(2, 3, NR + 2))
    packed = packed.reshape(2, 2, 3, NR)
    assert packed[1, 0, 2, 5] == 5 * (NR + 2) + 5 and packed[0, 1, 1, :2].tolist() == [2 * NR + 2, 2 * NR + 3]
    assert (packed[:, 1, :, 2:] == 0).all()
