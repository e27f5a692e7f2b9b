"""Batches through a model, again and again: `fit`, `evaluate`, `predict`, and what hangs on them."""

from tinycnn.training.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping
from tinycnn.training.history import History
from tinycnn.training.loop import fit
from tinycnn.training.prediction import evaluate, predict

__all__ = ["CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "History", "evaluate", "fit", "predict"]
