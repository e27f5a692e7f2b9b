"""Each kind of layer by hand: which numbers a number is made of, with which weights, and where it goes."""

import numpy as np
import pytest
from traced import batch, every_layer, other_layers

from tinycnn.inside.reaches import first_channels, paths_of
from tinycnn.inside.trace import trace
from tinycnn.layers.activation import Sigmoid
from tinycnn.layers.augmentation import Augmentation
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.global_max import GlobalMaxPool2D
from tinycnn.layers.layer_norm import LayerNorm
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.pool import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.zero_padding import ZeroPadding2D
from tinycnn.losses import MeanSquaredError
from tinycnn.model import Sequential


def test_a_convolution_by_hand():
    model = Sequential([Conv2D(2, (2, 3), padding="same", dilation_rate=(1, 2), groups=2)])
    model.build((3, 4, 4))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    seen = trace(model, x)
    terms = seen.terms("conv2d", (1, 2, 0, 1))
    assert terms.inputs[:, :, 0].tolist() == [
        [[1, 2, -2, 2], [1, 2, 0, 2], [1, 2, 2, 2]],
        [[1, 3, -2, 2], [1, 3, 0, 2], [1, 3, 2, 2]],
    ]
    patch = np.zeros((2, 3, 2))
    patch[0, 1], patch[0, 2] = x[1, 2, 0, 2:], x[1, 2, 2, 2:]
    np.testing.assert_array_equal(terms.patch, patch)
    np.testing.assert_array_equal(terms.weights, model.layers[0].params["kernel"][..., 1])


def test_pools_by_hand():
    x = np.float32([[1, 5, 5], [2, 0, -3], [7, 7, -1]]).reshape(1, 3, 3, 1)
    for pool, path in (
        (MaxPool2D(2, padding="same"), "max_pooling2d"),
        (AveragePool2D(2, padding="same"), "average_pooling2d"),
    ):
        model = Sequential([pool])
        model.build((3, 3, 1))
        terms = trace(model, x).terms(path, (0, 0, 1, 0))
        np.testing.assert_array_equal(terms.patch, [[5, np.nan], [-3, np.nan]])
        if path == "max_pooling2d":
            assert terms.details["winner"] == (0, 0, 2, 0) and terms.weights.tolist() == [[1, 0], [0, 0]]
            assert trace(model, x).terms(path, (0, 1, 0, 0)).details["winner"] == (0, 2, 0, 0)  # the first of two
        else:
            assert terms.weights.tolist() == [[0.5, 0], [0.5, 0]] and terms.total == 1
    model = Sequential([MaxPool2D(2)])
    model.build((2, 2, 1))
    broken = np.float32([np.nan, 9, np.nan, -np.inf]).reshape(1, 2, 2, 1)
    seen = trace(model, broken, np.zeros((1, 1, 1, 1)), MeanSquaredError())
    winner = seen.terms("max_pooling2d", (0, 0, 0, 0)).details["winner"]
    assert np.isnan(seen["max_pooling2d"].grad_input[winner])  # the gradient, nan itself, goes there
    assert np.isnan(seen.terms("max_pooling2d", (0, 0, 0, 0)).total)


def test_the_mean_of_an_image_by_hand():
    model = Sequential([GlobalAveragePool2D()])
    model.build((2, 3, 2))
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    seen = trace(model, x, np.array([[1.0, 2.0]]), MeanSquaredError())
    terms = seen.terms("global_average_pooling2d", (0, 1))
    assert terms.patch.tolist() == [[1, 3, 5], [7, 9, 11]] and (terms.weights == 1 / 6).all()
    back = seen.back("global_average_pooling2d", (0, 1, 1, 0))
    assert back.outputs.tolist() == [[0, 0]] and back.weights.tolist() == [1 / 6]


