"""What may happen beside training, under Keras's name for it; see `tinycnn.training.callbacks`."""

from tinycnn.training.callbacks import Callback, Checkpoint, CSVLogger, EarlyStopping

__all__ = ["CSVLogger", "Callback", "Checkpoint", "EarlyStopping"]
