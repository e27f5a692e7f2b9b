"""What may happen beside training: stopping early, checkpoints, a log file, and whatever you write yourself."""

import csv
import math
import os
import string
from collections.abc import Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tinycnn.arguments import as_path, brief, flag, number, of_class, one_of, positive_int
from tinycnn.files import alone
from tinycnn.npz import field
from tinycnn.training.checkpoint import save_checkpoint
from tinycnn.walk import check_weights, weights_of

if TYPE_CHECKING:
    from tinycnn.model import Sequential
    from tinycnn.training.loop import Training


class Callback:
    """Base of callbacks: override what you need, as in Keras.

    Attributes
    ----------
    training : Training
        The run: ``training.model``, ``.optimizer``, ``.history``, ``.epoch`` (finished ones);
        ``training.stop = True``, or ``model.stop_training = True``, ends it after the running epoch.
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

    training: "Training"
    runs_last = False

    @property
    def model(self) -> "Sequential":
        """The model in training."""
        return self.training.model

    def on_train_begin(self) -> None:
        """Before the first epoch of this call of `fit`."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before `epoch`, counted from 0."""

    def on_train_batch_begin(self, batch: int) -> None:
        """Before `batch`, counted from 0."""
        self.on_batch_begin(batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """After `batch`, counted from 0; `logs` holds the epoch's metrics so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int) -> None:
        """Keras's older name of `on_train_batch_begin`, which calls it."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Keras's older name of `on_train_batch_end`, which calls it."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """After `epoch` and its validation; `logs` is its row of the history."""

    def on_train_end(self) -> None:
        """At the end, also one by an error or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep for this callback to continue: arrays and JSON-able values by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave; called after `on_train_begin` of a resumed run."""

    def check_monitor(self, monitor: str) -> None:
        """Refuse a metric that the run does not have, with those that there are."""
        if monitor not in self.training.metrics:
            near = get_close_matches(monitor, self.training.metrics, 1)
            hint = f"; do you mean {near[0]!r}?" if near else ""
            if monitor.startswith("val_") and self.training.validation is None:
                hint = "; give fit validation data"
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

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        one_of(mode, "mode", ("auto", "min", "max"))
        of_class(monitor, str, "monitor")
        self.sign = 1 if mode == "min" or (mode == "auto" and "acc" not in monitor) else -1
        self.min_delta = number(min_delta, "min_delta")
        self.value: float | None = None

    def update(self, value: float) -> bool:
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

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        self.monitor, self.min_delta, self.mode = monitor, min_delta, mode
        if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience >= 0:
            raise ValueError(f"EarlyStopping: patience must be 0 or more epochs, got {brief(patience)}")
        self.patience = patience
        self.restore_best = restore_best
        self._reset()

    def _reset(self) -> None:
        self.best = Best(self.monitor, self.mode, self.min_delta)
        self.wait = 0
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.best_weights: dict[str, Any] | None = None

    def on_train_begin(self) -> None:
        self.check_monitor(self.monitor)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
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

    def on_train_end(self) -> None:
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights, source="EarlyStopping")

    def state_dict(self) -> dict[str, Any]:
        weights = {f"weights/{key}": array for key, array in (self.best_weights or {}).items()}
        return {
            "best": self.best.value,
            "wait": self.wait,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            **weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        maybe = (int, type(None))
        self.best.value = field(state, "best", (float, type(None)), "EarlyStopping")
        self.wait = field(state, "wait", int, "EarlyStopping", least=0)
        self.best_epoch = field(state, "best_epoch", maybe, "EarlyStopping")
        self.stopped_epoch = field(state, "stopped_epoch", maybe, "EarlyStopping")
        weights = weights_of(state)
        check_weights(weights, self.model.get_weights() if weights else {}, "the checkpoint of EarlyStopping")
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
        A ``.npz``.  With ``{epoch}`` (from 1), or a metric such as ``{loss:.3f}``, in it, as in Keras, every write
        makes a file of its own.
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
        Naming the path, if it cannot be written, or on training if another run writes it.

    Examples
    --------
    >>> Checkpoint("run.npz", every=2).path.name
    'run.npz'
    """

    runs_last = True

    def __init__(
        self, path: str | os.PathLike[str], every: int = 1, monitor: str | None = None, mode: str = "auto"
    ) -> None:
        self.path, self.every, self.monitor, self.mode = (
            as_path(path, "Checkpoint: path"),
            positive_int(every, "Checkpoint: every"),
            monitor,
            mode,
        )
        self.best = Best("" if monitor is None else monitor, mode)
        self._kept = ExitStack()  # to this run, while it trains

    def on_train_begin(self) -> None:
        self.best.value = None
        known = ["epoch", *self.training.metrics]
        unknown = {
            name for _, name, _, _ in string.Formatter().parse(str(self.path)) if name is not None and name not in known
        }
        if unknown:
            raise ValueError(
                f"Checkpoint: {self.path} has {{{'}, {'.join(unknown)}}} in it; there are {', '.join(known)}"
            )
        if self.monitor:
            self.check_monitor(self.monitor)
        folder = next(part for part in self.path.parents if "{" not in str(part))
        self._kept.enter_context(alone(folder, str(self.path.relative_to(folder)).replace(os.sep, "-")))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.monitor:
            due = self.best.update(logs[self.monitor])
        else:
            due = (epoch + 1) % self.every == 0 or epoch + 1 == self.training.epochs or self.training.stop
        if due:
            self._save(epoch + 1, logs)

    def on_train_end(self) -> None:
        with self._kept:
            if self.training.interrupted and self.training.between_batches and not self.monitor:
                totals = self.training.totals
                unknown = dict.fromkeys(self.training.metrics, math.nan)
                self._save(self.training.epoch + 1, unknown | (totals.means() if totals.seen else {}))

    def _save(self, epoch: int, logs: Mapping[str, float]) -> None:
        save_checkpoint(str(self.path).format(epoch=epoch, **logs), self.training)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best.value = field(state, "best", (float, type(None)), "Checkpoint")


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

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path, self.append = as_path(path, "CSVLogger: path"), flag(append, "append")

    def on_train_begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.append and self.path.exists() and self.path.stat().st_size:
            return
        self._write("w", ["epoch", *self.training.metrics])
        if not self.append:
            for epoch, row in enumerate(zip(*self.training.history.values(), strict=True)):
                self._write("a", [epoch, *row])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self._write("a", [epoch, *(logs[key] for key in self.training.metrics)])

    def _write(self, mode: str, row: list[Any]) -> None:
        # Opened for each row, so that nothing waits in a buffer when the process dies.
        try:
            with open(self.path, mode, newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(row)
        except OSError as error:
            raise OSError(error.errno, f"could not write {self.path}: {error.strerror or error}") from error
