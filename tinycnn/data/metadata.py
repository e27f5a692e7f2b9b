"""Copies of image files without what says where, when and of whom they were taken; the pixels stay as they are."""

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinycnn.data.dataset import BadFile
from tinycnn.data.decode import ORIENTATION, decode_image, exif_of, open_image
from tinycnn.data.layout import map_files
from tinycnn.data.source import FolderSource
from tinycnn.files import PathLike, atomic_write

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"pHYs", b"hIST"}
_PNG_KEPT |= {b"acTL", b"fcTL", b"fdAT"}  # animation
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}


class Stripped(NamedTuple):
    """What `strip_metadata` did.

    Attributes
    ----------
    removed : dict of str -> list of str
        For each file written, its path and the kinds of metadata that it no longer has.
    skipped : list of BadFile
        Files that were not copied.
    """

    removed: dict[str, list[str]]
    skipped: list[BadFile]


def strip_metadata(
    source: PathLike, target: PathLike, *, on_error: str = "raise", workers: int | None = None
) -> Stripped:
    """Copy all images under the folder `source` to `target`, leaving out their metadata.

    Left out: EXIF, XMP, IPTC and Photoshop blocks, comments, text and time chunks, embedded thumbnails, private
    blocks, and whatever follows the end of the image. Kept: what decoders need, resolution and colour profile.
    An EXIF orientation other than "upright" stays, as the only EXIF field, because a film would lie on its side
    without it. JPEG, PNG and WebP are cut between their blocks and never re-encoded; TIFF is rewritten without
    loss; BMP has no metadata. Every copy is decoded and compared with its original before it is written.

    `source` is never changed. Each file is written under a temporary name and renamed, so after a crash `target`
    holds whole files only, and a second call completes it. Names of files and folders stay, and so does text
    burnt into the pixels: look for both yourself. Hidden files and those of operating systems are not copied.

    Parameters
    ----------
    source, target : str or Path
        Folders; `target` is made if need be. Neither may be the other, lie inside it, or lead into it by a link.
    on_error : "raise" or "skip"
        What to do about files that are no images, are damaged, or of a format that cannot be stripped. They are
        never copied; "raise" names them all in one ValueError after the others have been written.
    workers : int, optional

    Raises
    ------
    FileNotFoundError
        If `source` is no folder.
    ValueError
        If `source` and `target` overlap, before anything is written; or if files could not be stripped.
    OSError
        If `target` cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "in").mkdir()
    >>> Image.new("L", (8, 8)).save(folder / "in" / "film.jpg", comment=b"Jane Doe")
    >>> strip_metadata(folder / "in", folder / "out")
    Stripped(removed={'film.jpg': ['comment']}, skipped=[])
    >>> b"Jane" in (folder / "out" / "film.jpg").read_bytes()
    False
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}')
    if not source.is_dir():
        raise FileNotFoundError(f"no such folder: {source}")
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"the target {target} is a file; name a folder")
    _refuse_overlap(source, target)
    folder = FolderSource(source)
    names = sorted("/".join(parts) for parts in folder.walk())
    _refuse_links(source, target, names)
    broken: list[OSError] = []  # errors of writing end the call; errors of reading are the file's own

    def copy(i: int, data: bytes) -> list[str]:
        stripped, removed = strip_bytes(data)
        try:
            with atomic_write(target / names[i]) as temporary:
                temporary.write_bytes(stripped)
        except OSError as error:
            broken.append(error)
            raise
        return removed

    results = map_files(copy, folder, (), names, workers)
    if broken:
        raise broken[0]
    skipped = [result for result in results if isinstance(result, BadFile)]
    if skipped and on_error == "raise":
        listing = "\n".join(f"  {name}: {reason}" for name, reason in skipped)
        raise ValueError(
            f"{len(skipped)} of {len(names)} files in {source} were not copied (the others were):\n{listing}"
        )
    removed = {n: result for n, result in zip(names, results, strict=True) if not isinstance(result, BadFile)}
    return Stripped(removed, skipped)


def _refuse_overlap(source: Path, target: Path) -> None:
    """Refuse folders of which one holds the other: copies would land among, or on, the originals."""
    inner, outer = source.resolve(), target.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise ValueError(
            f"the target {target} must not be the source {source}, inside it or around it: copies would replace "
            "originals; name a folder of its own"
        )


def _refuse_links(source: Path, target: Path, names: list[str]) -> None:
    """Refuse a target in which a link leads back: to a folder of the source, or to one of its files."""
    root = source.resolve()
    originals: dict[tuple[int, int] | None, str] = {}
    for name in names:
        originals.setdefault(_identity(source / name), name)
    originals.pop(None, None)
    for name in names:
        path = target / name
        folder = path.parent.resolve()
        if folder == root or root in folder.parents:
            raise ValueError(
                f"the target's folder {path.parent} is a link into the source {source}: copies would replace originals"
            )
        original = originals.get(_identity(path))
        if original is not None:
            raise ValueError(f"{path} and {source / original} are one file: the copy would replace the original")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another under any name; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


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
        orientation = _orientation_of(image)
    strip = {"JPEG": _strip_jpeg, "PNG": _strip_png, "WEBP": _strip_webp, "TIFF": _strip_tiff, "BMP": _strip_bmp}
    if form not in strip:
        raise ValueError(f"metadata of {form} files cannot be removed; convert the file to PNG first")
    try:
        stripped, removed = strip[form](data, orientation)
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged {form} file: {error}") from error
    if _picture(data) != _picture(stripped):
        raise ValueError(f"its pixels would change without its metadata (an unusual {form} file)")
    return stripped, sorted(set(removed))


def _picture(data: bytes) -> tuple[object, ...]:
    """All that makes the picture: equal for two files that show the same."""
    with open_image(data) as image:
        pixels = hashlib.sha256(np.asarray(image).data).digest()
        return image.size, image.mode, pixels, image.getpalette(), _orientation_of(image)


def _orientation_of(image):
    """EXIF orientation, 1 ("upright") for what is none."""
    orientation = exif_of(image).get(ORIENTATION)
    return orientation if orientation in range(2, 9) else 1


def _orientation_only(orientation):
    """An EXIF block (a TIFF header and one directory) with nothing but the orientation."""
    return b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, ORIENTATION, 3, 1, orientation, 0, 0)


def _strip_jpeg(data, orientation):
    """Walk the marker segments (ITU-T T.81, annex B): copy those of the coding, drop those of applications."""
    kept, removed, exif_at, at = [data[:2]], [], 1, 2
    while True:
        if data[at] != 0xFF:
            raise ValueError(f"damaged JPEG file: no marker at byte {at}")
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if marker == 0xD9:  # end of image
            kept.append(data[at : at + 2])
            if data[at + 2 :].strip(b"\x00"):
                removed.append("data after the image")
            break
        length = struct.unpack_from(">H", data, at + 2)[0]
        segment, at = data[at : at + 2 + length], at + 2 + length
        name = _jpeg_metadata_name(marker, segment[4:])
        if name:
            removed.append(name)
        elif marker == 0xE0 and length > 16:
            removed.append("thumbnail")
            kept.append(b"\xff\xe0\x00\x10" + segment[4:16] + b"\x00\x00")
        else:
            kept.append(segment)
        if marker == 0xE0 and not name:
            exif_at = len(kept)  # JFIF wants to come first
        if marker == 0xDA:  # entropy-coded data follow, in which FF is followed by 00 or a restart marker
            end = data.find(b"\xff", at)
            while end >= 0 and (data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7):
                end = data.find(b"\xff", end + 2)
            if end < 0:
                raise ValueError("damaged JPEG file: it has no end")
            kept.append(data[at:end])
            at = end
    if orientation != 1:
        block = b"Exif\x00\x00" + _orientation_only(orientation)
        kept.insert(exif_at, b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
    return b"".join(kept), removed


def _jpeg_metadata_name(marker, content):
    """What kind of metadata a segment is; None if it stays: JFIF header, Adobe's colour transform, colour profile."""
    if marker == 0xFE:
        return "comment"
    if not 0xE0 <= marker <= 0xEF:
        return None
    kept = {0xE0: b"JFIF\x00", 0xEE: b"Adobe", 0xE2: b"ICC_PROFILE\x00"}.get(marker)
    if kept and content.startswith(kept):
        return None
    known = {b"Exif\x00": "EXIF", b"http://ns.adobe.com/x": "XMP", b"Photoshop": "Photoshop/IPTC", b"JFXX": "thumbnail"}
    return next((name for start, name in known.items() if content.startswith(start)), f"APP{marker - 0xE0}")


