import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels import activation, numpy_set
from tinycnn.kernels.activation import relu_backward
from tinycnn.kernels.sweep import TASK

DTYPES = [np.float32, np.float64]
SHAPES = [(1,), (3, 5, 7), (TASK,), (2, TASK + 13), (0,)]  # one task, several, remainders of vectors, nothing


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_backward_equals_reference(shape, dtype):
    grad, y = normal(shape, dtype), reference.relu_forward(normal(shape, dtype, seed=1))
    out = np.full(shape, np.nan, dtype)
    relu_backward(grad, y, out)
    assert np.array_equal(out, reference.relu_backward(grad, y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh_backward", "sigmoid_backward"])
def test_gradients_equal_those_of_numpy(name, dtype):
    grad, y = normal((2, TASK + 13), dtype), np.tanh(normal((2, TASK + 13), dtype, seed=1))
    expected = np.empty_like(y)
    getattr(numpy_set, name)(grad, y, expected)
    getattr(activation, name)(grad, y, grad)
    assert np.abs(grad - expected).max() <= 16 * np.finfo(dtype).eps


def test_arrays_that_do_not_fit_are_refused():
    grad = np.ones(4, np.float32)
    with pytest.raises(ValueError, match="relu_backward: y is float64 and grad is float32"):
        relu_backward(grad, np.ones(4), grad)
    with pytest.raises(ValueError, match="out has shape"):
        relu_backward(grad, grad, np.ones(3, np.float32))