def test_a_normalisation_by_hand():
    model = Sequential([BatchNorm(epsilon=1.0)])
    model.build((2,), np.float64)
    x = np.array([[1.0, 10.0], [5.0, 30.0]])
    terms = trace(model, x, training=True).terms("batch_normalization", (0, 1))
    assert terms.details == {"mean": 20.0, "variance": 100.0, "gamma": 1.0, "beta": 0.0}
    assert np.isclose(terms.weights[0], 1 / np.sqrt(101)) and np.isclose(terms.bias, -20 / np.sqrt(101))
    still = trace(model, x).terms("batch_normalization", (0, 1))
    assert (still.details["mean"], still.details["variance"]) == (0.0, 1.0)


def test_a_sigmoid_is_given_by_its_tangent_and_dropout_by_its_mask():
    model = Sequential([Dropout(0.5), Sigmoid()])
    model.build((200,), np.float64)
    x = np.random.default_rng(0).normal(size=(1, 200))
    x[0, :100] = 0  # where neither output nor gradient would show the mask
    seen = trace(model, x, training=True)
    weights = [float(seen.terms("dropout", (0, i)).weights[0]) for i in range(200)]
    assert set(weights[:100]) == set(weights[100:]) == {0.0, 2.0}
    np.testing.assert_array_equal(weights[100:] * x[0, 100:], seen["dropout"].output[0, 100:])
    terms, y = seen.terms("sigmoid", (0, 150)), seen.output[0, 150]
    assert np.isclose(terms.weights[0], y * (1 - y)) and np.isclose(terms.total, y)


def test_a_softmax_shows_its_exponentials():
    model = Sequential([Dense(3, activation="softmax")])
    model.build((2,), np.float64)
    seen = trace(model, np.array([[1.0, 2.0]]), np.array([[0.0, 0.0, 1.0]]), MeanSquaredError())
    terms = seen.terms("dense/softmax", (0, 1))
    np.testing.assert_allclose(terms.details["exponentials"] / terms.details["sum"], seen.output[0])
    assert np.isclose(terms.total, seen.output[0, 1])


def test_a_block_is_made_of_shortcut_and_branch():
    seen = trace(every_layer(), *batch())
    for path, shortcut in (("residual", None), ("residual_1", "residual_1/conv2d_1")):
        terms, back = seen.terms(path, (1, 2, 0, 3)), seen.back(path, (1, 2, 0, 3))
        through = seen["residual"].input if shortcut is None else seen[shortcut].output
        branch = seen[f"{path}/{'batch_normalization' if shortcut is None else 'conv2d'}"].output
        assert terms.patch.tolist() == [through[1, 2, 0, 3], branch[1, 2, 0, 3]]
        past = seen[path].grad_pre_activation if shortcut is None else seen[shortcut].grad_input
        assert back.gradients.tolist() == [past[1, 2, 0, 3], seen[f"{path}/conv2d"].grad_input[1, 2, 0, 3]]


def test_branches_by_hand():
    model = other_layers()
    seen = trace(model, *batch())
    concat, add = "parallel", "parallel_2"
    assert first_channels(model.get_layer(concat)) == [0, 6, 9] and first_channels(model.get_layer(add)) == [0, 0, 0]
    assert [len(path) for path in paths_of(model.get_layer(concat))] == [0, 2, 1]
    x, record = seen[concat].input, seen[concat]
    for channel, name in ((5, "input"), (7, "parallel/layer_normalization"), (9, "parallel/average_pooling2d")):
        terms = seen.terms(concat, (1, 2, 3, channel))
        given, first = (x, 0) if name == "input" else (seen[name].output, {7: 6, 9: 9}[channel])
        assert terms.details == {"from": [name]} and terms.inputs.tolist() == [[1, 2, 3, channel - first]]
        assert terms.patch.tolist() == [given[1, 2, 3, channel - first]]
    back = seen.back(concat, (1, 2, 3, 4))
    through = [seen[f"parallel/{name}"].grad_input[1, 2, 3, 4] for name in ("conv2d", "average_pooling2d")]
    assert back.gradients.tolist() == [record.grad_pre_activation[1, 2, 3, 4], *through]
    terms = seen.terms(add, (0, 1, 1, 2))
    assert terms.details["from"] == ["input", "parallel_2/conv2d", "parallel_2/layer_normalization"]
    assert terms.patch[0] == seen[add].input[0, 1, 1, 2]


