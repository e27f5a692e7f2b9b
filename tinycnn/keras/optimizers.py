"""tinycnn's optimizers and schedules: their names and arguments are Keras's."""

from tinycnn import schedules
from tinycnn.lazy import missing
from tinycnn.optimizers import SGD, Adam, AdamW, RMSprop, get

__getattr__ = missing(__name__)

__all__ = ["SGD", "Adam", "AdamW", "RMSprop", "get", "schedules"]
