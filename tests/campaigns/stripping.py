"""A mark hidden in every block, gap and tail of image files of every format; after stripping it is nowhere."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from tinycnn.data.metadata import strip_bytes

COUNT = 1500
MARK = b"DOE^JANE^1954"
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP"]
MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["L", "RGB", "RGBA", "P", "1", "LA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": ["L", "RGB", "P", "1", "CMYK", "I;16"],
    "BMP": ["L", "RGB", "P", "1"],
}
STANDARD = {
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"iCCP": 40,
    b"sBIT": 3,
    b"bKGD": 6,
    b"pHYs": 9,
    b"hIST": 20,
    b"tIME": 7,
}
PRIVATE = [b"SECR", b"SeCr", b"seCr", b"prIV", b"eXIf", b"cICP", b"acTL", b"sPLT", b"oFFs", b"pCAL", b"dSIG", b"mdCV"]


def prepare(folder):
    return np.random.default_rng(0).integers(0, 256, (19, 23, 4), np.uint8)


def attack(pixels, rng):
    form = str(rng.choice(FORMATS))
    mode = str(rng.choice(MODES[form]))
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else None
    image = image or Image.fromarray(pixels[..., :3]).convert(mode)
    data = hidden(image, form, rng)
    assert MARK in data or form in ("PNG", "WEBP", "TIFF"), "the mark was not hidden"
    try:
        stripped, _ = strip_bytes(data)
    except ValueError:  # such a file is refused, and not copied
        return
    assert MARK not in everything(stripped), f"{form} {mode}: the mark is still there"
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(stripped)) as after:
        assert before.size == after.size and (np.asarray(before) == np.asarray(after)).all() or mode == "P"
        assert (np.asarray(before.convert("RGBA")) == np.asarray(after.convert("RGBA"))).all() or mode == "I;16"


def everything(data):
    """The bytes of a file, and what is compressed in it, in one piece."""
    found, at = [data], 0
    while 0 <= (at := data.find(b"\x78", at)) < len(data):
        try:
            found.append(zlib.decompressobj().decompress(data[at:]))
        except zlib.error:
            pass
        at += 1
    return b"|".join(found)


def hidden(image, form, rng):
    options, text = {}, PngImagePlugin.PngInfo()
    block = Image.Exif()
    block[int(rng.choice([0x010E, 0x013B, 0x8298, 0x9286]))] = MARK.decode()
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = int(rng.integers(4, len(profile) - len(MARK)))
    profile[at : at + len(MARK)] = MARK
    if rng.integers(2):
        options = [{"exif": block}, {"icc_profile": bytes(profile)}, {"xmp": MARK}, {"comment": MARK}][rng.integers(4)]
    if form == "PNG" and rng.integers(2):
        text.add_text("Patient", MARK.decode(), zip=bool(rng.integers(2)))
        options["pnginfo"] = text
    if form == "JPEG":
        options["progressive"] = bool(rng.integers(2))
    if form == "TIFF" and rng.integers(2):
        options["description"] = MARK.decode()
    file = io.BytesIO()
    image.save(file, form, **options)
    data = file.getvalue()
    into = {"JPEG": into_jpeg, "PNG": into_png, "WEBP": into_webp, "BMP": into_bmp, "TIFF": into_tiff}[form]
    return into(data, rng) + (MARK if rng.integers(3) == 0 else b"")


def into_jpeg(data, rng):
    marker = int(rng.choice([0xFE, 0xDB, 0xC4, *range(0xE0, 0xF0)]))
    start = [
        b"",
        b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
        b"Adobe\x00\x64\x00\x00\x00\x00\x01",
        b"Exif\x00\x00",
    ]
    start += [b"ICC_PROFILE\x00\x01\x01", b"JFXX\x00\x10", b"MPF\x00"]
    content = start[rng.integers(len(start))] + MARK
    if marker == 0xDB:
        content = b"\x03" + (MARK * 5)[:64]
    if marker == 0xC4:  # a table of as many codes of 16 bits as the mark has letters
        content = b"\x13" + bytes(15) + bytes([len(MARK)]) + MARK
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + data[2:]


def into_png(data, rng):
    kind = [*STANDARD, *PRIVATE, b"IDAT", b"IEND", b"PLTE", b"IHDR"][rng.integers(len(STANDARD) + len(PRIVATE) + 4)]
    content = (bytes(STANDARD.get(kind, 0)) + MARK)[-max(STANDARD.get(kind, 0), len(MARK)) :]
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    ends = [8, 33, data.rindex(b"IEND") - 4, len(data)]
    at = ends[rng.integers(len(ends))]
    if kind == b"IDAT" and rng.integers(2):  # the mark within the compressed data, behind the last row
        start, end = data.index(b"IDAT"), data.rindex(b"IEND") - 4
        rows = zlib.decompress(data[start + 4 : end - 4]) if data.count(b"IDAT") == 1 else b""
        body = b"IDAT" + zlib.compress(rows + MARK) + MARK * int(rng.integers(2))
        whole = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[: start - 4] + whole + data[end:]
    return data[:at] + chunk + data[at:]


def into_webp(data, rng):
    kind = [b"EXIF", b"XMP ", b"ICCP", b"ALPH", b"SECR", b"VP8X", b"ANIM", b"VP8L", b"VP8 "][rng.integers(9)]
    chunk = kind + struct.pack("<I", len(MARK)) + MARK + b"\x00"
    body = data[12:] + chunk if rng.integers(2) else chunk + data[12:]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def into_bmp(data, rng):
    start = struct.unpack_from("<I", data, 10)[0]
    if rng.integers(2):  # a gap between header and pixels
        return data[:10] + struct.pack("<I", start + len(MARK)) + data[14:start] + MARK + data[start:]
    size = struct.unpack_from("<I", data, 2)[0]
    return data[:2] + struct.pack("<I", size + len(MARK)) + data[6:] + MARK


def into_tiff(data, rng):
    where = struct.unpack_from("<I", data, 4)[0] if data[:2] == b"II" else 8
    moved = data[:4] + struct.pack("<I", where) + data[8:] + MARK
    return moved
