"""What the page is given: layers in the order of computing, and no array that it can work out itself."""

import numpy as np
from traced import SHAPE, every_layer, other_layers

from tinycnn.inside.page.data import computed, page_data
from tinycnn.inside.trace import trace
from tinycnn.layers import Conv2D, Dense, Flatten, MaxPool2D
from tinycnn.model import Sequential


def test_each_layer_comes_after_what_it_takes():
    found = list(computed(every_layer().layers, "image"))
    for layers in (found, list(computed(other_layers().layers, "image"))):
        there = {"image"}
        for layer, takes, sources in layers:
            assert {takes, *sources} <= there
            there.add(layer.name)
    sources = {layer.name: given for layer, _, given in found}
    assert sources["residual"] == ["conv2d_transpose_1", "residual/batch_normalization"]
    assert sources["residual_1"] == ["residual_1/conv2d_1", "residual_1/conv2d"]
    assert sources["residual_1/conv2d"] == sources["residual_1/conv2d_1"] == ["residual"]
    found = {layer.name: (takes, sources) for layer, takes, sources in computed(other_layers().layers, "image")}
    branches = ["layer_normalization", "parallel/layer_normalization", "parallel/average_pooling2d"]
    assert found["parallel"] == ("layer_normalization", branches)
    assert found["parallel/layer_normalization"][0] == "parallel/conv2d"
    assert found["parallel/average_pooling2d"][0] == "layer_normalization"


def test_what_follows_without_rounding_is_not_packed():
    model = Sequential([Conv2D(4, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(3, activation="softmax")])
    model.build((8, 8, 1))
    image = np.random.default_rng(0).random((8, 8, 1), np.float32)
    seen = trace(model, image[None], [1])
    data, packed = page_data(model, seen, 1, "abc")
    rules = [entry.get("rule") for entry in data["arrays"]]
    assert sorted(filter(None, rules)) == ["gate", "pool", "relu", "unpool"]
    assert len(packed) == rules.count(None)
    conv, pool, flatten, dense = data["layers"]
    assert pool["arrays"]["input"] == conv["arrays"]["output"]
    assert flatten["arrays"]["output"] == pool["arrays"]["output"] == dense["arrays"]["input"]
    assert conv["arrays"]["grad_output"] == pool["arrays"]["grad_input"]


def test_without_a_label_there_are_no_gradients():
    model = every_layer()
    data, _ = page_data(model, trace(model, np.zeros((1, *SHAPE))), None, "abc")
    assert data["loss"] is None and data["label"] is None
    assert all(set(layer["arrays"]) == {"input", "before", "output"} for layer in data["layers"])
