"""What may happen beside training: stopping early, checkpoints, a log file, and whatever you write yourself."""

import csv
import math
from pathlib import Path

from tinycnn.training.checkpoint import save_checkpoint


class Callback:
    """Base of callbacks: override what you need, as in Keras.

    Attributes
    ----------
    training : Training
        The run: ``training.model``, ``.optimizer``, ``.history``, ``.epoch`` (finished ones);
        ``training.stop = True`` ends it after the running epoch.
    runs_last : bool
        True for callbacks that must see the others' work of an epoch done, such as `Checkpoint`.

    Examples
    --------
    >>> class Shout(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print("epoch", epoch, "has a loss of", logs["loss"])
    >>> Shout().on_epoch_end(0, {"loss": 0.5})
    epoch 0 has a loss of 0.5
    """

    training = None
    runs_last = False

    @property
    def model(self):
        """The model in training."""
        return self.training.model

    def on_train_begin(self):
        """Before the first epoch of this call of `fit`."""

    def on_epoch_begin(self, epoch):
        """Before `epoch`, counted from 0."""

    def on_batch_end(self, batch, logs):
        """After `batch`, counted from 0; `logs` holds the epoch's metrics so far."""

    def on_epoch_end(self, epoch, logs):
        """After `epoch` and its validation; `logs` is its row of the history."""

    def on_train_end(self):
        """At the end, also one by an error or Ctrl-C."""

    def state_dict(self):
        """What a checkpoint must keep for this callback to continue: arrays and JSON-able values by name."""
        return {}

    def load_state_dict(self, state):
        """Take back what `state_dict` gave; called after `on_train_begin` of a resumed run."""

    def _check_monitor(self, monitor):
        if monitor not in self.training.metrics:
            hint = "; give fit validation data" if monitor.startswith("val_") else ""
            raise ValueError(
                f"{type(self).__name__}: no metric {monitor!r} to monitor; there are "
                f"{', '.join(self.training.metrics)}{hint}"
            )


class Best:
    """The best value of a metric so far.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    mode : {"auto", "min", "max"}
        Which way is better; "auto" takes "max" for accuracies.
    min_delta : float
        Less progress than this is none.

    >>> best = Best("val_accuracy", min_delta=0.1)
    >>> best.update(0.5), best.update(0.55), best.update(0.7)
    (True, False, True)
    """

    def __init__(self, monitor, mode="auto", min_delta=0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.sign = 1 if mode == "min" or (mode == "auto" and "acc" not in monitor) else -1
        self.min_delta = abs(min_delta)
        self.value = None

    def update(self, value):
        """Whether `value` is the best; then it is kept."""
        value = float(value)
        if math.isnan(value) or (self.value is not None and self.sign * (value - self.value) >= -self.min_delta):
            # A difference of exactly min_delta is no progress, nor is a tie: the earlier epoch stays the best.
            return False
        self.value = value
        return True


class EarlyStopping(Callback):
    """Stop when a metric has not got better for `patience` epochs.

    Parameters
    ----------
    monitor : str
        A metric of the history: ``val_loss``, ``val_accuracy``, ``loss``, ``accuracy``.
    patience : int
        Epochs without progress to wait; 0 and 1 both stop at the first, as in Keras.
    min_delta : float
        Smallest difference that counts as progress.
    mode : {"auto", "min", "max"}
        "auto": accuracies should rise, anything else should fall.
    restore_best : bool
        Leave the model with the weights of its best epoch, however training ends.

    Attributes
    ----------
    best_epoch : int or None
        From 0.
    stopped_epoch : int or None
        The epoch after which it stopped the run, from 0.

    Raises
    ------
    ValueError
        For a negative `patience` or unknown `mode`; on training, if there is no such metric.

    References
    ----------
    Prechelt, Early stopping - but when?, 1998.

    Examples
    --------
    >>> EarlyStopping("val_accuracy", patience=3, restore_best=True).patience
    3
    """

    def __init__(self, monitor="val_loss", patience=0, min_delta=0.0, mode="auto", restore_best=False):
        if patience < 0:
            raise ValueError(f"EarlyStopping: patience must be 0 or more epochs, got {patience}")
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.restore_best = restore_best
        self._reset()

    def _reset(self):
        self.best = Best(self.monitor, self.mode, self.min_delta)
        self.wait = 0
        self.best_epoch = self.stopped_epoch = None
        self.best_weights = None

    def on_train_begin(self):
        self._check_monitor(self.monitor)
        self._reset()

    def on_epoch_end(self, epoch, logs):
        if self.best.update(logs[self.monitor]):
            self.wait = 0
            self.best_epoch = epoch
            if self.restore_best:
                self.best_weights = self.model.get_weights()
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.training.stop = True

    def on_train_end(self):
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights, source="EarlyStopping")

    def state_dict(self):
        weights = {f"weights/{key}": array for key, array in (self.best_weights or {}).items()}
        return {
            "best": self.best.value,
            "wait": self.wait,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            **weights,
        }

    def load_state_dict(self, state):
        self.best.value, self.wait = state["best"], state["wait"]
        self.best_epoch, self.stopped_epoch = state["best_epoch"], state["stopped_epoch"]
        weights = {key.removeprefix("weights/"): a for key, a in state.items() if key.startswith("weights/")}
        self.best_weights = weights or None
        self.training.stop = self.training.stop or self.stopped_epoch is not None


