import json

import numpy as np
import pytest

from tinycnn.gradcheck import gradcheck
from tinycnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, MaxPool2D, Parallel, ReLU, UpSample2D
from tinycnn.layers.registry import describe, restore
from tinycnn.model import Sequential

X = np.random.default_rng(0).normal(size=(2, 4, 6, 3))


def inception(merge="concat", activation=None):
    branches = [Conv2D(3, 1), [Conv2D(2, 1, activation="tanh"), Conv2D(3, 3, padding="same")], []]
    return Parallel(branches, merge, activation)


@pytest.mark.parametrize("merge", ["concat", "add"])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_gradients(merge, activation):
    assert gradcheck(inception(merge, activation), X).ok


@pytest.mark.parametrize("merge", ["concat", "add"])
def test_branches_are_merged_in_their_order(merge):
    block = inception(merge, "relu")
    y = block.forward(X).copy()
    one, two = block.branches[0][0].forward(X), block.branches[1][1].forward(block.branches[1][0].forward(X))
    expected = np.concatenate([one, two, X], axis=-1) if merge == "concat" else one + two + X
    np.testing.assert_allclose(y, np.maximum(expected, 0), rtol=1e-12)


def unet():
    def level(deeper, filters):
        down = [MaxPool2D(), Conv2D(filters, 3, padding="same", activation="tanh"), *deeper, UpSample2D()]
        return Parallel([[], down])

    return [Conv2D(2, 3, padding="same"), level([level([], 4)], 3), Conv2D(1, 1, activation="sigmoid")]


def densenet():
    def grow():
        return Parallel([[], [BatchNorm(), ReLU(), Conv2D(2, 3, padding="same")]])

    return [grow(), grow(), grow(), Flatten(), Dense(3, activation="softmax")]


@pytest.mark.parametrize("make", [unet, densenet])
def test_nested_networks_train_and_come_back_from_a_file(make, tmp_path):
    images = np.random.default_rng(0).random((6, 8, 12, 1), np.float32)
    model = Sequential(make())
    dense = make is densenet
    loss = "categorical_crossentropy" if dense else "binary_crossentropy"
    targets = np.arange(6) % 3 if dense else (images > 0.5).astype(np.float32)
    history = model.fit((images, targets), epochs=4, optimizer="adam", loss=loss, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(Sequential.load(tmp_path / "model.npz").predict(images), model.predict(images))
    names = [layer.name for layer in model.all_layers()]
    assert len(set(names)) == len(names) and "parallel/" in "".join(names)


def test_input_gradient_can_be_left_out():
    block = inception()
    grad = np.ones_like(block.forward(X))
    block.backward(grad)
    kept = [{key: g.copy() for key, g in layer.grads.items()} for layer in block.sublayers()]
    assert block.backward(grad, input_grad=False) is None
    for layer, grads in zip(block.sublayers(), kept, strict=True):
        assert all(np.array_equal(layer.grads[key], grads[key]) for key in grads)


def test_vectors_are_merged_too_and_descriptions_survive_json():
    block = Parallel([Dense(2, name="left"), [Dropout(0.5), Dense(3)]])
    assert block.build((4,)) == (5,)
    copy = restore(json.loads(json.dumps(describe(block))))
    assert copy.config() == block.config() and copy.branches[0][0].given_name == "left"


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="at least two branches, got 1"):
        Parallel([[]])
    with pytest.raises(ValueError, match='merge must be "concat" or "add", got \'mean\''):
        Parallel([[], []], merge="mean")
    relu = ReLU()
    with pytest.raises(ValueError, match="a layer appears twice"):
        Parallel([relu, relu])
    with pytest.raises(ValueError, match="not one rows and columns"):
        Parallel([[], MaxPool2D()]).build((4, 4, 1))
    with pytest.raises(ValueError, match="not one shape"):
        Parallel([[], Conv2D(2, 1)], "add").build((4, 4, 1))
