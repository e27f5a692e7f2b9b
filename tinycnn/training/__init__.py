"""Batches through a model, again and again: `fit`, `evaluate`, `predict`, and what hangs on them."""

from tinycnn.training.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping
from tinycnn.training.loop import History, evaluate, fit, predict

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "evaluate",
    "fit",
    "predict",
]
