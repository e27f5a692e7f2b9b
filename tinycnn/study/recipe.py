"""The best recipe found for the report's task: a small network, equalised films, strong augmentation, many views.

Preprocessing, augmentation, network and training were chosen by grouped cross-validation on the training images
alone.  The parts::

    films, labels = prepare(train)                              # each film in five exposures, equalised, 96 x 96
    members = [train_member((films, labels), seed) for seed in range(5)]
    probabilities = predict_with_views(Ensemble(members), prepare_images(test.images))

``examples/best_recipe.py`` runs it over several seeds and reports it on every set of images.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinycnn.data.augment import Augment, adjust_gamma, equalize
from tinycnn.data.dataset import Dataset
from tinycnn.data.resize import resize_images
from tinycnn.ensemble import Ensemble
from tinycnn.files import plain
from tinycnn.losses import CrossEntropy
from tinycnn.model import Sequential
from tinycnn.models.networks import deep_encoder, film_cnn, small_resnet, small_vgg
from tinycnn.optimizers import Adam
from tinycnn.schedules import CosineDecay

NETWORKS: dict[str, Callable[..., Sequential]] = {
    network.__name__: network for network in (film_cnn, small_vgg, small_resnet, deep_encoder)
}
SIZE = 96
EXPOSURES = (0.5, 0.7, 1.0, 1.4, 2.0)  # gamma: from twice as bright in the shadows to twice as dark
EPOCHS = 24  # of all exposures: each film is seen 120 times
BATCH = 16
LEARNING_RATE = 2e-3


def prepare(dataset: Dataset, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Films as `train_member` takes them: each in every one of `EXPOSURES`.

    Equalisation does not undo another exposure wholly, so the network meets several.

    Parameters
    ----------
    dataset : Dataset
        As for `prepare_images`.
    size : int

    Returns
    -------
    films : ndarray of uint8, (images, exposures, size, size, 1)
        Equalised, not yet standardised: a quarter of the memory to send to another process.
    labels : ndarray, (images,)

    Raises
    ------
    ValueError
        For images of another type or shape.

    Examples
    --------
    >>> from tinycnn.study.films.phantoms import chest_phantoms
    >>> films, labels = prepare(chest_phantoms(n_train=2, n_test=1, size=40).train, 32)
    >>> films.shape, labels.shape
    ((6, 5, 32, 32, 1), (6,))
    """
    films = [_equalized(adjust_gamma(dataset.images, gamma), size) for gamma in EXPOSURES]
    return np.stack(films, axis=1), dataset.labels


