import numpy as np
import pytest

from tinycnn.kernels.activation import sigmoid_forward, tanh_forward
from tinycnn.kernels.simd import LANES

LARGEST = {np.float32: 87, np.float64: 700}  # beyond, a logistic function is no normal number, and 0 here


def logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def points(dtype, largest):
    small = np.geomspace(1e-30, 1, 5000)
    spread = np.linspace(-largest, largest, 20001), np.linspace(-9, 9, 50001), small, -small
    return np.concatenate(spread).astype(dtype)


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize(("function", "exact"), [(tanh_forward, np.tanh), (sigmoid_forward, logistic)])
def test_every_number_is_within_three_units_in_the_last_place(function, exact, dtype):
    x = points(dtype, LARGEST[dtype])
    expected, y = exact(x.astype(np.longdouble)), np.empty_like(x)
    function(x, y)
    unit = np.spacing(np.abs(expected).astype(dtype))
    assert (np.abs(y - expected) <= 3 * unit).all()


@pytest.mark.parametrize("dtype", LARGEST)
def test_zeros_infinities_and_nan(dtype):
    x = np.array([0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan], dtype)
    y = np.empty_like(x)
    tanh_forward(x, y)
    assert np.array_equal(y, [0, 0, 1, -1, 1, -1, np.nan], equal_nan=True) and np.signbit(y[1])
    sigmoid_forward(x, y)
    assert np.array_equal(y, [0.5, 0.5, 1, 0, 1, 0, np.nan], equal_nan=True)


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("function", [tanh_forward, sigmoid_forward])
def test_numbers_behind_the_last_vector_are_the_same_as_in_one(function, dtype):
    x = np.random.default_rng(0).normal(size=3 * LANES).astype(dtype)
    whole, parts = np.empty_like(x), np.empty_like(x)
    function(x, whole)
    for i in range(x.size):
        function(x[i : i + 1], parts[i : i + 1])
    assert np.array_equal(parts, whole)
