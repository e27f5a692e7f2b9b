"""Labelled images in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, flag, generator, listed, positive_int
from tinycnn.data.splits import grouped_holdout

SCALE = 1 / 255  # of bytes, whenever a model runs


def image_array(images: ArrayLike, *kinds: str, channels: Sequence[int] = ()) -> np.ndarray:
    """`images` as an array, if it is one of images of the given kinds: names of types, or "float" for all of those.

    Raises
    ------
    ValueError
        For another type or shape, images without a pixel, or other numbers of channels than `channels`.

    >>> image_array(np.zeros((2, 8, 8)), "uint8", channels=(1, 3))
    Traceback (most recent call last):
    ...
    ValueError: images must be uint8 of shape (images, height, width, 1 or 3), got float64 (2, 8, 8)
    """
    images = as_array(images, "images")
    wrong_type = images.dtype.name not in kinds and not ("float" in kinds and images.dtype.kind == "f")
    if wrong_type or images.ndim != 4 or 0 in images.shape[1:] or channels and images.shape[3] not in channels:
        last = " or ".join(map(str, channels)) or "channels"
        raise ValueError(
            f"images must be {' or '.join(kinds)} of shape (images, height, width, {last}), got {images.dtype} "
            f"{images.shape}"
        )
    return images


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Dataset:
    """Images with their classes.

    Attributes
    ----------
    images : ndarray of uint8, (images, height, width, channels)
        Kept as bytes (a quarter of float32's memory); training scales each batch by 1/255.
    labels : ndarray of int64, (images,)
        Index into `class_names`.
    class_names : tuple of str
    paths : tuple of str
        Where each image came from, relative to the folder or zip that was loaded; empty if it came from no file.
    keep_aspect : bool
        How the images were brought to one size, and others are to be: padded with black, or squashed.

    Raises
    ------
    ValueError
        If the sizes do not fit one another, the images are not uint8, or a label names no class.

    Examples
    --------
    >>> images = np.zeros((3, 8, 8, 1), np.uint8)
    >>> data = Dataset(images, [0, 1, 1], ("Normal", "Pneumonia"))
    >>> data
    Dataset of 3 images 8x8x1 uint8: 1 Normal, 2 Pneumonia
    >>> image, label = data[2]
    >>> image.shape, data.class_names[label], data.counts()
    ((8, 8, 1), 'Pneumonia', {'Normal': 1, 'Pneumonia': 2})
    >>> len(data[:2]), len(data[[0, 2]]), len(data[data.labels == 1])
    (2, 2, 2)
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    keep_aspect: bool

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str],
        paths: Sequence[str] = (),
        keep_aspect: bool = False,
    ) -> None:
        images, labels = image_array(images, "uint8"), as_array(labels, "labels")
        names, paths = tuple(map(str, listed(class_names, "class_names"))), tuple(map(str, listed(paths, "paths")))
        if labels.shape != (len(images),):
            raise ValueError(f"{len(images)} images need labels of shape ({len(images)},), got {labels.shape}")
        if labels.size and labels.dtype.kind not in "iu":
            raise ValueError(f"labels must be integers (indices into class_names), got {labels.dtype}")
        if labels.size and not 0 <= labels.min() <= labels.max() < len(names):
            raise ValueError(
                f"labels run from {labels.min()} to {labels.max()}, but there are {len(names)} classes: {names}"
            )
        if paths and len(paths) != len(images):
            raise ValueError(f"{len(images)} images, but {len(paths)} paths")
        # The dataclass is frozen.
        vars(self).update(images=images, labels=labels.astype(np.int64), class_names=names, paths=paths)
        vars(self).update(keep_aspect=flag(keep_aspect, "keep_aspect"))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        counts = ", ".join(f"{count} {name}" for name, count in self.counts().items())
        return f"Dataset of {len(self)} images {size} uint8: {counts}"

    @overload
    def __getitem__(self, key: int | np.integer) -> tuple[np.ndarray, int]: ...
    @overload
    def __getitem__(self, key: slice | ArrayLike) -> "Dataset": ...
    def __getitem__(self, key: slice | ArrayLike) -> "tuple[np.ndarray, int] | Dataset":
        """``(image, label)`` at an int; at a slice, ints or a boolean mask a Dataset of these images, in that order.

        As of arrays: the image, and the images of a slice, are views; those at ints or a mask are copies.

        Raises
        ------
        IndexError
            For an int that is out of range.
        ValueError
            For a mask of another length, ints out of range in a list, or anything else.
        """
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return self.images[key], int(self.labels[key])
        key = key if isinstance(key, slice) else self._indices(key)
        paths = np.asarray(self.paths, object)[key].tolist() if self.paths else ()
        return Dataset(self.images[key], self.labels[key], self.class_names, paths, self.keep_aspect)

    def _indices(self, key: ArrayLike) -> np.ndarray:
        """A mask or ints as ints that are in range."""
        indices = np.asarray(key)
        if indices.dtype == bool:
            if indices.shape != (len(self),):
                raise ValueError(f"a mask over {len(self)} images must have shape ({len(self)},), got {indices.shape}")
            indices = np.flatnonzero(indices)
        whole = indices.size == 0 or indices.dtype.kind in "iu"
        if not whole or indices.size and not -len(self) <= indices.min() <= indices.max() < len(self):
            raise ValueError(
                f"indices must be a mask or ints below {len(self)}, the number of images, got {brief(indices)}"
            )
        return indices.astype(np.int64).reshape(-1)  # an empty list arrives as float64

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        return (self[i] for i in range(len(self)))

    def split(
        self, share: float = 0.2, seed: int | np.random.Generator = 0, groups: Sequence | np.ndarray | None = None
    ) -> tuple["Dataset", "Dataset"]:
        """Two parts, the second with the `share` of each class, to the nearest of 1/2, 1/3, 1/4, ...

        Parameters
        ----------
        share : float
            Above 0, at most 1/2.
        seed : int or Generator
            Decides which of the equally good cuts one gets.
        groups : sequence, (images,), optional
            Images of one group stay together: near copies, films of one patient; by default each is alone.

        Returns
        -------
        (Dataset, Dataset)
            Such as for training and validation, each in the order of this one.

        Raises
        ------
        ValueError
            As `grouped_kfold`: a class needs images in as many groups as the share has in 1, five for 0.2.

        Examples
        --------
        >>> data = Dataset(np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 2, ("cat", "dog"))
        >>> data.split(0.2)
        (Dataset of 16 images 8x8x1 uint8: 8 cat, 8 dog, Dataset of 4 images 8x8x1 uint8: 2 cat, 2 dog)
        """
        groups = np.arange(len(self)) if groups is None else groups
        first, second = grouped_holdout(groups, self.labels, share, seed)
        return self[first], self[second]

    def batches(
        self, size: int = 16, seed: int | np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all images as ``(images, labels)``, `size` at a time; the last batch may be smaller.

        Parameters
        ----------
        size : int
        seed : int or Generator, optional
            Of a random order; by default they come in their own.

        Examples
        --------
        >>> data = Dataset(np.zeros((5, 8, 8, 1), np.uint8), [0, 1, 0, 1, 1], ("cat", "dog"))
        >>> [labels.tolist() for images, labels in data.batches(2)]
        [[0, 1], [0, 1], [1]]
        """
        size = positive_int(size, "size")
        order = np.arange(len(self)) if seed is None else generator(seed).permutation(len(self))
        for start in range(0, len(self), size):
            batch = order[start : start + size]
            yield self.images[batch], self.labels[batch]

    @property
    def facts(self) -> dict[str, Any]:
        """What a model that is fitted on it keeps in its ``metadata``, so that it can predict image files."""
        how = {"keep_aspect": self.keep_aspect, "scale": SCALE}
        return {"class_names": list(self.class_names), "preprocessing": how}

    def counts(self) -> dict[str, int]:
        """Images of each class: ``{class name: count}``, in the order of `class_names`."""
        counted = np.bincount(self.labels, minlength=len(self.class_names))
        return {name: int(count) for name, count in zip(self.class_names, counted, strict=True)}


class BadFile(NamedTuple):
    """A file that could not be loaded, and why."""

    path: str
    reason: str


class Splits(NamedTuple):
    """Training and test images over the same classes.

    Attributes
    ----------
    train, test : Dataset
        `test` is None where only a training folder was asked for.
    skipped : sequence of BadFile
        What ``on_error="skip"`` left out.
    """

    train: Dataset
    test: Dataset | None
    skipped: Sequence[BadFile] = ()
