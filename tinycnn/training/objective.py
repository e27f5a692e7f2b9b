"""What a loss asks of the model and of the labels, and which accuracy goes with it."""

import inspect

import numpy as np

from tinycnn.losses import BinaryCrossEntropy, CrossEntropy
from tinycnn.training.batches import check_labels, check_targets


class Objective:
    """A loss together with what it expects and what is counted beside it.

    Cross-entropies work on logits, so a softmax at the model's end is left out in training; with integer labels
    (`CrossEntropy`) or yes/no labels (`BinaryCrossEntropy`) the share of right answers is counted.  Any other
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

    def __init__(self, loss):
        self.loss = loss
        self.binary = isinstance(loss, BinaryCrossEntropy)
        self.logits = self.binary or isinstance(loss, CrossEntropy)
        self.metrics = ["loss", "accuracy"] if self.logits else ["loss"]

    def check(self, targets, model, what):
        """Refuse a model or targets that this loss cannot use.

        Raises
        ------
        ValueError
            Naming what does not fit.
        """
        outputs = model.output_shape
        if self.binary:
            if model.ends_in_softmax or model.ends_in_sigmoid:
                raise ValueError(
                    f"BinaryCrossEntropy works on logits, but model '{model.name}' ends in a softmax or sigmoid; "
                    "leave that activation out and apply it to the predictions"
                )
            if targets.shape[1:] != outputs and (targets.ndim != 1 or outputs != (1,)):
                raise ValueError(f"{what} has labels of shape {targets.shape[1:]}, but the model gives {outputs}")
            if not ((targets >= 0) & (targets <= 1)).all():
                raise ValueError(f"{what} has labels outside [0, 1]: from {targets.min()} to {targets.max()}")
        elif self.logits:
            if len(outputs) != 1:
                raise ValueError(
                    f"CrossEntropy needs one row of class scores per image, but model '{model.name}' gives {outputs}; "
                    "end it with Flatten and Dense"
                )
            last = model.layers[-1]
            if model.ends_in_softmax and "logits" not in inspect.signature(last.forward).parameters:
                raise ValueError(
                    f"CrossEntropy works on logits, but {last.where()} applies its softmax itself; give it no "
                    "activation and put a Softmax layer behind it"
                )
            check_labels(targets, outputs[0], what)
        else:
            check_targets(targets, model, what)

    def forward(self, outputs, targets):
        """The batch's mean loss, and the number of images answered right (None without an accuracy).

        Parameters
        ----------
        outputs : ndarray, shape (images, *output_shape)
        targets : ndarray
            As `check` accepts them; uint8 target arrays are scaled by 1/255, as images are.
        """
        if self.binary:
            targets = targets.reshape(outputs.shape)
            right = ((outputs > 0) == (targets > 0.5)).mean() * len(outputs)
        elif self.logits:
            right = np.count_nonzero(outputs.argmax(axis=1) == targets)
        else:
            right = None
            if targets.dtype == np.uint8:
                targets = np.multiply(targets, outputs.dtype.type(1 / 255))
        return self.loss.forward(outputs, targets), right if right is None else float(right)


class Totals:
    """Sums over the batches of an epoch, from which its means are taken: each image counts once, as in Keras.

    >>> totals = Totals()
    >>> totals.add(2, 0.5, 1.0)
    >>> totals.add(1, 2.0, 1.0)
    >>> totals.means()
    {'loss': 1.0, 'accuracy': 0.6666666666666666}
    """

    def __init__(self, seen=0, loss=0.0, right=0.0, seconds=0.0):
        self.seen, self.loss, self.right, self.seconds = seen, loss, right, seconds

    def add(self, images, loss, right):
        """Count a batch: its size, its mean loss and its right answers (None: no accuracy)."""
        self.seen += images
        self.loss += loss * images
        self.right = None if right is None else self.right + right

    def means(self):
        """``{"loss": ..., "accuracy": ...}`` so far."""
        means = {"loss": self.loss / self.seen}
        return means if self.right is None else means | {"accuracy": self.right / self.seen}
