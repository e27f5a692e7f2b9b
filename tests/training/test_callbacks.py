"""Early stopping, the best checkpoint, log files, and Keras's names for what may happen beside training."""

import csv
import re

import numpy as np
import pytest
from toys import spots
from toys_training import Script, bits, network, run

from tinycnn.model import Sequential
from tinycnn.npz import read_npz
from tinycnn.training import Callback, Checkpoint, CSVLogger, EarlyStopping, fit


def test_a_monitored_checkpoint_keeps_the_best_epoch(tmp_path):
    path = tmp_path / "best.npz"
    script = Script([3.0, 1.0, 2.0, 1.0])
    run(callbacks=[Checkpoint(path, monitor="val_loss"), script])
    assert read_npz(path)[0]["training"]["epoch"] == 2
    run(callbacks=[Checkpoint(path, monitor="val_accuracy"), Script([0.1, 0.2, 0.9, 0.3], "val_accuracy")])
    assert read_npz(path)[0]["training"]["epoch"] == 3


def test_early_stopping_waits_and_restores_the_best(tmp_path):
    class Weights(Callback):
        def __init__(self):
            self.epochs = []

        def on_epoch_end(self, epoch, logs):
            self.epochs.append(self.model.get_weights())

    weights, stopping = Weights(), EarlyStopping(patience=2, restore_best=True)
    model, _, history = run(epochs=9, callbacks=[Script([3, 2, 2.5, 1.5, 1.5, 1.6, 1, 1, 1]), stopping, weights])
    assert history.epochs == 6
    assert (stopping.best_epoch, stopping.stopped_epoch) == (3, 5)
    assert all((array == weights.epochs[3][key]).all() for key, array in model.get_weights().items())


def test_early_stopping_agrees_with_keras():
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    rng = np.random.default_rng(0)
    for _ in range(40):
        values = rng.integers(0, 6, 12) / 2
        options = {
            "monitor": str(rng.choice(["val_loss", "val_accuracy"])),
            "patience": int(rng.integers(0, 4)),
            "min_delta": float(rng.choice([0, 0.5, 0.7])),
            "mode": str(rng.choice(["auto", "min", "max"])),
        }
        theirs, ours = keras.callbacks.EarlyStopping(**options), EarlyStopping(**options)
        if options["mode"] == "auto":
            model.compile(loss="mse", metrics=["accuracy"])
            model.evaluate(np.ones((1, 1)), np.ones((1, 1)), verbose=0)
        theirs.set_model(model)
        ours.training = type("Run", (), {"metrics": ["val_loss", "val_accuracy"], "stop": False})()
        model.stop_training = False
        theirs.on_train_begin()
        ours.on_train_begin()
        for epoch, value in enumerate(values):
            logs = {options["monitor"]: float(value)}
            theirs.on_epoch_end(epoch, logs)
            ours.on_epoch_end(epoch, logs)
            assert ours.training.stop == model.stop_training, (options, values, epoch)
            if model.stop_training:
                break


def test_early_stopping_survives_a_resume(tmp_path):
    path = tmp_path / "run.npz"
    values = [3, 1, 2, 2.5, 2.6, 2.7, 2.8]

    def stopping():
        return EarlyStopping(patience=3, restore_best=True)

    whole = run(epochs=7, callbacks=[Script(values), stopping()])
    run(path, epochs=3, callbacks=[Script(values), stopping()])
    again = stopping()
    resumed = run(path, epochs=7, callbacks=[Script(values), again], resume=path, model=network(seed=9))
    assert bits(*resumed) == bits(*whole) and (again.best_epoch, again.stopped_epoch) == (1, 4)
    # A run that has stopped has nothing left to do.
    assert bits(*run(path, epochs=7, callbacks=[Script(values), stopping()], resume=path)) == bits(*whole)


def test_unknown_metrics_are_named_before_training():
    for callback in (EarlyStopping("val_f1"), Checkpoint("x.npz", monitor="val_f1")):
        with pytest.raises(ValueError, match="no metric 'val_f1' to monitor; there are loss, accuracy, val_loss"):
            run(callbacks=[callback])
    with pytest.raises(ValueError, match="give fit validation data"):
        fit(network(), spots(9), callbacks=[EarlyStopping()], verbose=0)
    with pytest.raises(ValueError, match="patience must be 0 or more"):
        EarlyStopping(patience=-1)
    with pytest.raises(ValueError, match="mode must be"):
        EarlyStopping(mode="up")
    with pytest.raises(ValueError, match="every must be a positive int"):
        Checkpoint("x.npz", every=0)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_log_holds_the_history_and_is_written_at_once(tmp_path):
    lengths = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs):
            lengths.append(len(rows(tmp_path / "log.csv")))

    *_, history = run(callbacks=[CSVLogger(tmp_path / "log.csv"), Look()], epochs=3)
    assert lengths == [2, 3, 4]
    header, *lines = rows(tmp_path / "log.csv")
    assert header == ["epoch", *history]
    for epoch, line in enumerate(lines):
        assert line == [str(epoch), *(str(values[epoch]) for values in history.values())]


def test_log_of_a_resumed_run_is_whole_and_append_adds(tmp_path):
    log, path = tmp_path / "log.csv", tmp_path / "run.npz"
    run(path, epochs=2, callbacks=[CSVLogger(log)])
    log.write_text(log.read_text() + "2,half a r")
    *_, history = run(path, epochs=4, callbacks=[CSVLogger(log)], resume=path)
    assert [line[0] for line in rows(log)] == ["epoch", "0", "1", "2", "3"]
    assert [float(line[1]) for line in rows(log)[1:]] == history["loss"]
    run(epochs=1, callbacks=[CSVLogger(log, append=True)])
    assert [line[0] for line in rows(log)] == ["epoch", "0", "1", "2", "3", "0"]
    run(epochs=1, callbacks=[CSVLogger(log)])
    assert [line[0] for line in rows(log)] == ["epoch", "0"]


def test_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OSError, match=re.escape(f"could not write {tmp_path / 'folder.csv'}")):
        run(callbacks=[CSVLogger(tmp_path / "folder.csv")])


def test_keras_names_of_the_batch_methods_and_its_way_to_stop():
    calls = []

    class Keras(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            calls.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            calls.append(("end", batch, logs["loss"] > 0))

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model, _, history = run(callbacks=[Keras()])
    assert history.epochs == 2
    assert calls[:4] == [("begin", 0), ("end", 0, True), ("begin", 1), ("end", 1, True)]
    assert run(model=model, epochs=3)[2].epochs == 3  # a new run does not remember it


def test_a_checkpoint_path_may_name_epoch_and_metrics(tmp_path):
    model, _, history = run(callbacks=[Checkpoint(tmp_path / "at_{epoch}_{loss:.3f}.npz", every=2)])
    names = [f"at_{epoch}_{history['loss'][epoch - 1]:.3f}.npz" for epoch in (2, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    loaded = Sequential.load(tmp_path / names[1])
    np.testing.assert_array_equal(loaded.predict(spots(5)[0]), model.predict(spots(5)[0]))
    with pytest.raises(ValueError, match=r"has \{val_acc\} in it; there are epoch, loss, .*val_accuracy"):
        run(callbacks=[Checkpoint(tmp_path / "{val_acc}.npz")])


def test_a_metric_that_is_nearly_right_is_suggested():
    with pytest.raises(ValueError, match="no metric 'val_acc' to monitor.*; do you mean 'val_accuracy'"):
        run(callbacks=[EarlyStopping("val_acc")])
