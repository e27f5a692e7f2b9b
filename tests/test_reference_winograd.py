from fractions import Fraction

import numpy as np
import pytest

from tinycnn.kernels import winograd_transforms
from tinycnn.reference import conv2d_backward, conv2d_forward
from tinycnn.reference_winograd import (
    A_T,
    B_T,
    EXACT,
    G,
    cook_toom,
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


@pytest.mark.parametrize(
    "points, taps",
    [([0, 1, -1], 3), ([0, 1, -1, 2, -2], 3), ([0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)], 3), ([3, -1, 5], 2)]
    + [([0], 1), ([0], 2), ([1, 2], 3), ([0, 1, -1, 2, -2, 3], 5)],
)
def test_cook_toom_is_exact(points, taps):
    A_T, G, B_T = cook_toom(points, taps)
    outputs, n = A_T.shape
    assert outputs + taps - 1 == n == len(points) + 1
    for k in range(taps):  # a kernel that is 1 at k moves the input by k
        assert ((A_T * G[:, k]) @ B_T == np.eye(outputs, n, k)).all()


def test_matrices_are_those_of_lavin_and_gray():
    assert B_T[2].tolist() == [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
    assert G[2].tolist() == [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]
    assert A_T[2].tolist() == [[1, 1, 1, 0], [0, 1, -1, -1]]
    assert B_T[4].tolist() == [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    assert G[4].tolist() == [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
    assert A_T[4].tolist() == [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


@pytest.mark.parametrize("m", [2, 4])
def test_the_kernels_formulas_are_these_matrices(m):
    """Formulas on unit vectors give a matrix column by column, each entry rounded once."""
    formulas = {"output": A_T[m], "kernel": G[m], "input": B_T[m]}
    formulas |= {f"{name}_adjoint": matrix.T for name, matrix in formulas.items()}
    for name, matrix in formulas.items():
        formula = getattr(winograd_transforms, f"_{name}_{m}")
        columns = [formula(tuple(unit)) for unit in np.eye(matrix.shape[1])]
        assert np.array_equal(np.transpose(columns), matrix), name


def test_any_scale_of_a_point_gives_the_same_result():
    A_T, G, B_T = EXACT[4]
    scale = np.array([Fraction(k, 3) for k in (1, -2, 5, 7, -1, 4)])
    for k in range(3):
        product = (A_T * G[:, k]) @ B_T
        assert ((A_T * (G[:, k] * scale)) @ (B_T / scale[:, None]) == product).all()


@pytest.mark.parametrize(
    "points, taps, message", [([0, 1, 1], 3, "must differ"), ([0, 1], 4, "too few for a kernel of 4")]
)
def test_points_that_fix_no_polynomial(points, taps, message):
    with pytest.raises(ValueError, match=message):
        cook_toom(points, taps)
