"""The bytes of an image file without what says where, when and of whom it was taken; the pixels stay as they are."""

import hashlib
import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from tinycnn.data.decode import ORIENTATION, decode_image, exif_of, open_image

_CODING = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}  # JPEG's frames that Pillow reads
_DQT, _DHT, _SOS, _DRI, _DNL, _EOI = 0xDB, 0xC4, 0xDA, 0xDD, 0xDC, 0xD9  # other markers of JPEG (T.81, table B.1)
_NAMES = {b"EXIF": "EXIF", b"eXIf": "EXIF", b"XMP ": "XMP", b"tIME": "time", b"pHYs": "resolution"}
_NAMES |= dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), "text")
_OF_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"iCCP", b"ICCP"}


def strip_bytes(data: bytes) -> tuple[bytes, list[str]]:
    """The bytes of one image file without metadata, and a list of what was removed.

    Raises
    ------
    ValueError
        If the file is no image, is damaged, or is of a format other than JPEG, PNG, WebP, TIFF and BMP.

    Examples
    --------
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (8, 8)).save(file, "JPEG", comment=b"Jane Doe")
    >>> stripped, removed = strip_bytes(file.getvalue())
    >>> len(file.getvalue()) - len(stripped), removed
    (12, ['comment'])
    """
    decode_image(data, 1)  # refuses what is damaged, no image, or a decompression bomb, and says why
    with open_image(data) as image:
        form = "JPEG" if image.format == "MPO" else str(image.format)
        orientation, removed = _orientation_of(image), _profile_of(image)
    if form not in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
        raise ValueError(f"metadata of {form} files cannot be removed; convert the file to PNG first")
    try:
        stripped, names = _strip_jpeg(data, orientation) if form == "JPEG" else _saved_anew(data, form, orientation)
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged {form} file: {error}") from error
    if _picture(data) != _picture(stripped):
        raise ValueError(f"its pixels would change without its metadata (an unusual {form} file)")
    return stripped, sorted({*removed, *names})


def _picture(data: bytes) -> tuple[object, ...]:
    """All that makes the picture: equal for two files that show the same."""
    with open_image(data) as image:
        shown = image.convert("RGBA") if image.mode == "P" or "transparency" in image.info else image
        pixels = hashlib.sha256(np.asarray(shown).data).digest()
        return image.size, image.mode, pixels, _orientation_of(image)  # last: decoding turns a TIFF upright


def _orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 ("upright") for what is none."""
    orientation = exif_of(image).get(ORIENTATION)
    return int(orientation) if isinstance(orientation, int) and orientation in range(2, 9) else 1


def _orientation_only(orientation: int) -> bytes:
    """An EXIF block (a TIFF header and one directory) with nothing but the orientation."""
    return b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, ORIENTATION, 3, 1, orientation, 0, 0)


def _profile_of(image: Image.Image) -> list[str]:
    """What to say of the image's colour profile: without one, colours are shown as sRGB."""
    profile = image.info.get("icc_profile")
    if not profile:
        return []
    try:
        ramp = Image.fromarray(np.indices((6, 6, 6), np.uint8).reshape(3, 36, 6).transpose(1, 2, 0) * 51)
        ramp = ramp.convert("L") if image.mode in ("L", "LA", "1") else ramp
        given, usual = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(ramp, given, usual, outputMode="RGB")
        change = int(np.abs(np.asarray(shown, int) - np.asarray(ramp.convert("RGB"), int)).max())
    except Exception:  # a damaged profile, or one of inks: nothing to compare
        return ["colour profile"]
    return [f"colour profile (colours as shown change by up to {change} of 255)" if change > 2 else "colour profile"]


def _saved_anew(data: bytes, form: str, orientation: int) -> tuple[bytes, list[str]]:
    """A new file of the same pixels, in a format without loss, and what the old one had besides them."""
    with open_image(data) as image:
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"a {form} of {frames} pages or frames; save each as a file first")
        deep = (
            image.tag_v2.get(258, (8,)) if isinstance(image, TiffImageFile) else data[24:25] if form == "PNG" else (8,)
        )
        if max(deep) > 8 and len(image.getbands()) > 1:  # Pillow decodes only 8 of them
            raise ValueError(f"a {form} with {max(deep)} bits per colour, of which 8 would be left; save it with 8")
        removed = ["TIFF fields"] if form == "TIFF" else _kinds(data, form)
        clean = image.copy()  # a TIFF turns upright when it is decoded
        clean.info = {key: value for key, value in image.info.items() if key == "transparency"}
        if clean.mode == "P":
            _forget_unused_colours(clean)
        options: dict[str, Any] = {"compression": "tiff_adobe_deflate"} if form == "TIFF" else {}
        if form == "WEBP":
            options = {"lossless": True, "exact": True}
        if orientation != 1 and form != "TIFF":
            options["exif"] = _orientation_only(orientation)
        file = io.BytesIO()
        clean.save(file, form, **options)
    return file.getvalue(), removed


def _forget_unused_colours(image: Image.Image) -> None:
    """Make the colours of a palette black, and opaque, that no pixel has: up to 1,024 bytes of anything."""
    used = np.zeros(256, bool)
    used[np.unique(np.asarray(image))] = True
    palette = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(given)] = given
    palette[~used] = 0
    image.putpalette(palette[: np.flatnonzero(used)[-1] + 1].tobytes())
    opacity = image.info.get("transparency")
    if isinstance(opacity, bytes):
        image.info["transparency"] = bytes(a if used[i] else 255 for i, a in enumerate(opacity))


