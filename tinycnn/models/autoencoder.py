"""A convolutional denoising autoencoder, and its two uses: cleaning images and giving a classifier its first layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import as_array, brief, generator, listed, of_class, positive_int
from tinycnn.data.dataset import Dataset, image_array
from tinycnn.layers.base import Layer
from tinycnn.layers.conv import Conv2D, Conv2DTranspose
from tinycnn.layers.pool import MaxPool2D
from tinycnn.layers.upsample import UpSample2D
from tinycnn.losses import MeanSquaredError
from tinycnn.model import Sequential
from tinycnn.training import History


def denoising_autoencoder(
    channels: int = 3, filters: Sequence[int] = (32, 64), activation: str | None = "sigmoid", seed: int = 0
) -> Sequential:
    """An encoder that halves the image at every step, and a decoder that doubles it back.

    ::

        for f in filters:            Conv f (3x3, same, ReLU), 2x2 max-pool             256x256 -> 64x64 for two
        for f in reversed(filters):  Conv f (3x3, same, ReLU), nearest upsampling by 2   64x64 -> 256x256

    where the last upsampling is a transposed convolution 2x2, stride 2, to `channels` instead: each of its outputs
    belongs to one input pixel only, so there is no overlap that would leave a checkerboard, and no convolution
    with many channels runs at full size.

    It is trained to give back clean images ``t`` from noisy ones ``t + e`` by ``min mean (f(t + e) - t)^2``
    (`fit_autoencoder`).  The encoder's layers are those with which `report_cnn` begins, so their weights fit there
    (`copy_encoder`).

    Parameters
    ----------
    channels : int
        Of the images: 3 or 1.
    filters : sequence of int
        Filters of the encoder's convolutions; one halving each.
    activation : str or None
        Of the last layer: "sigmoid" keeps the result within 0 and 1, None leaves it linear.
    seed : int

    Returns
    -------
    Sequential
        Not yet built; height and width must be multiples of ``2 ** len(filters)`` for the output to have the
        input's size.

    Raises
    ------
    ValueError
        If `filters` is empty.

    References
    ----------
    Vincent, Larochelle, Bengio and Manzagol, Extracting and composing robust features with denoising autoencoders,
    ICML 2008; Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network, CVPR 2016, for the last layer.

    Examples
    --------
    >>> model = denoising_autoencoder(channels=1, filters=(8, 4))
    >>> model.build((32, 48, 1))
    (32, 48, 1)
    """
    filters = tuple(listed(filters, "filters"))
    if not filters:
        raise ValueError("denoising_autoencoder needs filters for at least one convolution, such as (32, 64)")
    layers: list[Layer] = []
    for width in filters:
        layers += [Conv2D(width, 3, padding="same", activation="relu"), MaxPool2D(2)]
    for width in reversed(filters):
        layers += [Conv2D(width, 3, padding="same", activation="relu"), UpSample2D(2)]
    layers[-1] = Conv2DTranspose(channels, 2, strides=2, activation=activation)
    return Sequential(layers, seed=seed, name="denoising_autoencoder")


def add_noise(images: ArrayLike, level: float | tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Images with Gaussian noise, clipped to their range: ``clip(image + level * normal)``.

    The channels of a pixel share the noise, as in `Augment`: a grey film stays grey, and a network cannot remove
    the noise by averaging channels.

    Parameters
    ----------
    images : ndarray, (images, height, width, channels)
        uint8, or float from 0 to 1.
    level : float or (float, float)
        Standard deviation as a share of the full range: 0.02 is a grainy film, 0.1 (25 of 255 grey levels) plain to
        see, 0.3 hides the ribs.  Of a pair each image draws its own level between the two.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray
        A new array of the same shape and type.

    Raises
    ------
    ValueError
        For a negative level, or images of another kind.

    Examples
    --------
    >>> grey = np.full((2, 64, 64, 3), 128, np.uint8)
    >>> noisy = add_noise(grey, 0.1, np.random.default_rng(0))
    >>> round(float(noisy.std())), bool((noisy[..., 0] == noisy[..., 2]).all())
    (25, True)
    """
    low, high = level if isinstance(level, tuple | list) and len(level) == 2 else (level, level)
    rng = generator(rng, "rng")
    if not all(isinstance(value, int | float | np.number) for value in (low, high)) or not 0 <= low <= high < np.inf:
        raise ValueError(f"the noise level must be 0 or more (or a rising pair of such), got {brief(level)}")
    images = image_array(images, "uint8", "float")
    full = 255 if images.dtype == np.uint8 else 1
    sigmas = full * rng.uniform(low, high, len(images))
    noisy = np.empty_like(images)
    for image, out, sigma in zip(images, noisy, sigmas.astype(np.float32), strict=True):
        values = image + sigma * rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
        np.clip(values, 0, full, out=values)
        out[...] = np.rint(values) if full == 255 else values
    return noisy


class NoiseAugment:
    """`add_noise` as an ``augment`` for `fit`: every epoch sees the images under new noise, a batch at a time.

    Examples
    --------
    >>> images = np.full((4, 8, 8, 1), 128, np.uint8)
    >>> model = denoising_autoencoder(channels=1, filters=(2,))
    >>> history = model.fit((images, images), loss=MeanSquaredError(), augment=NoiseAugment(0.1), epochs=1, verbose=0)
    >>> list(history)
    ['loss', 'seconds', 'learning_rate']
    """

    def __init__(self, level: float | tuple[float, float] = 0.1) -> None:
        self.level = level

    def __repr__(self) -> str:
        return f"NoiseAugment({self.level!r})"

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return add_noise(images, self.level, rng)


