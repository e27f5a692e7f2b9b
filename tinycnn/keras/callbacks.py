"""Callbacks with Keras's names and arguments."""

import os
from collections.abc import Callable
from typing import Any

from tinycnn.lazy import missing
from tinycnn.training.callbacks import Best, Callback, CSVLogger
from tinycnn.training.callbacks import EarlyStopping as _EarlyStopping

__getattr__ = missing(__name__)

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
]


class EarlyStopping(_EarlyStopping):
    """`tinycnn.EarlyStopping`, whose `restore_best` is called `restore_best_weights` here."""

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, patience, min_delta, mode, restore_best_weights)


class ModelCheckpoint(Callback):
    """The model, in a file, after every epoch, or after the best so far.

    The whole run, to be resumed, is kept by `tinycnn.Checkpoint`.

    Parameters
    ----------
    filepath : path-like
        With ``{epoch}``, from 1, or a metric such as ``{val_loss:.2f}`` in it, a file for each.
    monitor, mode
        As of `EarlyStopping`.
    save_best_only : bool
        Write only when the metric is the best so far.
    save_weights_only : bool
        Taken for Keras's sake: the file serves `load_model` and ``model.load_weights`` alike.

    Raises
    ------
    ValueError
        On training, if there is no such metric.
    OSError
        Naming the file, if it cannot be written.
    """

    runs_last = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
    ) -> None:
        self.filepath, self.monitor, self.save_best_only = filepath, monitor, save_best_only
        self.best = Best(monitor, mode)

    def on_train_begin(self) -> None:
        self.best.value = None
        if self.save_best_only:
            self.check_monitor(self.monitor)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not self.save_best_only or self.best.update(logs[self.monitor]):
            self.model.save(str(self.filepath).format(epoch=epoch + 1, **logs))


class ReduceLROnPlateau(Callback):
    """The learning rate multiplied by `factor` when a metric has not got better for `patience` epochs.

    Parameters
    ----------
    monitor, mode, min_delta
        As of `EarlyStopping`.
    factor : float
        Below 1.
    patience : int
        Epochs without progress to wait.
    cooldown : int
        Epochs after a reduction that do not count.
    min_lr : float
        The rate falls no lower.

    Raises
    ------
    ValueError
        For a `factor` that is not between 0 and 1; on training, if there is no such metric, or the optimizer's rate is
        a schedule.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be between 0 and 1, got {factor!r}")
        self.monitor, self.factor, self.patience, self.mode = monitor, factor, patience, mode
        self.min_delta, self.cooldown, self.min_lr = min_delta, cooldown, min_lr

    def on_train_begin(self) -> None:
        self.check_monitor(self.monitor)
        plain_rate(self)
        self.best = Best(self.monitor, self.mode, self.min_delta)
        self.wait = self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.cooling:
            self.cooling, self.wait = self.cooling - 1, 0
        if self.best.update(logs[self.monitor]):
            self.wait = 0
        elif not self.cooling:
            self.wait += 1
            if self.wait >= self.patience:
                optimizer = self.training.optimizer
                optimizer.learning_rate = max(self.min_lr, self.factor * plain_rate(self))
                self.cooling, self.wait = self.cooldown, 0


class LearningRateScheduler(Callback):
    """The learning rate of each epoch as ``schedule(epoch, learning_rate)``, or ``schedule(epoch)``, says.

    For a rate that changes with every step: `tinycnn.schedules`.

    Raises
    ------
    ValueError
        On training, if the optimizer's rate is a schedule already.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int) -> None:
        rate = plain_rate(self)
        try:
            rate = self.schedule(epoch, rate)
        except TypeError:
            rate = self.schedule(epoch)
        self.training.optimizer.learning_rate = float(rate)


def plain_rate(callback: Callback) -> float:
    """The optimizer's learning rate, if it is a number that may be changed."""
    rate = callback.training.optimizer.learning_rate
    if callable(rate):
        raise ValueError(f"{type(callback).__name__} changes the learning rate, but the optimizer's is a schedule")
    return float(rate)


class LambdaCallback(Callback):
    """Functions called at the events whose names they are given under: ``LambdaCallback(on_epoch_end=print)``.

    Raises
    ------
    ValueError
        For a name that is no event.
    """

    def __init__(self, **events: Callable[..., Any]) -> None:
        for name, function in events.items():
            if not name.startswith("on_") or name not in dir(Callback):
                raise ValueError(f"LambdaCallback: {name!r} is no event; there are {', '.join(EVENTS)}")
            setattr(self, name, function)


EVENTS = [name for name in dir(Callback) if name.startswith("on_")]
