import io
import struct
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image, ImageOps

from tinycnn.data import decode
from tinycnn.data.decode import decode_image, exif_of, load_image, open_image


def encode(image, format="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture
def colour():
    """A smooth picture without symmetry, so that any flip, turn or swapped channel shows."""
    y, x = np.mgrid[0:60, 0:84]
    return np.stack([x * 3, y * 4, 255 - (x + y)], axis=-1).astype(np.uint8)


def test_rgb_is_exact_at_its_own_size(colour):
    np.testing.assert_array_equal(decode_image(encode(colour), (60, 84)), colour)


def test_grey_is_repeated_or_single(colour):
    grey = colour[..., 0]
    np.testing.assert_array_equal(decode_image(encode(grey), (60, 84), "L"), grey[..., None])
    np.testing.assert_array_equal(decode_image(encode(grey), (60, 84), "RGB"), np.repeat(grey[..., None], 3, axis=2))


def test_colour_to_grey_is_luma():
    image = np.zeros((2, 3, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    assert (decode_image(encode(image), (2, 3), "L") == 124).all()  # 59.8 + 58.7 + 5.7 = 124.2


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    "values, expected",
    [
        ([0, 257, 32896, 65535], [0, 1, 128, 255]),  # 16-bit
        ([0, 273, 2048, 4095], [0, 17, 128, 255]),  # 12-bit data
        ([0, 1, 100, 255], [0, 1, 100, 255]),  # 8-bit data
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_sixteen_bit(format, values, expected):
    data = encode(np.array([values], np.uint16), format)
    assert decode_image(data, (1, 4), "L").ravel().tolist() == expected
    assert decode_image(data, (1, 4), "RGB")[0, :, 2].tolist() == expected


def test_big_endian_sixteen_bit():
    image = Image.frombytes("I;16B", (2, 1), b"\x00\x00\xff\xff")
    assert decode_image(encode(image, "TIFF"), (1, 2), "L").ravel().tolist() == [0, 255]


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([[0, 65535]], np.int32), [0, 255]),
        (np.array([[-100, 100]], np.int32), [0, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[0, 51, 200]], np.float32), [0, 51, 200]),
        (np.array([[-7, -7]], np.int32), [0, 0]),
    ],
)
def test_integers_and_floats_of_32_bits(values, expected):
    assert decode_image(encode(values, "TIFF"), values.shape, "L").ravel().tolist() == expected


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        decode_image(encode(np.array([[0, np.nan]], np.float32), "TIFF"), 2)


def test_palette_one_bit_and_cmyk(colour):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert decode_image(encode(palette), (1, 2)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    one_bit = Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1")
    assert decode_image(encode(one_bit), (1, 3), "L").ravel().tolist() == [0, 255, 255]
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # cyan off, magenta and yellow full: red
    for format in ("TIFF", "JPEG"):
        red = decode_image(encode(cmyk, format), 16)[8, 8]
        assert red[0] > 250 and red[1] < 5 and red[2] < 5, format


def test_transparency_is_black():
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], np.uint8)
    np.testing.assert_allclose(decode_image(encode(rgba), (1, 3))[0], [[200, 100, 50], [0] * 3, [100, 50, 25]], atol=1)
    grey_alpha = Image.merge("LA", [Image.new("L", (1, 1), 90), Image.new("L", (1, 1), 0)])
    assert decode_image(encode(grey_alpha), 1, "L").item() == 0
    palette = Image.new("P", (1, 1))
    palette.putpalette([10, 20, 30])
    assert not decode_image(encode(palette, transparency=0), 1).any()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(colour, orientation, format):
    image = Image.fromarray(colour)
    exif = image.getexif()
    exif[0x0112] = orientation
    data = encode(image, format, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert expected.size == ((84, 60) if orientation < 5 else (60, 84))
    np.testing.assert_array_equal(decode_image(data, (expected.height, expected.width)), np.asarray(expected))


def test_broken_exif_does_not_matter(colour):
    data = encode(colour, exif=b"Exif\x00\x00 nothing like EXIF")
    np.testing.assert_array_equal(decode_image(data, (60, 84)), colour)


@pytest.mark.parametrize("size", [(30, 21), 7, (1, 200)])
def test_resize_is_pillows_antialiased_bilinear(colour, size):
    height, width = (size, size) if isinstance(size, int) else size
    expected = Image.fromarray(colour).resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode_image(encode(colour), size), np.asarray(expected))


def test_keep_aspect_pads_with_black(colour):
    image = decode_image(encode(np.maximum(colour, 1)), (42, 42), keep_aspect=True)  # 60x84 -> 30x42
    assert not image[:6].any() and not image[36:].any()
    assert image[6:36].min() >= 1
    tall = decode_image(encode(np.full((500, 1), 9, np.uint8)), (10, 10), "L", keep_aspect=True)
    assert (tall[..., 0] > 0).sum() == 10, "at least one column is left of a very thin image"


