import numpy as np
import pytest

from tinycnn.kernels.compile import jit
from tinycnn.kernels.nhwc import as_images, load_row, pixel, window
from tinycnn.kernels.simd import LANES


def test_indices_of_pixels_and_windows():
    x = np.arange(2 * 5 * 7 * 3).reshape(2, 5, 7, 3).astype(float)
    images = as_images(x)
    assert images.data[pixel.py_func(images, 1, 3, 4)] == x[1, 3, 4, 0]
    y, codes = x[:, :2, :3].copy(), np.zeros((2, 2, 3, 3), np.uint8)
    pooled = as_images(y, codes, (5, 7))
    assert (pooled.height, pooled.width, pooled.pooled) == (5, 7, True)
    assert pooled.data[window.py_func(pooled, 1, 3, 4)] == y[1, 1, 2, 0]


@jit
def one_row(images, n, row, left, target, width):
    load_row(images, n, row, left, target, 2, width)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("left, width", [(0, 7), (2, 12), (-3, 3), (-9, 2), (9, 4)])
@pytest.mark.parametrize("row", [-1, 0, 3, 4, 5])
def test_a_row_is_padded_and_expanded(row, left, width, pooled):
    rng, whole = np.random.default_rng(0), np.zeros((2, 5, 7, LANES))
    if pooled:  # an odd last row or column lies in no window
        y, codes = rng.normal(size=(2, 2, 3, LANES)), rng.integers(0, 5, (2, 2, 3, LANES)).astype(np.uint8)
        for k, (i, j) in enumerate(np.ndindex(2, 2)):
            whole[:, i:4:2, j:6:2] = np.where(codes == k, y, 0)
        images = as_images(y, codes, (5, 7))
    else:
        whole[:] = rng.normal(size=whole.shape)
        images = as_images(whole)
    target = np.full((width + 2) * LANES, 77.0)
    one_row(images, 1, row, left, target, width)
    expected = np.zeros((width, LANES))
    for place in range(width):
        if 0 <= row < 5 and 0 <= place - left < 7:
            expected[place] = whole[1, row, place - left]
    assert np.array_equal(target[2 : 2 + width * LANES], expected.reshape(-1))
    assert (target[:2] == 77).all() and (target[2 + width * LANES :] == 77).all()
