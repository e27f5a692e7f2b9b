import numpy as np
import pytest

from tinycnn.kernels import norm

X, COLUMN = np.ones((6, 3), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: norm.moments(X[:, ::2]), "x must be a C-contiguous array"),
        (lambda: norm.normalize(X, COLUMN.astype(float), COLUMN, COLUMN, X), "mean is float64 and x is float32"),
        (lambda: norm.gradient_sums(X, X[1:], COLUMN, COLUMN), r"grad_y has shape \(5, 3\), but must have"),
        (lambda: norm.input_gradient(X, X, *[COLUMN] * 4, COLUMN[1:], X), r"mean_grad_xhat has shape \(2,\), but must"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"batch norm: {message}"):
        call()
