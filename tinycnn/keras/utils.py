"""Helpers that tutorials use."""

import os

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.data.decode import load_image
from tinycnn.lazy import missing

__getattr__ = missing(__name__)

__all__ = ["img_to_array", "load_img", "to_categorical"]


def to_categorical(labels: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows.

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Raises
    ------
    ValueError
        If a label is not one of ``0 .. num_classes - 1``.
    """
    labels = np.asarray(labels).squeeze()
    whole = labels.astype(np.int64)
    classes = int(whole.max()) + 1 if num_classes is None else num_classes
    if (whole != labels).any() or whole.min() < 0 or whole.max() >= classes:
        raise ValueError(f"labels must be whole numbers from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return np.eye(classes)[whole]


def load_img(path: str | os.PathLike[str], target_size: tuple[int, int]) -> np.ndarray:
    """An image file as uint8 (height, width, 3), resized to `target_size`; errors as of `tinycnn.data.load_image`."""
    return load_image(path, target_size)


def img_to_array(image: ArrayLike) -> np.ndarray:
    """An image as float32, 0 to 255."""
    return np.asarray(image, np.float32)
