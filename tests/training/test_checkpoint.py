"""Checkpoints that survive a kill to the bit."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toys import Affine, spots
from toys_training import Stop, bits, network, run

from tinycnn.kernels.sets import get_kernels
from tinycnn.model import Sequential
from tinycnn.npz import read_npz
from tinycnn.optimizers import SGD, Adam
from tinycnn.training import Callback, Checkpoint, fit


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    path = tmp_path / "run.npz"
    script = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import signal, toys_training as t\n"
        "t.run(sys.argv[3], callbacks=[t.Stop(2, 1, signal.SIGKILL)])\n"
    )
    here = Path(__file__).parents[1]
    command = [sys.executable, "-c", script, str(here), str(here.parent), str(path)]
    done = subprocess.run(command, env={**os.environ, "TINYCNN_KERNELS": get_kernels()}, timeout=120)
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


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
@pytest.mark.parametrize("name", ["run.npz", "{epoch}/run-{loss:.2f}.npz"])
def test_two_runs_into_one_checkpoint_refuse(tmp_path, name):
    refused = []

    class Second(Callback):
        def on_epoch_begin(self, epoch):
            with pytest.raises(OSError, match=re.escape(f"{tmp_path}/") + f".*in use by process {os.getpid()} "):
                run(tmp_path / name, epochs=1)
            refused.append(epoch)
            run(tmp_path / "other.npz", epochs=1)

    run(tmp_path / name, epochs=2, callbacks=[Second()])
    run(tmp_path / name, epochs=1)
    assert refused == [0, 1] and not list(tmp_path.rglob(".*"))
