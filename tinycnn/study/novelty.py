"""Which images are unlike those that a network was trained on.

A network calls whatever it is shown one of its classes: a photo of a cat gets a disease, with a high probability. So a
second question is asked of each image: how far does what the layers make of it lie from what they made of the training
images? How far is too far, held-out images of the same kind say, which the network has never seen.
"""

import math
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinycnn.data.dataset import Dataset
from tinycnn.files import PathLike
from tinycnn.model import Sequential
from tinycnn.npz import field, read_npz, write_npz
from tinycnn.study.provenance import weights_hash

SHARE = 0.05  # of familiar images that may be marked, at most


class Novelty(NamedTuple):
    """A distance from the training images of one network, and the threshold above which an image is marked.

    Mahalanobis's distance ``d(x) = sqrt((f(x) - mean)^T C^-1 (f(x) - mean))``, with f of `channel_statistics`, and
    their mean and covariance C (`shrunk_covariance`) over the training images.  It knows no classes: an image between
    two classes is familiar too.

    Attributes
    ----------
    mean : ndarray of float64, (features,)
    whitening : ndarray of float32, (features, features)
        W with ``W W^T = C^-1``, so that ``d = |(f - mean) W|``.
    threshold : float
    expected : float
        Share of images like the held-out ones that lies above the threshold, in the mean over sets of held-out images:
        with the k-th smallest of their n distances as the threshold it is ``(n + 1 - k) / (n + 1)``, whatever their
        distribution (conformal prediction).
    held_out : int
        n.

    References
    ----------
    Lee, Lee, Lee and Shin, A simple unified framework for detecting out-of-distribution samples and adversarial
    attacks, NeurIPS 2018 (the distance, on means of feature maps of several layers); Vovk, Gammerman and Shafer,
    Algorithmic Learning in a Random World, 2005, chapter 2 (the threshold).
    """

    mean: np.ndarray
    whitening: np.ndarray
    threshold: float
    expected: float
    held_out: int

    def distances(self, model: Sequential, images: np.ndarray) -> np.ndarray:
        """How far each image is from the training images of `model`: float64, (images,)."""
        return np.linalg.norm((channel_statistics(model, images) - self.mean) @ self.whitening, axis=1)

    def in_thresholds(self, model: Sequential, images: np.ndarray) -> np.ndarray:
        """`distances` divided by the threshold: above 1, an image is marked."""
        return self.distances(model, images) / (self.threshold or np.finfo(float).tiny)

    def marks(self, model: Sequential, images: np.ndarray) -> np.ndarray:
        """Whether each image is unlike the training images of `model`: bool, (images,)."""
        return self.distances(model, images) > self.threshold

    def told(self, marks: np.ndarray) -> dict[str, Any]:
        """What ``report.json`` holds of it: ``threshold, expected, held_out``, and the numbers of marked images."""
        numbers = {"threshold": self.threshold, "expected": self.expected, "held_out": self.held_out}
        return numbers | {"marked": np.flatnonzero(marks).tolist()}


def fit_novelty(model: Sequential, train: Dataset, held_out: Dataset) -> Novelty:
    """Learn the distance from the training images of `model`, and the threshold from images that it has not seen.

    Parameters
    ----------
    model : Sequential
        Trained on `train`, not on `held_out`.
    train, held_out : Dataset
        At most `SHARE` of images like the held-out ones is to be marked.  Fewer than 19 cannot tell so small a share:
        the largest of their distances is then the threshold.

    Raises
    ------
    ValueError
        If a set has no images, no layer of the model gives feature maps.

    Examples
    --------
    >>> from tinycnn.models import film_cnn
    >>> from tinycnn.study.films.phantoms import chest_phantoms
    >>> train, held_out, _ = chest_phantoms(n_train=20, n_test=13, size=32, mode="L")
    >>> model = film_cnn(filters=(4, 8))
    >>> _ = model.build((32, 32, 1))
    >>> novelty = fit_novelty(model, train, held_out)
    >>> round(novelty.expected, 3), int(novelty.marks(model, held_out.images).sum())
    (0.05, 1)
    >>> noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), np.uint8)
    >>> novelty.marks(model, noise)
    array([ True,  True,  True,  True])
    """
    if not len(train) or not len(held_out):
        raise ValueError(f"both training and held-out images are needed, got {len(train)} and {len(held_out)}")
    features = channel_statistics(model, train.images)  # (images, features)
    mean = features.mean(axis=0)
    root = np.linalg.cholesky(shrunk_covariance(features - mean))  # C = root root^T
    whitening = np.linalg.inv(root).T.astype(np.float32)
    n = len(held_out)
    k = min(n, math.ceil((n + 1) * (1 - SHARE)))
    found = Novelty(mean, whitening, math.inf, (n + 1 - k) / (n + 1), n)
    return found._replace(threshold=float(np.sort(found.distances(model, held_out.images))[k - 1]))


