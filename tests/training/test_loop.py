"""fit, evaluate and predict: what moves, what is counted, and what is refused before anything moves."""

import os
import signal

import numpy as np
import pytest
from toys import Affine, Bend, Noise, Pair, spots

from tinycnn.layers.activation import Softmax
from tinycnn.layers.dense import Dense
from tinycnn.layers.reshape import Flatten
from tinycnn.layers.residual import Residual
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from tinycnn.model import Sequential
from tinycnn.optimizers import SGD, Adam
from tinycnn.training import evaluate, fit
from tinycnn.training.callbacks import Callback


def network(seed=0, outputs=3):
    model = Sequential([Affine(16), Bend(), Pair(8), Noise(), Affine(outputs, activation="softmax")], seed=seed)
    model.build((4, 4, 1))
    return model


class Watch(Callback):
    """Keeps the name of each call, and the logs it came with."""

    def __init__(self):
        self.calls = []
        self.logs = []

    def on_train_begin(self):
        self.calls.append("begin")

    def on_epoch_begin(self, epoch):
        self.calls.append(f"epoch {epoch}")

    def on_batch_end(self, batch, logs):
        self.calls.append(f"batch {batch}")
        self.logs.append(logs)

    def on_epoch_end(self, epoch, logs):
        self.calls.append(f"end {epoch}")

    def on_train_end(self):
        self.calls.append("end")


def test_every_parameter_moves_after_one_step_and_a_frozen_layer_stays():
    model = network()
    before = model.get_weights()
    fit(model, spots(16), epochs=1, optimizer=SGD(0.1), verbose=0)
    assert all((before[key] != array).any() for key, array in model.get_weights().items())
    for frozen in ("affine", "pair", "affine_1"):
        model = network()
        model.get_layer(frozen).trainable = False
        fit(model, spots(16), epochs=1, optimizer=SGD(0.1), verbose=0)
        for key, array in model.get_weights().items():
            assert (before[key] == array).all() == key.startswith(f"{frozen}/"), (frozen, key)


def test_training_learns_and_training_all_layers_beats_training_one():
    scores = {}
    for frozen in (False, True):
        model = network(seed=3)
        for layer in model.layers[:-1]:
            layer.trainable = not frozen
        fit(model, spots(200), epochs=4, optimizer=Adam(3e-3), verbose=0)
        scores[frozen] = evaluate(model, spots(100, seed=1))
    assert scores[False]["accuracy"] > 0.9
    assert scores[False]["loss"] < scores[True]["loss"]


def test_a_step_is_what_plain_arithmetic_gives():
    x = np.array([[1.0, 2.0]])
    model = Sequential([Affine(2)])
    model.build((2,), dtype=np.float64)
    model.set_weights({"affine/kernel": np.zeros((2, 2)), "affine/bias": np.zeros(2)})
    fit(model, (x, np.array([[3.0, 0.0]])), loss=MeanSquaredError(), optimizer=SGD(0.5), epochs=1, verbose=0)
    # outputs 0; d mean((y - t)^2) / dy = 2 / 2 * (0 - [3, 0]) = [-3, 0]; half of it against the gradient
    np.testing.assert_allclose(model.get_weights()["affine/kernel"], [[1.5, 0], [3, 0]])
    np.testing.assert_allclose(model.get_weights()["affine/bias"], [1.5, 0])


def test_history_averages_over_images_not_batches():
    images, labels = spots(10)
    model = network()
    model.layers[3].trainable = False
    still = SGD(1e-30)
    watch = Watch()
    model = Sequential([Affine(3)])
    history = fit(
        model, (images, labels), (images, labels), epochs=2, batch_size=4, optimizer=still, callbacks=[watch], verbose=0
    )
    expected = evaluate(model, (images, labels), batch_size=10)
    for key in ("loss", "accuracy"):
        np.testing.assert_allclose(history[key], expected[key], rtol=1e-6)
        np.testing.assert_allclose(history[f"val_{key}"], expected[key], rtol=1e-6)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "seconds", "learning_rate"]
    assert history["learning_rate"] == [1e-30] * 2 and history.epochs == 2
    batches = ["batch 0", "batch 1", "batch 2"]
    assert watch.calls == ["begin", "epoch 0", *batches, "end 0", "epoch 1", *batches, "end 1", "end"]
    np.testing.assert_allclose(watch.logs[2]["loss"], expected["loss"], rtol=1e-6)


def test_history_agrees_with_keras():
    keras = pytest.importorskip("keras")
    images, labels = spots(22)
    ours = Sequential([Affine(3, activation="softmax")])
    ours.build((4, 4, 1))
    theirs = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    )
    theirs.set_weights(list(ours.get_weights().values()))
    theirs.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    scaled = (images / 255).astype(np.float32)
    options = dict(epochs=3, batch_size=8, shuffle=False, class_weight={0: 2.0, 1: 0.5, 2: 1.0}, verbose=0)
    expected = theirs.fit(scaled, labels, validation_data=(scaled, labels), **options).history
    history = fit(ours, (images, labels), (images, labels), optimizer=SGD(0.1), **options)
    for key, values in expected.items():
        np.testing.assert_allclose(history[key], values, rtol=1e-4)


