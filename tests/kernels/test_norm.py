import numpy as np
import pytest

from tinycnn.kernels import norm, numpy_set
from tinycnn.kernels.simd import LANES

X, COLUMN = np.ones((6, 3), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: norm.moments(X[:, ::2]), "x must be a C-contiguous array"),
        (lambda: norm.normalize(X, COLUMN.astype(float), COLUMN, COLUMN, X), "mean is float64 and x is float32"),
        (lambda: norm.gradient_sums(X, X[1:], COLUMN, COLUMN), r"grad_y has shape \(5, 3\), but must have"),
        (lambda: norm.input_gradient(X, X, *[COLUMN] * 3, COLUMN[1:], X), r"slope has shape \(2,\), but must"),
        (lambda: norm.input_gradient(X, X, *[COLUMN] * 4, X, COLUMN[1:]), r"beta has shape \(2,\), but must"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"batch norm: {message}"):
        call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, LANES), (200, 2 * LANES + 3), (1000, 2), (70, 3 * LANES // 2), (45000, 3)]
)
def test_sums_in_vectors_and_one_by_one_equal_those_of_numpy(shape, dtype):
    rng = np.random.default_rng(0)
    x, grad_y = (rng.normal(5, 1, shape).astype(dtype) for _ in range(2))
    mean, inverse_std = x.mean(axis=0), rng.random(shape[1]).astype(dtype)
    for ours, theirs in (
        (norm.moments(x), numpy_set.moments(x)),
        (norm.gradient_sums(x, grad_y, mean, inverse_std), numpy_set.gradient_sums(x, grad_y, mean, inverse_std)),
    ):
        for mine, reference in zip(ours, theirs, strict=True):
            assert mine.dtype == np.float64
            assert np.allclose(mine, reference, rtol=1e-10, atol=1e-10 if dtype == np.float64 else 1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, LANES), (200, 2 * LANES + 3)])
def test_rows_in_vectors_and_one_by_one_equal_those_of_numpy(shape, dtype):
    rng = np.random.default_rng(0)
    (x, grad_y), (mean, scale, third, fourth) = rng.normal(size=(2, *shape)), rng.normal(size=(4, shape[1]))
    x, grad_y, *columns = (a.astype(dtype) for a in (x, grad_y, mean, scale, third, fourth))
    (y, exact_y), (grad_x, exact_x) = np.full((2, 2, *shape), 7, dtype)
    norm.normalize(x, *columns[:3], y)
    numpy_set.normalize(x, *columns[:3], exact_y)
    norm.input_gradient(x, grad_y, *columns, grad_x)
    numpy_set.norm_input_gradient(x, grad_y, *columns, exact_x)
    tolerance = 20 * np.finfo(dtype).eps * max(abs(exact_y).max(), abs(exact_x).max())
    assert abs(y - exact_y).max() < tolerance and abs(grad_x - exact_x).max() < tolerance
