"""Penalties on weights: their gradients, what training makes of them, files, and Keras."""

import json

import numpy as np
import pytest

from tinycnn.layers import Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, Flatten, Parallel, SeparableConv2D
from tinycnn.layers.registry import describe, restore
from tinycnn.model import Sequential
from tinycnn.optimizers import SGD
from tinycnn.regularizers import L1L2, get, l1, l2
from tinycnn.training import evaluate, fit
from tinycnn.walk import add_penalties, penalty

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((4, 5, 5, 2)), np.array([0, 1, 1, 0])


def regularized(kernel=L1L2(0.01, 0.02), bias=L1L2(0.03, 0.01)):  # noqa: B008  # frozen
    of = {"kernel_regularizer": kernel, "bias_regularizer": bias}
    return Sequential(
        [
            Conv2D(2, 3, padding="same", activation="relu", **of),
            Parallel([[DepthwiseConv2D(2, **of)], [SeparableConv2D(2, 2, **of)]]),
            Conv2DTranspose(2, 2, **of),
            Flatten(),
            Dense(2, activation="softmax", **of),
        ]
    )


@pytest.mark.usefixtures("kernels")
def test_a_step_follows_the_numeric_gradient_of_the_loss_with_its_penalties():
    model, rate = regularized(), 1.0
    model.build(IMAGES.shape[1:], dtype=np.float64)
    before = model.get_weights()
    for key in before:
        if key.endswith("bias"):  # an L1 bends at 0, where biases begin
            before[key] = RNG.choice([-0.2, 0.3], before[key].shape)
    model.set_weights(before)
    kernels = [array for key, array in before.items() if key.endswith("kernel")]
    biases = [array for key, array in before.items() if key.endswith("bias")]
    plain = regularized(None, None)
    plain.build(IMAGES.shape[1:], dtype=np.float64)
    plain.set_weights(dict(zip(plain.get_weights(), before.values(), strict=True)))
    loss = evaluate(plain, (IMAGES, LABELS))["loss"]
    loss += sum(0.01 * np.abs(kernel).sum() + 0.02 * np.square(kernel).sum() for kernel in kernels)
    loss += sum(0.03 * np.abs(bias).sum() + 0.01 * np.square(bias).sum() for bias in biases)
    assert len(kernels) == 6 and len(biases) == 5

    numeric, model.untrained = {}, False
    for key, array, _ in model.parameters():
        numeric[key] = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            ends = []
            for move in (1e-6, -1e-6):
                array[place] += move
                ends.append(evaluate(model, (IMAGES, LABELS))["loss"])
                array[place] -= move
            numeric[key][place] = (ends[0] - ends[1]) / 2e-6

    model.set_weights(before)
    history = fit(model, (IMAGES, LABELS), epochs=1, batch_size=4, optimizer=SGD(rate), verbose=0)
    assert history["loss"] == pytest.approx([loss], rel=1e-12)
    for key, array in model.get_weights().items():
        np.testing.assert_allclose((before[key] - array) / rate, numeric[key], atol=2e-8, err_msg=key)


def test_validation_and_evaluation_report_it_too():
    model = regularized()
    history = fit(model, (IMAGES, LABELS), (IMAGES, LABELS), epochs=1, verbose=0)
    assert history["val_loss"][0] == evaluate(model, (IMAGES, LABELS))["loss"]


