"""Penalties on large weights, added to the loss: Keras's ``kernel_regularizer`` and ``bias_regularizer``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinycnn.arguments import brief, number
from tinycnn.kernels.sets import active


@dataclass(frozen=True)
class L1L2:
    """``penalty = l1 * sum(|w|) + l2 * sum(w^2)``, whose gradient is ``l1 * sign(w) + 2 * l2 * w``.

    In training and in `evaluate` the penalties of all layers that train are part of the loss.  L2 pulls a weight
    towards 0 in proportion to its size, L1 by the same amount whatever its size, so that many become nearly 0.  With
    `SGD` without momentum an `l2` does to a kernel what the optimizer's ``weight_decay=2 * l2`` does; with `Adam`,
    which divides every gradient by its usual size, it does not (Loshchilov and Hutter, Decoupled weight decay
    regularization, arXiv:1711.05101).

    Parameters
    ----------
    l1, l2 : float
        Not negative.

    Raises
    ------
    ValueError
        For anything else.

    References
    ----------
    Goodfellow, Bengio and Courville, Deep Learning, section 7.1.

    Examples
    --------
    >>> penalty, w, grad = L1L2(l1=1, l2=0.5), np.array([3.0, -4.0]), np.zeros(2)
    >>> penalty(w)      # |3| + |-4| + (9 + 16) / 2
    19.5
    >>> penalty.add_gradient(w, grad)
    >>> grad
    array([ 4., -5.])
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for key, value in self.config().items():
            object.__setattr__(self, key, number(value, f"L1L2: {key}"))

    def config(self) -> dict[str, Any]:
        """Constructor arguments as a JSON-able dict."""
        return {"l1": self.l1, "l2": self.l2}

    def __call__(self, weights: np.ndarray) -> float:
        """The penalty of an array of weights."""
        penalty = self.l2 * active().sum_of_squares(weights) if self.l2 else 0.0
        return penalty + self.l1 * float(np.abs(weights).sum(dtype=np.float64)) if self.l1 else penalty

    def add_gradient(self, weights: np.ndarray, grad: np.ndarray) -> None:
        """Add the penalty's derivative by `weights` to `grad`, of the same shape; that of ``|0|`` is 0, as in Keras."""
        if self.l2:
            grad += 2 * self.l2 * weights
        if self.l1:
            grad += self.l1 * np.sign(weights)


def l1(l1: float = 0.01) -> L1L2:
    """``l1 * sum(|w|)``.

    >>> l1(0.5)
    L1L2(l1=0.5, l2=0.0)
    """
    return L1L2(l1=l1)


def l2(l2: float = 0.01) -> L1L2:
    """``l2 * sum(w^2)``.

    >>> l2(1e-4)
    L1L2(l1=0.0, l2=0.0001)
    """
    return L1L2(l2=l2)


Regularizer = L1L2 | str | dict[str, float] | None


def get(regularizer: Regularizer) -> L1L2 | None:
    """The penalty that a ``kernel_regularizer=`` or ``bias_regularizer=`` argument stands for.

    Parameters
    ----------
    regularizer : None, L1L2, str or dict
        "l1" or "l2", each of 0.01; a dict is what `L1L2.config` gave.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> get("l2"), get(None)
    (L1L2(l1=0.0, l2=0.01), None)
    """
    if regularizer is None or isinstance(regularizer, L1L2):
        return regularizer
    if isinstance(regularizer, dict) and regularizer.keys() <= {"l1", "l2"}:
        return L1L2(**regularizer)
    if isinstance(regularizer, str) and regularizer in ("l1", "l2"):
        return l1() if regularizer == "l1" else l2()
    raise ValueError(f'a regularizer must be None, l1(...), l2(...), L1L2(...), "l1" or "l2", got {brief(regularizer)}')
