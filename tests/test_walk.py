"""Going through layers and what is inside them."""

import numpy as np
import pytest
from toys import Affine, Bend, Pair, batch, small_model

from tinycnn.walk import copy_weights, first_nonfinite, trainable, walk, weights_of


def test_walk_goes_deep_first():
    pair = Pair(3)
    assert list(walk(pair)) == [pair, *pair.inner]
    assert list(walk(Bend()))[1:] == []


def test_frozen_parts_offer_no_parameters():
    model = small_model()
    pair = model.get_layer("pair")
    assert [key for key, _, _ in trainable(pair)] == ["pair/affine/kernel", "pair/affine/bias"]
    pair.inner[0].trainable = False
    assert list(trainable(pair)) == []


def test_the_first_layer_that_spoils_a_number_is_found():
    layers = [Bend(), Affine(2)]
    x = batch(2)
    for layer in layers:
        layer.forward(x)
        x = layer.forward(x)
    assert first_nonfinite(layers, batch(2)) is None
    layers[1].params["bias"][1] = np.nan
    assert first_nonfinite(layers)[::2] == (1, "bias")


def test_weights_are_copied_all_or_none():
    own = {"a/kernel": np.zeros((2, 3)), "a/bias": np.zeros(3)}
    copy_weights({"a/kernel": np.ones((2, 3), int), "a/bias": np.float32([1, 2, 3])}, own, "f")
    assert own["a/kernel"].all() and own["a/bias"].tolist() == [1, 2, 3]
    for weights, message in (
        ({"a/kernel": np.ones((2, 3))}, r"layer 'a' needs bias of shape \(3,\), but f has none"),
        ({**own, "b/bias": np.ones(1)}, "for layer 'b', which this model lacks"),
        ({**own, "a/bias": np.ones(4)}, r"layer 'a' has bias of shape \(3,\), but f has \(4,\)"),
        ({**own, "a/bias": np.array([1, 2, 3j])}, "needs numbers for bias, but f has complex128"),
    ):
        with pytest.raises(ValueError, match=message):
            copy_weights(weights, own, "f")
    assert own["a/bias"].tolist() == [1, 2, 3]
    assert weights_of({"weights/a/bias": 1, "optimizer/m": 2}) == {"a/bias": 1}
