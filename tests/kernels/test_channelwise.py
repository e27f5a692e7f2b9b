"""Kernels whose vectors run along the channels, against the plain loops."""

import numpy as np
import pytest
from kernel_cases import CONVOLUTIONS, places_of

from tinycnn import reference
from tinycnn.kernels import channelwise
from tinycnn.kernels.correlate import Grid, Taps
from tinycnn.kernels.nhwc import Output, as_images
from tinycnn.kernels.simd import LANES

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}
WINDOWS = [case[:1] + case[3:7] for case in CONVOLUTIONS]
EDGE = 77.0  # stands before and behind what a kernel may write


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return ours.dtype == dtype and abs(ours - exact).max() <= TOLERANCE[dtype] * max(1, abs(exact).max())


def between_nans(array):
    """A copy with NaN right before and behind it, which whoever reads too far meets."""
    room = np.full(array.size + 2 * LANES, np.nan, array.dtype)
    room[LANES:-LANES] = array.reshape(-1)
    return room[LANES:-LANES].reshape(array.shape)


def filled(shape, dtype):
    room = np.full(int(np.prod(shape)) + 2 * LANES, EDGE, dtype)
    return room, room[LANES:-LANES].reshape(shape)


def untouched(room):
    return (room[:LANES] == EDGE).all() and (room[-LANES:] == EDGE).all()


def forward(kernel_of, x, kernel, bias, window, relu, groups):
    """What `kernel_of` fills, and the loops' answer."""
    size, strides, padding, dilation = window
    double = (a.astype(float) for a in (x, kernel, bias))
    exact = reference.conv2d_forward(*double, strides, padding, dilation, groups)
    room, y = filled(exact.shape, x.dtype)
    taps = Taps(places_of(size, padding, dilation), strides)
    weights = kernel.reshape(-1, groups, kernel.shape[3] // groups).transpose(1, 0, 2)
    out = Output(*as_images(y), bias, relu)
    kernel_of(as_images(between_nans(x)), weights, taps, out, Grid(*exact.shape[1:3]))
    assert untouched(room)
    return y, reference.relu_forward(exact) if relu else exact


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("channels", [2, LANES - 1, LANES, 2 * LANES + 3])
def test_depthwise_equals_reference(channels, dtype):
    for i, (size, *window) in enumerate(WINDOWS):
        x, kernel = normal(3, *size, channels, dtype=dtype), normal(*window[0], 1, channels, dtype=dtype, seed=2)
        bias = normal(channels, dtype=dtype, seed=1)
        ours, exact = forward(channelwise.depthwise, x, kernel, bias, window, i % 2, channels)
        assert close(ours, exact, dtype)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("channels, filters", [(LANES, 1), (2 * LANES, 3)])
def test_few_filters_equal_reference(channels, filters, dtype):
    for i, (size, *window) in enumerate(WINDOWS):
        x, kernel = normal(3, *size, channels, dtype=dtype), normal(*window[0], channels, filters, dtype=dtype, seed=2)
        bias = normal(filters, dtype=dtype, seed=1)
        ours, exact = forward(channelwise.few_filters, x, kernel, bias, window, i % 2, 1)
        assert close(ours, exact, dtype)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("channels, filters", [(LANES + 3, None), (2 * LANES, None), (3, 2), (LANES, 1)])
def test_kernel_gradient_equals_reference(channels, filters, dtype):
    groups, filters = (channels, channels) if filters is None else (1, filters)
    for size, window, strides, padding, dilation in WINDOWS:
        x, kernel = normal(3, *size, channels, dtype=dtype), normal(*window, channels // groups, filters, dtype=dtype)
        geometry = strides, padding, dilation, groups
        grad = normal(*reference.conv2d_forward(x, kernel, None, *geometry).shape, dtype=dtype, seed=3)
        _, exact, exact_bias = reference.conv2d_backward(*(a.astype(float) for a in (x, kernel, grad)), *geometry)
        room, grad_kernel = filled(kernel.shape, dtype)
        grad_bias = np.full(filters, np.nan, dtype)
        arrays = as_images(between_nans(x)), as_images(between_nans(grad))
        taps = Taps(places_of(window, padding, dilation), strides)
        channelwise.kernel_gradient(*arrays, taps, groups, grad_kernel, grad_bias)
        assert untouched(room)
        assert close(grad_kernel, exact, dtype) and close(grad_bias, exact_bias, dtype)
        kept = grad_kernel.copy()
        channelwise.kernel_gradient(*arrays, taps, groups, grad_kernel, None)
        assert np.array_equal(grad_kernel, kept)


def test_a_nan_stays_in_its_channel():
    x, kernel = normal(1, 5, 5, LANES + 1), normal(3, 3, 1, LANES + 1, seed=1)
    x[0, 2, 2, 4] = np.nan
    window = (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)
    y, _ = forward(channelwise.depthwise, x, kernel, np.zeros(LANES + 1), window, True, LANES + 1)
    wrong = np.isnan(y)
    assert wrong[0, 1:4, 1:4, 4].all() and wrong.sum() == 9


def test_few_filters_are_chosen_by_what_they_cost():
    assert channelwise.suits_dot(LANES, 1) and channelwise.suits_dot(3 * LANES, LANES // 2)
    assert not channelwise.suits_dot(LANES, LANES) and not channelwise.suits_dot(LANES + 1, 1)
    assert channelwise.suits_channels(9, 4 * LANES, 1) and not channelwise.suits_channels(9, 1, 4 * LANES)