def test_same_seed_same_bits_and_another_seed_another_order():
    def weights(**options):
        model = network()
        fit(model, spots(50), epochs=2, batch_size=8, verbose=0, **options)
        return model.get_weights()["affine/kernel"].tobytes()

    assert weights() == weights()
    assert weights(seed=1) == weights(seed=1) != weights(seed=2)
    assert weights(shuffle=False) != weights()


def test_augment_sees_each_batch_and_its_result_is_trained_on():
    seen = []

    def darken(batch, rng):
        seen.append((batch.dtype, len(batch), rng.random()))
        return batch // 2

    images, labels = spots(20)
    model, expected = network(), network()
    fit(model, (images, labels), epochs=1, batch_size=8, augment=darken, seed=0, shuffle=False, verbose=0)
    fit(expected, (images // 2, labels), epochs=1, batch_size=8, seed=0, shuffle=False, verbose=0)
    assert [n for _, n, _ in seen] == [8, 8, 4] and len({draw for *_, draw in seen}) == 3
    np.testing.assert_array_equal(model.forward(images), expected.forward(images))
    with pytest.raises(ValueError, match="augment got uint8 images of shape .* and returned float64"):
        fit(network(), (images, labels), augment=lambda batch, rng: batch / 255, verbose=0)


def test_an_autoencoder_trains_on_arrays_and_has_no_accuracy():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 6)).astype(np.uint8)
    model = Sequential([Affine(6)])
    history = fit(model, (images, images), (images, images), loss=MeanSquaredError(), epochs=30, verbose=0)
    assert list(history) == ["loss", "val_loss", "seconds", "learning_rate"]
    assert history["val_loss"][-1] < history["val_loss"][0]
    floats = (images / 255).astype(np.float32)
    byte, real = (evaluate(model, (images, y), loss=MeanSquaredError())["loss"] for y in (images, floats))
    np.testing.assert_allclose(byte, real, rtol=1e-5)


def test_yes_or_no_labels():
    images, labels = spots(100, classes=2)
    for targets in (labels, labels[:, None].astype(np.float32)):
        model = Sequential([Affine(1)])
        history = fit(model, (images, targets), loss=BinaryCrossEntropy(), epochs=20, optimizer=Adam(0.02), verbose=0)
        assert history["accuracy"][-1] > 0.9
        right = (model.predict(images)[:, 0] > 0) == labels
        assert evaluate(model, (images, targets), loss=BinaryCrossEntropy())["accuracy"] == right.mean()
    with pytest.raises(ValueError, match="works on logits.*ends in Softmax.*put a sigmoid in its place"):
        fit(network(outputs=1), (images, labels), loss=BinaryCrossEntropy(), verbose=0)
    with pytest.raises(ValueError, match=r"labels outside \[0, 1\]: from 0 to 2"):
        fit(Sequential([Affine(1)]), spots(9), loss=BinaryCrossEntropy(), verbose=0)


def test_class_weights_reach_training_but_not_validation():
    images, labels = spots(30)
    data = images[labels != 2][:12], labels[labels != 2][:12] * 2
    data[1][:3] = 1
    counts = np.bincount(data[1])
    balanced = {i: 12 / (3 * count) for i, count in enumerate(counts)}
    results = {}
    for name, weights in {"balanced": "balanced", "dict": balanced, "list": list(balanced.values())}.items():
        model = network()
        history = fit(model, data, data, class_weight=weights, epochs=2, verbose=0)
        results[name] = model.get_weights()["affine/kernel"].tobytes(), history["loss"], history["val_loss"]
    assert results["balanced"] == results["dict"] == results["list"]
    np.testing.assert_allclose(history["val_loss"][-1], evaluate(model, data)["loss"], rtol=1e-6)
    plain = network()
    fit(plain, data, epochs=2, verbose=0)
    assert plain.get_weights()["affine/kernel"].tobytes() != results["dict"][0]


