import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from secret_pictures import SECRET, encode, picture

from tinycnn.data.decode import decode_image
from tinycnn.data.metadata import strip_bytes


def exif(orientation=None):
    block = Image.Exif()
    block[0x010E] = SECRET
    if orientation:
        block[0x0112] = orientation
    return block


def check(data, *removed):
    """Strip; the pixels stay, the secret goes, nothing is left to strip; the result, to look at further."""
    stripped, names = strip_bytes(data)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(stripped)) as after:
        assert before.size == after.size and before.mode == after.mode
        before.load()
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    assert SECRET.encode() not in stripped
    assert names == sorted(removed)
    return stripped


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"quality": 100}])
def test_jpeg(mode, options):
    data = encode(picture(mode), "JPEG", exif=exif(), comment=SECRET, xmp=SECRET.encode(), dpi=(300, 300), **options)
    stripped = check(data, "EXIF", "XMP", "comment", "resolution")
    assert strip_bytes(stripped) == (stripped, [])


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def test_jpeg_segments_of_all_kinds():
    data = encode(picture(), "JPEG", icc_profile=b"profile " * 20)
    jfif = data[2:20]
    assert jfif[:4] == b"\xff\xe0\x00\x10"
    with_thumbnail = segment(0xE0, jfif[4:16] + b"\x01\x01" + b"\x09\x09\x09")
    extra = segment(0xE0, b"JFXX\x00\x10" + SECRET.encode()) + segment(0xED, b"Photoshop 3.0\x00" + SECRET.encode())
    extra += segment(0xEC, SECRET.encode()) + b"\xff\xff\xff" + segment(0xFE, SECRET.encode())[1:]
    data = data[:2] + with_thumbnail + extra + data[20:] + SECRET.encode()
    names = "APP12", "Photoshop/IPTC", "colour profile", "comment", "data after the image", "thumbnail"
    stripped = check(data, *names)
    assert "icc_profile" not in Image.open(io.BytesIO(stripped)).info
    assert stripped[2:20] == jfif


def test_a_phones_second_picture_goes():
    data = encode(picture(), "MPO", save_all=True, append_images=[picture("L").convert("RGB")])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    stripped, removed = strip_bytes(data)
    assert "data after the image" in removed and "APP2" in removed
    with Image.open(io.BytesIO(stripped)) as image:
        assert image.format == "JPEG" and getattr(image, "n_frames", 1) == 1


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16", "1"])
def test_png(mode):
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET)
    text.add_text("Long", SECRET * 9, zip=True)
    text.add_itxt("Name", SECRET)
    text.add(b"tIME", b"\x07\xe4\x03\x01\x0c\x00\x00")
    text.add(b"prIV", SECRET.encode())
    data = encode(picture(mode), "PNG", pnginfo=text, exif=exif(), dpi=(300, 300)) + SECRET.encode()
    stripped = check(data, "EXIF", "data after the image", "prIV", "resolution", "text", "time")
    assert strip_bytes(stripped) == (stripped, [])


def test_text_behind_the_pixels_and_transparency():
    text = PngImagePlugin.PngInfo()
    text.add_text("Late", SECRET, zip=False)
    data = encode(picture("P"), "PNG", transparency=3)
    chunk = encode(picture("L"), "PNG", pnginfo=text)
    start = chunk.index(b"tEXt") - 4
    late = chunk[start : start + 12 + int.from_bytes(chunk[start : start + 4], "big")]
    stripped = check(data[:-12] + late + data[-12:], "text")
    assert Image.open(io.BytesIO(stripped)).info["transparency"] == 3


@pytest.mark.parametrize("lossless", [True, False])
def test_webp(lossless):
    if "WEBP" not in Image.SAVE:
        pytest.skip("this Pillow cannot write WebP")
    data = encode(picture("RGBA"), "WEBP", exif=exif(), xmp=SECRET.encode(), lossless=lossless)
    check(data, "EXIF", "XMP")


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "F", "1", "P", "CMYK"])
def test_tiff(mode):
    data = encode(
        picture("L").convert("F") if mode == "F" else picture(mode), "TIFF", description=SECRET, artist=SECRET
    )
    assert SECRET.encode() in data
    check(data, "TIFF fields")


SCREEN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_colour_profile_goes_and_what_that_changes_is_said(format):
    check(encode(picture(), format, icc_profile=SCREEN), *["TIFF fields"] * (format == "TIFF"), "colour profile")
    darker = SCREEN.replace(
        b"para" + bytes(4) + b"\0\3\0\0" + b"\0\2\x66\x66", b"para" + bytes(4) + b"\0\3\0\0" + b"\0\1\0\0"
    )
    assert darker != SCREEN
    names = strip_bytes(encode(picture(), format, icc_profile=darker))[1]
    assert int(re.search(r"colours as shown change by up to (\d+) of 255", " ".join(names))[1]) > 20


