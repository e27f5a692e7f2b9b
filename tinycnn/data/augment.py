"""Random changes of the training images that do not change what they show, gamma and histogram equalisation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.arguments import MOST, as_array, brief, number, one_of, share
from tinycnn.data.dataset import image_array
from tinycnn.kernels import images as kernels

_BORDERS = {"constant": kernels.CONSTANT, "nearest": kernels.NEAREST, "reflect": kernels.REFLECT}
_BORDERS["minimum"] = kernels.CONSTANT


@dataclass(kw_only=True, eq=False, repr=False)
class Augment:
    """Randomly rotated, mirrored, zoomed, shifted, blurred, re-exposed and noisy copies of a batch.

    All geometry is one affine warp with bilinear interpolation, so an image is resampled once. For a pixel at
    ``p`` (from the centre, in pixels) of the result, the source is read at::

        q = S^-1 R (p - shift),    R a rotation,  S = mirror * zoom * diag(scale_y * aspect, scale_x / aspect)
        warped = source(q) + 255 * (ramp_y * y + ramp_x * x),    y and x from -1 to 1
        blurred = (1 - w) * warped + w * (mean of warped over 3x3 pixels)
        pixel = (blurred - 127.5) * contrast + 127.5 + 255 * (brightness + sigma * normal)

    That is for bytes. float32 images are taken to be standardised, each to mean 0 and deviation 1: there 1 stands in
    the place of 255 and 0 in that of 127.5, and nothing is cut off.

    Every number is drawn anew for each image from the generator that the call is given; the draws do not depend on
    which changes are switched on, and the result not on the number of threads. Simard, Steinkraus and Platt, "Best
    Practices for Convolutional Neural Networks", 2003, is an early account of why this helps.

    Parameters
    ----------
    rotation : float
        Largest angle in degrees, either way.
    flip, vertical_flip : float
        Probability of mirroring left to right, and top to bottom. Mirrored hearts are rare, but lungs are alike.
    zoom : float
        Height and width together are magnified by a factor from ``1 - zoom`` to ``1 + zoom``.
    scale : float
        Height and width are each also stretched by their own factor from ``1 - scale`` to ``1 + scale``.
    aspect : float
        Height is also stretched by a factor from ``exp(-aspect)`` to ``exp(aspect)``, and width by its inverse.
    shift : float
        Largest shift, as a fraction of height and of width.
    brightness : float
        Largest change, as a fraction of the full range (here and below: of the standard deviation, for float32).
    ramp : float
        Largest change at the edges, as such a fraction, of a brightness that varies linearly from top to bottom and
        by a second slope from left to right: a film exposed from one side.
    blur : float
        Probability that each pixel is blended, in a random proportion, with the mean over its 3x3 neighbours.
    contrast : float
        Differences from middle grey are multiplied by a factor from ``1 - contrast`` to ``1 + contrast``.
    noise : float
        Largest standard deviation of Gaussian noise, as a fraction of the full range; each image draws its own. The
        channels share it, so grey stays grey.
    equalize : float
        Probability that `equalize` (CLAHE) is applied to an image first; for bytes only.
    fill_mode : "constant", "minimum", "nearest" or "reflect"
        What comes in from outside the image: `fill_value`, the image's own darkest value, the nearest pixel, or the
        image mirrored at its edge.
    fill_value : float
        0 is black in bytes, and middle grey in standardised images, whose black is "minimum".

    Raises
    ------
    ValueError
        Naming the parameter, if it is out of its range.

    Examples
    --------
    >>> images = np.arange(2 * 5 * 4, dtype=np.uint8).reshape(2, 5, 4, 1)
    >>> mirror = Augment(flip=1.0)
    >>> bool((mirror(images, np.random.default_rng(0)) == images[:, :, ::-1]).all())
    True
    >>> augment = Augment(rotation=10, flip=0.5, zoom=0.1, shift=0.05, brightness=0.1, contrast=0.2, noise=0.02)
    >>> augment(images, np.random.default_rng(0)).shape
    (2, 5, 4, 1)
    """

    rotation: float = 0.0
    flip: float = 0.0
    vertical_flip: float = 0.0
    zoom: float = 0.0
    scale: float = 0.0
    aspect: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    ramp: float = 0.0
    blur: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    equalize: float = 0.0
    fill_value: float = 0.0
    fill_mode: str = "constant"

    def __post_init__(self) -> None:
        if not isinstance(self.fill_mode, str) or self.fill_mode not in _BORDERS:
            raise ValueError(f"Augment: fill_mode must be one of {', '.join(_BORDERS)}, got {brief(self.fill_mode)}")
        highest = {"rotation": 180.0, "zoom": 0.99, "scale": 0.99, "fill_value": 255.0}
        for key, value in vars(self).items():
            if key == "fill_mode":
                continue
            setattr(self, key, share(value, f"Augment: {key}", highest.get(key, 1.0)))

    def __repr__(self) -> str:
        changed = ", ".join(f"{key}={value!r}" for key, value in vars(self).items() if value not in (0.0, "constant"))
        return f"Augment({changed})"

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Changed copies of `images`.

        Parameters
        ----------
        images : ndarray of uint8 or float32, (images, height, width, channels)
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of the same dtype and shape

        Raises
        ------
        ValueError
            For images of another dtype or shape, or float32 ones if they are to be equalised.
        """
        images = np.ascontiguousarray(image_array(images, *(("uint8",) if self.equalize else ("uint8", "float32"))))
        draws = rng.random((len(images), 17))
        keys = rng.integers(0, 1 << 64, len(images), np.uint64)
        if self.equalize:
            chosen = draws[:, 10] < self.equalize
            if chosen.any():
                images = images.copy()
                images[chosen] = equalize(images[chosen])
        fills = np.empty(len(images), np.float32)
        fills[:] = images.min((1, 2, 3)) if self.fill_mode == "minimum" else self.fill_value
        unit, middle = (255, 127.5) if images.dtype == np.uint8 else (1, 0)
        ramps = unit * self.ramp * (2 * draws[:, 13:15] - 1)
        blurs = np.where(draws[:, 15] < self.blur, draws[:, 16], 0)
        out = np.empty_like(images)
        matrices, levels = self._matrices(draws, images.shape), self._levels(draws, unit, middle)
        ramps, blurs = ramps.astype(np.float32), blurs.astype(np.float32)
        how = kernels.Warp(matrices, levels, keys, _BORDERS[self.fill_mode], fills, ramps, blurs)
        kernels.warp_images(images, out, how)
        return out

    def _matrices(self, draws, shape):
        """From pixels of the result to places in the source: float32, (images, 2, 3)."""
        size = np.array(shape[1:3])  # (height, width)
        signed = draws * 2 - 1
        angle = np.deg2rad(self.rotation) * signed[:, 0]
        mirror = np.where(draws[:, 1:3] < [self.vertical_flip, self.flip], -1.0, 1.0)
        zoom = 1 + self.zoom * signed[:, 3:4]
        aspect = np.exp(self.aspect * signed[:, 12:13] * [1, -1])
        factors = mirror * zoom * aspect * (1 + self.scale * signed[:, 4:6])  # (images, 2): along y, along x
        shift = self.shift * signed[:, 6:8] * size
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)  # (images, 2, 2)
        linear = turn / factors[:, :, None]
        centre = (size - 1) / 2
        offset = centre - (linear * (centre + shift)[:, None, :]).sum(2)
        return np.concatenate([linear, offset[:, :, None]], 2).astype(np.float32)

    def _levels(self, draws, unit, middle):
        """Gain, offset and noise of each image, in its own unit: float32, (images, 3)."""
        gain = 1 + self.contrast * (draws[:, 8] * 2 - 1)
        offset = middle * (1 - gain) + unit * self.brightness * (draws[:, 9] * 2 - 1)
        sigma = unit * self.noise * draws[:, 11]
        return np.stack([gain, offset, sigma], 1).astype(np.float32)