IMAGES, LABELS = spots(12)
NAN = IMAGES / 255
NAN[7, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    "data, options, message",
    [
        ((IMAGES, LABELS + 1), {}, r"train: label 3 of image \d+ is outside 0..2.*3 outputs"),
        ((IMAGES, LABELS - 1), {}, "label -1"),
        ((IMAGES, LABELS / 2), {}, "integer labels.*float64"),
        ((IMAGES, np.eye(3)[LABELS]), {}, r"one-hot rows use labels.argmax\(axis=1\)"),
        ((IMAGES, LABELS[:5]), {}, r"train has 12 images, but labels of shape \(5,\)"),
        ((IMAGES[:0], LABELS[:0]), {}, "train holds no images"),
        (IMAGES, {}, "must be a Dataset or a pair"),
        ((NAN, LABELS), {}, "train: image 7 contains NaN"),
        ((IMAGES.astype(int), LABELS), {}, "images of type int64; use uint8"),
        ((IMAGES[:, :3], LABELS), {}, r"images of shape \(3, 4, 1\), but model 'sequential' takes \(4, 4, 1\)"),
        ((IMAGES, LABELS), {"validation": (NAN, LABELS)}, "validation: image 7 contains NaN"),
        ((IMAGES, LABELS), {"validation": (IMAGES, LABELS + 1)}, "validation: label 3"),
        ((IMAGES, LABELS), {"epochs": 0}, "epochs must be a positive int, got 0"),
        ((IMAGES, LABELS), {"batch_size": 1.5}, "batch_size must be a positive int, got 1.5"),
        (
            (IMAGES, LABELS),
            {"optimizer": "adagrad"},
            r"an object such as Adam\(\), or one of adam, adamw, rmsprop, sgd; got 'adagrad'",
        ),
        ((IMAGES, LABELS), {"optimizer": Adam}, r"an object, not a class: write optimizer=Adam\(\)"),
        ((IMAGES, LABELS), {"loss": "hinge"}, r"an object such as CrossEntropy\(\), or one of .*; got 'hinge'"),
        ((IMAGES, LABELS), {"loss": CrossEntropy}, r"an object, not a class: write loss=CrossEntropy\(\)"),
        ((IMAGES, LABELS), {"class_weight": "auto"}, "None, weights or 'balanced', got 'auto'"),
        ((IMAGES, LABELS), {"class_weight": [1, 2]}, "2 class weights for logits of 3"),
        ((IMAGES, LABELS * 0), {"class_weight": "balanced"}, "class weights for logits of 3"),
        ((IMAGES, LABELS), {"class_weight": [1, 2, 3], "loss": MeanSquaredError()}, "needs a CrossEntropy"),
        ((IMAGES, LABELS), {"class_weight": [1, 2, 3], "loss": CrossEntropy([1, 1, 1])}, "weights of its own"),
        ((IMAGES, LABELS), {"loss": MeanSquaredError()}, r"targets of shape \(\), but model 'sequential' gives \(3,\)"),
        ((IMAGES, NAN[:, :3, 0, 0]), {"loss": MeanSquaredError()}, "train: target 7 contains NaN"),
    ],
)
def test_bad_data_is_refused_before_training(data, options, message):
    model, watch = network(), Watch()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        fit(model, data, callbacks=[watch], verbose=0, **options)
    assert not watch.calls
    assert all((before[key] == array).all() for key, array in model.get_weights().items())


def test_models_that_give_maps_need_another_loss():
    with pytest.raises(ValueError, match="one row of class scores per image"):
        fit(Sequential([Bend()]), (IMAGES, LABELS), verbose=0)


def test_a_softmax_is_left_out_whatever_layer_applies_it():
    results = []
    for last in ([Residual([Dense(16)], activation="softmax")], [Residual([Dense(16)]), Softmax()]):
        model = Sequential([Flatten(), *last])
        results.append(fit(model, (IMAGES, LABELS), epochs=2, verbose=0)["loss"])
    assert results[0] == results[1]


def test_exploding_training_names_epoch_batch_and_layer():
    model, watch = network(), Watch()

    class Break(Callback):
        def on_batch_end(self, batch, logs):
            if self.training.epoch == 1 and batch == 0:
                self.model.get_layer("pair/affine").params["kernel"][0, 0] = np.nan

    with pytest.raises(FloatingPointError, match="epoch 2, batch 2: .*kernel of layer 2 'pair/affine'; try a learning"):
        fit(model, spots(40), epochs=3, callbacks=[Break(), watch], verbose=0)
    assert watch.calls[-1] == "end"


def test_a_parameter_lost_in_the_last_batch_is_noticed():
    class Break(Callback):
        def on_batch_end(self, batch, logs):
            self.model.layers[0].params["bias"][0] = np.inf

    with pytest.raises(FloatingPointError, match="after epoch 1.*bias of layer 0 'affine'"):
        fit(network(), spots(9), epochs=1, callbacks=[Break()], verbose=0)


def test_ctrl_c_finishes_the_batch_and_returns(capsys):
    class Press(Callback):
        def on_batch_end(self, batch, logs):
            if self.training.epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    watch = Watch()
    history = fit(network(), spots(40), epochs=5, callbacks=[Press(), watch])
    assert history.epochs == 1
    assert watch.calls[-3:] == ["epoch 1", "batch 0", "end"]
    assert "interrupted in epoch 2 after 1 batches" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_learning_rate_schedule_is_recorded():
    history = fit(network(), spots(32), epochs=2, optimizer=SGD(lambda step: 0.1 / (1 + step)), verbose=0)
    assert history["learning_rate"] == [0.1 / 3, 0.1 / 5]


def test_keras_names_stand_for_losses_and_optimizers():
    results = []
    for options in (
        {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"},
        {"optimizer": SGD(), "loss": CrossEntropy()},
    ):
        results.append(fit(network(), (IMAGES, LABELS), epochs=2, verbose=0, **options)["loss"])
    assert results[0] == results[1]
