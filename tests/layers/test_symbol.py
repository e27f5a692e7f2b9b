import numpy as np

from tinycnn.layers import ReLU
from tinycnn.layers.symbol import Symbol


def test_a_layer_called_with_numbers_computes_and_with_a_symbol_draws():
    relu, x = ReLU(), np.float32([[-1, 2]])
    assert relu(x).tolist() == [[0, 2]]
    place = Symbol("input", shape=(2,))
    after = relu(place)
    assert after.layer is relu and after.parents == [place]