class Checkpoint(Callback):
    """Keep the whole run in one file, for ``fit(..., resume=path)``.

    The file holds the model (`Sequential.load` reads it), the optimizer, every generator's state, the callbacks,
    the history and the position; it is replaced atomically, so a kill or a full disk leaves the last one whole.
    A run resumed from it ends with the bits of an uninterrupted one.  Ctrl-C writes it between two batches.

    Parameters
    ----------
    path : path-like
        A ``.npz``.
    every : int
        Epochs between writes; the last epoch is always written.
    monitor : str, optional
        Write only when this metric is the best so far (the last epoch and Ctrl-C then get no file of their own).
    mode : {"auto", "min", "max"}
        For `monitor`, as in `EarlyStopping`.

    Raises
    ------
    ValueError
        For `every` below 1 or unknown `mode`; on training, if there is no such metric.
    OSError
        Naming the path, if it cannot be written.

    Examples
    --------
    >>> Checkpoint("run.npz", every=2).path.name
    'run.npz'
    """

    runs_last = True

    def __init__(self, path, every=1, monitor=None, mode="auto"):
        if every < 1:
            raise ValueError(f"Checkpoint: every must be at least 1 epoch, got {every}")
        self.path, self.every, self.monitor, self.mode = Path(path), every, monitor, mode
        self.best = Best(monitor or "", mode)

    def on_train_begin(self):
        self.best.value = None
        if self.monitor:
            self._check_monitor(self.monitor)

    def on_epoch_end(self, epoch, logs):
        if self.monitor:
            due = self.best.update(logs[self.monitor])
        else:
            due = (epoch + 1) % self.every == 0 or epoch + 1 == self.training.epochs or self.training.stop
        if due:
            save_checkpoint(self.path, self.training)

    def on_train_end(self):
        if self.training.interrupted and self.training.between_batches and not self.monitor:
            save_checkpoint(self.path, self.training)

    def state_dict(self):
        return {"best": self.best.value}

    def load_state_dict(self, state):
        self.best.value = state["best"]


class CSVLogger(Callback):
    """One row per epoch, written as soon as the epoch is over.

    Parameters
    ----------
    path : path-like
    append : bool
        Add rows to an existing file.  Otherwise the file starts anew, with the earlier epochs of a resumed run.

    Raises
    ------
    OSError
        Naming the path, if it cannot be written.

    Examples
    --------
    >>> CSVLogger("log.csv").path.name
    'log.csv'
    """

    def __init__(self, path, append=False):
        self.path, self.append = Path(path), append

    def on_train_begin(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.append and self.path.exists() and self.path.stat().st_size:
            return
        self._write("w", ["epoch", *self.training.metrics])
        if not self.append:
            for epoch, row in enumerate(zip(*self.training.history.values(), strict=True)):
                self._write("a", [epoch, *row])

    def on_epoch_end(self, epoch, logs):
        self._write("a", [epoch, *(logs[key] for key in self.training.metrics)])

    def _write(self, mode, row):
        # Opened for each row, so that nothing waits in a buffer when the process dies.
        try:
            with open(self.path, mode, newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(row)
        except OSError as error:
            raise OSError(error.errno, f"could not write {self.path}: {error.strerror or error}") from error
