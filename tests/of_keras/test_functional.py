import numpy as np
import pytest

from tinycnn import keras
from tinycnn.keras import layers

X = np.random.default_rng(0).random((2, 8, 8, 4)).astype(np.float32)


def conv(x, filters=4):
    return layers.Conv2D(filters, 3, padding="same")(x)


def names(model):
    return [type(layer).__name__ for layer in model.layers]


def test_paths_that_fork_and_meet_become_blocks():
    inputs = keras.Input((8, 8, 4))
    sum_of_three = layers.add([conv(inputs), inputs, conv(inputs)])
    model = keras.Model(inputs, layers.add([conv(sum_of_three), layers.ReLU()(conv(sum_of_three))]))
    assert names(model) == ["Parallel", "Residual"]
    one, two = (block.forward for block in model.layers)
    np.testing.assert_allclose(model(X), two(one(X)), rtol=1e-5)


def test_a_unet_is_branches_within_branches():
    inputs = keras.Input((8, 8, 4))
    first = conv(inputs)
    second = conv(layers.MaxPooling2D()(first))
    deepest = layers.UpSampling2D()(conv(layers.MaxPooling2D()(second)))
    up = layers.UpSampling2D()(conv(layers.concatenate([second, deepest])))
    model = keras.Model(inputs, conv(layers.concatenate([first, up]), 2))
    assert names(model) == ["Conv2D", "Parallel", "Conv2D"] and model.output_shape == (8, 8, 2)
    assert names(keras.Sequential(model.layers[1].branches[1])) == [
        "MaxPool2D",
        "Conv2D",
        "Parallel",
        "Conv2D",
        "UpSample2D",
    ]


def test_what_is_no_network_of_one_input_is_refused():
    inputs, other = keras.Input((8, 8, 4)), keras.Input((8, 8, 4))
    with pytest.raises(ValueError, match="comes from two inputs"):
        keras.Model(inputs, layers.add([conv(inputs), conv(other)]))
    with pytest.raises(ValueError, match="do not come from inputs"):
        keras.Model(inputs, conv(other))
    with pytest.raises(ValueError, match="inputs must be one place"):
        keras.Model([inputs], conv(inputs))
    shared = layers.ReLU()
    with pytest.raises(ValueError, match="appears twice"):
        keras.Model(inputs, shared(shared(inputs)))
