"""`evaluate` and `predict`: batches through a model in inference mode."""

import math
import warnings
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from tinycnn import losses
from tinycnn.arguments import as_array, positive_int
from tinycnn.data.dataset import Dataset
from tinycnn.losses import Loss
from tinycnn.training.batches import Data, check_images, split_pair
from tinycnn.training.objective import Objective, Totals
from tinycnn.walk import penalty

if TYPE_CHECKING:
    from tinycnn.model import Sequential


def evaluate(model: "Sequential", data: Data, batch_size: int = 16, loss: Loss | str | None = None) -> dict[str, float]:
    """Mean loss, with the penalties of regularizers as in Keras, and accuracy of `model` on `data`, in inference mode.

    Parameters
    ----------
    model : Sequential
    data : Dataset or (images, labels)
        As for `fit`.
    batch_size : int
        Images at a time; the result does not depend on it beyond rounding.
    loss : Loss or str, optional
        That of the model's last `fit` by default, else ``CrossEntropy()``.

    Returns
    -------
    dict
        ``loss``, and ``accuracy`` if the loss is one of classes.

    Raises
    ------
    ValueError
        If the data do not fit the model or the loss.
    FloatingPointError
        If the loss is NaN or infinite, naming the layer where that began.
    """
    images, targets = split_pair(data, "data")
    if not model.built:
        model.build(images.shape[1:])
    objective = Objective(losses.get(model.loss if loss is None else loss))
    check_images(images, model, "data")
    objective.check(targets, model, "data")
    warn_untrained(model)
    means = mean_loss(model, images, targets, positive_int(batch_size, "batch_size"), objective)
    if not math.isfinite(means["loss"]):
        refuse_nonfinite(model, images, f"the loss is {means['loss']}")
    return means


def mean_loss(
    model: "Sequential", images: np.ndarray, targets: np.ndarray, batch_size: int, objective: Objective
) -> dict[str, float]:
    """`evaluate` of data that are known to fit."""
    totals = Totals()
    for start in range(0, len(images), batch_size):
        x, y = images[start : start + batch_size], targets[start : start + batch_size]
        totals.add(len(x), *objective.forward(model.forward(x, logits=objective.logits, keep=False), y))
    means = totals.means()
    return means | {"loss": means["loss"] + penalty(model.layers)}


def predict(model: "Sequential", data: Data | ArrayLike, batch_size: int = 16) -> np.ndarray:
    """Outputs of `model` for every image, in inference mode.

    Parameters
    ----------
    model : Sequential
    data : Dataset, (images, labels) or ndarray of images
        As for `fit`; labels are not looked at.
    batch_size : int
        Images at a time.

    Returns
    -------
    ndarray, shape (images, *output_shape)
        Probabilities if the model ends in a softmax.

    Raises
    ------
    ValueError
        If the images do not fit the model.
    FloatingPointError
        If an output is NaN or infinite, naming the layer where that began.
    """
    size = positive_int(batch_size, "batch_size")
    if isinstance(data, Dataset):
        images = data.images
    else:
        images = split_pair(data, "data")[0] if isinstance(data, tuple) else as_array(data, "data")
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"data holds no images: array of shape {images.shape}")
    if not model.built:
        model.build(images.shape[1:])
    check_images(images, model, "data")
    warn_untrained(model)
    outputs = np.empty((len(images), *model.output_shape), model.dtype)
    for start in range(0, len(images), size):
        outputs[start : start + size] = batch = model.forward(images[start : start + size], keep=False)
        if not np.isfinite(batch).all():
            refuse_nonfinite(model, images[start : start + size], "there is NaN or infinity in the outputs")
    return outputs


def warn_untrained(model: "Sequential") -> None:
    """Say that nobody has trained or loaded the weights of `model`, so that its outputs mean nothing yet."""
    if model.untrained and any(layer.count_params for layer in model.layers):
        text = f"the weights of model '{model.name}' are random: it was neither trained nor loaded from a file"
        warnings.warn(text, stacklevel=4)


def refuse_nonfinite(model: "Sequential", images: np.ndarray, what: str) -> NoReturn:
    """Raise `FloatingPointError` with `what`, saying where in `model`, or in a batch of images, NaN began."""
    bad = model.first_nonfinite(images)
    raise FloatingPointError(f"model '{model.name}': {what}" + (f": {bad.where()}" if bad else ""))
