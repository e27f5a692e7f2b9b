"""Losses: what training minimises.  Each gives a scalar and its gradient with respect to the model's output."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, chosen, number, shown


class Loss:
    """``forward(logits, labels) -> float``, then ``backward() -> gradient`` with the logits' shape and dtype."""

    _grad: np.ndarray | None = None

    def forward(self, logits: np.ndarray, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean loss over the batch, as a float.

        Parameters
        ----------
        logits : ndarray, float32 or float64
            What the last layer gives, before any softmax or sigmoid.
        labels : array_like
        sample_weight : array_like, shape (n,), optional
            Multiplies each row's loss and gradient; the sum is divided by the batch size all the same, as in Keras.
            A loss of your own may do without.

        Raises
        ------
        ValueError
            If types or shapes do not fit, or a label is none; it is named with its index.
        """
        raise NotImplementedError

    def backward(self) -> np.ndarray:
        """Gradient of the last `forward` with respect to its logits."""
        if self._grad is None:
            raise RuntimeError(f"{type(self).__name__}: backward was called before forward")
        return self._grad.copy()

    def config(self) -> dict[str, Any]:
        """Constructor arguments as a JSON-able dict."""
        return {}

    def __repr__(self) -> str:
        return shown(self)

    def _floats(self, logits: ArrayLike) -> np.ndarray:
        logits = as_array(logits, "logits")
        if logits.dtype not in (np.float32, np.float64):
            raise ValueError(f"{type(self).__name__}: logits must be float32 or float64, got {logits.dtype}")
        if logits.size == 0:
            raise ValueError(f"{type(self).__name__}: logits of shape {logits.shape} are empty")
        return logits

    def _row_weights(self, logits: np.ndarray, sample_weight: ArrayLike | None) -> np.ndarray | None:
        """One weight for each row, of a shape that multiplies arrays of the logits' number of axes."""
        if sample_weight is None:
            return None
        weights = self._numbers(sample_weight)
        if weights.shape != logits.shape[:1]:
            name = type(self).__name__
            raise ValueError(f"{name}: sample_weight of shape {weights.shape}, but logits have {len(logits)} rows")
        return weights.astype(np.float64).reshape(-1, *[1] * (logits.ndim - 1))

    def _numbers(self, labels: ArrayLike) -> np.ndarray:
        labels = as_array(labels, "labels")
        if labels.dtype.kind not in "biuf":
            raise ValueError(f"{type(self).__name__}: labels must be numbers, got {labels.dtype}")
        return labels


class CrossEntropy(Loss):
    r"""Softmax cross-entropy on logits with integer labels.

    For logits :math:`z` of shape ``(n, classes)``, label :math:`t_i` of row `i`, class weights :math:`w` and label
    smoothing :math:`s`, with targets :math:`q_{ij} = (1 - s)\,[j = t_i] + s / \mathrm{classes}`,

    .. math::
        L = \frac1n \sum_i w_{t_i} \sum_j q_{ij}\, (\mathrm{logsumexp}(z_i) - z_{ij}), \qquad
        \frac{\partial L}{\partial z_{ij}} = \frac{w_{t_i}}{n}\, (\mathrm{softmax}(z_i)_j - q_{ij}).

    A class weight belongs to the *sample* of that true class, that is to a row of the gradient, never to a column.
    The sum is divided by the batch size, as Keras's ``fit(class_weight=...)`` does.  PyTorch's
    ``CrossEntropyLoss(weight=w)`` divides by the sum of the samples' weights instead, so its loss and
    gradients are :math:`n / \sum_i w_{t_i}` times these, and it weights the smoothed targets by their own class.

    Parameters
    ----------
    class_weight : None, sequence or dict
        One weight per class, or ``{class: weight}`` where a class left out has weight 1, as in Keras.
    label_smoothing : float
        In ``[0, 1)``; the share of each target that is spread evenly over all classes.

    References
    ----------
    Bishop, *Pattern Recognition and Machine Learning* (2006), section 4.3.4; label smoothing: Szegedy et al.,
    "Rethinking the Inception Architecture" (2016), section 7.

    Examples
    --------
    >>> loss = CrossEntropy()
    >>> logits = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    >>> round(loss.forward(logits, [2, 0]), 4)          # (log 3 + log(1 + 2/e^2)) / 2
    0.6691
    >>> loss.backward().round(4).tolist()
    [[0.1667, 0.1667, -0.3333], [-0.1065, 0.0533, 0.0533]]
    >>> round(CrossEntropy(class_weight={2: 3.0}).forward(logits, [2, 0]), 4)
    1.7677
    """

    def __init__(
        self,
        class_weight: Mapping[int, float] | Sequence[float] | np.ndarray | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        weight: Any = class_weight
        if isinstance(weight, Mapping):
            weight = {_class_index(key): number(w, f"CrossEntropy: class_weight[{key!r}]") for key, w in weight.items()}
        elif weight is not None:
            if as_array(weight, "CrossEntropy: class_weight").ndim != 1:
                raise ValueError(
                    f"CrossEntropy: class_weight must be one row of weights or {{class: weight}}, got "
                    f"{brief(weight)} of shape {np.shape(weight)}; "
                    "balanced_class_weights(labels) gives the balanced ones"
                )
            weight = [number(w, "CrossEntropy: class_weight") for w in weight]
        self.class_weight: dict[int, float] | list[float] | None = weight
        self.label_smoothing = number(label_smoothing, "CrossEntropy: label_smoothing", below=1)

    def config(self) -> dict[str, Any]:
        weight = self.class_weight
        named = {str(key): value for key, value in weight.items()} if isinstance(weight, dict) else weight
        return {"class_weight": named, "label_smoothing": self.label_smoothing}

    def weights(self, classes: int) -> np.ndarray | None:
        """The class weights as an array of length `classes`, or None."""
        weight = self.class_weight
        if weight is None:
            return None
        if isinstance(weight, dict):
            if unknown := [key for key in weight if key >= classes]:
                raise ValueError(f"CrossEntropy: class_weight names class {unknown[0]}, logits have {classes} classes")
            weight = [weight.get(j, 1.0) for j in range(classes)]
        if len(weight) != classes:
            raise ValueError(f"CrossEntropy: {len(weight)} class weights for logits of {classes} classes")
        if not any(weight):
            given = self.class_weight
            raise ValueError(f"CrossEntropy: every class weight is 0, so nothing would be learned; got {given}")
        return np.array(weight)

    def forward(self, logits: np.ndarray, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean loss over the batch, as in `Loss.forward`: logits (n, classes), labels (n,), classes as ints from 0."""
        logits = self._floats(logits)
        labels = as_array(labels, "labels")
        if logits.ndim != 2 or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"CrossEntropy: logits of shape (n, classes) need labels of shape (n,), got logits {logits.shape} and "
                f"labels {labels.shape}" + ("; turn one-hot rows into integers" if labels.ndim == 2 else "")
            )
        if labels.dtype.kind not in "iu":
            raise ValueError(f"CrossEntropy: labels must be integers, got {labels.dtype}; number the classes from 0")
        n, classes = logits.shape
        outside = np.flatnonzero((labels < 0) | (labels >= classes))
        if outside.size:
            i = int(outside[0])
            raise ValueError(f"CrossEntropy: label {labels[i]} at index {i} is not a class: logits have {classes}")

        rows = np.arange(n)
        z = logits.astype(np.float64)  # (n, classes); small, so double precision is free
        z -= z.max(axis=1, keepdims=True)
        exp = np.exp(z)
        total = exp.sum(axis=1)  # (n,)
        smoothing = self.label_smoothing
        expected = (1 - smoothing) * z[rows, labels]  # (n,) sum_j q_ij z_ij
        grad = exp / total[:, None]  # (n, classes)
        grad[rows, labels] -= 1 - smoothing
        if smoothing:
            expected += smoothing * z.mean(axis=1)
            grad -= smoothing / classes
        losses = np.log(total) - expected  # (n,)
        weights = self.weights(classes)
        if weights is not None:
            losses *= weights[labels]
            grad *= weights[labels][:, None]
        row_weights = self._row_weights(logits, sample_weight)  # (n, 1)
        if row_weights is not None:
            losses *= row_weights[:, 0]
            grad *= row_weights
        self._grad = (grad / n).astype(logits.dtype)
        return float(losses.sum() / n)


class BinaryCrossEntropy(Loss):
    r"""Sigmoid cross-entropy on logits: each element is a yes/no question of its own.

    For logits :math:`z` and targets :math:`t \in [0, 1]`, `m` elements in all,

    .. math::
        L = \frac1m \sum \max(z, 0) - z t + \log(1 + e^{-|z|}), \qquad
        \frac{\partial L}{\partial z} = \frac{\sigma(z) - t}{m},

    which is :math:`-t \log\sigma(z) - (1 - t)\log(1 - \sigma(z))` without overflow or cancellation.  The mean is over
    all elements, as in Keras's ``BinaryCrossentropy(from_logits=True)`` and PyTorch's ``BCEWithLogitsLoss``.

    References
    ----------
    Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.2.2.2.

    Examples
    --------
    >>> loss = BinaryCrossEntropy()
    >>> loss.forward(np.array([[1000.0], [-1000.0]]), [1, 1])
    500.0
    >>> loss.backward().tolist()
    [[0.0], [-0.5]]
    """

    def forward(self, logits: np.ndarray, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean loss over all elements, as in `Loss.forward`: logits of any shape, often ``(n, 1)``; labels of the same
        shape, or ``(n,)`` for logits ``(n, 1)``, from 0 to 1."""
        logits = self._floats(logits)
        labels = self._numbers(labels)
        if labels.shape != logits.shape and (*labels.shape, 1) != logits.shape:
            raise ValueError(
                f"BinaryCrossEntropy: labels of shape {labels.shape} do not fit logits of shape {logits.shape}; "
                "give the same shape, or (n,) for logits (n, 1)"
            )
        t = labels.reshape(logits.shape).astype(np.float64)
        outside = np.argwhere(~((t >= 0) & (t <= 1)))
        if outside.size:
            index = tuple(outside[0].tolist())
            raise ValueError(f"BinaryCrossEntropy: label {t[index]} at index {index} is not in [0, 1]")
        z = logits.astype(np.float64)
        small = np.exp(-np.abs(z))
        sigmoid = np.where(z >= 0, 1.0, small) / (1.0 + small)
        grad = (sigmoid - t) / z.size
        losses = np.maximum(z, 0) - z * t + np.log1p(small)
        weights = self._row_weights(logits, sample_weight)
        if weights is not None:
            losses, grad = losses * weights, grad * weights
        self._grad = grad.astype(logits.dtype)
        return float(np.mean(losses))


class MeanSquaredError(Loss):
    r"""Mean of squared differences over all elements.

    .. math:: L = \frac1m \sum (y - t)^2, \qquad \frac{\partial L}{\partial y} = \frac2m (y - t)

    for `m` elements, as PyTorch's ``MSELoss``; equal to Keras's ``MeanSquaredError`` too, since all its rows have
    the same length.  With the images themselves as targets it trains an autoencoder.

    References
    ----------
    Bishop, *Pattern Recognition and Machine Learning* (2006), section 1.1.

    Examples
    --------
    >>> loss = MeanSquaredError()
    >>> loss.forward(np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]))
    3.25
    >>> loss.backward().tolist()
    [[0.0, 1.0], [1.5, 0.0]]
    """

    def forward(self, logits: np.ndarray, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean loss over all elements, as in `Loss.forward`: outputs and targets of one shape, whatever it is."""
        outputs = self._floats(logits)
        targets = self._numbers(labels)
        if targets.shape != outputs.shape:
            raise ValueError(
                f"MeanSquaredError: targets of shape {targets.shape} must have the outputs' shape {outputs.shape}"
            )
        difference = outputs - targets.astype(outputs.dtype)
        self._grad = difference * outputs.dtype.type(2 / difference.size)
        squares = np.square(difference)
        weights = self._row_weights(outputs, sample_weight)
        if weights is not None:
            weights = weights.astype(outputs.dtype)
            squares, self._grad = squares * weights, self._grad * weights
        loss = float(np.mean(squares, dtype=np.float64))
        if not math.isfinite(loss) and (outside := np.argwhere(~np.isfinite(targets))).size:
            index = tuple(outside[0].tolist())
            raise ValueError(f"MeanSquaredError: target {targets[index]} at index {index} is not a finite number")
        return loss


def _class_index(key: Any) -> int:
    """A class as an int; JSON has turned it into text in a saved configuration."""
    try:
        index = int(key)
    except (TypeError, ValueError):
        index = -1
    if index < 0 or (not isinstance(key, str) and index != key):
        raise ValueError(f"CrossEntropy: class_weight keys must be class numbers from 0, got {key!r}")
    return index


def balanced_class_weights(labels: ArrayLike) -> np.ndarray:
    """Weights that give every class the same say in the loss: ``w_c = n / (k * n_c)``.

    `n` images, `k` classes, `n_c` images of class `c`; scikit-learn's ``class_weight="balanced"`` (King and Zeng,
    "Logistic Regression in Rare Events Data", 2001). The mean weight over the images is 1.

    Parameters
    ----------
    labels : ndarray of int, (images,)
        Classes 0 to k-1, each present at least once.

    Returns
    -------
    ndarray of float64, (k,)

    Raises
    ------
    ValueError
        If there are no labels, they are not integers, or a class between 0 and the largest has no image.

    Examples
    --------
    >>> balanced_class_weights([0] * 111 + [1] * 70 + [2] * 70).round(4)
    array([0.7538, 1.1952, 1.1952])
    """
    labels = as_array(labels, "labels")
    if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be a non-empty 1-D array of integers, got {labels.dtype} {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"labels must be 0 or more, got {labels.min()}")
    counts = np.bincount(labels)
    if (counts == 0).any():
        raise ValueError(f"class {np.flatnonzero(counts == 0).tolist()} has no image, so it has no weight: {counts=}")
    return labels.size / (len(counts) * counts)


BY_NAME = {
    "categorical_crossentropy": CrossEntropy,
    "sparse_categorical_crossentropy": CrossEntropy,
    "binary_crossentropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
}


def get(loss: Loss | str | None) -> Loss:
    """The loss that a ``loss=`` argument stands for.

    Parameters
    ----------
    loss : Loss, str or None
        Keras's names, of which "categorical_crossentropy" and "sparse_categorical_crossentropy" are one here: labels
        are integers, not one-hot rows.  None is `CrossEntropy`.

    Raises
    ------
    ValueError
        For anything else, such as a class in place of an object.

    Examples
    --------
    >>> get("mse"), get(None)
    (MeanSquaredError(), CrossEntropy(class_weight=None, label_smoothing=0.0))
    """
    return chosen("categorical_crossentropy" if loss is None else loss, "loss", Loss, BY_NAME)
