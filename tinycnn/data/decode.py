"""From one image file, in whatever mode, to uint8 grey or RGB of an exact size."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tinycnn.arguments import MOST, brief, pair
from tinycnn.data.source import read_file
from tinycnn.files import PathLike

Image.init()  # here, because opening images in several threads while Pillow still loads its plugins is a race
# Raster formats with a signature. Pillow's other plugins guess, only identify, or call an outside program (EPS).
FORMATS = tuple(n for n in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM") if n in Image.OPEN)
ORIENTATION = 0x0112  # the EXIF tag
# Of all images open at a time, in whatever thread; a larger one is opened alone. Sixteen bytes a pixel, with every
# intermediate step of the worst mode, make that a gigabyte.
MAX_OPEN_PIXELS = 1 << 26
_room = threading.Condition()
_open_pixels: dict[object, int] = {}  # of each image that is open now
_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(
    path: PathLike, size: int | tuple[int, int] = 256, mode: str = "RGB", *, keep_aspect: bool = False
) -> np.ndarray:
    """Read one image file as `load_image_folder` does; parameters and conversions as in `decode_image`.

    Returns
    -------
    ndarray of uint8, (height, width, 3 or 1)

    Raises
    ------
    OSError
        If the file cannot be read or has more than 512 MB.
    ValueError
        As `decode_image`, with the path in front.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "film.png")
    >>> Image.new("L", (60, 40), 128).save(path)
    >>> load_image(path, 32).shape
    (32, 32, 3)
    """
    data = read_file(path)
    try:
        return decode_image(data, size, mode, keep_aspect=keep_aspect)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def decode_image(
    data: bytes, size: int | tuple[int, int] = 256, mode: str = "RGB", *, keep_aspect: bool = False
) -> np.ndarray:
    """Decode the bytes of an image file, turn it upright, convert it and resize it.

    * EXIF orientation is applied. Colour profiles (ICC) are not. Of several frames the first is taken.
    * 16-bit grey: 0..65535 becomes 0..255. A file whose largest value is at most 4095 (or 255) is taken for
      what it nearly always is, 12-bit (or 8-bit) data in a 16-bit file, and 0..4095 (or 0..255) becomes 0..255:
      as 16-bit data it would be black. The scale depends on nothing else, so exposures stay comparable.
      32-bit integers within 0..65535 likewise; other integers, and floats outside 0..1 and 0..255, are
      stretched from their minimum to their maximum.
    * Transparency is laid on black, the colour of a film where nothing is; Pillow's own ``convert`` would show
      whatever colour hides under it.
    * Palette, CMYK, YCbCr and 1-bit images are converted by Pillow; colour to grey is ITU-R 601 luma
      ``0.299 R + 0.587 G + 0.114 B``.
    * Resizing is Pillow's antialiased bilinear filter (a triangle as wide as the reduction) to the exact size.
      A JPEG four or more times too large is decoded at 1/2, 1/4 or 1/8 (``Image.draft``), never below twice
      the size asked for.

    Parameters
    ----------
    data : bytes
    size : int or (int, int)
        Height and width in pixels.
    mode : "RGB" or "L"
    keep_aspect : bool
        False squashes the image to `size`, as Keras's ``image_dataset_from_directory``; True keeps the aspect
        ratio and pads with black on both sides.

    Returns
    -------
    ndarray of uint8, (height, width, 3 or 1)

    Raises
    ------
    ValueError
        If the file is empty, not an image, damaged, or larger than Pillow's limit against decompression bombs
        (``PIL.Image.MAX_IMAGE_PIXELS``); the text says which.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.fromarray(np.full((4, 6), 65535, np.uint16)).save(file, "PNG")
    >>> image = decode_image(file.getvalue(), size=(2, 3), mode="L")
    >>> image.shape, image.dtype, int(image.min())
    ((2, 3, 1), dtype('uint8'), 255)
    """
    size = check_size_and_mode(size, mode)
    # A triangle filter over a picture at least twice too large hides that the rest was averaged in 8x8 blocks.
    with open_image(data, draft=2 * max(size)) as image:
        image.load()
        image = _resized(_eight_bit(_upright(image), mode), size, keep_aspect).convert(mode)
        return np.array(image).reshape(*size, -1)


@contextmanager
def open_image(data: bytes, draft: int | None = None) -> Iterator[Image.Image]:
    """Pillow's image of the bytes of a file, for the time of a ``with`` block, in which no other may be opened.

    Waits until the images open in other threads leave room for its pixels.  `draft` is the side down to which a JPEG
    may be read at a fraction of its size.

    Raises
    ------
    ValueError
        As `decode_image`, whatever the decoder raised, in the block too: OSError, SyntaxError, struct.error, ...
    """
    if not data:
        raise ValueError("the file is empty (0 bytes)")
    key = object()
    try:
        with Image.open(io.BytesIO(data), "r", FORMATS) as image:
            _refuse_bomb(image)
            if draft:
                image.draft(None, (draft, draft))
            pixels = image.width * image.height
            with _room:
                _room.wait_for(lambda: not _open_pixels or sum(_open_pixels.values()) + pixels <= MAX_OPEN_PIXELS)
                _open_pixels[key] = pixels
            yield image
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(_reason(error, data)) from error
    finally:
        with _room:
            _open_pixels.pop(key, None)
            _room.notify_all()


def exif_of(image: Image.Image) -> dict[int, Any]:
    """EXIF tags and their values, None for what cannot be read: a damaged block says nothing about the pixels."""
    fields: dict[int, Any] = {}
    with suppress(Exception):  # SyntaxError, struct.error, ...
        exif = image.getexif()
        fields = dict.fromkeys(exif)
        for tag in fields:
            with suppress(Exception):
                fields[tag] = exif[tag]
    return fields


def check_size_and_mode(size: int | tuple[int, int], mode: str) -> tuple[int, int]:
    """``256 -> (256, 256)``; ValueError for a size or mode that no image can have."""
    height, width = pair(size, "size")
    if height * width > MOST:
        raise ValueError(f"size {size} makes images of {height * width:,} pixels, more than {MOST:,}")
    if not isinstance(mode, str) or mode not in ("RGB", "L"):
        raise ValueError(f'mode must be "RGB" (three channels) or "L" (grey, one channel), got {brief(mode)}')
    return height, width


def _refuse_bomb(image):
    limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
    if limit is not None and pixels > limit:  # Pillow itself only warns up to twice the limit
        raise Image.DecompressionBombError(f"{image.width}x{image.height} = {pixels:,} pixels, the limit is {limit:,}")


def _upright(image):
    orientation = exif_of(image).get(ORIENTATION)  # after load(): Pillow turns TIFF itself and drops the tag
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _eight_bit(image, mode):
    """The image as "L" or "RGB"; a grey file stays "L", so that resizing costs a third."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_scaled_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image).convert("RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB").convert(mode)


