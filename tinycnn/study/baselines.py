"""How far one gets without looking at lungs: what a network must beat before it has shown anything.

Each baseline is a table of features, one row an image, and `LogisticRegression` or a mere count of classes on it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.scores.metrics import label_vector
from tinycnn.study.films.audit import Audit


class LogisticRegression:
    """Multinomial logistic regression with a ridge penalty, by Newton's method.

    ::

        minimise   sum over images of -log softmax(z @ kernel + bias)[label]  +  penalty / 2 * |kernel|^2

    with ``z`` the features less their training mean, over their training standard deviation (0 for a constant one).

    Parameters
    ----------
    penalty : float
        At least 0; 1 is scikit-learn's default ``C=1``.
    steps : int
        Of Newton's method, at most: it ends when nothing moves any more.

    Raises
    ------
    ValueError
        For a negative penalty.

    References
    ----------
    Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 4.4.

    Examples
    --------
    >>> model = LogisticRegression().fit([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    >>> model.predict([[-1.0], [6.0]]).argmax(axis=1)
    array([0, 1])
    """

    def __init__(self, penalty: float = 1.0, steps: int = 50) -> None:
        if not penalty >= 0:
            raise ValueError(f"LogisticRegression: penalty must be 0 or more, got {penalty}")
        self.penalty, self.steps = penalty, steps

    def fit(
        self, features: ArrayLike, labels: Sequence[int] | np.ndarray, classes: int | None = None
    ) -> "LogisticRegression":
        """Learn from `features` (images, features) and integer `labels`; `classes` defaults to the largest label + 1.

        Returns
        -------
        LogisticRegression
            Itself.
        """
        x, labels = np.asarray(features, np.float64), label_vector(labels, "labels", classes)
        if x.ndim != 2 or len(x) != len(labels):
            raise ValueError(f"features must be of shape ({len(labels)}, features), got {x.shape}")
        self.mean, self.scale = x.mean(axis=0), x.std(axis=0)
        # A constant feature says nothing, and its deviation, which rounding leaves at 1e-17, would make it noise.
        self.scale[self.scale <= 1e-9 * np.abs(self.mean)] = np.inf
        z = self._standardised(x)  # (images, features + 1)
        truth = np.eye(classes or int(np.max(labels)) + 1)[labels]  # (images, classes)
        ridge = np.full((z.shape[1], 1), float(self.penalty))
        ridge[-1] = 0  # the bias
        weights = np.zeros((z.shape[1], truth.shape[1]))  # kernel, and the bias as its last row
        for _ in range(self.steps):
            p = _softmax(z @ weights)
            slope = z.T @ (p - truth) + ridge * weights
            spread = p[:, :, None] * np.eye(truth.shape[1]) - p[:, :, None] * p[:, None, :]  # covariance of each image
            curvature = np.einsum("ni,nab,nj->iajb", z, spread, z, optimize=True).reshape(slope.size, slope.size)
            # All biases may rise together and change nothing: a trace of curvature there keeps it solvable.
            curvature += np.diag(np.repeat(ridge, truth.shape[1]) + 1e-8)
            step = np.linalg.solve(curvature, slope.ravel()).reshape(slope.shape)
            before = self._loss(z, truth, ridge, weights)
            while self._loss(z, truth, ridge, weights - step) > before and np.abs(step).max() > 1e-9:
                step /= 2
            weights = weights - step
            if np.abs(step).max() < 1e-8:
                break
        self.weights = weights
        return self

    def predict(self, features: ArrayLike) -> np.ndarray:
        """Probabilities, float64 (images, classes)."""
        return _softmax(self._standardised(np.asarray(features, np.float64)) @ self.weights)

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        """And beside them a column of ones, for the bias."""
        return np.column_stack([(features - self.mean) / self.scale, np.ones(len(features))])

    @staticmethod
    def _loss(z: np.ndarray, truth: np.ndarray, ridge: np.ndarray, weights: np.ndarray) -> float:
        of_truth = (_softmax(z @ weights) * truth).sum(axis=1)
        return float((ridge * weights**2).sum() / 2 - np.log(np.maximum(of_truth, 1e-300)).sum())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def majority_class(train_labels: Sequence[int] | np.ndarray, images: int, classes: int) -> np.ndarray:
    """Call everything what training has most of: class shares as the probabilities of each of `images` images.

    >>> majority_class([0, 0, 1], 2, 2).round(2)
    array([[0.67, 0.33],
           [0.67, 0.33]])
    """
    shares = np.bincount(label_vector(train_labels, "train_labels", classes), minlength=classes) / len(train_labels)
    return np.tile(shares, (images, 1))


def thumbnails(images: ArrayLike, side: int = 16) -> np.ndarray:
    """Grey levels of `side` x `side` area averages, one row an image.

    Parameters
    ----------
    images : ndarray, (images, height, width, channels)
    side : int
        At most height and width.

    Returns
    -------
    ndarray of float64, (images, side * side)

    Raises
    ------
    ValueError
        If the images are smaller.

    Examples
    --------
    >>> thumbnails(np.arange(16.0).reshape(1, 4, 4, 1), 2)
    array([[ 2.5,  4.5, 10.5, 12.5]])
    """
    images = np.asarray(images)
    if images.ndim != 4 or not 1 <= side <= min(images.shape[1:3]):
        raise ValueError(
            f"thumbnails of {side} x {side} need images (images, height, width, channels) at least that large, "
            f"got {images.shape}"
        )
    edges = [np.linspace(0, size, side + 1).astype(int) for size in images.shape[1:3]]
    areas = np.outer(*(np.diff(edge) for edge in edges))
    rows = np.empty((len(images), side * side))
    for row, image in zip(rows, images, strict=True):
        grey = image.mean(axis=2, dtype=np.float64)
        sums = np.add.reduceat(np.add.reduceat(grey, edges[0][:-1], axis=0), edges[1][:-1], axis=1)
        row[...] = (sums / areas).ravel()
    return rows


def header_numbers(audit: Audit) -> np.ndarray:
    """Width, height, aspect ratio, mean and standard deviation of each image's grey levels, as far as known.

    Parameters
    ----------
    audit : Audit
        Of files, for the original sizes; of images in memory only the last two are known.

    Returns
    -------
    ndarray of float64, (images, 2 to 5)
        In the order of ``audit.paths``.
    """
    columns = [audit.numbers[key] for key in ("width", "height", "aspect", "mean", "spread")]
    return np.column_stack([column for column in columns if not np.isnan(column).any()])
