"""Image files with a name in them that is nobody else's to read."""

import io

import numpy as np
from PIL import Image

SECRET = "Jane Doe"


def picture(mode="RGB"):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 37, 3), np.uint8))
    return Image.fromarray(rng.integers(0, 65536, (24, 37), np.uint16)) if mode == "I;16" else image.convert(mode)


def encode(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