def prepare_images(images: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Grey, resized (antialiased), locally equalised (CLAHE), and each image standardised.

    Equalisation and standardisation take away what depends on the exposure: ``(x - mean(x)) / std(x)`` over the
    image's pixels.

    Parameters
    ----------
    images : ndarray of uint8, (images, height, width, 1 or 3)
        Best at two or more times `size`, so that resizing averages.
    size : int

    Returns
    -------
    ndarray of float32, (images, size, size, 1)
        A constant image becomes 0.

    Raises
    ------
    ValueError
        For images of another type or shape.

    Examples
    --------
    >>> films = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), np.uint8)
    >>> prepared = prepare_images(films, 16)
    >>> prepared.shape, [round(abs(float(image.mean())), 3) for image in prepared]
    ((2, 16, 16, 1), [0.0, 0.0])
    """
    return _standardized(_equalized(images, size))


def _equalized(images, size):
    return equalize(resize_images(images, size, mode="L"), clip_limit=2.0, tiles=8)


def _standardized(images):
    prepared = images.astype(np.float32)
    prepared -= prepared.mean((1, 2, 3), keepdims=True)
    prepared /= prepared.std((1, 2, 3), keepdims=True) + np.float32(1e-6)
    return prepared


def augmentation() -> Augment:
    """What is varied in training: pose and frame first, then exposure, sharpness and grain.

    Black comes in from outside, since films from elsewhere have black borders; ramps and blur stand for other
    grids, generators and scanners.

    >>> augmentation().fill_mode
    'minimum'
    """
    return Augment(
        rotation=10,
        flip=0.5,
        zoom=0.2,
        aspect=0.05,
        shift=0.08,
        brightness=0.2,
        contrast=0.2,
        ramp=0.3,
        blur=0.3,
        noise=0.15,
        fill_mode="minimum",
    )


def train_member(
    train: tuple[np.ndarray, np.ndarray],
    seed: int = 0,
    *,
    network: str = "film_cnn",
    classes: int = 3,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
    verbose: int = 0,
) -> Sequential:
    """Train one network by the recipe; its weights after the last epoch are the result.

    AdamW (decay 0.05, of kernels alone) with the rate climbing to 0.002 over the first tenth of the steps and falling
    by a cosine to a thousandth of that; label smoothing 0.1; no class weights and no validation images: there is
    nothing to stop early for, and every film counts.

    Parameters
    ----------
    train : (films, labels)
        From `prepare`.
    seed : int
        Initial weights, dropout, order and augmentation follow from it.
    network : str
        Of `NETWORKS`.
    classes, batch_size : int
    epochs : int
        Passes over all exposures of all films.
    verbose : int
        As of `fit`.

    Returns
    -------
    Sequential
        With the course of the training in ``metadata["history"]``.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C: half a training must not pass for a whole one.
    ValueError, FloatingPointError
        For an unknown `network`, and as `fit`.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019; Szegedy et al., Rethinking the Inception
    architecture for computer vision, CVPR 2016 (label smoothing).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> films = rng.integers(0, 256, (6, 5, 32, 32, 1), np.uint8)
    >>> model = train_member((films, np.array([0, 1, 2, 0, 1, 2])), epochs=1)
    >>> model.input_shape, len(model.metadata["history"]["loss"])
    ((32, 32, 1), 1)
    """
    films, labels = train
    images = _standardized(films.reshape(-1, *films.shape[2:]))  # (images * exposures, height, width, 1)
    labels = np.repeat(labels, films.shape[1])
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {network!r}")
    model = NETWORKS[network](classes, seed=seed)
    model.build(images.shape[1:])
    steps = epochs * -(-len(images) // batch_size)
    warm_up = max(1, steps // 10)
    rate = CosineDecay(
        LEARNING_RATE / warm_up, max(1, steps - warm_up), alpha=1e-3, warmup_target=LEARNING_RATE, warmup_steps=warm_up
    )
    history = model.fit(
        (images, labels),
        epochs=epochs,
        batch_size=batch_size,
        optimizer=Adam(rate, weight_decay=0.05, decay_vectors=False),
        loss=CrossEntropy(label_smoothing=0.1),
        augment=augmentation(),
        verbose=verbose,
    )
    if history.epochs < epochs:
        raise KeyboardInterrupt
    model.metadata["history"] = plain(dict(history))
    return model


def train_job(train: tuple[np.ndarray, np.ndarray], job: Mapping[str, Any]) -> Sequential:
    """`train_member` for `train_members`: any process can import it.

    Parameters
    ----------
    train : (films, labels)
    job : dict
        ``seed``, ``epochs``, ``classes`` and maybe ``network`` of `train_member`; with ``rows``, only these films are
        used; other keys only tell one member's file from another's.
    """
    films, labels = train
    if "rows" in job:
        films, labels = films[job["rows"]], labels[job["rows"]]
    chosen = {key: job[key] for key in ("network", "classes", "epochs") if key in job}
    return train_member((films, labels), job["seed"], **chosen)


def predict_with_views(model: Sequential | Ensemble, images: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Mean probabilities over ten views of each image: moved by 3 % up, down, left, right or not, mirrored or not.

    ``p(x) = 1/10 sum over views v of p(v(x))``: what the network says of a film should not hang on a few pixels.

    Parameters
    ----------
    model : Sequential or Ensemble
    images : ndarray, (images, height, width, channels)
        From `prepare_images`.  What comes in at an edge repeats it.
    batch_size : int
        Images whose views are held at a time.

    Returns
    -------
    ndarray of float64, (images, classes)

    References
    ----------
    Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, NeurIPS 2012,
    section 4.1, average over ten patches.

    Examples
    --------
    >>> model = film_cnn()
    >>> images = np.random.default_rng(0).normal(size=(2, 32, 40, 1)).astype(np.float32)
    >>> ten, mirrored = predict_with_views(model, images), predict_with_views(model, images[:, :, ::-1])
    >>> ten.shape, bool(np.allclose(ten, mirrored, atol=1e-6))
    ((2, 3), True)
    """
    means = []
    for start in range(0, max(1, len(images)), batch_size):
        seen = np.stack(list(views(images[start : start + batch_size])))  # (views, batch, height, width, channels)
        probabilities = model.predict(seen.reshape(-1, *images.shape[1:]), 4 * batch_size)
        means.append(probabilities.reshape(*seen.shape[:2], -1).mean(axis=0, dtype=np.float64))
    return np.concatenate(means)


def views(images: np.ndarray, shift: float = 0.03) -> Iterator[np.ndarray]:
    """Yield the ten views of `predict_with_views`: five places, and each of them mirrored."""
    height, width = images.shape[1:3]
    down, right = round(shift * height), round(shift * width)
    padded = np.pad(images, ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")
    for dy, dx in ((0, 0), (down, 0), (-down, 0), (0, right), (0, -right)):
        view = padded[:, down + dy : down + dy + height, right + dx : right + dx + width]
        yield view
        yield view[:, :, ::-1]
