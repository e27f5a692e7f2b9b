import numpy as np
import pytest

from tinycnn.layers import BatchNorm, ReLU
from tinycnn.layers.block import Block, spec


class Twice(Block):
    """``y = act(f(x) + f(x))``."""

    def __init__(self, layer, activation=None):
        super().__init__([[layer]], activation)

    def output_shape_of(self, input_shape):
        return self.path_shapes(input_shape)[0]

    def forward_linear(self, x, training=False):
        return 2 * self.along(self.paths[0], self._enter(x), training)

    def backward_linear(self, grad, input_grad=True):
        return self.back(self.paths[0], 2 * np.asarray(grad), input_grad)


def test_layers_inside_keep_their_state_and_are_frozen_together():
    norm = BatchNorm()
    norm.trainable = False
    block = Twice(norm, "relu")
    assert [layer.trainable for layer in block.sublayers()] == [False, True]
    block.trainable = True
    assert norm.trainable
    block.trainable = False
    assert not norm.trainable and not block.activation.trainable


def test_the_activation_comes_after_the_paths():
    block = Twice(ReLU(name="own"), "relu")
    assert block.forward([[-1.0, 3.0]]).tolist() == [[0, 6]]
    assert block.backward([[1.0, 1.0]]).tolist() == [[0, 2]]
    assert block.output_shape == (2,) and block.last_output.tolist() == [[0, 6]]
    assert spec(block.paths[0][0]) == {"class": "ReLU", "config": {}, "name": "own"} and spec(None) is None


def test_a_layer_has_one_place():
    relu = ReLU()
    with pytest.raises(ValueError, match="Twice: a layer appears twice"):
        Twice(relu, relu)
