"""How far one gets without looking at lungs: what a network must beat before it has shown anything.

Each baseline is a table of features, one row an image, and `LogisticRegression` or a mere count of classes on it.
"""

import numpy as np

from tinycnn.layers.dense import Dense
from tinycnn.model import Sequential
from tinycnn.optimizers import SGD
from tinycnn.scores.metrics import label_vector
from tinycnn.training.callbacks import Callback


class LogisticRegression:
    """Multinomial logistic regression with a ridge penalty: one `Dense` layer, trained on all images at once.

    ::

        minimise   sum over images of -log softmax(z @ kernel + bias)[label]  +  penalty / 2 * |kernel|^2

    with ``z`` the features less their training mean, over their training standard deviation (0 for a constant one).

    Parameters
    ----------
    penalty : float
        At least 0; 1 is scikit-learn's default ``C=1``.
    steps : int
        Of gradient descent with momentum, at most: it ends when nothing moves any more.

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

    def __init__(self, penalty=1.0, steps=2000):
        if not penalty >= 0:
            raise ValueError(f"LogisticRegression: penalty must be 0 or more, got {penalty}")
        self.penalty, self.steps = penalty, steps

    def fit(self, features, labels, classes=None):
        """Learn from `features` (images, features) and integer `labels`; `classes` defaults to the largest label + 1.

        Returns
        -------
        LogisticRegression
            Itself.
        """
        features, labels = np.asarray(features, np.float64), label_vector(labels, "labels", classes)
        if features.ndim != 2 or len(features) != len(labels):
            raise ValueError(f"features must be of shape ({len(labels)}, features), got {features.shape}")
        self.mean, self.scale = features.mean(axis=0), features.std(axis=0)
        # A constant feature says nothing, and its deviation, which rounding leaves at 1e-17, would make it noise.
        self.scale[self.scale <= 1e-9 * np.abs(self.mean)] = np.inf
        z = self._standardised(features)
        self.model = Sequential([Dense(classes or int(labels.max()) + 1, activation="softmax")], name="regression")
        momentum = 0.97  # near 1 suits long, narrow valleys
        # Decay acts past the momentum, which multiplies the gradient's steps by 1 / (1 - momentum) in the long run.
        decay = self.penalty / len(z) / (1 - momentum)
        # The loss's curvature is at most half that of the features' second moments.
        widest = max(1.0, _largest_eigenvalue(z))
        optimizer = _RidgeSGD(widest, 1 / (widest / 2 + decay), momentum=momentum, nesterov=True, weight_decay=decay)
        self.model.fit(
            (z, labels),
            epochs=self.steps,
            batch_size=len(z),
            shuffle=False,
            optimizer=optimizer,
            verbose=0,
            callbacks=[_Standstill()],
        )
        return self

    def predict(self, features):
        """Probabilities, float32 (images, classes)."""
        return self.model.predict(self._standardised(np.asarray(features, np.float64)))

    def _standardised(self, features):
        return ((features - self.mean) / self.scale).astype(np.float32)


class _RidgeSGD(SGD):
    """SGD that leaves biases undecayed and moves them faster.

    A centred feature never acts together with the bias, whose curvature is at most 1/2: it bears a rate that is
    larger by what the features' largest second moment exceeds 1.
    """

    def __init__(self, bias_speed, learning_rate, **options):
        super().__init__(learning_rate, **options)
        self.bias_speed = bias_speed

    def _update(self, param, grad, kept, learning_rate, decay, scale):
        if param.ndim == 1:
            learning_rate, decay = learning_rate * self.bias_speed, 0.0
        super()._update(param, grad, kept, learning_rate, decay, scale)


class _Standstill(Callback):
    """Stop once no parameter has moved by more than `tolerance` within `every` steps."""

    every, tolerance, last = 100, 2e-5, None

    def on_epoch_end(self, epoch, logs):
        if epoch % self.every == 0:
            now = np.concatenate([param.ravel() for _, param, _ in self.model.parameters()])
            self.training.stop = self.last is not None and np.abs(now - self.last).max() < self.tolerance
            self.last = now


def _largest_eigenvalue(z, rounds=30):
    """Of ``z.T @ z / images``, by power iteration; einsum, since BLAS has threads of its own."""
    v = np.random.default_rng(0).normal(size=z.shape[1])
    for _ in range(rounds):
        v /= np.linalg.norm(v)
        v = np.einsum("ni,n->i", z, np.einsum("ni,i->n", z, v)) / len(z)
    return np.linalg.norm(v)


def majority_class(train_labels, images, classes):
    """Call everything what training has most of: class shares as the probabilities of each of `images` images.

    >>> majority_class([0, 0, 1], 2, 2).round(2)
    array([[0.67, 0.33],
           [0.67, 0.33]])
    """
    shares = np.bincount(label_vector(train_labels, "train_labels", classes), minlength=classes) / len(train_labels)
    return np.tile(shares, (images, 1))


def thumbnails(images, side=16):
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


def header_numbers(audit):
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
