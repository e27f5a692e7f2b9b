import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.global_max import GlobalMaxPool2D


@pytest.mark.parametrize("keepdims", [False, True])
def test_maxima_and_gradients(keepdims):
    x, layer = np.random.default_rng(0).normal(size=(2, 3, 4, 5)), GlobalMaxPool2D(keepdims)
    np.testing.assert_array_equal(layer.forward(x), x.max(axis=(1, 2), keepdims=keepdims))
    assert gradcheck(GlobalMaxPool2D(keepdims), x).ok


def test_the_first_of_equals_takes_all_and_nan_wins():
    x, layer = np.zeros((1, 2, 2, 1)), GlobalMaxPool2D()
    layer.forward(x)
    assert layer.backward([[3.0]]).ravel().tolist() == [3, 0, 0, 0]
    x[0, 1, 0, 0] = np.nan
    assert np.isnan(layer.forward(x)).all()
    with pytest.raises(ValueError, match="needs inputs of shape"):
        GlobalMaxPool2D().build((4,))
