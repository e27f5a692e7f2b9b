import numpy as np
import pytest

from tinycnn import reference
from tinycnn.kernels.dense import FEW, K_BLOCK, Weights, _padded, _readable, dense_backward, dense_forward
from tinycnn.kernels.simd import MR, NR

# images, inputs, units: edges of the register tile, of panels, of blocks of weights and of chunks of the sum
SIZES = [
    (1, 1, 1),
    (2, K_BLOCK + 5, NR + 3),
    (2, 700, 2 * NR),
    (MR, 7, NR),
    (MR + 1, K_BLOCK, NR - 1),
    (16, K_BLOCK + 1, 2 * NR),
    (5, 2 * K_BLOCK - 1, NR + 3),
    (3, 3000, 5),
    (2 * NR + 1, 19, 33),
]


def normal(*shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(ours, exact, dtype):
    return abs(ours - exact).max() < 40 * np.finfo(dtype).eps * max(1, abs(exact).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images, inputs, units", SIZES)
def test_forward_equals_reference(images, inputs, units, dtype):
    x, kernel = normal(images, inputs, dtype=dtype), normal(inputs, units, dtype=dtype, seed=1)
    bias = normal(units, dtype=dtype, seed=2)
    for b in (bias, None):
        y = np.full((images, units), np.nan, dtype)
        dense_forward(x, kernel, b, y)
        wide = None if b is None else b.astype(float)
        assert close(y, reference.dense_forward(x.astype(float), kernel.astype(float), wide), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inputs, units", [size[1:] for size in SIZES])
def test_an_image_gives_the_same_bits_alone_and_among_others(inputs, units, dtype):
    x, kernel = normal(5, inputs, dtype=dtype), normal(inputs, units, dtype=dtype, seed=1)
    together, alone = np.empty((2, 5, units), dtype)
    dense_forward(x, kernel, None, together)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
        assert len(x[rows]) <= FEW
        dense_forward(x[rows], kernel, None, alone[rows])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images, inputs, units", SIZES)
def test_backward_equals_reference(images, inputs, units, dtype):
    x, kernel = normal(images, inputs, dtype=dtype), normal(inputs, units, dtype=dtype, seed=1)
    grad = normal(images, units, dtype=dtype, seed=2)
    exact_x, exact_kernel, _ = reference.dense_backward(*(a.astype(float) for a in (x, kernel, grad)))
    grad_x, grad_kernel = np.full_like(x, np.nan), np.full_like(kernel, np.nan)
    dense_backward(x, kernel, grad, grad_x, grad_kernel)
    assert close(grad_x, exact_x, dtype) and close(grad_kernel, exact_kernel, dtype)
    only = np.full_like(kernel, np.nan)
    dense_backward(x, kernel, grad, None, only)
    assert np.array_equal(only, grad_kernel)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inputs, units", [size[1:] for size in SIZES])
def test_gradients_of_few_images_have_the_bits_of_many(inputs, units, dtype):
    x, kernel = normal(FEW + 3, inputs, dtype=dtype), normal(inputs, units, dtype=dtype, seed=1)
    grad = normal(FEW + 3, units, dtype=dtype, seed=2)
    grad[FEW:] = 0  # adds nothing
    many_x, few_x = np.empty_like(x), np.empty_like(x[:FEW])
    many, few = np.empty((2, inputs, units), dtype)
    dense_backward(x, kernel, grad, many_x, many)
    dense_backward(x[:FEW], kernel, grad[:FEW], few_x, few)
    assert np.array_equal(many, few) and np.array_equal(many_x[:FEW], few_x)


@pytest.mark.parametrize("depth, units", [(1, 1), (5, 3), (200, 3), (130, NR - 1), (129, NR), (193, 2 * NR + 1)])
def test_wide_reads_of_weights_stay_inside(depth, units):
    kernel = normal(depth, units, dtype=np.float32)
    tail = _padded(kernel[-2 * K_BLOCK :], np.empty(2 * K_BLOCK * (units + NR), np.float32))
    for k in range(0, depth, K_BLOCK):
        count = min(K_BLOCK, depth - k)
        weights = Weights(kernel.reshape(-1), tail.reshape(-1), depth, units, tail.shape[1])
        array, first, row = _readable.py_func(weights, k, count)
        assert first >= 0 and first + (count - 1) * row + tail.shape[1] <= array.size
        rows = np.stack([array[first + i * row :][:units] for i in range(count)])
        assert np.array_equal(rows, kernel[k : k + count])


def test_arrays_that_do_not_fit_are_refused():
    x, kernel, y = np.ones((3, 20), np.float32), np.ones((20, 5), np.float32), np.empty((3, 5), np.float32)
    with pytest.raises(ValueError, match="dense: kernel is float64 and x is float32"):
        dense_forward(x, kernel.astype(float), None, y)
    with pytest.raises(ValueError, match=r"y has shape \(3, 5\), but must have shape \(3, 4\)"):
        dense_forward(x, kernel[:, :4].copy(), None, y)
    with pytest.raises(ValueError, match="grad_kernel is float64 and x is float32"):
        dense_backward(x, kernel, y, None, np.empty((20, 5)))


def test_inputs_are_left_alone():
    x, kernel, grad = normal(3, 20, dtype=np.float32), normal(20, 5, dtype=np.float32), normal(3, 5, dtype=np.float32)
    kept = x.copy(), kernel.copy(), grad.copy()
    dense_forward(x, kernel, None, np.empty((3, 5), np.float32))
    dense_backward(x, kernel, grad, np.empty_like(x), np.empty_like(kernel))
    assert all(np.array_equal(*pair) for pair in zip((x, kernel, grad), kept, strict=True))
