import numpy as np
import pytest
from PIL import Image

from tinycnn.keras import utils


def test_one_hot_rows():
    assert utils.to_categorical([[1], [0]], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    for bad in ([0, 3], [-1, 0], [0.5, 1]):
        with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
            utils.to_categorical(bad, 3)


def test_an_image_from_a_file(tmp_path):
    Image.new("RGB", (6, 4), (10, 20, 30)).save(tmp_path / "x.png")
    image = utils.img_to_array(utils.load_img(tmp_path / "x.png", target_size=(2, 3)))
    assert image.shape == (2, 3, 3) and image.dtype == np.float32 and image[0, 0].tolist() == [10, 20, 30]
