import numba
import numpy as np
import pytest

from tinycnn import reference, reference_loops

CASES = [
    ((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((7, 5), (2, 3), (2, 1), ((0, 0), (2, 1))),
    ((4, 4), (1, 1), (3, 2), ((0, 0), (0, 0))),
]


@pytest.mark.parametrize("compiled", [False, True], ids=["python", "numba"])
@pytest.mark.parametrize("case", CASES)
def test_seven_loops_equal_the_reference(case, compiled):
    """As they stand and as numba compiles them."""
    size, window, strides, padding = case
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *size, 3)), rng.normal(size=(*window, 3, 4))
    exact = reference.conv2d_forward(x, kernel, None, strides, padding)
    grad, corner = rng.normal(size=exact.shape), (padding[0][0], padding[1][0])
    names = ("forward", "kernel_gradient", "input_gradient")
    loops = (getattr(reference_loops, name) for name in names)
    forward, kernel_gradient, input_gradient = (numba.njit(f) if compiled else f for f in loops)
    y, grad_x, grad_kernel = (np.full_like(a, np.nan) for a in (exact, x, kernel))
    forward(x, kernel, strides, corner, y)
    kernel_gradient(x, grad, strides, corner, grad_kernel)
    input_gradient(grad, kernel, strides, corner, grad_x)
    exact_x, exact_kernel, _ = reference.conv2d_backward(x, kernel, grad, strides, padding)
    for ours, theirs in ((y, exact), (grad_x, exact_x), (grad_kernel, exact_kernel)):
        assert np.allclose(ours, theirs, rtol=1e-13, atol=1e-13)
