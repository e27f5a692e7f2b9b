"""Small training runs with everything random in them, and callbacks that interfere."""

import os
import signal

import numpy as np
from toys import Affine, Bend, Noise, Pair, spots

from tinycnn.model import Sequential
from tinycnn.optimizers import Adam
from tinycnn.training import Callback, Checkpoint, fit


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
