"""Names of layers, wherever they stand."""

import pytest

from tinycnn.layers import Conv2D, Dense, MaxPool2D, ReLU, Residual
from tinycnn.layers.naming import name_layers, snake_case


def test_snake_case_is_that_of_keras():
    keras = pytest.importorskip("keras")
    for name in ("Conv2D", "MaxPool2D", "ReLU", "LeakyReLU", "BatchNormalization", "Flatten", "UpSampling2D", "Dense"):
        assert snake_case(name) == keras.src.utils.naming.to_snake_case(name)


def test_names_are_keras_names_at_every_depth():
    block = Residual([Conv2D(3, 1, activation="relu"), Residual([ReLU()])])
    layers = [Conv2D(3, 3), MaxPool2D(), block, Conv2D(3, 1, activation="relu")]
    name_layers(layers)
    assert [layer.name for layer in layers] == ["conv2d", "max_pooling2d", "residual", "conv2d_1"]
    assert [layer.name for layer in block.layers] == ["residual/conv2d", "residual/residual"]
    assert block.layers[0].activation.name == "residual/conv2d/re_lu"
    assert block.layers[1].layers[0].name == "residual/residual/re_lu" and block.layers[1].layers[0].index == 2


def test_a_layer_keeps_its_name_in_the_next_model_but_not_in_a_block():
    first, second = Dense(3), Dense(3)
    name_layers([first, second])
    name_layers([second, Dense(2)])
    assert second.name == "dense_1"
    block = Residual([second], name="block")
    name_layers([block])
    assert second.name == "block/dense"
    name_layers([second])
    assert second.name == "dense"


def test_names_given_twice_or_with_a_slash_are_refused():
    with pytest.raises(ValueError, match="2 layers are called 'a'"):
        name_layers([Dense(1, name="a"), ReLU(name="a")])
    with pytest.raises(ValueError, match="'a/b' has a '/'"):
        name_layers([Dense(1, name="a/b")])
    with pytest.raises(ValueError, match="'a/b' has a '/'"):
        name_layers([Residual([Dense(1, name="a/b")])])
