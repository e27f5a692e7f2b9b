import numpy as np
import pytest

from tinycnn.kernels import upsample
from tinycnn.kernels.simd import LANES

SIZES = [(1, 1), (2, 2), (1, 3), (3, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, LANES, LANES + 1])
@pytest.mark.parametrize("size", SIZES)
def test_every_set_repeats_pixels_and_adds_their_gradients(kernels, size, channels, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 5, channels)).astype(dtype)
    y = np.full((2, 4 * size[0], 5 * size[1], channels), 77, dtype)
    kernels.upsample_forward(x, size, y)
    assert np.array_equal(y, x.repeat(size[0], axis=1).repeat(size[1], axis=2))

    grad, grad_x = rng.normal(size=y.shape).astype(dtype), np.full_like(x, 77)
    kernels.upsample_backward(grad, size, grad_x)
    blocks = grad.astype(float).reshape(2, 4, size[0], 5, size[1], channels).sum(axis=(2, 4))
    assert np.allclose(grad_x, blocks, rtol=0, atol=20 * np.finfo(dtype).eps)


def test_arrays_that_do_not_fit_are_refused():
    x, y = np.ones((2, 3, 3, 1), np.float32), np.ones((2, 6, 6, 1), np.float32)
    with pytest.raises(ValueError, match=r"upsampling: large has shape \(2, 6, 6, 1\), but must have shape \(2, 6, 9,"):
        upsample.upsample_forward(x, (2, 3), y)
    with pytest.raises(ValueError, match="upsampling: large is float64 and small is float32"):
        upsample.upsample_backward(y.astype(float), (2, 2), x)
