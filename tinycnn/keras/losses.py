"""Keras's names of losses.

All work on logits inside: where a model ends in a softmax or sigmoid, it is left out in training and ``from_logits`` is
False, where it does not, True.  So the argument is taken, and changes nothing.
"""

from tinycnn.lazy import missing
from tinycnn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError, get

__getattr__ = missing(__name__)

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "MeanSquaredError", "SparseCategoricalCrossentropy", "get"]


def CategoricalCrossentropy(from_logits: bool = False, label_smoothing: float = 0.0) -> CrossEntropy:
    """`CrossEntropy` of one-hot rows, which `Sequential.fit` turns into labels."""
    return CrossEntropy(label_smoothing=label_smoothing)


def SparseCategoricalCrossentropy(from_logits: bool = False) -> CrossEntropy:
    """`CrossEntropy` of integer labels."""
    return CrossEntropy()


def BinaryCrossentropy(from_logits: bool = False) -> BinaryCrossEntropy:
    """`BinaryCrossEntropy`."""
    return BinaryCrossEntropy()
