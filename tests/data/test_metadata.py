import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from tinycnn.data.decode import decode_image
from tinycnn.data.metadata import strip_bytes, strip_metadata

SECRET = "Jane Doe"


def picture(mode="RGB"):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 37, 3), np.uint8))
    return Image.fromarray(rng.integers(0, 65536, (24, 37), np.uint16)) if mode == "I;16" else image.convert(mode)


def exif(orientation=None):
    block = Image.Exif()
    block[0x010E] = SECRET
    if orientation:
        block[0x0112] = orientation
    return block


def encode(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


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


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source"
    for name in ("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(encode(picture(), "JPEG", comment=SECRET))
    (source / ".DS_Store").write_text(SECRET)
    return source


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder(source, tmp_path):
    before = contents(source)
    result = strip_metadata(source, tmp_path / "target")
    assert result.removed == {name: ["comment"] for name in ("test/a/3.jpg", "train/a/1.jpg", "train/b/2.jpg")}
    assert result.skipped == [] and contents(source) == before
    after = contents(tmp_path / "target")
    assert set(after) == set(result.removed) and not any(SECRET.encode() in data for data in after.values())
    assert strip_metadata(source, tmp_path / "target").removed == result.removed, "a second run does no harm"
    assert contents(tmp_path / "target") == after


def test_bad_files_are_never_copied(source, tmp_path):
    (source / "patients.csv").write_text(SECRET)
    (source / "train/a/zero.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)2 of 5 files.*patients.csv.*zero.png: the file is empty"):
        strip_metadata(source, tmp_path / "target")
    assert len(contents(tmp_path / "target")) == 3
    result = strip_metadata(source, tmp_path / "other", on_error="skip")
    assert [bad.path for bad in result.skipped] == ["patients.csv", "train/a/zero.png"]


def test_a_damaged_exif_block_is_left_out_like_any_other(source, tmp_path):
    picture("L").save(source / "x.png", exif=b"Exif\0\0Ma\0*\0\0\0\x08")
    assert strip_metadata(source, tmp_path / "target").removed["x.png"] == ["EXIF"]
    np.testing.assert_array_equal(Image.open(tmp_path / "target" / "x.png"), picture("L"))


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


def test_linked_folders_are_named_and_not_copied(source, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (source / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="1 of 4 files .*\n  link: .*a link to a folder"):
        strip_metadata(source, tmp_path / "target")
    assert len(strip_metadata(source, tmp_path / "target", on_error="skip").removed) == 3


def test_a_crash_leaves_whole_files_only(source, tmp_path, monkeypatch):
    target = tmp_path / "target"
    expected = contents(source)
    replace, calls = os.replace, []

    def fail_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(*args)

    monkeypatch.setattr(os, "replace", fail_second)
    with pytest.raises(OSError, match="No space left"):
        strip_metadata(source, target, workers=1)
    monkeypatch.undo()
    assert contents(source) == expected
    partial = contents(target)
    assert len(partial) == 2 and all(Image.open(io.BytesIO(data)).size == (37, 24) for data in partial.values())
    strip_metadata(source, target)
    assert len(contents(target)) == 3


def test_impossible_folders(source, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        strip_metadata(tmp_path / "absent", tmp_path / "target")
    for target in (source, source / "inside"):
        with pytest.raises(ValueError, match="inside"):
            strip_metadata(source, target)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        strip_metadata(source, tmp_path / "file")


def test_a_target_around_the_source_is_refused_before_the_first_byte(tmp_path):
    """``one/data`` to ``one`` would write ``one/data/a.jpg`` from ``one/data/data/a.jpg``, over the original."""
    source = tmp_path / "one" / "data"
    (source / "data").mkdir(parents=True)
    for i, path in enumerate((source / "a.jpg", source / "data" / "a.jpg")):
        Image.new("L", (8, 8), 99 * i).save(path, comment=SECRET.encode())
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="around it"):
        strip_metadata(source, tmp_path / "one")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("target", ["FILMS", "FILMS/out", "ONE"])
def test_a_folder_by_another_of_its_names_is_the_same_folder(tmp_path, monkeypatch, target):
    """As on disks that do not tell "FILMS" from "films"."""
    source = tmp_path / "one" / "films"
    source.mkdir(parents=True)
    picture("L").save(source / "a.png")
    (tmp_path / "FILMS").symlink_to(source)
    (tmp_path / "ONE").symlink_to(tmp_path / "one")
    monkeypatch.setattr(Path, "resolve", Path.absolute)  # which names do not tell
    with pytest.raises(ValueError, match="must not be the source"):
        strip_metadata(source, tmp_path / target)
    assert [path.name for path in source.iterdir()] == ["a.png"]


def test_copies_that_come_to_lie_on_one_another_are_named(tmp_path):
    for name in ("sub", "SUB"):
        (tmp_path / "source" / name).mkdir(parents=True)
        picture("L").save(tmp_path / "source" / name / "a.png")
    (tmp_path / "target" / "sub").mkdir(parents=True)
    (tmp_path / "target" / "SUB").symlink_to("sub")
    with pytest.raises(ValueError, match="SUB/a.png and sub/a.png are one file, so one copy is lost"):
        strip_metadata(tmp_path / "source", tmp_path / "target")


def test_a_name_of_255_bytes_is_copied(tmp_path):
    (tmp_path / "source").mkdir()
    picture("L").save(tmp_path / "source" / ("a" * 251 + ".png"))
    assert len(strip_metadata(tmp_path / "source", tmp_path / "target").removed) == 1


@pytest.mark.parametrize("kind", ["folder", "nested folder", "file", "hard"])
def test_links_into_the_source_are_refused_before_the_first_byte(tmp_path, kind):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()
    picture("L").save(source / "first.png")
    picture("L").save(source / "sub" / "a.jpg", comment=SECRET.encode())
    if kind == "folder":
        (target / "sub").symlink_to(source)
    elif kind == "nested folder":
        (target / "sub").symlink_to(source / "sub")
    else:
        (target / "sub").mkdir()
        link = (target / "sub" / "a.jpg").symlink_to if kind == "file" else (target / "sub" / "a.jpg").hardlink_to
        link(source / "sub" / "a.jpg")
    before = contents(source)
    with pytest.raises(ValueError, match="original"):
        strip_metadata(source, target)
    assert contents(source) == before and not (target / "first.png").exists()


def test_a_source_that_links_to_the_target_is_refused(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    picture("L").save(target / "a.jpg", comment=SECRET.encode())
    (source / "a.jpg").symlink_to(target / "a.jpg")
    before = contents(target)
    with pytest.raises(ValueError, match="original"):
        strip_metadata(source, target)
    assert contents(target) == before


def test_some_of_the_real_images(real_folder):
    paths = sorted(real_folder.glob("*/*/*"))[::16]
    removed = set()
    for path in paths + [real_folder / "train/Covid/068.jpg"]:
        removed |= set(strip_bytes(path.read_bytes())[1])
    assert removed == {"comment"}