def channel_statistics(model: Sequential, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """What the layers make of images: mean and standard deviation over all places of each channel.

    Of the last feature maps of each resolution: those before a pooling see grain and edges, late ones see shapes.  The
    last dense layers alone would not do: what has no pattern of any class leaves them near zero, as a dull image does.

    Parameters
    ----------
    model : Sequential
    images : ndarray, (images, height, width, channels)
    batch_size : int

    Returns
    -------
    ndarray of float64, (images, features)

    Raises
    ------
    ValueError
        If the images do not fit, or no layer gives feature maps.
    """
    rows, chosen = [], _last_maps(model)
    for start in range(0, len(images), batch_size):
        x = model.prepare(images[start : start + batch_size])
        parts = []  # of the batch, (images, 2 * channels) each
        for i, layer in enumerate(model.layers[: chosen[-1] + 1]):
            x = layer.forward(x)
            if i in chosen:
                parts.append(np.stack([_moments(maps) for maps in x]))  # an image at a time, for little memory
        rows.append(np.concatenate(parts, axis=1))
    return np.concatenate(rows)


def shrunk_covariance(rows: np.ndarray) -> np.ndarray:
    """A covariance matrix that can be inverted, of few centred `rows` with many columns.

    ::

        S = X^T X / n,   m = trace(S) / p,   s = min(1, (sum_i |x_i x_i^T - S|^2 / n^2) / |S - m I|^2)
        C = (1 - s) S + s m I

    with n rows x_i of p numbers: the s that minimises the expected squared error of C, estimated.

    Parameters
    ----------
    rows : ndarray of float64, (n, p)
        Their mean is 0.

    Returns
    -------
    ndarray of float64, (p, p)

    References
    ----------
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, Journal of Multivariate
    Analysis 88, 2004.

    Examples
    --------
    >>> shrunk_covariance(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, -0.5]])).round(3)
    array([[0.323, 0.   ],
           [0.   , 0.302]])
    """
    n, p = rows.shape
    sample = rows.T @ rows / n
    level = np.trace(sample) / p or 1.0  # 1 where nothing varies at all
    identity = level * np.eye(p)
    apart = np.sum((sample - identity) ** 2)
    noise = (np.mean(np.sum(rows**2, axis=1) ** 2) - np.sum(sample**2)) / n
    part = min(1.0, max(noise / apart, 1e-4)) if apart else 1.0  # 0 for two rows, whose S has no inverse
    return (1 - part) * sample + part * identity


def save_novelty(model_path: PathLike, model: Sequential, novelty: Novelty) -> Path:
    """Write `novelty` beside the saved `model`, whole or not at all, and return its file: ``model.novelty.npz``.

    Raises
    ------
    OSError
        Naming the file.
    """
    path = novelty_file(model_path)
    told = {"weights": weights_hash(model), "threshold": novelty.threshold, "expected": novelty.expected}
    arrays = {"mean": novelty.mean, "whitening": novelty.whitening}
    write_npz(path, {"novelty": {**told, "held_out": novelty.held_out}}, arrays)
    return path


def load_novelty(model_path: PathLike, model: Sequential) -> Novelty | None:
    """What `save_novelty` wrote beside the saved `model`; None if there is no such file.

    Raises
    ------
    ValueError
        If the file is damaged, or belongs to other weights.
    OSError
        If it cannot be read.
    """
    path = novelty_file(model_path)
    if not path.exists():
        return None
    header, arrays = read_npz(path)
    told = field(header, "novelty", dict, str(path))
    if field(told, "weights", str, str(path)) != weights_hash(model):
        raise ValueError(
            f"{path} belongs to other weights than those of {model_path}: train that model again with held-out images, "
            "or remove the file"
        )
    mean, whitening = (field(arrays, name, np.ndarray, str(path)) for name in ("mean", "whitening"))
    n = 2 * sum(model.layers[i].output_shape[2] for i in _last_maps(model))
    for name, array, shape in (("mean", mean, (n,)), ("whitening", whitening, (n, n))):
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} must be {shape} finite numbers, got {array.dtype} {array.shape}")
    threshold, expected = (field(told, name, float, str(path), least=0) for name in ("threshold", "expected"))
    return Novelty(mean, whitening, threshold, expected, field(told, "held_out", int, str(path), least=1))


def novelty_file(model_path: PathLike) -> Path:
    """Where the novelty of a saved model lies.

    >>> novelty_file("runs/a/model.npz").as_posix()
    'runs/a/model.novelty.npz'
    """
    return Path(model_path).with_suffix(".novelty.npz")


def _moments(maps: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each channel of (rows, columns, channels): float64, (2 * channels,)."""
    mean = _mean(maps)
    return np.concatenate([mean, np.sqrt(_mean(np.square(maps - mean.astype(maps.dtype))))])


def _mean(maps: np.ndarray) -> np.ndarray:
    """Over all places; a column of float32 is short enough to be summed as it is, the whole is not."""
    return maps.mean(axis=0).mean(axis=0, dtype=np.float64)


def _last_maps(model: Sequential) -> list[int]:
    """Indices of the layers whose feature maps are the last of their height and width."""
    maps = [(i, layer.output_shape[:2]) for i, layer in enumerate(model.layers) if len(layer.output_shape) == 3]
    if not maps:
        raise ValueError(f"no layer of model '{model.name}' gives feature maps, by which images could be compared")
    return [list(run)[-1][0] for _, run in groupby(maps, key=lambda pair: pair[1])]