def test_the_largest_of_an_image_and_zeros_around_one_by_hand():
    model = Sequential([ZeroPadding2D(((1, 0), (2, 0))), GlobalMaxPool2D(), Flatten()])
    model.build((2, 2, 2))
    x = np.float32([[[1, -1], [7, -2]], [[7, -3], [2, -4]]])[None]
    seen = trace(model, x, np.array([[1.0, 2.0]]), MeanSquaredError())
    inside, outside = (seen.terms("zero_padding2d", (0, *at)) for at in ((1, 3, 1), (0, 3, 1)))
    assert inside.inputs.tolist() == [[0, 0, 1, 1]] and (inside.total, outside.total) == (-2, 0)
    assert outside.inputs.tolist() == [[0, -1, 1, 1]] and outside.patch.tolist() == [0]
    assert seen.back("zero_padding2d", (0, 0, 1, 1)).outputs.tolist() == [[0, 1, 3, 1]]
    terms = seen.terms("global_max_pooling2d", (0, 0))
    assert terms.details["winner"] == (0, 1, 3, 0) and terms.total == 7 and terms.patch.shape == (3, 4)
    winner, loser = (seen.back("global_max_pooling2d", (0, *at, 0)) for at in ((1, 3), (2, 2)))
    assert winner.weights.tolist() == [1] and loser.weights.size == 0 and loser.total == 0
    # Of zeros around nothing but negative numbers, the first wins.
    assert seen.terms("global_max_pooling2d", (0, 1)).details["winner"] == (0, 0, 0, 1)


def test_a_pixels_normalisation_by_hand():
    model = Sequential([LayerNorm(epsilon=1.0)])
    model.build((2, 1, 2), np.float64)
    x = np.array([[[[1.0, 5.0]], [[10.0, 30.0]]]])
    seen = trace(model, x, np.zeros((1, 2, 1, 2)), MeanSquaredError())
    terms = seen.terms("layer_normalization", (0, 1, 0, 1))
    assert terms.details == {"mean": 20.0, "variance": 100.0, "gamma": 1.0, "beta": 0.0}
    assert np.isclose(terms.weights[0], 1 / np.sqrt(101)) and np.isclose(terms.bias, -20 / np.sqrt(101))
    back = seen.back("layer_normalization", (0, 1, 0, 1))
    assert back.outputs.tolist() == [[0, 1, 0, 0], [0, 1, 0, 1]]
    other, own = -(1 - 100 / 101) / 2 / np.sqrt(101), (1 - (1 + 100 / 101) / 2) / np.sqrt(101)
    np.testing.assert_allclose(back.weights, [other, own])


def test_augmentation_does_nothing_outside_of_training():
    model = Sequential([Augmentation(flip=1.0), Flatten(), Dense(2)])
    model.build((2, 3, 1))
    seen = trace(model, np.ones((1, 2, 3, 1), np.float32), [0])
    assert seen.terms("augmentation", (0, 1, 0, 0)).inputs.tolist() == [[0, 1, 0, 0]]
    assert seen.back("augmentation", (0, 1, 0, 0)).weights.tolist() == [1]
    seen = trace(model, np.ones((1, 2, 3, 1), np.float32), [0], training=True)
    assert seen["augmentation"].grad_input is None and seen["augmentation"].grad_output.any()
    with pytest.raises(ValueError, match="'augmentation' .* makes other images in training"):
        seen.terms("augmentation", (0, 1, 0, 0))
    with pytest.raises(ValueError, match="none passes through augmentation"):
        seen.back("augmentation", (0, 1, 0, 0))
