import numpy as np
import pytest
from toys_training import Script

from tinycnn import keras
from tinycnn.keras import layers
from tinycnn.keras.callbacks import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from tinycnn.schedules import ExponentialDecay

X, LABELS = np.random.default_rng(0).random((8, 2)), np.arange(8) % 2


def run(*callbacks, losses=(1.0, 0.5, 0.6, 0.7, 0.8, 0.9), optimizer=None):
    """Six epochs with those validation losses."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    model.compile(optimizer or keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    script = [Script(losses), *callbacks]
    return model.fit(X, LABELS, epochs=6, validation_data=(X, LABELS), callbacks=script, verbose=0), model


def test_the_rate_falls_on_a_plateau_and_not_below_its_least():
    history, model = run(ReduceLROnPlateau(factor=0.1, patience=2, min_lr=0.01))
    assert history["learning_rate"] == [0.5] * 4 + [0.05] * 2 and model.optimizer.learning_rate == 0.01
    assert run(ReduceLROnPlateau(factor=0.1, patience=2, cooldown=5))[1].optimizer.learning_rate == 0.05


def test_the_rate_follows_a_function_of_the_epoch():
    expected = [0.5 / 2**epoch for epoch in range(6)]
    assert run(LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate))[0]["learning_rate"] == expected
    assert run(LearningRateScheduler(lambda epoch: 0.5 / 2**epoch))[0]["learning_rate"] == expected


@pytest.mark.parametrize("callback", [LearningRateScheduler(lambda epoch: 1.0), ReduceLROnPlateau()])
def test_a_rate_with_a_schedule_of_its_own_is_not_changed(callback):
    with pytest.raises(ValueError, match="but the optimizer's is a schedule"):
        run(callback, optimizer=keras.optimizers.SGD(ExponentialDecay(0.1, 10, 0.5)))


def test_the_best_model_is_kept(tmp_path):
    kept = {}
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.update({epoch: model_weights(watch)}))
    stop = EarlyStopping(patience=3, restore_best_weights=True)
    history, model = run(watch, stop, ModelCheckpoint(tmp_path / "best.keras", save_best_only=True))
    assert history.epochs == 5
    for found in (model, keras.models.load_model(tmp_path / "best.keras")):
        np.testing.assert_array_equal(model_weights(found), kept[1])


def model_weights(model):
    return (model.model if isinstance(model, LambdaCallback) else model).get_weights()["dense/kernel"]


def test_a_file_for_each_epoch(tmp_path):
    run(ModelCheckpoint(tmp_path / "at_{epoch}.keras"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"at_{epoch}.keras" for epoch in range(1, 7)]


def test_bad_arguments():
    with pytest.raises(ValueError, match="'on_epoch' is no event"):
        LambdaCallback(on_epoch=print)
    with pytest.raises(ValueError, match="factor must be between 0 and 1"):
        ReduceLROnPlateau(factor=1)
    for callback in (ReduceLROnPlateau(monitor="auc"), ModelCheckpoint("x", monitor="auc", save_best_only=True)):
        with pytest.raises(ValueError, match="no metric 'auc'"):
            run(callback)