def _kinds(data: bytes, form: str) -> list[str]:
    """Names of the blocks of a PNG, WebP or BMP file that are not of its pixels, for the user to read."""
    removed, at, end = [], {"PNG": 8, "WEBP": 12}.get(form, 0), len(data)
    if form == "BMP":
        at = end = struct.unpack_from("<I", data, 2)[0] or end
    while at + 8 <= end:
        if form == "PNG":
            length, kind = struct.unpack_from(">I4s", data, at)
            at += 12 + length
        else:
            kind, length = struct.unpack_from("<4sI", data, at)
            at += 8 + length + length % 2
            end = min(end, 8 + struct.unpack_from("<I", data, 4)[0])
        if kind not in _OF_PIXELS:
            removed.append(_NAMES.get(kind, kind.decode("ascii", "replace")))
        if kind == b"IEND":
            break
    return [*removed, "data after the image"] if data[at:].strip(b"\x00") else removed


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield of each segment (ITU-T T.81, annex B) its marker, its content, and a scan's compressed data behind it."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError(f"damaged JPEG file: no marker at byte {at}")
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if marker == _EOI:
            yield marker, data[at + 2 :], b""
            return
        start, at = at + 4, at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        content, end = data[start:at], at
        if marker == _SOS:  # compressed data follow, in which FF is followed by 00 or a restart marker
            end = data.find(b"\xff", at)
            while end >= 0 and (data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7):
                end = data.find(b"\xff", end + 2)
            if end < 0:
                raise ValueError("damaged JPEG file: it has no end")
        yield marker, content, data[at:end]
        at = end


def _strip_jpeg(data: bytes, orientation: int) -> tuple[bytes, list[str]]:
    """Write the frame, and before each scan the tables that it uses, and nothing beside them."""
    removed, head, body = [], {}, []
    tables: dict[tuple[int, int], bytes] = {}  # by marker and number, as last defined; and as last written
    written: dict[tuple[int, int], bytes] = {}
    components: dict[int, int] = {}  # of the frame, with the number of each one's quantisation table
    for marker, content, scan in _jpeg_segments(data):
        used = len(content)
        if marker in (_DQT, _DHT):
            used = 0
            while used < len(content):
                of_dht = 17 + sum(content[used + 1 : used + 17])  # counts of codes, then their symbols
                length = of_dht if marker == _DHT else 65 + 64 * (content[used] >> 4)
                if content[used] > 0x1F or used + length > len(content):
                    break
                tables[marker, content[used]] = content[used : used + length]
                used += length
        elif marker in _CODING:
            used = 6 + 3 * content[5]
            components = {content[i]: content[i + 2] for i in range(6, used, 3)}
            body.append(_segment(marker, content[:used]))
        elif marker == _SOS:
            used = 4 + 2 * content[0]
            first, last, high = content[used - 3], content[used - 2], content[used - 1] >> 4
            for i in range(1, used - 3, 2):
                number, codes = components[content[i]], content[i + 1]
                wanted = [(_DQT, number), (_DQT, number | 0x10)]  # of 8 or 16 bits
                wanted += [(_DHT, codes >> 4)] if first == 0 and high == 0 else []
                wanted += [(_DHT, 0x10 | codes & 15)] if last > 0 else []
                for key in wanted:
                    if key in tables and written.get(key) != tables[key]:
                        written[key] = tables[key]
                        body.append(_segment(key[0], tables[key]))
            body.append(_segment(marker, content[:used]) + scan)
        elif marker in (_DRI, _DNL):
            used = 2
            body.append(_segment(marker, content[:used]))
        elif marker == 0xE0 and content.startswith(b"JFIF\x00"):  # says that colours are YCbCr
            head[marker] = b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
            removed += ["resolution"] if content[5:12] != head[marker][5:12] else []
            removed += ["thumbnail"] if len(content) > 14 else []
        elif marker == 0xEE and content.startswith(b"Adobe") and len(content) > 11:  # says which colours they are
            head[marker] = b"Adobe\x00\x64\x00\x00\x00\x00" + content[11:12]
            used = 12
        elif marker == _EOI:
            removed += ["data after the image"] if content.strip(b"\x00") else []
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            removed += _jpeg_metadata_name(marker, content)
        else:
            raise ValueError(f"a JPEG with a segment {marker:#x} is too unusual to be cleaned")
        removed += ["bytes behind a segment"] if used < len(content) else []
    if orientation != 1:
        head[0xE1] = _orientation_only(orientation)
    start = b"".join(_segment(marker, content) for marker, content in sorted(head.items()))
    return b"\xff\xd8" + start + b"".join(body) + bytes([0xFF, _EOI]), removed


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _jpeg_metadata_name(marker: int, content: bytes) -> list[str]:
    """What kind of metadata a segment is; a colour profile is named by `_profile_of`."""
    if marker == 0xE2 and content.startswith(b"ICC_PROFILE\x00"):
        return []
    known = {b"Exif\x00": "EXIF", b"http://ns.adobe.com/x": "XMP", b"Photoshop": "Photoshop/IPTC", b"JFXX": "thumbnail"}
    other = "comment" if marker == 0xFE else f"APP{marker - 0xE0}"
    return [next((name for start, name in known.items() if content.startswith(start)), other)]
