import numpy as np
import pytest

from tinycnn.reference import conv2d_backward, conv2d_forward
from tinycnn.reference_winograd import (
    gather_tiles,
    join_tiles,
    scatter_tiles,
    split_tiles,
    winograd_conv2d,
    winograd_input_gradient,
    winograd_weight_gradient,
)

SAME = ((1, 1), (1, 1))
SHAPES = [(1, 1, 1, 1), (2, 5, 7, 3), (1, 8, 4, 2), (3, 6, 3, 5)]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_direct_convolution(shape, m):
    x, kernel = normal(*shape), normal(3, 3, shape[3], 4, seed=1)
    assert np.allclose(winograd_conv2d(x, kernel, m), conv2d_forward(x, kernel, padding=SAME), atol=1e-11)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_the_direct_ones(shape, m):
    x, kernel, grad_y = normal(*shape), normal(3, 3, shape[3], 4, seed=1), normal(*shape[:3], 4, seed=2)
    grad_x, grad_kernel, _ = conv2d_backward(x, kernel, grad_y, padding=SAME)
    assert np.allclose(winograd_input_gradient(grad_y, kernel, m), grad_x, atol=1e-11)
    assert np.allclose(winograd_weight_gradient(x, grad_y, m), grad_kernel, atol=1e-11)


@pytest.mark.parametrize("m", [2, 4])
def test_tilings_and_their_adjoints(m):
    x = normal(2, 5, 7, 3)
    tiles = gather_tiles(x, m)
    other = normal(*tiles.shape, seed=1)
    assert (tiles * other).sum() == pytest.approx((x * scatter_tiles(other, 5, 7)).sum(), rel=1e-12)
    assert np.array_equal(join_tiles(split_tiles(x, m), 5, 7), x)


@pytest.mark.parametrize("m, tolerance", [(2, 3e-6), (4, 3e-5)])
def test_float32_stays_float32_and_close(m, tolerance):
    x, kernel = normal(1, 12, 12, 32), normal(3, 3, 32, 8, seed=1)
    exact = conv2d_forward(x, kernel, padding=SAME)
    y = winograd_conv2d(x.astype(np.float32), kernel.astype(np.float32), m)
    assert y.dtype == np.float32
    assert abs(y - exact).max() < tolerance * abs(exact).max()
