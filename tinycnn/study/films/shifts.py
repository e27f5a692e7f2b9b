"""Films as another hospital might have made them: one change at a time, to see what a network stands on.

A network that reads lungs should hardly notice another exposure, frame or sharpness.  These changes stand in for
images from elsewhere where there are none; they are milder than real ones, and a network that was trained with the
same changes as augmentation passes them partly for that reason.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

from tinycnn.data.augment import adjust_gamma
from tinycnn.data.resize import resize_images


def simulated_shifts(seed: int = 0) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The changes by name, each a function of uint8 images (images, height, width, 1 or 3) to images like them.

    Parameters
    ----------
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to callable

    Examples
    --------
    >>> shifts = simulated_shifts()
    >>> print(*shifts, sep=", ")  # doctest: +NORMALIZE_WHITESPACE
    gamma 0.5, gamma 2, half the contrast, cropped by 8 %, black border of 8 %, blurred, brighter below right,
    brighter above left, noise, markers
    >>> film = np.full((1, 4, 4, 1), 64, np.uint8)
    >>> int(shifts["gamma 0.5"](film)[0, 0, 0, 0]), int(shifts["half the contrast"](film)[0, 0, 0, 0])
    (128, 96)
    """
    return {
        "gamma 0.5": partial(adjust_gamma, gamma=0.5),
        "gamma 2": partial(adjust_gamma, gamma=2),
        "half the contrast": _paler,
        "cropped by 8 %": _cropped,
        "black border of 8 %": _bordered,
        "blurred": _blurred,
        "brighter below right": partial(_sloped, 0.3),
        "brighter above left": partial(_sloped, -0.3),
        "noise": partial(_noisy, seed),
        "markers": _marked,
    }


_MARGIN = 0.08  # of each side


def _paler(images):
    return np.rint(0.5 * np.arange(256) + 64).astype(np.uint8)[images]


def _inner(images: np.ndarray) -> tuple[slice, slice]:
    """Slices of what lies within the margins."""
    edges = [round(_MARGIN * side) for side in images.shape[1:3]]
    rows, columns = (slice(edge, side - edge) for edge, side in zip(edges, images.shape[1:3], strict=True))
    return rows, columns


def _cropped(images):
    rows, columns = _inner(images)
    return resize_images(images[:, rows, columns], images.shape[1:3])


def _bordered(images):
    rows, columns = _inner(images)
    out = np.zeros_like(images)
    out[:, rows, columns] = resize_images(images, (rows.stop - rows.start, columns.stop - columns.start))
    return out


def _blurred(images):
    """A Gaussian of about 1 % of the width."""
    out = np.empty_like(images)
    for image, result in zip(images, out, strict=True):
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        blurred = picture.filter(ImageFilter.GaussianBlur(0.0094 * image.shape[1]))
        result[...] = np.asarray(blurred).reshape(result.shape)
    return out


def _sloped(strength, images):
    """`strength` of the full range more in one corner and less in the opposite one."""
    y, x = (np.linspace(-1, 1, side) for side in images.shape[1:3])
    slope = 127.5 * strength * (y[:, None] + x)[:, :, None]
    return _clipped(images + slope)


def _noisy(seed, images):
    """Grain of 12 of 255 grey levels, the same in all channels."""
    rng = np.random.default_rng(seed)
    out = np.empty_like(images)
    for image, result in zip(images, out, strict=True):
        result[...] = _clipped(image + rng.normal(0, 12, (*image.shape[:2], 1)))
    return out


def _marked(images):
    """A dark strip at the left and two bright plates, as of a side letter and a name."""
    height, width = images.shape[1:3]
    out = images.copy()

    def paint(top: float, bottom: float, left: float, right: float, level: int) -> None:
        out[:, round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = level

    paint(0, 1, 0, 0.0375, 0)
    paint(0.03, 0.125, 0.0625, 0.156, 235)
    paint(0.89, 0.94, 0.72, 0.97, 220)
    return out


def _clipped(values):
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
