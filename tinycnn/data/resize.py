"""Images in memory to another size and to grey, by the same filter as images from files."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from tinycnn.data.dataset import image_array
from tinycnn.data.decode import check_size_and_mode


def resize_images(images: ArrayLike, size: int | tuple[int, int], mode: str = "RGB") -> np.ndarray:
    """Resize images by Pillow's antialiased bilinear filter, a triangle as wide as the reduction.

    Parameters
    ----------
    images : ndarray of uint8, (images, height, width, 1 or 3)
    size : int or (int, int)
        Height and width in pixels.
    mode : "RGB" or "L"
        "L" turns colour into grey first, by ITU-R 601 luma; grey images stay grey in either mode.

    Returns
    -------
    ndarray of uint8, (images, *size, channels)

    Raises
    ------
    ValueError
        For images of another type or shape, or an impossible size or mode.

    Examples
    --------
    >>> image = np.array([[0, 0, 90, 90], [0, 0, 90, 90]], np.uint8).reshape(1, 2, 4, 1)
    >>> resize_images(image, (1, 2))[0, 0, :, 0]
    array([13, 77], dtype=uint8)
    """
    height, width = check_size_and_mode(size, mode)
    images = image_array(images, "uint8", channels=(1, 3))
    channels = 1 if mode == "L" else images.shape[3]
    out = np.empty((len(images), height, width, channels), np.uint8)
    for image, result in zip(images, out, strict=True):
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        picture = picture.convert("L") if channels == 1 else picture
        result[...] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).reshape(result.shape)
    return out
