import io

import numpy as np
import pytest
from PIL import Image

from tinycnn.data.decode import decode_image
from tinycnn.data.resize import resize_images


@pytest.mark.parametrize("channels, mode", [(3, "RGB"), (3, "L"), (1, "L")])
def test_same_result_as_decoding_to_that_size(channels, mode):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 31, channels), np.uint8)
    result = resize_images(images, (17, 12), mode)
    for image, small in zip(images, result, strict=True):
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "PNG")
        expected = decode_image(file.getvalue(), (17, 12), mode).astype(int)
        assert np.abs(small - expected).max() <= (1 if channels == 3 and mode == "L" else 0)  # grey before or after


def test_grey_stays_grey_and_the_same_size_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 1), np.uint8)
    np.testing.assert_array_equal(resize_images(images, (9, 7)), images)
    assert resize_images(images[:0], 5).shape == (0, 5, 5, 1)


def test_stripes_finer_than_a_pixel_average_out():
    stripes = np.zeros((1, 96, 96, 1), np.uint8)
    stripes[:, :, ::2] = 200
    inner = resize_images(stripes, 32)[0, 2:-2, 2:-2]
    assert inner.min() >= 75 and inner.max() <= 125


@pytest.mark.parametrize(
    "images, size",
    [(np.zeros((2, 4, 4, 1)), 2), (np.zeros((4, 4, 1), np.uint8), 2), (np.zeros((1, 4, 4, 2), np.uint8), 2)]
    + [(np.zeros((1, 4, 4, 1), np.uint8), size) for size in (0, (3, 4, 5), 2.5)],
)
def test_mistakes(images, size):
    with pytest.raises((ValueError, TypeError)):
        resize_images(images, size)
