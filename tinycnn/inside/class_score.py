"""The score of a class, before any softmax, and its gradient to the image: what explanations are made of."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, listed, of_class, positive_int
from tinycnn.data.dataset import Dataset
from tinycnn.model import Sequential

Images = Dataset | np.ndarray
Classes = int | Sequence[int] | np.ndarray | None


def checked_images(model: Sequential, images: Images) -> np.ndarray:
    """The images as an array, if the model takes them; an unbuilt model builds for their shape.

    Raises
    ------
    ValueError
        If they are no images, none, or of another shape.
    """
    of_class(model, Sequential, "model")
    images = images.images if isinstance(images, Dataset) else as_array(images, "images")
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images of shape (images, height, width, channels) are needed, got {images.shape}")
    if not model.built:
        model.build(images.shape[1:])
    if images.shape[1:] != tuple(model.input_shape):
        raise ValueError(f"images of shape {images.shape[1:]}, but model '{model.name}' takes {model.input_shape}")
    return images


def checked_classes(model: Sequential, class_index: Classes, n: int) -> np.ndarray | None:
    """One class for each of `n` images; None, "as the image is called", stays None.

    Raises
    ------
    ValueError
        If there is no such class, or not one per image.
    """
    if class_index is None:
        return None
    classes = as_array(class_index, "class_index")
    classes = np.broadcast_to(classes, (n,)) if classes.ndim == 0 else classes
    outputs = model.output_shape[-1]
    if classes.shape != (n,) or classes.dtype.kind not in "iu" or not 0 <= classes.min() <= classes.max() < outputs:
        raise ValueError(
            f"class_index must be one of 0..{outputs - 1}, or {n} of them, one per image; got {brief(class_index)}"
        )
    return classes


def batches(
    model: Sequential, images: Images, class_index: Classes, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images as the first layer takes them (bytes scaled by 1/255; yours), and the classes to explain.

    Raises
    ------
    ValueError
        As of `checked_images` and `checked_classes`, or for a `batch_size` below 1.
    """
    films, size = checked_images(model, images), positive_int(batch_size, "batch_size")
    classes = checked_classes(model, class_index, len(films))
    for start in range(0, len(films), size):
        x = np.array(model.prepare(films[start : start + size]), model.dtype)
        yield x, scores(model, x).argmax(axis=1) if classes is None else classes[start : start + size]


def scores(model: Sequential, x: np.ndarray, keep: bool = False) -> np.ndarray:
    """Score of every class for a prepared batch, shape (images, classes); `keep` as of `Sequential.forward`.

    Raises
    ------
    ValueError
        If the model gives no row of scores per image.
    """
    if len(model.output_shape) != 1:
        raise ValueError(
            f"an explanation is of one of the scores in a row, but model '{model.name}' gives {model.output_shape} "
            "per image; end it with Flatten and Dense"
        )
    return model.forward(x, logits=True, keep=keep)


def score_of(model: Sequential, x: np.ndarray, classes: ArrayLike) -> np.ndarray:
    """Each image's score of its class, shape (images,)."""
    return np.take_along_axis(scores(model, x), np.asarray(classes)[:, None], axis=1)[:, 0]


def score_gradient(model: Sequential, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """``d score_of / d x`` of each image, shape of `x`; the layers' `grads` are overwritten."""
    gradient = model.backward(one_hot(scores(model, x, keep=True), classes))
    assert gradient is not None
    return gradient


def one_hot(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The gradient of the chosen scores to all of them: 1 at each image's class, 0 elsewhere."""
    grad = np.zeros_like(scores)
    grad[np.arange(len(grad)), classes] = 1
    return grad


def output_names(model: Sequential, class_names: Sequence[str] | None) -> list[str]:
    """A name for each output of a built model: those given, else those it was trained with, else their numbers.

    Raises
    ------
    ValueError
        For an unbuilt model, or another number of names than outputs.
    """
    of_class(model, Sequential, "model")
    if not model.built:
        raise ValueError(f"model '{model.name}' must be built before it can be looked into: train it or load it")
    outputs = model.output_shape[-1]
    if class_names is None:
        known = model.metadata.get("class_names") or []
        class_names = known if len(known) == outputs else [f"class {i}" for i in range(outputs)]
    if len(class_names := listed(class_names, "class_names")) != outputs:
        raise ValueError(f"{len(class_names)} class names were given, but model '{model.name}' has {outputs} outputs")
    return [str(name) for name in class_names]
