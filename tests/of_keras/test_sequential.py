import numpy as np
import pytest

import tinycnn
from tinycnn import keras
from tinycnn.data import Dataset
from tinycnn.keras import layers

RNG = np.random.default_rng(0)
X, LABELS = RNG.random((12, 4, 5, 1)), np.arange(12) % 3


def network(units=3, activation="softmax", loss="sparse_categorical_crossentropy", metrics=("accuracy",)):
    model = keras.Sequential([keras.Input((4, 5, 1)), layers.Flatten(), layers.Dense(units, activation=activation)])
    model.compile("sgd", loss, metrics)
    return model


def trained(*args, **options):
    model = network()
    history = model.fit(*args, **{"batch_size": 4, "epochs": 2, "verbose": 0, **options})
    return model.get_weights()["dense/kernel"], history


def test_labels_in_every_form_train_alike():
    expected, _ = trained(X, LABELS)
    for labels in (keras.utils.to_categorical(LABELS), LABELS[:, None], LABELS.astype(float), LABELS.tolist()):
        np.testing.assert_array_equal(trained(X, labels)[0], expected)
    with pytest.raises(ValueError, match="integer labels"):
        trained(X, RNG.random((12, 3)))


def test_what_compile_said_is_what_tinycnn_fit_does():
    kernel, history = trained(X, LABELS)
    model = tinycnn.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    expected = model.fit((X, LABELS), batch_size=4, epochs=2, optimizer="sgd", verbose=0)
    np.testing.assert_array_equal(model.get_weights()["dense/kernel"], kernel)
    assert expected["loss"] == history["loss"]


def test_the_end_is_held_out_with_its_weights():
    weights = RNG.random(12)
    _, split = trained(X, LABELS, validation_split=0.25, sample_weight=weights)
    _, given = trained(X[:9], LABELS[:9], validation_data=(X[9:], LABELS[9:]), sample_weight=weights[:9])
    assert split["loss"] == given["loss"] and split["val_loss"] == given["val_loss"]
    with pytest.raises(ValueError, match="validation_split=1.5 must be"):
        trained(X, LABELS, validation_split=1.5)


def test_batches_and_datasets_in_place_of_arrays():
    batches = [(X[i : i + 4], keras.utils.to_categorical(LABELS[i : i + 4], 3)) for i in (0, 4, 8)]
    _, expected = trained(X, LABELS, shuffle=False)

    def endless():
        while True:
            yield from batches

    for given, options in ((batches, {}), (endless(), {"steps_per_epoch": 3})):
        _, history = trained(given, validation_data=endless(), validation_steps=3, **options)
        assert history["loss"] == pytest.approx(expected["loss"]) and len(history["val_loss"]) == 2
    model = network()
    assert model.evaluate(endless(), steps=3) == pytest.approx(model.evaluate(X, LABELS))
    np.testing.assert_array_equal(model.predict(endless(), steps=3), model.predict(X))
    data = Dataset((X * 255).astype(np.uint8), LABELS, ("a", "b", "c"))
    assert len(model.fit(data, verbose=0)["loss"]) == 1 and model.predict(data).shape == (12, 3)


def test_bytes_are_the_numbers_that_they_are():
    model, images = network(), RNG.integers(0, 256, (4, 4, 5, 1), dtype=np.uint8)
    for whole in (images, images.astype(np.int64)):
        np.testing.assert_array_equal(model.predict(whole), model.predict(images.astype(np.float32)))
    np.testing.assert_array_equal(model(images), model.predict(images))


def test_metrics_that_were_asked_for():
    model = network(metrics=())
    loss = model.evaluate(X, LABELS, verbose=0)
    assert isinstance(loss, float) and model.evaluate(X, LABELS, return_dict=True) == {"loss": loss}
    model.compile("sgd", "sparse_categorical_crossentropy", ["acc"])
    history = model.fit(X, LABELS, validation_split=0.5, verbose=0)
    told = model.evaluate(X, LABELS, return_dict=True)
    assert list(told) == ["loss", "acc"] and [*told.values()] == model.evaluate(X, LABELS)
    assert {"acc", "val_acc"} <= history.history.keys()
    with pytest.raises(RuntimeError, match="compile the model before fit"):
        keras.Sequential([layers.Flatten()]).fit(X, LABELS)
    with pytest.raises(ValueError, match="there are no labels"):
        model.fit(X)


def test_class_weights_of_yes_and_no():
    """As if the images of that class were so much more of the batch."""
    labels = LABELS % 2
    losses = [
        network(1, "sigmoid", "binary_crossentropy").fit(X, labels, shuffle=False, verbose=0, **options)["loss"]
        for options in ({"class_weight": {1: 3.0}}, {"sample_weight": 1 + 2 * labels}, {})
    ]
    assert losses[0] == losses[1] != losses[2]


def test_layers_added_one_by_one_and_models_within_models():
    parts = [layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)]
    whole = keras.Sequential([keras.Input((4, 5, 1)), *parts])
    model = keras.Sequential()
    for part in (keras.Input((4, 5, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)):
        model.add(part)
    assert model.untrained and model.built
    for key, array in whole.get_weights().items():
        np.testing.assert_array_equal(model.get_weights()[key], array)
    head = keras.Sequential([whole, layers.Dense(2)])
    assert head.input_shape == (4, 5, 1) and len(head.layers) == 4
    np.testing.assert_array_equal(head.get_weights()["conv2d/kernel"], whole.get_weights()["conv2d/kernel"])


def test_the_rest_of_tinycnn_takes_it(tmp_path):
    model = network()
    model.fit(X, LABELS, verbose=0)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.npz").predict(X), model.predict(X))
    images = RNG.integers(0, 256, (4, 4, 5, 1), dtype=np.uint8)
    np.testing.assert_allclose(
        tinycnn.trace(model, images).output, model(images), rtol=1e-5
    )  # bytes as numbers there too
    assert tinycnn.predict(model, X).shape == (12, 3) and tinycnn.evaluate(model, (X, LABELS))["accuracy"] <= 1


def test_a_model_without_layers_shows_itself_and_has_no_summary():
    model = keras.Sequential()
    assert repr(model) == "Sequential([], seed=0, name='sequential')" and "not built" in model._repr_html_()
    with pytest.raises(ValueError, match="must be built before it can be summed up"):
        model.summary()


@pytest.mark.parametrize("shape", [(None, 4, 5, 1), [None, 4, 5, 1], (4, 5, 1)])
def test_a_shape_may_begin_with_a_none_for_the_images(shape):
    model = keras.Sequential([layers.Flatten(), layers.Dense(2)])
    assert model.build(shape) == (2,) and model.input_shape == (4, 5, 1)
