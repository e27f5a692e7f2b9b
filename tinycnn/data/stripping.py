"""Copies of folders of images without their metadata, which never replace an original."""

from pathlib import Path
from typing import NamedTuple

from tinycnn.arguments import at_home, one_of
from tinycnn.data.dataset import BadFile
from tinycnn.data.layout import map_files
from tinycnn.data.metadata import strip_bytes
from tinycnn.data.source import FolderSource
from tinycnn.files import PathLike, atomic_write


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

    What is written is what decoding the same pixels needs, and nothing else: PNG, WebP, TIFF and BMP are saved anew
    from their pixels, without loss; of a JPEG, which cannot be, the tables that its scans use and the compressed data
    are copied, each at the length that the standard gives it.  So EXIF, XMP, IPTC, comments, text, times, thumbnails,
    resolution, private blocks, unused palette colours and tables, gaps and tails all go.  An EXIF orientation other
    than "upright" stays, as the only EXIF field, because a film would lie on its side without it.  **A colour profile
    goes too**: the numbers of the pixels stay, and where that changes how they are shown, `removed` says by how much.
    Every copy is decoded and compared with its original before it is written.

    Not touched: **text burnt into the pixels**, names of files and folders, and what somebody might have hidden within
    the compressed data of a JPEG itself.  Look for the first two yourself.

    `source` is never changed. Each file is written under a temporary name and renamed, so after a crash `target`
    holds whole files only, and a second call completes it. Hidden files and those of operating systems are not copied.

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
        If `source` and `target` overlap, before anything is written; if files could not be stripped; or if two
        copies came to lie on one another.
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
    source, target = at_home(source, "source"), at_home(target, "target")
    one_of(on_error, "on_error", ("raise", "skip"))
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
    _refuse_lost_copies(target, list(removed))
    return Stripped(removed, skipped)


def _refuse_overlap(source: Path, target: Path) -> None:
    """Refuse folders of which one holds the other: copies would land among, or on, the originals."""
    inner, outer = source.resolve(), target.resolve()
    # Compared by what they are, not by name: some disks do not tell "Films" from "films".
    above, around = ({_identity(one) for one in (path, *path.parents)} - {None} for path in (inner, outer))
    if _identity(inner) in around or _identity(outer) in above:
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


def _refuse_lost_copies(target: Path, names: list[str]) -> None:
    """Say which copies lie on one another: on a disk that does not tell "A.png" from "a.png", or through links."""
    seen: dict[tuple[int, int] | None, str] = {}
    for name in names:
        other = seen.setdefault(_identity(target / name), name)
        if other != name:
            raise ValueError(f"in {target} {other} and {name} are one file, so one copy is lost; use another target")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another under any name; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