def test_frozen_layers_have_no_penalty():
    model = regularized()
    model.build(IMAGES.shape[1:])
    whole = penalty(model.layers)
    model.layers[1].trainable = False
    some = penalty(model.layers)
    model.trainable = False
    assert whole > some > 0 == penalty(model.layers)
    assert add_penalties(model.layers) == 0.0
    assert not any(grad.any() for layer in model.all_layers() for grad in layer.grads.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_l1_pulls_no_weight_that_is_0_and_types_stay(dtype):
    weights, grad = np.array([[2, 0, -3]], dtype), np.ones((1, 3), dtype)
    assert l1(0.5)(weights) == 2.5 and l2(0.5)(weights) == 6.5 and L1L2()(weights) == 0.0
    L1L2(0.5, 0.25).add_gradient(weights, grad)
    assert grad.tolist() == [[2.5, 1, -1]] and grad.dtype == dtype


def test_an_l2_is_weight_decay_for_plain_gradient_descent():
    ends = []
    for of, decay in ((l2(0.05), 0.0), (None, 0.1)):
        model = Sequential([Flatten(), Dense(2, kernel_regularizer=of)])
        model.build(IMAGES.shape[1:], dtype=np.float64)
        optimizer = SGD(0.1, weight_decay=decay, decay_vectors=False)
        fit(model, (IMAGES, LABELS), epochs=3, optimizer=optimizer, seed=0, verbose=0)
        ends.append(model.get_weights())
    for key, array in ends[0].items():
        np.testing.assert_allclose(array, ends[1][key], rtol=1e-12, atol=1e-14)


def test_files_keep_them(tmp_path):
    model = regularized(l2(1e-4), "l1")
    model.build(IMAGES.shape[1:])
    model.layers[-1].params["bias"][...] = 1
    assert len(model.layers[-1].regularizers) == 2
    model.save(tmp_path / "a.npz")
    again = Sequential.load(tmp_path / "a.npz")
    assert penalty(again.layers) == penalty(model.layers) > 0
    for layer in model.all_layers():
        assert restore(json.loads(json.dumps(describe(layer)))).regularizers == layer.regularizers
    assert "regularizer" not in str(describe(regularized(None, None).layers[1])), "files without one are as they were"


def test_what_the_argument_takes():
    assert get("l1") == L1L2(l1=0.01) and get("l2") == l2() and get({"l1": 1, "l2": 2}) == L1L2(1, 2)
    for wrong in ("l3", 0.1, l2, {"l3": 1}, []):
        with pytest.raises(ValueError, match="a regularizer must be None"):
            Dense(2, kernel_regularizer=wrong)
        with pytest.raises(ValueError, match="a regularizer must be None"):
            Dense(2, bias_regularizer=wrong)
    without = Dense(2, use_bias=False, bias_regularizer="l2")
    without.build((3,))
    assert penalty([without]) == 0.0
    for wrong in (-1, np.nan, "a", None):
        with pytest.raises(ValueError, match="L1L2: l2 must be"):
            l2(wrong)


def test_losses_and_weights_are_keras():
    keras = pytest.importorskip("keras")
    from tinycnn import keras as ours

    models = []
    for library in (keras, ours):
        layers, of = library.layers, library.regularizers
        models.append(
            library.Sequential(
                [
                    layers.Input((5, 5, 2)),
                    layers.Conv2D(3, 3, activation="relu", kernel_regularizer=of.l2(0.03)),
                    layers.Flatten(),
                    layers.Dense(4, kernel_regularizer=of.L1L2(l1=0.01, l2=0.02), bias_regularizer=of.l2(0.5)),
                    layers.Dense(3, kernel_regularizer="l1"),
                    layers.Dense(2, activation="softmax", kernel_regularizer=of.L1(0.02)),
                ]
            )
        )
    theirs, mine = models
    mine.set_weights(dict(zip(mine.get_weights(), theirs.get_weights(), strict=True)))
    theirs.layers[3].trainable = mine.layers[3].trainable = False
    data = IMAGES.astype(np.float32), LABELS
    theirs.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", run_eagerly=True)
    mine.compile(SGD(0.1), loss="sparse_categorical_crossentropy")
    fits = [m.fit(*data, validation_data=data, batch_size=3, epochs=4, shuffle=False, verbose=0) for m in models]
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(fits[1].history[key], fits[0].history[key], rtol=2e-6)
    for array, value in zip(mine.get_weights().values(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(array, value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mine.evaluate(*data, verbose=0), theirs.evaluate(*data, verbose=0), rtol=2e-6)