def _scaled_to_bytes(values):
    """Integers or floats of any range to 0..255, by the rules of `decode_image`."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):
        raise ValueError("the pixels hold NaN or infinity")
    full_scales = (1.0, 255.0) if values.dtype.kind == "f" else (255.0, 4095.0, 65535.0)
    black, full_scale = 0.0, next((scale for scale in full_scales if high <= scale), None)
    if low < 0 or full_scale is None:
        black, full_scale = low, max(high - low, 1e-300)
    out = np.empty(values.shape, np.uint8)
    for line, result in zip(
        values, out, strict=True
    ):  # line by line: three float64 copies of all would be 24 bytes each
        result[...] = np.rint((line.astype(np.float64) - black) * (255.0 / full_scale))
    return out


def _resized(image, size, keep_aspect):
    height, width = size
    if not keep_aspect:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    scale = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    padded = Image.new(image.mode, (width, height))
    padded.paste(image.resize(inner, Image.Resampling.BILINEAR), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded


def _reason(error, data):
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too large, a possible decompression bomb: {error} (PIL.Image.MAX_IMAGE_PIXELS)"
    if isinstance(error, UnidentifiedImageError):
        if data[128:132] == b"DICM":
            return "a DICOM file; export it as PNG first"
        return f"not an image, or its header is damaged (readable: {', '.join(FORMATS)})"
    return f"cannot be decoded: {str(error) or type(error).__name__}"