def adjust_gamma(images: ArrayLike, gamma: float) -> np.ndarray:
    """``255 (v / 255) ** gamma``: brighter shadows below 1, darker ones above, black and white as they were.

    Parameters
    ----------
    images : ndarray of uint8
    gamma : float
        Above 0.

    Returns
    -------
    ndarray of uint8, of the same shape

    Raises
    ------
    ValueError
        If the images are not uint8 or `gamma` is not positive.

    Examples
    --------
    >>> adjust_gamma(np.array([0, 64, 255], np.uint8), 0.5)
    array([  0, 128, 255], dtype=uint8)
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}")
    if not gamma > 0:
        raise ValueError(f"gamma must be above 0, got {gamma}")
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return table[images]


def equalize(images: ArrayLike, method: str = "clahe", *, clip_limit: float = 2.0, tiles: int = 8) -> np.ndarray:
    """Spread the grey levels of each image evenly, so that exposure matters less.

    ``new(v) = 255 (cdf(v) - cdf_min) / (N - cdf_min)`` where ``cdf(v)`` counts the pixels not brighter than v and
    ``cdf_min`` those of the darkest level present (Gonzalez and Woods, Digital Image Processing, section 3.3).

    "clahe" (contrast-limited adaptive equalisation; Zuiderveld, Graphics Gems IV, 1994) does so in tiles and
    blends the four nearest tiles' curves at every pixel; a histogram's peaks are cut at `clip_limit` and spread
    over all levels first, so that noise in flat regions is not blown up.

    Parameters
    ----------
    images : ndarray of uint8, (images, height, width, channels) or (height, width, channels)
        The channels share one histogram, so grey stays grey.
    method : "clahe" or "global"
    clip_limit : float
        At least 1, in multiples of the count that a flat histogram has at each level; only for "clahe".
    tiles : int
        Tiles along each side, at most one per pixel; only for "clahe".

    Returns
    -------
    ndarray of uint8, of the same shape

    Raises
    ------
    ValueError
        If the images are not uint8 of such a shape, or an option is out of its range.

    Examples
    --------
    >>> image = np.array([[10, 20], [20, 30]], np.uint8)[:, :, None]
    >>> equalize(image, "global")[:, :, 0]
    array([[  0, 170],
           [170, 255]], dtype=uint8)
    """
    one_of(method, "method", ("clahe", "global"))
    whole = isinstance(tiles, int | np.integer) and not isinstance(tiles, bool)
    if number(clip_limit, "clip_limit") < 1 or not whole or not 1 <= tiles <= MOST:
        found = f"clip_limit={clip_limit} and tiles={brief(tiles)}"
        raise ValueError(f"clip_limit and tiles must be 1 or more, tiles an int, got {found}")
    images = as_array(images, "images")
    if images.ndim == 3:
        return equalize(images[None], method, clip_limit=clip_limit, tiles=tiles)[0]
    images = np.ascontiguousarray(image_array(images, "uint8"))
    if method == "global":
        tiles, clip_limit = 1, np.inf
    out = np.empty_like(images)
    kernels.equalize_images(images, out, min(tiles, *images.shape[1:3]), clip_limit)
    return out
