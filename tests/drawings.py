"""A picture on the disk, looked at."""

import numpy as np
from PIL import Image


def check_png(path, folder):
    """The only file of its folder, a PNG that shows something; returns its grey levels."""
    assert list(folder.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.format == "PNG"
        levels = np.asarray(image.convert("L"))
    assert levels.std() > 5
    return levels
