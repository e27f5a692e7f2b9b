"""What a loss asks of the model and of the labels, and which accuracy goes with it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.layers.activation import Sigmoid, Softmax
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, Loss, balanced_class_weights
from tinycnn.training.batches import check_labels, check_targets

if TYPE_CHECKING:
    from tinycnn.model import Sequential

ClassWeight = Mapping[int, float] | Sequence[float] | np.ndarray | str | None


class Objective:
    """A loss together with what it expects and what is counted beside it.

    Cross-entropies work on logits, so a softmax (`CrossEntropy`) or sigmoid (`BinaryCrossEntropy`) at the model's end
    is left out in training; with integer labels or yes/no labels the share of right answers is counted.  Any other
    loss compares outputs with target arrays, and no accuracy is defined.

    Parameters
    ----------
    loss : Loss

    Attributes
    ----------
    logits : bool
        Whether the loss takes the model's outputs before their softmax.
    metrics : list of str
        ``["loss", "accuracy"]`` or ``["loss"]``.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.binary = isinstance(loss, BinaryCrossEntropy)
        self.logits = self.binary or isinstance(loss, CrossEntropy)
        self.metrics = ["loss", "accuracy"] if self.logits else ["loss"]

    def check(self, targets: np.ndarray, model: "Sequential", what: str) -> None:
        """Refuse a model or targets that this loss cannot use.

        Raises
        ------
        ValueError
            Naming what does not fit.
        """
        outputs = model.output_shape
        if not self.logits:
            check_targets(targets, model, what)
            return
        name, last = type(self.loss).__name__, model.last_activation
        folded = Sigmoid if self.binary else Softmax  # together with the loss it is more exact than apart
        if last is not None and not isinstance(last, folded):
            raise ValueError(
                f"{name} works on logits, which may be any numbers, but model '{model.name}' ends in "
                f"{type(last).__name__}; leave that activation out or put a {folded.__name__.lower()} in its place"
            )
        if self.binary:
            if targets.shape[1:] != outputs and (targets.ndim != 1 or outputs != (1,)):
                raise ValueError(f"{what} has labels of shape {targets.shape[1:]}, but the model gives {outputs}")
            if not ((targets >= 0) & (targets <= 1)).all():
                raise ValueError(f"{what} has labels outside [0, 1]: from {targets.min()} to {targets.max()}")
            return
        if len(outputs) != 1:
            raise ValueError(
                f"CrossEntropy needs one row of class scores per image, but model '{model.name}' gives {outputs}; "
                "end it with Flatten and Dense"
            )
        if outputs == (1,):
            raise ValueError(
                f"CrossEntropy of one class is always 0, and model '{model.name}' gives one output; end it with "
                "Dense(2) for two classes, or train Dense(1) with loss=BinaryCrossEntropy()"
            )
        check_labels(targets, outputs[0], what)

    def forward(
        self, outputs: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> tuple[float, float | None]:
        """The batch's mean loss, and the number of images answered right (None without an accuracy).

        Parameters
        ----------
        outputs : ndarray, shape (images, *output_shape)
        targets : ndarray
            As `check` accepts them; uint8 target arrays are scaled by 1/255, as images are.
        sample_weight : ndarray, shape (images,), optional
            Of each image in the loss; right answers are counted without it, as in Keras.
        """
        right = None
        if self.binary:
            targets = targets.reshape(outputs.shape)
            right = float(((outputs > 0) == (targets > 0.5)).mean() * len(outputs))
        elif self.logits:
            right = float(np.count_nonzero(outputs.argmax(axis=1) == targets))
        elif targets.dtype == np.uint8:
            targets = np.multiply(targets, outputs.dtype.type(1 / 255))
        if sample_weight is None:  # so that a loss of the user's need not know of weights
            return self.loss.forward(outputs, targets), right
        return self.loss.forward(outputs, targets, sample_weight), right

    def backward(self) -> np.ndarray:
        """The loss's gradient with respect to the outputs of the last `forward`."""
        return self.loss.backward()


def weighted(loss: Loss, class_weight: ClassWeight, labels: np.ndarray, model: "Sequential") -> Loss:
    """`loss` with a weight for each class; "balanced" takes them from the labels.

    Raises
    ------
    ValueError
        If it is no cross-entropy, has weights already, or the number of weights is not that of the classes.
    """
    if class_weight is None:
        return loss
    if not isinstance(loss, CrossEntropy) or loss.class_weight is not None:
        raise ValueError(f"class_weight needs a CrossEntropy without weights of its own, got {loss!r}")
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be None, weights or 'balanced', got {class_weight!r}")
        Objective(loss).check(labels, model, "train")
        class_weight = balanced_class_weights(labels)
    loss = CrossEntropy(class_weight, loss.label_smoothing)
    if len(model.output_shape) == 1:
        loss.weights(model.output_shape[0])  # raises if the number of weights and of classes differ
    return loss


class Totals:
    """Sums over the batches of an epoch, from which its means are taken: each image counts once, as in Keras.

    >>> totals = Totals()
    >>> totals.add(2, 0.5, 1.0)
    >>> totals.add(1, 2.0, 1.0)
    >>> totals.means()
    {'loss': 1.0, 'accuracy': 0.6666666666666666}
    """

    def __init__(self, seen: int = 0, loss: float = 0.0, right: float | None = 0.0, seconds: float = 0.0) -> None:
        self.seen, self.loss, self.right, self.seconds = seen, loss, right, seconds

    def add(self, images: int, loss: float, right: float | None) -> None:
        """Count a batch: its size, its mean loss and its right answers (None: no accuracy)."""
        self.seen += images
        self.loss += loss * images
        self.right = None if right is None or self.right is None else self.right + right

    def means(self) -> dict[str, float]:
        """``{"loss": ..., "accuracy": ...}`` so far."""
        means = {"loss": self.loss / self.seen}
        return means if self.right is None else means | {"accuracy": self.right / self.seen}