def test_fast_path_of_huge_jpegs_is_close_to_the_whole_decoding():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
    image = small.resize((1500, 1100), Image.Resampling.BICUBIC)
    data = encode(image, "JPEG", quality=90)
    full = Image.open(io.BytesIO(data)).resize((96, 64), Image.Resampling.BILINEAR)
    difference = decode_image(data, (64, 96)).astype(int) - np.asarray(full).astype(int)
    assert np.abs(difference).mean() < 1.5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "GIF", "BMP"])
def test_truncated(format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    data = encode(noise, format)
    for share in (0.5, 0.9):
        with pytest.raises(ValueError, match="cannot be decoded|not an image"):
            decode_image(data[: int(len(data) * share)])


def test_what_is_no_image():
    with pytest.raises(ValueError, match="empty"):
        decode_image(b"")
    for data in (
        b"text, not an image",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n" + b" " * 99,
    ):
        with pytest.raises(ValueError, match="not an image|cannot be decoded"):
            decode_image(data)
    with pytest.raises(ValueError, match="DICOM"):
        decode_image(bytes(128) + b"DICM" + bytes(99))


@pytest.mark.parametrize("limit", [400, 700, 1023])  # beyond twice the limit Pillow raises itself
def test_decompression_bomb(limit, monkeypatch):
    data = encode(np.zeros((32, 32), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.warns(Image.DecompressionBombWarning) if limit >= 512 else nullcontext():
        with pytest.raises(ValueError, match="decompression bomb"):
            decode_image(data)


def test_load_image_names_the_file(tmp_path, colour):
    (tmp_path / "film.png").write_bytes(encode(colour))
    np.testing.assert_array_equal(load_image(tmp_path / "film.png", (60, 84)), colour)
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(ValueError, match="bad.png.*empty"):
        load_image(tmp_path / "bad.png")
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "absent.png")


@pytest.mark.parametrize("size, mode", [(0, "RGB"), ((3,), "RGB"), ((3, 4, 5), "L"), (2.5, "L"), (8, "RGBA")])
def test_bad_arguments(size, mode):
    with pytest.raises((ValueError, TypeError)):
        decode_image(b"x", size, mode)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", [b"Exif\0\0Ma\0*\0\0\0\x08", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_a_damaged_exif_block_has_no_fields(colour, block):
    data = encode(colour, exif=block)
    with open_image(data) as image:
        assert exif_of(image) == {}
    np.testing.assert_array_equal(decode_image(data, (60, 84)), colour)


def test_one_damaged_exif_value_does_not_hide_the_others(colour, monkeypatch):
    block = Image.Exif()
    block[0x0112], block[0x010E] = 6, "description"
    data = encode(colour, exif=block)
    get = Image.Exif.__getitem__

    def fail(self, tag):
        if tag == 0x010E:
            raise struct.error("unpack requires a buffer of 4 bytes")
        return get(self, tag)

    monkeypatch.setattr(Image.Exif, "__getitem__", fail)
    with open_image(data) as image:
        assert exif_of(image) == {0x0112: 6, 0x010E: None}


@pytest.mark.parametrize("error", [SyntaxError, TypeError, struct.error, KeyError, OverflowError, RecursionError])
def test_whatever_a_decoder_raises_is_a_value_error(colour, error, monkeypatch):
    def fail(self):
        raise error("not a TIFF file")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(ValueError, match="cannot be decoded: .*not a TIFF"):
        decode_image(encode(colour))


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_what_is_not_the_files_fault_goes_through(colour, error, monkeypatch):
    def fail(self):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(error):
        decode_image(encode(colour))
    monkeypatch.undo()
    assert not decode._open_pixels, "its pixels are free again"


def test_the_pixels_open_at_a_time_are_limited_over_all_threads(colour, monkeypatch):
    """Four of 1000 pixels fit into the limit at a time, and one of 9000 is larger than it, so it has to be alone."""
    monkeypatch.setattr(decode, "MAX_OPEN_PIXELS", 4000)
    lock, now, seen = threading.Lock(), [], []
    load = Image.Image.resize

    def watched(self, *args):
        with lock:
            now.append(self.width * self.height)
            seen.append(list(now))
        time.sleep(0.02)
        with lock:
            now.remove(self.width * self.height)
        return load(self, *args)

    monkeypatch.setattr(Image.Image, "resize", watched)
    files = [encode(colour[:25, :40]) for _ in range(12)]
    files.insert(3, encode(np.zeros((90, 100), np.uint8)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: decode_image(data, 8), files))
    assert len(seen) == 13
    assert all(sum(pixels) <= 4000 or pixels == [9000] for pixels in seen)
    assert max(len(pixels) for pixels in seen) > 1, "small ones do go side by side"


def test_sixteen_bit_images_are_scaled_without_copies_of_the_whole():
    data = encode(np.arange(600 * 800, dtype=np.uint16).reshape(600, 800))
    decode_image(data, 8)
    tracemalloc.start()
    decode_image(data, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 600 * 800, "not even one copy in float64"
