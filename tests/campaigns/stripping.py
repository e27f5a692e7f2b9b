"""A mark hidden in every block, gap and tail of image files of every format; after stripping it is nowhere.

Where each standard, or a maker of cameras, puts words of its own: XMP in PNG's iTXt and in two parts in JPEG's APP1,
thumbnails in EXIF, JFIF, JFXX and Photoshop's blocks, C2PA's boxes (APP11), a phone's second picture (MPF), makers'
notes, sub-directories and private tags of TIFF, comments and application blocks of GIF, and files of other kinds.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from tinycnn.data.metadata import strip_bytes

COUNT = 1500
MARK = b"DOE^JANE^1954"
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "MPO", "DICOM"]
MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["L", "RGB", "RGBA", "P", "1", "LA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": ["L", "RGB", "P", "1", "CMYK", "I;16"],
    "BMP": ["L", "RGB", "P", "1"],
    "GIF": ["L", "P"],
    "MPO": ["L", "RGB"],
    "DICOM": ["L"],
}
REFUSED = ("GIF", "DICOM")
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
    assert MARK in everything(data), "the mark was not hidden"
    try:
        stripped, _ = strip_bytes(data)
    except ValueError as error:  # such a file is refused, and not copied
        assert MARK.decode() not in str(error), "the error tells what is hidden"
        return
    assert form not in REFUSED, f"{form} was not refused"
    assert MARK not in everything(stripped), f"{form} {mode}: the mark is still there"
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(stripped)) as after:
        assert before.size == after.size and (np.asarray(before) == np.asarray(after)).all() or mode == "P"
        assert (np.asarray(before.convert("RGBA")) == np.asarray(after.convert("RGBA"))).all() or mode == "I;16"


def everything(data):
    """The bytes of a file, what is compressed in it, and UTF-16 as if it were ASCII, in one piece."""
    found, at = [data, data.replace(b"\0", b"")], 0
    while 0 <= (at := data.find(b"\x78", at)) < len(data):
        try:
            found.append(zlib.decompressobj().decompress(data[at:]))
        except zlib.error:
            pass
        at += 1
    return b"|".join(found)


def hidden(image, form, rng):
    """A file of `image` with the mark in it, in one or two places."""
    if form == "DICOM":
        return bytes(128) + b"DICM" + MARK + image.tobytes()
    options, text = {}, PngImagePlugin.PngInfo()
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = int(rng.integers(4, len(profile) - len(MARK)))
    profile[at : at + len(MARK)] = MARK
    words = [{"exif": exif(rng)}, {"icc_profile": bytes(profile)}, {"xmp": MARK}, {"comment": MARK}]
    if rng.integers(2):
        options = words[rng.integers(4)]
    if form == "PNG" and rng.integers(2):
        if rng.integers(2):
            text.add_text("Patient", MARK.decode(), zip=bool(rng.integers(2)))
        else:
            text.add_itxt("XML:com.adobe.xmp", MARK.decode(), zip=bool(rng.integers(2)))
        options["pnginfo"] = text
    if form in ("JPEG", "MPO"):
        options["progressive"] = bool(rng.integers(2))
    if form == "MPO":
        other = io.BytesIO()
        image.save(other, "JPEG", comment=MARK)
        other.seek(0)
        options |= {"save_all": True, "append_images": [Image.open(other)]}
    if form == "TIFF":
        options["tiffinfo"] = tags(rng)
    file = io.BytesIO()
    image.save(file, form, **options)
    into = {"JPEG": into_jpeg, "MPO": into_jpeg, "PNG": into_png, "WEBP": into_webp, "BMP": into_bmp}
    data = into.get(form, lambda data, rng: data + MARK)(file.getvalue(), rng)
    return data + (MARK if rng.integers(3) == 0 else b"")


def exif(rng):
    """An EXIF block with the mark in its first directory, one below it, a word of Windows' or a thumbnail."""
    block, place = Image.Exif(), rng.integers(6)
    if place < 2:
        block[int(rng.choice([0x010E, 0x013B, 0x8298, 0xC4A5]))] = MARK.decode()
    elif place == 2:  # of Exif: user's comment, maker's note, owner of the camera, its number
        block.get_ifd(0x8769)[int(rng.choice([0x9286, 0x927C, 0xA430, 0xA431]))] = MARK
    elif place == 3:  # GPS: date, area
        block.get_ifd(0x8825)[int(rng.choice([0x001D, 0x001C]))] = MARK
    elif place == 4:
        block[0x9C9D] = MARK.decode().encode("utf-16-le")
    else:  # behind its end, where a thumbnail lies
        return block.tobytes() + b"\xff\xd8\xff\xfe" + struct.pack(">H", len(MARK) + 2) + MARK + b"\xff\xd9"
    return block.tobytes()


def tags(rng):
    """TIFF's fields with the mark in a known one, a private one, or a directory below."""
    fields = TiffImagePlugin.ImageFileDirectory_v2()
    tag = int(rng.choice([270, 305, 315, 316, 700, 33723, 34377, 37724, 50839, 65000]))
    fields[tag] = MARK.decode() if tag < 400 else MARK
    if tag > 400:
        fields.tagtype[tag] = 1 if rng.integers(2) else 7
    if rng.integers(3) == 0:
        below = TiffImagePlugin.ImageFileDirectory_v2()
        below[int(rng.choice([37500, 37510, 29]))] = MARK
        fields[int(rng.choice([34665, 34853]))] = below
    return fields


def into_jpeg(data, rng):
    marker = int(rng.choice([0xFE, 0xDB, 0xC4, *range(0xE0, 0xF0)]))
    start = [
        b"",
        b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
        b"Adobe\x00\x64\x00\x00\x00\x00\x01",
        b"Exif\x00\x00",
    ]
    start += [b"ICC_PROFILE\x00\x01\x01", b"JFXX\x00\x10", b"JFXX\x00\x11\x01\x01", b"MPF\x00", b"FPXR\x00"]
    start += [b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x02\x02", b"http://ns.adobe.com/xap/1.0/\x00"]
    start += [b"http://ns.adobe.com/xmp/extension/\x00", b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x0d"]
    start += [b"Photoshop 3.0\x008BIM\x04\x0c\x00\x00\x00\x00\x00\x0d", b"Ducky\x00\x01\x00\x04"]
    start += [b"JP\x00\x01\x00\x00\x00\x01\x00\x00\x00\x40jumb\x00\x00\x00\x20jumdc2pa", b"AROT", b"GSPM"]
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
    kinds = [b"EXIF", b"XMP ", b"ICCP", b"ALPH", b"SECR", b"VP8X", b"ANIM", b"ANMF", b"FRGM", b"VP8L", b"VP8 "]
    kind = kinds[rng.integers(len(kinds))]
    chunk = kind + struct.pack("<I", len(MARK)) + MARK + b"\x00"
    body = data[12:] + chunk if rng.integers(2) else chunk + data[12:]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def into_bmp(data, rng):
    start = struct.unpack_from("<I", data, 10)[0]
    if rng.integers(2):  # a gap between header and pixels
        return data[:10] + struct.pack("<I", start + len(MARK)) + data[14:start] + MARK + data[start:]
    size = struct.unpack_from("<I", data, 2)[0]
    return data[:2] + struct.pack("<I", size + len(MARK)) + data[6:] + MARK
