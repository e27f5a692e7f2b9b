"""The numbers of a frame against plain NumPy."""

import json

import numpy as np
import pytest
from seen import small_cnn

from tinycnn.inside.film_frame import BINS, first_kernels, frame_of, histogram
from tinycnn.layers.activation import ReLU
from tinycnn.layers.conv import Conv2D
from tinycnn.layers.dense import Dense
from tinycnn.layers.norm import BatchNorm
from tinycnn.layers.reshape import Flatten
from tinycnn.losses import CrossEntropy
from tinycnn.model import Sequential


def test_a_frame_by_hand():
    model = Sequential([Dense(4, activation="relu"), Dense(2, activation="softmax")])
    model.build((3,))
    kernel = np.zeros((3, 4))
    kernel[0] = [1, -1, 2, 0]  # for positive inputs, units 1 and 3 are dead
    model.set_weights(model.get_weights() | {"dense/kernel": kernel})
    before = {key: value * 0.5 for key, value in model.get_weights().items()}
    x, labels = np.float32([[1, 0, 0], [3, 5, 0]]), np.array([0, 1])
    frame = frame_of(model, x, labels, CrossEntropy(), before)
    assert json.loads(json.dumps(frame)) == frame and frame["kernels"] is None
    assert list(frame["layers"]) == ["dense", "dense_1"]
    dense, last = frame["layers"].values()
    assert dense["dead"] == 0.5 and last["dead"] is None
    assert dense["ratio"] == pytest.approx(1) and last["ratio"] == pytest.approx(1)
    assert dense["activations"] == histogram(np.maximum(x @ kernel, 0))
    assert dense["weights"] == histogram(kernel, np.zeros(4))
    model.forward(x, logits=True)
    loss = CrossEntropy()
    loss.forward(model.forward(x, logits=True), labels)
    model.backward(loss.backward())
    grads = model.get_layer("dense").grads
    low, high, counts = histogram(*grads.values())
    assert dense["gradients"][:2] == pytest.approx([low, high], rel=1e-5) and sum(dense["gradients"][2]) == sum(counts)


def test_layers_of_a_frame_and_the_model_left_as_it_was():
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)
    model = small_cnn()
    model.build((12, 20, 3))
    model.forward(images)
    kept = model.get_layer("dense").last_output.copy()
    frame = frame_of(model, images, np.array([0, 1, 2]), CrossEntropy(), {})
    assert list(frame["layers"]) == ["conv2d", "conv2d_1", "dense", "dense_1"]
    assert all(layer["ratio"] is None for layer in frame["layers"].values())
    np.testing.assert_array_equal(model.get_layer("dense").last_output, kept)

    apart = Sequential([Conv2D(2, 3), BatchNorm(), ReLU(), Flatten(), Dense(2)])
    apart.build((12, 20, 3))
    layers = frame_of(apart, images, np.array([0, 1, 1]), CrossEntropy(), {})["layers"]
    assert list(layers) == ["conv2d", "batch_normalization", "re_lu", "dense"]
    assert layers["re_lu"]["dead"] == 0 and layers["re_lu"]["weights"] is layers["re_lu"]["gradients"] is None


def test_histograms():
    values = np.random.default_rng(0).normal(size=1000)
    low, high, counts = histogram(np.append(values, [np.nan, -np.inf]))
    assert (low, high) == (values.min(), values.max()) and counts == np.histogram(values, BINS)[0].tolist()
    assert histogram(np.full(3, 2.0))[:2] == [1.5, 2.5] and sum(histogram(np.full(3, 2.0))[2]) == 3
    assert sum(histogram(np.array([np.nan]))[2]) == 0


def test_kernels_are_whole_numbers_on_one_scale():
    model = small_cnn()
    model.build((12, 20, 3))
    found, kernel = first_kernels(model), model.get_weights()["conv2d/kernel"]
    assert found["shape"] == [3, 3, 3, 8] and found["of"] == 8 and found["layer"] == "conv2d"
    values = np.reshape(found["values"], (3, 3, 3, 8))
    np.testing.assert_allclose(values * found["scale"] / 127, kernel, atol=found["scale"] / 250)
    assert np.abs(values).max() == 127
    wide = Sequential([Conv2D(40, 3)])
    wide.build((5, 5, 1))
    assert first_kernels(wide)["shape"] == [3, 3, 1, 32] and first_kernels(wide)["of"] == 40
    wide.set_weights({"conv2d/kernel": np.zeros((3, 3, 1, 40)), "conv2d/bias": np.zeros(40)})
    assert not any(first_kernels(wide)["values"])
