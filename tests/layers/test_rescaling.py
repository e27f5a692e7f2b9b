import numpy as np

from tinycnn.gradcheck import gradcheck
from tinycnn.layers.rescaling import Rescaling


def test_scale_and_offset():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(Rescaling(0.5, offset=-1).forward(x), x / 2 - 1)
    assert gradcheck(Rescaling(0.5, offset=-1), x).ok
    assert Rescaling(0.5).forward(x.astype(np.float32)).dtype == np.float32
    assert Rescaling(2, 1).config() == {"scale": 2.0, "offset": 1.0}
