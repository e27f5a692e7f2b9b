"""Models and their files."""

import os

from tinycnn.keras.functional import Model
from tinycnn.keras.sequential import Sequential
from tinycnn.lazy import missing

__getattr__ = missing(__name__)

__all__ = ["Model", "Sequential", "load_model"]


def load_model(path: str | os.PathLike[str]) -> Sequential:
    """The model that `Sequential.save` wrote to `path`, whatever the ending of its name.

    Raises
    ------
    FileNotFoundError
    ValueError
        As of `tinycnn.Sequential.load`: files of Keras are not read.
    """
    return Sequential.load(path)
