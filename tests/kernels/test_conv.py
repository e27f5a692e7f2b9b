"""The three passes of a convolution against the plain loops, and when Winograd's algorithm is taken."""

import os
import subprocess
import sys

import numpy as np
import pytest

import tinycnn
from tinycnn import reference
from tinycnn.kernels import conv, pool
from tinycnn.kernels.activation import relu_backward
from tinycnn.kernels.conv import Geometry
from tinycnn.kernels.simd import LANES, NR
from tinycnn.layers.conv import Conv2DTranspose

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


SAME = ((1, 1), (1, 1))
# image size, channels, filters, (kernel, strides, padding, dilation, groups)
CASES = [
    ((5, 7), 3, 4, ((3, 3), (1, 1), SAME, (1, 1), 1)),
    ((9, 6), NR, 2 * NR, ((3, 3), (1, 1), SAME, (1, 1), 1)),
    ((6, 8), NR, NR, ((3, 3), (1, 1), ((0, 2), (2, 1)), (1, 1), 1)),
    ((7, 6), NR, NR, ((3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 1)),
    ((7, 6), NR, NR, ((3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2), 1)),
    ((7, 6), 2 * NR, 2 * NR, ((3, 3), (1, 1), SAME, (1, 1), 2)),
    ((6, 5), 4, NR + 3, ((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    ((8, 9), 3, 5, ((2, 4), (2, 3), ((1, 0), (1, 2)), (1, 1), 1)),
    ((7, 4), 3, 2, ((1, 1), (3, 2), ((0, 0), (0, 0)), (1, 1), 1)),  # pixels that no kernel element ever sees
    ((5, 9), 2, 3, ((2, 2), (4, 3), ((0, 0), (0, 0)), (1, 1), 1)),
    ((9, 8), 4, 6, ((3, 2), (2, 1), ((1, 2), (0, 1)), (1, 3), 2)),
    ((9, 11), 2, 3, ((3, 3), (2, 2), ((2, 2), (2, 2)), (2, 3), 1)),
    ((4, 5), 6, 6, ((3, 3), (1, 2), SAME, (1, 1), 6)),
    ((1, 3), 2, 3, ((3, 5), (1, 1), ((1, 1), (2, 2)), (1, 1), 1)),
    ((2, 2), 3, 4, ((2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1), 1)),  # the stride exceeds the image
    ((7, 8), LANES, LANES, ((3, 3), (1, 1), SAME, (1, 1), 1)),  # Winograd in narrow panels
    ((9, 13), 2 * LANES, 1, ((3, 3), (1, 1), SAME, (1, 1), 1)),  # few filters
    ((9, 13), LANES + 3, 2, ((5, 3), (2, 1), ((2, 1), (0, 2)), (1, 2), 1)),
    ((7, 13), LANES + 3, LANES + 3, ((3, 5), (2, 1), ((1, 1), (2, 0)), (1, 2), LANES + 3)),  # depthwise
    ((5, 9), 5, 15, ((3, 3), (1, 2), SAME, (1, 1), 5)),  # three filters a channel
    ((6, 9), 2, 2 * LANES, ((3, 3), (1, 1), SAME, (1, 1), 2)),  # a vector of filters a channel
    ((8, 6), LANES, 2 * LANES, ((3, 3), (2, 2), ((0, 0), (0, 0)), (1, 1), 4)),  # grouped, in place
    ((6, 8), 3, 5, ((2, 2), (2, 2), SAME, (1, 1), 1)),  # phases whose gradient begins inside the output's
]


@pytest.fixture(params=[True, False], ids=["winograd", "direct"])
def winograd(request):
    conv.set_winograd(request.param)
    yield request.param
    conv.set_winograd(True)


def arrays_of(case, dtype):
    (height, width), channels, filters, arguments = case
    geometry = Geometry(*arguments)
    x = normal(3, height, width, channels, dtype=dtype)
    kernel = normal(*geometry.kernel_size, channels // geometry.groups, filters, dtype=dtype, seed=1)
    bias = normal(filters, dtype=dtype, seed=2)
    grad = normal(3, *geometry.output_size(height, width), filters, dtype=dtype, seed=3)
    return geometry, x, kernel, bias, grad


def exactly(geometry):
    """The same geometry as `tinycnn.reference` calls it."""
    return geometry.strides, geometry.pads, geometry.dilation, geometry.groups


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_forward_equals_the_loops(case, dtype, winograd):
    geometry, x, kernel, bias, grad = arrays_of(case, dtype)
    for b in (bias, None):
        arrays = (a if a is None else a.astype(float) for a in (x, kernel, b))
        exact = reference.conv2d_forward(*arrays, *exactly(geometry))
        assert exact.shape == grad.shape
        for relu in (False, True):
            y = np.full(exact.shape, np.nan, dtype)
            conv.forward(x, kernel, b, geometry, y, relu)
            assert close(y, reference.relu_forward(exact) if relu else exact, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_the_loops(case, dtype, winograd):
    geometry, x, kernel, bias, grad = arrays_of(case, dtype)
    exact = reference.conv2d_backward(*(a.astype(float) for a in (x, kernel, grad)), *exactly(geometry))
    together = [np.full(a.shape, np.nan, dtype) for a in (x, kernel, bias)]
    conv.backward(x, kernel, grad, geometry, *together)
    apart = [np.full(a.shape, np.nan, dtype) for a in (x, kernel, bias)]
    conv.input_gradient(grad, kernel, geometry, apart[0])
    conv.kernel_gradient(x, grad, geometry, *apart[1:])
    for ours, other, theirs in zip(together, apart, exact, strict=True):
        assert close(ours, theirs, dtype) and close(other, theirs, dtype)
    kernel_only = np.full_like(kernel, np.nan)
    conv.backward(x, kernel, grad, geometry, None, kernel_only)
    assert np.array_equal(kernel_only, together[1])


@pytest.mark.parametrize("case", CASES)
def test_a_transposed_convolution_adds_a_bias_everywhere(case):
    geometry, x, kernel, _, grad = arrays_of(case, np.float64)
    if geometry.groups > 1:
        return
    plain, biased, bias = np.empty_like(x), np.empty_like(x), normal(x.shape[3], seed=4)
    conv.input_gradient(grad, kernel, geometry, plain)
    conv.input_gradient(grad, kernel, geometry, biased, bias)
    assert np.allclose(biased, plain + bias, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if case[2] % (LANES * case[3][4]) == 0])
def test_codes_pool_on_the_way(case, relu, dtype, winograd):
    geometry, x, kernel, bias, grad = arrays_of(case, dtype)
    whole = np.empty_like(grad)
    conv.forward(x, kernel, bias, geometry, whole, relu)
    pooled, places = reference.maxpool_forward(whole, (2, 2), (2, 2))
    y, codes = np.full(pooled.shape, np.nan, dtype), np.full(pooled.shape, 77, np.uint8)
    conv.forward(x, kernel, bias, geometry, y, relu, codes)
    assert np.array_equal(y, pooled)
    grad_y = normal(*y.shape, dtype=dtype, seed=5)
    alive = np.where((y > 0) | (not relu), grad_y, 0).astype(dtype)
    spread = reference.maxpool_backward(alive, places, grad.shape, (2, 2), (2, 2))
    results = []
    for gradient, with_codes in ((grad_y, codes), (spread, None)):
        grads = [np.full(a.shape, np.nan, dtype) for a in (x, kernel, bias)]
        conv.backward(x, kernel, gradient, geometry, *grads, with_codes)
        results.append(grads)
    assert all(np.array_equal(*both) for both in zip(*results, strict=True))


@pytest.mark.parametrize("case", [CASES[1], CASES[3]], ids=["winograd", "direct"])
def test_fused_relu_and_pooling_treat_nan_as_the_separate_layers_do(case):
    geometry, x, kernel, bias, grad = arrays_of(case, np.float32)
    x[1, 2, 3, 0] = np.nan
    whole = np.empty_like(grad)
    conv.forward(x, kernel, bias, geometry, whole, relu=True)
    shape, halves = (3, grad.shape[1] // 2, grad.shape[2] // 2, len(bias)), (2, 2, 2, 2, 0, 0)
    apart, apart_codes = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    pool.maxpool_forward(whole, halves, apart, apart_codes)
    y, codes = np.empty_like(apart), np.empty_like(apart_codes)
    conv.forward(x, kernel, bias, geometry, y, True, codes)
    assert np.isnan(y).any() and np.array_equal(y, apart, equal_nan=True)

    grad_y = normal(*y.shape, dtype=np.float32, seed=5)
    unpooled = np.empty_like(whole)
    pool.maxpool_backward(grad_y, apart_codes, halves, unpooled)
    relu_backward(unpooled, whole, unpooled)
    results = []
    for gradient, with_codes in ((grad_y, codes), (unpooled, None)):
        grads = [np.zeros_like(a) for a in (x, kernel, bias)]
        conv.backward(x, kernel, gradient, geometry, *grads, with_codes)
        results.append(grads)
    assert all(np.array_equal(*both, equal_nan=True) for both in zip(*results, strict=True))


def test_the_bias_of_a_large_transposed_convolution_keeps_its_digits():
    layer = Conv2DTranspose(1, 1)
    layer.forward(np.ones((1, 1000, 1000, 1), np.float32))
    layer.backward(np.full((1, 1000, 1000, 1), 0.1, np.float32))
    assert layer.grads["bias"] == np.float32(1e6 * float(np.float32(0.1)))


def test_winograd_is_taken_for_3x3_stride_1_in_whole_vectors_only():
    plain, large = Geometry((3, 3), (1, 1), SAME, (1, 1), 1), (16, 16)
    assert conv.winograd_tile((3, 3, NR, 2 * NR), plain, large) == 4
    assert conv.winograd_tile((3, 3, NR, NR), plain._replace(pads=((0, 0), (2, 1))), large) == 4
    assert conv.winograd_tile((3, 3, LANES, 3 * LANES), plain, large) == 4
    assert conv.winograd_tile((3, 3, 3, NR), plain, large) == conv.winograd_tile((3, 3, NR, NR + 1), plain, large) == 0
    for change in (dict(kernel_size=(3, 1)), dict(strides=(1, 2)), dict(dilation=(2, 1)), dict(groups=2)):
        assert conv.winograd_tile((3, 3, NR, NR), plain._replace(**change), large) == 0


def test_winograd_is_taken_for_5x5_unless_it_is_to_be_exact():
    plain = Geometry((5, 5), (1, 1), SAME, (1, 1), 1)
    try:
        for setting, tile in (("auto", 2), (4, 2), (2, 0), (0, 0)):
            tinycnn.set_winograd(setting)
            assert conv.winograd_tile((5, 5, LANES, 2 * LANES), plain, (8, 8)) == tile
    finally:
        tinycnn.set_winograd("auto")


def test_small_images_take_small_tiles_or_none():
    plain = Geometry((3, 3), (1, 1), SAME, (1, 1), 1)
    assert conv.winograd_tile((3, 3, 128, 128), plain, (7, 7), 15) == 2
    assert conv.winograd_tile((3, 3, 128, 128), plain, (7, 7), 16) == 4
    assert conv.winograd_tile((3, 3, 128, 128), plain, (6, 6), 64) == 2
    assert conv.winograd_tile((3, 3, 128, 128), plain, (2, 2)) == 0


def test_winograd_can_be_switched():
    geometry, x, kernel, bias, grad = arrays_of(CASES[1], np.float32)
    size, results = geometry.output_size(*x.shape[1:3]), []
    try:
        for tile in (4, 0, 2, 4):
            tinycnn.set_winograd(tile)
            assert conv.winograd_tile(kernel.shape, geometry, size) == tile
            y = np.empty_like(grad)
            conv.forward(x, kernel, bias, geometry, y)
            results.append(y)
        with pytest.raises(ValueError, match="3"):
            tinycnn.set_winograd(3)
    finally:
        tinycnn.set_winograd("auto")
    assert np.array_equal(results[0], results[3])
    assert not np.array_equal(results[0], results[1]) and not np.array_equal(results[2], results[1])


ASK_FOR_THE_TILE = (
    "from tinycnn.kernels import conv; geometry = conv.Geometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1); "
    "print('imported'); print(conv.winograd_tile((3, 3, 96, 96), geometry, (20, 20)))"
)


def run_with(value, program):
    environment = {key: v for key, v in os.environ.items() if key != "TINYCNN_WINOGRAD"}
    if value is not None:
        environment["TINYCNN_WINOGRAD"] = value
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("value, tile", [("0", 0), ("2", 2), ("auto", 4), (None, 4), ("off", 0), ("On", 4)])
def test_winograd_obeys_the_environment(value, tile):
    assert run_with(value, ASK_FOR_THE_TILE).stdout == f"imported\n{tile}\n"


def test_a_wrong_environment_is_named_where_it_counts():
    done = run_with("many", ASK_FOR_THE_TILE)
    assert done.returncode and done.stdout == "imported\n"
    assert 'TINYCNN_WINOGRAD=many: set the environment variable to "auto", 4, 2, or 0 or "off" for none' in done.stderr
    assert run_with("many", "from tinycnn.kernels.conv import set_winograd; set_winograd('off')").returncode == 0


@pytest.mark.parametrize("case", [CASES[0], CASES[1]], ids=["direct", "winograd"])
@pytest.mark.parametrize("stranger", ["kernel", "bias", "y"])
def test_arrays_of_two_dtypes_are_refused(case, stranger):
    geometry, x, kernel, bias, grad = arrays_of(case, np.float32)
    arrays = {"kernel": kernel, "bias": bias, "y": np.zeros_like(grad)}
    arrays[stranger] = arrays[stranger].astype(np.float64)
    with pytest.raises(ValueError, match=f"convolution: {stranger} is float64 and x is float32"):
        conv.forward(x, arrays["kernel"], arrays["bias"], geometry, arrays["y"])
    if stranger == "kernel":
        with pytest.raises(ValueError, match="kernel is float64 and .* is float32"):
            conv.backward(x, arrays["kernel"], grad, geometry, np.empty_like(x), np.empty_like(kernel))
        with pytest.raises(ValueError, match="grad_kernel is float64 and x is float32"):
            conv.kernel_gradient(x, grad, geometry, arrays["kernel"])


def test_whole_numbers_are_refused():
    geometry, x, kernel, bias, grad = arrays_of(CASES[0], np.int64)
    with pytest.raises(ValueError, match="x is int64, but must be float32 or float64"):
        conv.forward(x, kernel, None, geometry, np.empty_like(grad))


@pytest.mark.parametrize("case", [CASES[0], CASES[1]], ids=["direct", "winograd"])
def test_arrays_of_another_shape_or_layout_are_refused(case):
    geometry, x, kernel, bias, grad = arrays_of(case, np.float32)
    filters = len(bias)
    with pytest.raises(ValueError, match=rf"bias has shape \({filters + 1},\), but must have shape \({filters},\)"):
        conv.forward(x, kernel, np.zeros(filters + 1, np.float32), geometry, np.empty_like(grad))
    with pytest.raises(ValueError, match="y has shape"):
        conv.forward(x, kernel, bias, geometry, np.empty_like(grad[:, :-1]))
    with pytest.raises(ValueError, match="grad_x has shape"):
        conv.backward(x, kernel, grad, geometry, np.empty_like(x[1:]), np.empty_like(kernel))
    with pytest.raises(ValueError, match="codes is float32, but must be uint8"):
        pooled = np.empty((len(x), grad.shape[1] // 2, grad.shape[2] // 2, filters), np.float32)
        conv.forward(x, kernel, bias, geometry, pooled, codes=np.empty_like(pooled))
    mirrored = np.empty_like(grad)[:, :, ::-1]
    with pytest.raises(ValueError, match="y must be a C-contiguous array"):
        conv.forward(x, kernel, bias, geometry, mirrored)


def test_bias_gradient_says_what_it_wants():
    grad, grad_bias = np.ones((2, 3, 4, 5), np.float32), np.empty(5, np.float32)
    conv.bias_gradient(grad, grad_bias)
    assert (grad_bias == 24).all()
    with pytest.raises(ValueError, match="grad_bias is float64 and grad is float32"):
        conv.bias_gradient(grad, np.empty(5))


def test_output_size():
    geometry = Geometry((3, 2), (2, 1), ((1, 0), (0, 3)), (1, 4), 1)
    assert geometry.output_size(8, 9) == (4, 8)
    assert Geometry((1, 1), (3, 3), ((0, 0), (0, 0)), (1, 1), 1).output_size(7, 6) == (3, 2)