def fit_autoencoder(
    model: Sequential,
    data: Dataset | ArrayLike,
    validation: Dataset | ArrayLike | None = None,
    *,
    level: float | tuple[float, float] = 0.1,
    seed: int = 0,
    **options: Any,
) -> History:
    """Train `model` to undo noise: `fit` with `MeanSquaredError`, noisy images in, the same images clean as targets.

    The images are held once: they are their own targets, and noise is added to each batch.

    Parameters
    ----------
    model : Sequential
        Such as `denoising_autoencoder`.
    data, validation : Dataset or ndarray of images
        Validation images get noise of `level` once, drawn from `seed`, so that epochs are comparable.
    level : float or (float, float)
        As for `add_noise`.
    seed : int
        Of the validation images' noise.
    **options
        Of `fit`: ``epochs``, ``batch_size``, ``optimizer``, ``callbacks``, ``verbose``, ``resume``, ...

    Returns
    -------
    History
        ``loss`` is the mean squared error, with pixels from 0 to 1.

    Examples
    --------
    >>> from tinycnn.study.films.phantoms import chest_phantoms
    >>> train, test, _ = chest_phantoms(n_train=4, n_test=1, size=32, mode="L")
    >>> model = denoising_autoencoder(channels=1, filters=(4,))
    >>> history = fit_autoencoder(model, train, test, epochs=2, verbose=0)
    >>> history["loss"][1] < history["loss"][0]
    True
    """
    of_class(model, Sequential, "model")
    images = _images(data)
    if not model.built:
        model.build(images.shape[1:])
    pair = None
    if validation is not None:
        clean = _images(validation)
        pair = add_noise(clean, level, generator(seed)), clean
    return model.fit((images, images), pair, loss=MeanSquaredError(), augment=NoiseAugment(level), **options)


def denoise(model: Sequential, data: Dataset, batch_size: int = 16) -> Dataset:
    """The images of `data` as the autoencoder gives them back, with their labels: ready for a classifier.

    Parameters
    ----------
    model : Sequential
        A trained `denoising_autoencoder`.
    data : Dataset
    batch_size : int
        Images at a time.

    Returns
    -------
    Dataset
        uint8; labels, class names and paths are those of `data`.

    Examples
    --------
    >>> data = Dataset(np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 1], ("Normal", "Pneumonia"))
    >>> denoise(denoising_autoencoder(channels=1, filters=(2,)), data)
    Dataset of 3 images 8x8x1 uint8: 1 Normal, 2 Pneumonia
    """
    of_class(model, Sequential, "model")
    of_class(data, Dataset, "data")
    batch_size = positive_int(batch_size, "batch_size")
    images = np.empty_like(data.images)
    for start in range(0, len(data), batch_size):
        outputs = model.predict(data.images[start : start + batch_size], batch_size)
        images[start : start + batch_size] = np.rint(255 * np.clip(outputs, 0, 1))
    return Dataset(images, data.labels, data.class_names, data.paths)


def copy_encoder(autoencoder: Sequential, classifier: Sequential) -> list[str]:
    """Give a classifier's first convolutions the weights of a trained autoencoder's encoder.

    The convolutions are paired in order as long as their kernels agree in shape; what follows the first that do
    not is left as it was, since it would be fed other features than it learnt on.

    Parameters
    ----------
    autoencoder, classifier : Sequential
        Both built.

    Returns
    -------
    list of str
        Names of the classifier's layers that were set.

    Raises
    ------
    ValueError
        If a model is not built, or not even the first convolutions agree.

    References
    ----------
    Vincent, Larochelle, Lajoie, Bengio and Manzagol, Stacked denoising autoencoders, JMLR 11, 2010.

    Examples
    --------
    >>> from tinycnn.models.report_cnn import report_cnn
    >>> autoencoder, classifier = denoising_autoencoder(), report_cnn()
    >>> _ = autoencoder.build((32, 32, 3)), classifier.build((32, 32, 3))
    >>> copy_encoder(autoencoder, classifier)
    ['conv2d', 'conv2d_1']
    """
    for model in (autoencoder, classifier):
        if not model.built:
            raise ValueError(f"model '{model.name}' must be built before weights are copied: call build(input_shape)")
    pools = [i for i, layer in enumerate(autoencoder.layers) if isinstance(layer, MaxPool2D)]
    encoder, theirs = (
        [layer for layer in layers if isinstance(layer, Conv2D)]
        for layers in (autoencoder.layers[: pools[-1] if pools else None], classifier.layers)
    )
    names = []
    for ours, layer in zip(encoder, theirs, strict=False):
        if any(ours.params[key].shape != layer.params.get(key, np.empty(0)).shape for key in ours.params):
            break
        for key, array in ours.params.items():
            layer.params[key][...] = array
        names.append(str(layer.name))
    if not names:
        shapes = [layers[0].params["kernel"].shape if layers else None for layers in (encoder, theirs)]
        raise ValueError(f"no weights to copy: the first kernels are {shapes[0]} and {shapes[1]}")
    return names


def _images(data: Dataset | ArrayLike) -> np.ndarray:
    return as_array(data.images if isinstance(data, Dataset) else data, "data")
