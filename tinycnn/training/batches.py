"""From what the user passes as data to batches: checks that fail before training starts, and gathering."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array
from tinycnn.data.dataset import Dataset
from tinycnn.training.stream import Stream, is_stream

if TYPE_CHECKING:
    from tinycnn.model import Sequential

PART = 1 << 18  # numbers that are looked at in one go

Data = Dataset | tuple[ArrayLike, ArrayLike] | Iterable[tuple[ArrayLike, ...]]


def split_pair(data: Data, what: str) -> tuple[np.ndarray, np.ndarray]:
    """``(images, targets)`` of a `Dataset`, of a pair of arrays, or of all batches of an iterable.

    Raises
    ------
    ValueError
        If it is none of these, is empty, or the two differ in length.
    """
    images: ArrayLike
    targets: ArrayLike
    if isinstance(data, Dataset):
        images, targets = data.images, data.labels
    elif is_stream(data):
        batches = list(Stream(data))
        images = np.concatenate([batch.images for batch in batches])
        targets = np.concatenate([batch.targets for batch in batches])
    elif isinstance(data, tuple | list) and len(data) == 2:
        images, targets = data[0], data[1]  # type: ignore[assignment]
    else:
        raise ValueError(
            f"{what} must be a Dataset or a pair (images, labels), got {type(data).__name__}; for Keras's fit(x, y) "
            "use the Sequential of tinycnn.keras"
        )
    images, targets = as_array(images, f"{what}: images"), as_array(targets, f"{what}: labels")
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"{what} holds no images: array of shape {images.shape}")
    if targets.ndim == 0 or len(images) != len(targets):
        raise ValueError(f"{what} has {len(images)} images, but labels of shape {targets.shape}")
    return images, targets


def check_images(images: np.ndarray, model: "Sequential", what: str) -> None:
    """Refuse images that `model` cannot take.

    Raises
    ------
    ValueError
        For a wrong shape, a type that is neither uint8 nor float, NaN or infinity.
    """
    if images.shape[1:] != model.input_shape:
        raise ValueError(
            f"{what} has images of shape {images.shape[1:]}, but model '{model.name}' takes {model.input_shape}"
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"{what} has images of type {images.dtype}; use uint8 (scaled by 1/255) or float (as it is)")
    _check_finite(images, f"{what}: image")


def check_labels(labels: np.ndarray, classes: int, what: str) -> None:
    """Refuse anything but one integer in ``0 .. classes - 1`` per image.

    Raises
    ------
    ValueError
        Naming the first label out of range and where it is.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        hint = ""
        if labels.ndim == 2:
            hint = "; use labels.ravel()" if labels.shape[1] == 1 else "; for one-hot rows use labels.argmax(axis=1)"
        raise ValueError(f"{what} needs integer labels of shape (images,), got {labels.dtype} {labels.shape}{hint}")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise ValueError(
            f"{what}: label {labels[wrong[0]]} of image {wrong[0]} is outside 0..{classes - 1}, the range of the "
            f"model's {classes} outputs ({wrong.size} of {len(labels)} labels are)"
        )


def check_targets(targets: np.ndarray, model: "Sequential", what: str) -> None:
    """Refuse target arrays that do not look like the model's outputs.

    Raises
    ------
    ValueError
        For a wrong shape, a type that is neither uint8 nor float, NaN or infinity.
    """
    if targets.shape[1:] != model.output_shape:
        raise ValueError(
            f"{what} has targets of shape {targets.shape[1:]}, but model '{model.name}' gives {model.output_shape}"
        )
    if targets.dtype != np.uint8 and targets.dtype.kind != "f":
        raise ValueError(f"{what} has targets of type {targets.dtype}; use float, or uint8 (scaled by 1/255)")
    _check_finite(targets, f"{what}: target")


def _check_finite(arrays: np.ndarray, what: str) -> None:
    if arrays.dtype.kind != "f":
        return
    some = max(1, PART // max(1, arrays[0].size))  # a mask of the whole set would be as large as a quarter of it
    for start in range(0, len(arrays), some):
        finite = np.isfinite(arrays[start : start + some])
        if not finite.all():
            first = start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
            raise ValueError(f"{what} {first} contains NaN or infinity")


class Gatherer:
    """Rows of an array by index, copied into one buffer that serves every batch.

    >>> gather = Gatherer(np.arange(6).reshape(3, 2))
    >>> gather([2, 0]).tolist()
    [[4, 5], [0, 1]]
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self._buffer: np.ndarray | None = None

    def __call__(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        if self._buffer is None or len(self._buffer) < len(indices):
            self._buffer = np.empty((len(indices), *self.array.shape[1:]), self.array.dtype)
        # mode="clip" lets take write straight into the buffer; the indices are known to be in range
        return np.take(self.array, indices, axis=0, out=self._buffer[: len(indices)], mode="clip")


def augmented(
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray], batch: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """`augment(batch, rng)`, checked: a change of type would change what scaling by 1/255 means.

    Raises
    ------
    ValueError
        If shape or dtype differ from the batch's.
    """
    shape, dtype = batch.shape, batch.dtype
    result = np.asarray(augment(batch, rng))
    if result.shape != shape or result.dtype != dtype:
        raise ValueError(f"augment got {dtype} images of shape {shape} and returned {result.dtype} {result.shape}")
    return result