def _strip_png(data, orientation):
    """Copy the critical chunks and those ancillary ones that decoding and colour depend on (PNG 3rd edition, 11)."""
    kept, removed, at = [_PNG_SIGNATURE], [], 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk, at = data[at : at + 12 + length], at + 12 + length
        critical = not kind[0] & 0x20
        if critical or kind in _PNG_KEPT:
            kept.append(chunk)
        else:
            names = {b"eXIf": "EXIF", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "time"}
            removed.append(names.get(kind, kind.decode("ascii", "replace")))
        if kind == b"IHDR" and orientation != 1:
            block = b"eXIf" + _orientation_only(orientation)
            kept.append(struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block)))
        if kind == b"IEND":
            break
    if data[at:].strip(b"\x00"):
        removed.append("data after the image")
    return b"".join(kept), removed


def _strip_webp(data, orientation):
    """Copy the chunks of pixels, animation and colour profile (RFC 9649)."""
    kept, removed, at = [], [], 12
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    while at + 8 <= min(end, len(data)):
        kind, length = struct.unpack_from("<4sI", data, at)
        chunk, at = data[at : at + 8 + length + length % 2], at + 8 + length + length % 2
        if kind == b"VP8X":  # its flags announce EXIF (8) and XMP (4)
            flags = chunk[8] & ~0x0C | (0x08 if orientation != 1 else 0)
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if kind in _WEBP_KEPT:
            kept.append(chunk)
        else:
            removed.append({b"EXIF": "EXIF", b"XMP ": "XMP"}.get(kind, kind.decode("ascii", "replace")))
    if data[end:].strip(b"\x00"):
        removed.append("data after the image")
    if orientation != 1:
        block = _orientation_only(orientation)
        kept.append(b"EXIF" + struct.pack("<I", len(block)) + block + b"\x00" * (len(block) % 2))
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body, removed


def _strip_tiff(data, _):
    """A new file of the same pixels, already upright as Pillow decodes them; a TIFF may point anywhere in itself."""
    with open_image(data) as image:
        pages = getattr(image, "n_frames", 1)
        options = {key: image.info[key] for key in ("dpi", "icc_profile") if key in image.info}
        pixels, file = image.copy(), io.BytesIO()
        pixels.info = {}
        pixels.save(file, "TIFF", compression="tiff_adobe_deflate", **options)
    if pages > 1:
        raise ValueError(f"a TIFF of {pages} pages; save each as a file first")
    return file.getvalue(), ["TIFF fields"]


def _strip_bmp(data, _):
    size = struct.unpack_from("<I", data, 2)[0]
    return data[:size] if 0 < size < len(data) else data, ["data after the image"] if 0 < size < len(data) else []
