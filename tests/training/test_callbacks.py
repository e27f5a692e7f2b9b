"""Early stopping, checkpoints that survive a kill to the bit, and log files."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toys import Affine, Bend, Noise, Pair, spots

from tinycnn.model import Sequential
from tinycnn.optimizers import SGD, Adam
from tinycnn.serialization import read_npz
from tinycnn.training.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping
from tinycnn.training.loop import fit


def network(units=8, seed=0):
    model = Sequential([Affine(units), Bend(), Pair(4), Noise(), Affine(3, activation="softmax")], seed=seed)
    model.build((4, 4, 1))
    return model


def jitter(batch, rng):
    return np.minimum(batch, rng.integers(150, 255, len(batch))[:, None, None, None]).astype(np.uint8)


def run(path=None, model=None, epochs=4, callbacks=(), **options):
    """A small run with everything random in it: shuffling, augmentation, noise inside the model."""
    model = model or network()
    optimizer = options.pop("optimizer", None) or Adam(1e-2)
    callbacks = [*([Checkpoint(path)] if path else []), *callbacks]
    options = {"batch_size": 8, "augment": jitter, "verbose": 0, **options}
    history = fit(
        model, spots(30), spots(10, seed=1), epochs=epochs, optimizer=optimizer, callbacks=callbacks, **options
    )
    return model, optimizer, history


def bits(model, optimizer, history):
    """All that must agree to the bit; only clocks may differ."""
    state = {key: np.asarray(value).tobytes() for key, value in optimizer.state_dict().items()}
    weights = {key: value.tobytes() for key, value in model.get_weights().items()}
    return weights, state, {key: values for key, values in history.items() if key != "seconds"}


class Stop(Callback):
    """Ends the process or the run at a given batch."""

    def __init__(self, epoch, batch, signum=signal.SIGINT):
        self.epoch, self.batch, self.signum = epoch, batch, signum

    def on_batch_end(self, batch, logs):
        if (self.training.epoch, batch) == (self.epoch, self.batch):
            os.kill(os.getpid(), self.signum)


class Script(Callback):
    """Replaces a metric by given values, so that what depends on it can be worked out by hand."""

    def __init__(self, values, metric="val_loss"):
        self.values, self.metric = values, metric

    def on_epoch_end(self, epoch, logs):
        logs[self.metric] = self.values[epoch]


# -- checkpoints --------------------------------------------------------------------------------------------


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    path = tmp_path / "run.npz"
    script = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import signal, test_callbacks as t\n"
        "t.run(sys.argv[3], callbacks=[t.Stop(2, 1, signal.SIGKILL)])\n"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", script, str(here), str(here.parent), str(path)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    header = read_npz(path)[0]
    assert header["training"]["epoch"] == 2 and len(header["training"]["history"]["loss"]) == 2
    # Another seed: whatever is random must come from the file.
    resumed = run(path, model=network(seed=9), resume=path)
    assert bits(*resumed) == bits(*run())
    assert resumed[2].epochs == 4


@pytest.mark.parametrize("batch", [0, 2, 3])
def test_ctrl_c_leaves_a_checkpoint_within_the_epoch(tmp_path, batch):
    path = tmp_path / "run.npz"
    *_, history = run(path, callbacks=[Stop(1, batch)])
    assert history.epochs == 1
    assert read_npz(path)[0]["training"]["batch"] == batch + 1
    resumed = run(path, model=network(seed=9), resume=path)
    assert bits(*resumed) == bits(*run())


def test_checkpoints_of_every_other_epoch_and_of_the_last(tmp_path):
    class Epochs(Callback):
        runs_last = True

        def __init__(self):
            self.stored = []

        def on_epoch_end(self, epoch, logs):
            path = tmp_path / "run.npz"
            self.stored.append(read_npz(path)[0]["training"]["epoch"] if path.exists() else None)

    seen = Epochs()
    run(callbacks=[Checkpoint(tmp_path / "run.npz", every=2), seen], epochs=5)
    assert seen.stored == [None, 2, 2, 4, 5]


def test_a_monitored_checkpoint_keeps_the_best_epoch(tmp_path):
    path = tmp_path / "best.npz"
    script = Script([3.0, 1.0, 2.0, 1.0])
    run(callbacks=[Checkpoint(path, monitor="val_loss"), script])
    assert read_npz(path)[0]["training"]["epoch"] == 2
    run(callbacks=[Checkpoint(path, monitor="val_accuracy"), Script([0.1, 0.2, 0.9, 0.3], "val_accuracy")])
    assert read_npz(path)[0]["training"]["epoch"] == 3


def test_a_checkpoint_is_also_a_model(tmp_path):
    model, *_ = run(tmp_path / "run.npz")
    images = spots(5)[0]
    np.testing.assert_array_equal(Sequential.load(tmp_path / "run.npz").forward(images), model.forward(images))
    other = network(seed=5)
    other.load_weights(tmp_path / "run.npz")
    np.testing.assert_array_equal(other.forward(images), model.forward(images))


def test_a_finished_run_resumes_to_nothing_or_to_more_epochs(tmp_path):
    path = tmp_path / "run.npz"
    finished = bits(*run(path, epochs=2))
    assert bits(*run(path, epochs=2, resume=path)) == finished
    assert bits(*run(path, epochs=4, resume=path)) == bits(*run(epochs=4))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": lambda: network(units=9)}, r"layer 0 of its model is .*'units': 8.*, of this one .*'units': 9"),
        ({"batch_size": lambda: 5}, "batch size 8, this run has 5"),
        ({"shuffle": lambda: False}, "shuffle True, this run has False"),
        ({"optimizer": lambda: SGD(0.1)}, "optimizer 'Adam', this run has 'SGD'"),
    ],
)
def test_resuming_another_run_is_refused(tmp_path, change, message):
    path = tmp_path / "run.npz"
    run(path, epochs=1)
    with pytest.raises(ValueError, match=f"cannot resume {re.escape(str(path))}: .*{message}"):
        run(resume=path, **{key: make() for key, make in change.items()})


def test_resuming_other_data_or_no_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    run(path, epochs=1)
    with pytest.raises(ValueError, match="number of images 30, this run has 31"):
        fit(network(), spots(31), batch_size=8, optimizer=Adam(), resume=path, verbose=0)
    longer = Sequential([*network().layers, Affine(3)])
    with pytest.raises(ValueError, match="has 5 layers, this one 6"):
        run(model=longer, resume=path)
    frozen = network()
    frozen.layers[0].trainable = False
    with pytest.raises(ValueError, match=r"frozen \[\], this one \['affine'\]"):
        run(model=frozen, resume=path)
    network().save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="a model but no training run"):
        run(resume=tmp_path / "model.npz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole tinycnn file"):
        run(resume=path)
    with pytest.raises(FileNotFoundError):
        run(resume=tmp_path / "absent.npz")


def test_a_full_disk_keeps_the_last_checkpoint_and_ends_the_callbacks(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    ended = []

    class Fill(Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                monkeypatch.setattr(os, "fsync", fail)

        def on_train_end(self):
            ended.append(True)

    def fail(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=re.escape(f"could not write {path}: No space left")):
        run(path, callbacks=[Fill()])
    assert ended and os.listdir(tmp_path) == ["run.npz"]
    monkeypatch.undo()
    assert bits(*run(path, resume=path)) == bits(*run())


def test_exploding_training_keeps_the_last_good_checkpoint(tmp_path):
    class Break(Callback):
        def on_batch_end(self, batch, logs):
            if self.training.epoch == 2:
                self.model.layers[0].params["bias"][0] = np.nan

    with pytest.raises(FloatingPointError):
        run(tmp_path / "run.npz", callbacks=[Break()])
    header, arrays = read_npz(tmp_path / "run.npz")
    assert header["training"]["epoch"] == 2
    assert all(np.isfinite(array).all() for array in arrays.values())


# -- early stopping -----------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="every must be at least 1"):
        Checkpoint("x.npz", every=0)


# -- log file -----------------------------------------------------------------------------------------------


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
