import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.zero_padding import ZeroPadding2D


@pytest.mark.parametrize(
    ("padding", "widths"),
    [(2, ((2, 2), (2, 2))), ((1, 0), ((1, 1), (0, 0))), (((0, 1), (3, 0)), ((0, 1), (3, 0)))],
)
def test_zeros_around_and_back(padding, widths):
    x, layer = np.random.default_rng(0).normal(size=(2, 3, 4, 5)), ZeroPadding2D(padding)
    np.testing.assert_array_equal(layer.forward(x), np.pad(x, ((0, 0), *widths, (0, 0))))
    assert layer.output_shape == layer.forward(x).shape[1:]
    assert gradcheck(ZeroPadding2D(padding), x).ok


def test_bad_arguments():
    with pytest.raises(ValueError, match="must be numbers.*got 'same'"):
        ZeroPadding2D("same")
    with pytest.raises(ValueError, match="ZeroPadding2D: padding must be"):
        ZeroPadding2D(-1)
    with pytest.raises(ValueError, match="needs inputs of shape"):
        ZeroPadding2D(1).build((4,))
