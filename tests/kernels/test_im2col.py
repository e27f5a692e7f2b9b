"""Convolution by every set of kernels against the loops of `tinycnn.reference`, and the steps of im2col by itself."""

import inspect

import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels import im2col, runtime
from tinycnn.kernels.geometry import Geometry
from tinycnn.kernels.sets import SETS
from tinycnn.kernels.simd import MR, NR

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


SAME, NONE = ((1, 1), (1, 1)), ((0, 0), (0, 0))
# images, image size, channels, filters, (kernel, strides, padding, dilation, groups)
CASES = [
    (3, (5, 7), 3, 4, ((3, 3), (1, 1), SAME, (1, 1), 1)),
    (1, (1, 1), 1, 1, ((1, 1), (1, 1), NONE, (1, 1), 1)),
    (2, (9, 6), NR, 2 * NR, ((3, 3), (1, 1), SAME, (1, 1), 1)),
    (1, (6, 8), NR, NR, ((3, 3), (1, 1), ((0, 2), (2, 1)), (1, 1), 1)),
    (2, (7, 6), 5, NR + 1, ((3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 1)),
    (2, (7, 6), 1, 7, ((3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2), 1)),
    (2, (7, 6), 2 * NR, 2 * NR, ((3, 3), (1, 1), SAME, (1, 1), 2)),
    (3, (6, 5), 4, NR + 3, ((1, 1), (1, 1), NONE, (1, 1), 1)),
    (3, (8, 9), 3, 1, ((2, 4), (2, 3), ((1, 0), (1, 2)), (1, 1), 1)),
    (2, (7, 4), 3, 2, ((1, 1), (3, 2), NONE, (1, 1), 1)),  # pixels that no kernel element ever sees
    (2, (5, 9), 2, 3, ((2, 2), (4, 3), NONE, (1, 1), 1)),
    (2, (9, 8), 4, 6, ((3, 2), (2, 1), ((1, 2), (0, 1)), (1, 3), 2)),
    (1, (9, 11), 2, 3, ((3, 3), (2, 2), ((2, 2), (2, 2)), (2, 3), 1)),
    (2, (4, 5), 6, 6, ((3, 3), (1, 2), SAME, (1, 1), 6)),  # depthwise
    (2, (4, 5), 3, 6, ((3, 3), (1, 1), SAME, (1, 1), 3)),
    (1, (1, 3), 2, 3, ((3, 5), (1, 1), ((1, 1), (2, 2)), (1, 1), 1)),
    (2, (2, 2), 3, 4, ((2, 2), (3, 3), NONE, (1, 1), 1)),  # the stride exceeds the image
    (1, (13, 10), 2, 3, ((11, 7), (4, 2), ((2, 2), (3, 3)), (1, 1), 1)),
    (2, (3, 4), 2, 2, ((3, 3), (1, 1), ((3, 3), (3, 3)), (1, 1), 1)),  # outputs that see nothing but padding
]


def arrays_of(case, dtype):
    images, size, channels, filters, arguments = case
    geometry = Geometry(*arguments)
    x = normal(images, *size, channels, dtype=dtype)
    kernel = normal(*geometry.kernel_size, channels // geometry.groups, filters, dtype=dtype, seed=1)
    bias = normal(filters, dtype=dtype, seed=2)
    grad = normal(images, *geometry.output_size(*size), filters, dtype=dtype, seed=3)
    return geometry, x, kernel, bias, grad


def exactly(geometry):
    """The same geometry as `tinycnn.reference` calls it."""
    return geometry.strides, geometry.pads, geometry.dilation, geometry.groups


def exact_gradients(x, kernel, grad, geometry):
    return reference.conv2d_backward(*(a.astype(float) for a in (x, kernel, grad)), *exactly(geometry))


@pytest.fixture(params=["bands", "row by row"])
def bands(request, monkeypatch):
    """Both a band of several rows at a time and, as for a wide image, one row."""
    if request.param == "row by row":
        monkeypatch.setattr(im2col, "BAND", 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_forward_equals_the_loops(kernels, case, dtype, bands):
    geometry, x, kernel, bias, grad = arrays_of(case, dtype)
    for b in (bias, None):
        arrays = (a if a is None else a.astype(float) for a in (x, kernel, b))
        exact = reference.conv2d_forward(*arrays, *exactly(geometry))
        for relu in (False, True):
            y = np.full(grad.shape, np.nan, dtype)
            kernels.conv_forward(x, kernel, b, geometry, y, relu)
            assert close(y, np.maximum(exact, 0) if relu else exact, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_the_loops(kernels, case, dtype, bands):
    geometry, x, kernel, bias, grad = arrays_of(case, dtype)
    exact_x, exact_kernel, exact_bias = exact_gradients(x, kernel, grad, geometry)
    grad_x, grad_kernel, grad_bias = (np.full_like(a, np.nan) for a in (x, kernel, bias))
    kernels.conv_kernel_gradient(x, grad, geometry, grad_kernel, grad_bias)
    assert close(grad_kernel, exact_kernel, dtype) and close(grad_bias, exact_bias, dtype)
    kernels.conv_kernel_gradient(x, grad, geometry, again := np.full_like(kernel, np.nan))
    assert close(again, exact_kernel, dtype)
    kernels.conv_input_gradient(grad, kernel, geometry, grad_x)
    assert close(grad_x, exact_x, dtype)
    shift = normal(x.shape[3], dtype=dtype, seed=4)
    kernels.conv_input_gradient(grad, kernel, geometry, grad_x, shift)  # a transposed convolution's forward
    assert close(grad_x, exact_x + shift, dtype)


@pytest.mark.parametrize("case", CASES)
def test_backward_is_both_gradients(kernels, case):
    geometry, x, kernel, bias, grad = arrays_of(case, np.float64)
    exact = exact_gradients(x, kernel, grad, geometry)
    for bias_too in (True, False):
        for input_too in (True, False):
            grad_x, grad_kernel, grad_bias = (np.full_like(a, np.nan) for a in (x, kernel, bias))
            results = grad_x if input_too else None, grad_kernel, grad_bias if bias_too else None
            kernels.conv_backward(x, kernel, grad, geometry, *results)
            assert all(r is None or close(r, e, np.float64) for r, e in zip(results, exact, strict=True))


def test_nan_stays_nan(kernels):
    """Zero padding, zero weights and a ReLU do not hide it; nothing else becomes one."""
    geometry, x, kernel, bias, grad = arrays_of(CASES[0], np.float32)
    x[1, 2, 3, 1] = np.nan
    exact = reference.conv2d_forward(x, kernel, bias, *exactly(geometry))
    kernels.conv_forward(x, kernel, bias, geometry, y := np.empty_like(grad), True)
    assert np.array_equal(np.isnan(y), np.isnan(exact)) and 0 < np.isnan(y).sum() < y.size


@pytest.mark.parametrize("name", ["im2col", "reference"])
def test_what_is_not_fused_is_refused(name):
    geometry, x, kernel, bias, grad = arrays_of(CASES[0], np.float32)
    kernels, codes = SETS[name](), np.empty((3, 2, 3, 4), np.uint8)
    assert kernels.pool_width == 0
    for call in (
        lambda: kernels.conv_forward(x, kernel, bias, geometry, grad, codes=codes),
        lambda: kernels.conv_backward(x, kernel, grad, geometry, None, kernel, codes=codes),
        lambda: kernels.conv_input_gradient(grad, kernel, geometry, x, codes=codes),
    ):
        with pytest.raises(ValueError, match=f'"{name}" do not fuse pooling'):
            call()


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_threads_gives_the_same_bytes(case, bands, monkeypatch):
    geometry, x, kernel, bias, grad = arrays_of((7, *case[1:]), np.float32)
    before, results = runtime.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            runtime.set_num_threads(threads)
            y, *gradients = (np.full_like(a, np.nan) for a in (grad, x, kernel, bias))
            im2col.conv_forward(x, kernel, bias, geometry, y)
            im2col.conv_backward(x, kernel, grad, geometry, *gradients)
            results.append([a.tobytes() for a in (y, *gradients)])
    finally:
        runtime.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def laid_out(x, geometry):
    """`im2col.im2col` of one image, all groups side by side, with rows of pixels first."""
    size, depth = geometry.output_size(*x.shape[:2]), x.shape[2] // geometry.groups
    columns = np.full((geometry.groups, *size, *geometry.kernel_size, depth), np.nan)
    for g in range(geometry.groups):
        for first in range(0, size[0], 2):
            im2col.im2col(x, geometry, first, g, columns[g, first : first + 2])
    return columns


@pytest.mark.parametrize("case", CASES)
def test_im2col_is_that_of_the_reference(case):
    geometry, x, *_ = arrays_of(case, np.float64)
    columns, (strides, pads, dilation, groups) = laid_out(x[0], geometry), exactly(geometry)
    whole = reference.im2col(x[:1], geometry.kernel_size, strides, pads, dilation)
    whole = whole.reshape(*columns.shape[1:5], groups, -1).transpose(4, 0, 1, 2, 3, 5)
    assert np.array_equal(columns, whole)


@pytest.mark.parametrize("case", CASES)
def test_col2im_is_the_adjoint_and_adds(case):
    """``sum(im2col(x) * columns) == sum(x * col2im(columns))``."""
    geometry, x, *_ = arrays_of(case, np.float64)
    seen = laid_out(x[0], geometry)
    columns = normal(*seen.shape, seed=5)
    back = np.ones_like(x[0])
    for g in range(geometry.groups):
        for first in range(0, seen.shape[1], 2):
            im2col.col2im(columns[g, first : first + 2], geometry, first, g, back)
    assert np.isclose((seen * columns).sum(), (x[0] * (back - 1)).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows, depth, columns", [(1, 1, 1), (MR, 7, NR), (MR + 1, 300, NR + 1), (2 * MR - 1, 600, 5)])
def test_gemm_is_a_product_of_any_views(rows, depth, columns, dtype):
    A, B = normal(rows, depth, dtype=dtype), normal(depth, columns, dtype=dtype, seed=1)
    exact = A.astype(float) @ B
    frame = np.full((rows, columns + 3), 7, dtype)
    for left in (A, np.ascontiguousarray(A.T).T, np.repeat(A, 2, axis=0)[::2]):
        C = frame[:, 1 : columns + 1]
        im2col.gemm(left, im2col.panels_of(B), C, False)
        assert close(C, exact, dtype)
        im2col.gemm(left, np.ascontiguousarray(im2col.panels_of(B)), C, True)
        assert close(C, 2 * exact, dtype)
    assert (frame[:, [0, -2, -1]] == 7).all()


def test_panels_are_a_view_where_they_can_be():
    B = normal(2, 5, 3 * NR)
    panels = im2col.panels_of(B)
    assert panels.shape == (2, 3, 5, NR) and np.shares_memory(panels, B)
    assert np.array_equal(panels[1, 2], B[1, :, 2 * NR :])
    padded = im2col.panels_of(B[:, :, : NR + 3])
    assert padded.shape == (2, 2, 5, NR) and (padded[:, 1, :, 3:] == 0).all()
    assert np.array_equal(padded[:, 1, :, :3], B[:, :, NR : NR + 3])


def test_scratch_memory_does_not_grow_with_the_batch(monkeypatch):
    sizes, scratch = [], runtime.scratch

    def noted(dtype, *counts):
        sizes.append(sum(counts))
        return scratch(dtype, *counts)

    monkeypatch.setattr(runtime, "scratch", noted)
    geometry, kernel = Geometry((3, 3), (1, 1), SAME, (1, 1), 1), normal(3, 3, 8, 8)
    for images in (1, 9):
        x = normal(images, 200, 200, 8)
        im2col.conv_forward(x, kernel, None, geometry, np.empty_like(x))
        im2col.conv_input_gradient(x, kernel, geometry, np.empty_like(x))
        im2col.conv_kernel_gradient(x, x, geometry, np.empty_like(kernel))
    assert sizes[:3] == sizes[3:] and 8 * sizes[0] <= runtime.get_num_threads() * im2col.BAND


def test_each_function_fits_on_half_a_screen():
    for name, function in inspect.getmembers(im2col, inspect.isroutine):
        source = getattr(function, "py_func", function)
        if source.__module__ == im2col.__name__:
            assert len(inspect.getsource(source).splitlines()) <= 40, name
