"""Image files of every format and mode, damaged: each is decoded, or refused in words."""

import io

import numpy as np
from campaign_tools import bits_turned, peak_bytes
from PIL import Image

from tinycnn.data.decode import FORMATS, decode_image
from tinycnn.data.metadata import strip_bytes

COUNT = 2000
WRITTEN = {
    "JPEG": "L RGB CMYK",
    "PNG": "1 L LA P RGB RGBA I;16",
    "TIFF": "1 L P RGB RGBA CMYK I;16 F",
    "BMP": "1 L P RGB",
}
WRITTEN |= {"GIF": "L P", "WEBP": "RGB RGBA", "JPEG2000": "L RGB", "PPM": "1 L RGB"}


def prepare(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (23, 31, 3), np.uint8)
    files = []
    for form in FORMATS:
        for mode in WRITTEN[form].split():
            image = Image.fromarray(pixels)
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 99) if mode == "I;16" else image.convert(mode)
            for options in [
                {},
                {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"},
            ]:
                file = io.BytesIO()
                image.save(file, form, **options)
                files.append(file.getvalue())
    return files


def attack(files, rng):
    data, before = bits_turned(files[rng.integers(len(files))], rng, most=6), peak_bytes()
    for read in (lambda: decode_image(data, (8, 9)), lambda: strip_bytes(data)[0]):
        try:
            assert len(read()) > 0
        except ValueError as error:
            assert 5 < len(str(error)) < 1000
    assert peak_bytes() - before < 1.2e9, f"it took {(peak_bytes() - before) / 1e6:.0f} MB"
