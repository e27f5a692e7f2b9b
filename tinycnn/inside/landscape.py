"""The loss around a point in the space of all weights, cut by a plane through it."""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tinycnn import losses
from tinycnn.arguments import generator, of_class, positive, positive_int
from tinycnn.inside.twin import twin_of
from tinycnn.losses import Loss
from tinycnn.model import Sequential
from tinycnn.training.batches import Data
from tinycnn.training.prediction import evaluate


class LossSlice(NamedTuple):
    """Losses on a square grid of weights.

    Attributes
    ----------
    at : ndarray, shape (steps,)
        Positions along either direction; the middle one is 0.
    losses : ndarray of float64, shape (steps, steps)
        ``losses[i, j]`` belongs to ``weights + at[i] * first direction + at[j] * second direction``.
    """

    at: np.ndarray
    losses: np.ndarray

    @property
    def centre(self) -> float:
        """The loss of the weights themselves."""
        middle = len(self.at) // 2
        return float(self.losses[middle, middle])


def loss_slice(
    model: Sequential,
    data: Data,
    span: float = 1.0,
    steps: int = 9,
    seed: int | np.random.Generator = 0,
    batch_size: int = 16,
    loss: Loss | str | None = None,
) -> LossSlice:
    """Evaluate a model on a plane through its weights, spanned by two random directions.

    ::

        L(a, b) = loss(w + a d1 + b d2),   each filter of d scaled to the length of the same filter of w

    so that slices of different networks can be compared: a ReLU network computes the same with one layer's weights
    doubled and the next one's halved, and would look flatter without the scaling.  Biases and the parameters of
    normalisations stay as they are.

    Parameters
    ----------
    model : Sequential
        Built; a copy of it is evaluated.
    data : Dataset or (images, labels)
    span : float
        a and b run from ``-span`` to ``span``; at 1 a direction is as long as the weights.
    steps : int
        Odd: points along each direction, the middle one being the weights themselves.
    seed : int or numpy.random.Generator
        Of the directions.
    batch_size, loss
        As for `evaluate`.

    Returns
    -------
    LossSlice
        Its `centre` is ``evaluate(model, data, batch_size, loss)["loss"]``, to the bit.

    Raises
    ------
    ValueError
        If `steps` is even or `span` not positive, or as of `evaluate`.

    References
    ----------
    H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, "Visualizing the loss landscape of neural nets", NeurIPS 2018,
    section 4 (filter normalization).

    Examples
    --------
    >>> from tinycnn.layers import Dense
    >>> model = Sequential([Dense(2)])
    >>> data = np.float32([[1, 2], [3, 4]]), np.array([0, 1])
    >>> before = evaluate(model, data)["loss"]
    >>> loss_slice(model, data, steps=3).centre == before
    True
    """
    if positive_int(steps, "steps") % 2 == 0:
        raise ValueError(f"steps must be odd, so that one point is the weights, got {steps}")
    span = positive(span, "span", below=1e9)
    of_class(model, Sequential, "model")
    if not model.built:
        raise ValueError(f"model '{model.name}' must be built before its loss can be cut: train it or load it")
    rng, twin, weights = generator(seed), twin_of(model), model.get_weights()
    loss = copy.copy(losses.get(model.loss if loss is None else loss))
    directions = [filter_normalised(weights, rng) for _ in range(2)]
    at = np.linspace(-span, span, steps)
    at[steps // 2] = 0
    found = np.empty((steps, steps))
    for i, a in enumerate(at.tolist()):  # plain numbers leave the weights in their dtype
        for j, b in enumerate(at.tolist()):
            moved = {key: weights[key] + a * d1 + b * directions[1][key] for key, d1 in directions[0].items()}
            twin.set_weights(weights | moved)
            found[i, j] = evaluate(twin, data, batch_size, loss)["loss"]
    return LossSlice(at, found)


def filter_normalised(weights: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A random direction in the space of the weights with at least two axes, filter by filter as long as they are.

    >>> w = {"dense/kernel": np.array([[3.0, 0.0], [4.0, 0.0]]), "dense/bias": np.ones(2)}
    >>> d = filter_normalised(w, np.random.default_rng(0))
    >>> list(d), np.linalg.norm(d["dense/kernel"], axis=0).round(6).tolist()
    (['dense/kernel'], [5.0, 0.0])
    """
    directions = {}
    for key, w in weights.items():
        if w.ndim > 1:
            axes = tuple(range(w.ndim - 1))  # of one filter or unit; the last axis counts them
            d = rng.standard_normal(w.shape, w.dtype)
            d *= np.sqrt(np.square(w).sum(axis=axes) / np.square(d).sum(axis=axes))
            directions[key] = d
    return directions