@pytest.mark.parametrize("depth", ["PNG", "TIFF"])
def test_sixteen_bits_a_colour_are_refused_for_eight_would_be_left(depth):
    if depth == "PNG":
        rows = np.random.default_rng(0).integers(0, 256, (4, 1 + 4 * 6), np.uint8)
        rows[:, 0] = 0
        header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        data += chunk(b"IEND", b"")
    else:
        entries = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8)]
        entries += [(277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, 96)]
        pack = {3: "<HHIHxx", 4: "<HHII"}
        table = b"".join(struct.pack(pack[kind if n == 1 else 4], tag, kind, n, v) for tag, kind, n, v in entries)
        body = b"II*\0" + struct.pack("<I", 104) + bytes(96) + struct.pack("<H", len(entries)) + table + bytes(4)
        data = body.replace(struct.pack("<HHII", 258, 3, 3, 200), struct.pack("<HHII", 258, 3, 3, len(body)))
        data += struct.pack("<HHH", 16, 16, 16)
    assert decode_image(data, 4).shape == (4, 4, 3)
    with pytest.raises(ValueError, match="16 bits per colour"):
        strip_bytes(data)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_colours_that_no_pixel_has_go():
    image = picture("P")
    pixels = np.asarray(image).copy()
    pixels[pixels > 199] = 0
    colours = np.array(image.getpalette(), np.uint8)
    colours[620 : 620 + len(SECRET)] = list(SECRET.encode())
    image = Image.fromarray(pixels, "P")
    image.putpalette(colours.tobytes())
    for format in ("PNG", "TIFF", "BMP"):
        data = encode(image, format)
        assert format != "PNG" or SECRET.encode() in data  # the others interleave or pad the colours
        stripped, _ = strip_bytes(data)
        with Image.open(io.BytesIO(stripped)) as after:
            np.testing.assert_array_equal(np.asarray(after.convert("RGB")), np.asarray(image.convert("RGB")))
            assert SECRET.encode() not in bytes(after.getpalette())


def test_tables_that_no_scan_uses_and_bytes_behind_segments_go():
    data = encode(picture(), "JPEG")
    at = data.index(b"\xff\xdb")
    table = segment(0xDB, b"\x03" + (SECRET.encode() * 9)[:64])
    check(data[:at] + table + data[at:])
    data = encode(picture("CMYK"), "JPEG")
    at = data.index(b"Adobe") - 4
    check(
        data[:at] + segment(0xEE, data[at + 4 : at + 16] + SECRET.encode()) + data[at + 16 :], "bytes behind a segment"
    )


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_are_refused(format):
    data = encode(picture(), format, save_all=True, append_images=[picture("L").convert("RGB")])
    with pytest.raises(ValueError, match="2 pages or frames"):
        strip_bytes(data)


def test_tiff_of_several_pages():
    data = encode(picture(), "TIFF", save_all=True, append_images=[picture()])
    with pytest.raises(ValueError, match="2 pages"):
        strip_bytes(data)


def test_bmp():
    check(encode(picture(), "BMP"))
    check(encode(picture(), "BMP") + SECRET.encode(), "data after the image")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_orientation_survives_alone(format, orientation):
    data = encode(picture(), format, exif=exif(orientation))
    stripped, _ = strip_bytes(data)
    np.testing.assert_array_equal(decode_image(stripped, (24, 37)), decode_image(data, (24, 37)))
    assert SECRET.encode() not in stripped
    if format in ("JPEG", "PNG", "WEBP"):
        tags = dict(Image.open(io.BytesIO(stripped)).getexif())
        assert tags == ({} if orientation == 1 else {0x0112: orientation})
        assert strip_bytes(stripped)[0] == stripped


def test_what_is_refused():
    with pytest.raises(ValueError, match="GIF"):
        strip_bytes(encode(picture("P"), "GIF"))
    for data in (b"", b"patient list", encode(picture(), "JPEG")[:-300], encode(picture(), "PNG")[:-300]):
        with pytest.raises(ValueError):
            strip_bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", [pytest.param("TIFF", marks=pytest.mark.long), "PNG", "JPEG", "BMP", "WEBP"])
def test_every_damage_is_the_files_own_error(format, capfd):
    whole = encode(Image.fromarray(np.arange(30, dtype=np.uint8).reshape(6, 5)), format)
    for at in range(0, len(whole), 1 if format == "TIFF" else 3):
        for value in {0, 7, 255, whole[at] ^ 1} - {whole[at]}:
            try:
                strip_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            except ValueError as error:
                assert str(error)
    capfd.readouterr()  # libtiff's own complaints


def test_some_of_the_real_images(real_folder):
    paths = sorted(real_folder.glob("*/*/*"))[::16]
    removed = set()
    for path in paths + [real_folder / "train/Covid/068.jpg"]:
        removed |= set(strip_bytes(path.read_bytes())[1])
    assert removed == {"comment"}
