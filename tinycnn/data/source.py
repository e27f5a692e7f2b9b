"""One view of a folder and of a zip file: list a level, walk the files below, read a file's bytes."""

import errno
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from tinycnn.arguments import as_path, at_home
from tinycnn.files import PathLike

MAX_FILE_BYTES = 1 << 29  # a film of 100 megapixels at 16 bit, uncompressed, is 200 MB
MAX_DEPTH = 32  # folders in one another; a zip of 187 KB can name 32,700, each with all above it
_JUNK = ("__macosx", "thumbs.db", "desktop.ini")

Parts: TypeAlias = tuple[str, ...]


def is_junk(name: str) -> bool:
    """Whether an operating system left this file or folder behind: hidden, or on a short list.

    >>> [is_junk(name) for name in (".DS_Store", "._film.png", "Thumbs.db", "__MACOSX", "film.png")]
    [True, True, True, True, False]
    """
    return name.startswith(".") or name.lower() in _JUNK


def read_file(path: PathLike) -> bytes:
    """Bytes of a file.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file (reading a pipe would wait for ever), or has more than 512 MB.
    """
    path = as_path(path)
    size = path.stat().st_size
    if not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if size > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"{size:,} bytes, the limit is {MAX_FILE_BYTES:,}", str(path))
    return path.read_bytes()


def open_source(path: PathLike) -> "FolderSource | ZipSource":
    """A `FolderSource` or `ZipSource` for `path`; use it in a ``with`` block.

    Raises
    ------
    FileNotFoundError
        If there is no such path.
    ValueError
        If it is neither a folder nor a zip file, or the zip is damaged or holds unsafe or endlessly deep paths.
    """
    path = at_home(path)
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise FileNotFoundError(f"no such folder or zip file: {path}")
    if path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is neither a folder nor a zip file")
    return ZipSource(path)


class FolderSource:
    """Files under a folder; paths are tuples of names below it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "FolderSource":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def where(self, *parts: str) -> str:
        """How error messages call the file or folder at `parts`."""
        return str(self.path.joinpath(*parts))

    def listing(self, parts: Parts = ()) -> tuple[list[str], list[str]]:
        """Sorted names of the folders and of the files directly below `parts`, junk left out."""
        names = sorted(name for name in os.listdir(self.path.joinpath(*parts)) if not is_junk(name))
        folders = [name for name in names if self.path.joinpath(*parts, name).is_dir()]
        return folders, [name for name in names if name not in set(folders)]

    def walk(self, parts: Parts = ()) -> Iterator[Parts]:
        """Parts, relative to `parts`, of all files below it.

        Folders that are not entered, since they cannot be read or are links, are among them: `read` says why.
        """
        top = self.path.joinpath(*parts)
        closed: list[OSError] = []
        for folder, folders, files in os.walk(top, onerror=closed.append):
            inner = Path(folder).relative_to(top).parts
            if len(inner) > MAX_DEPTH:
                raise ValueError(f"{top} holds more than {MAX_DEPTH} folders in one another: {folder}")
            folders[:] = [name for name in folders if not is_junk(name)]
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            yield from ((*inner, name) for name in files + links if not is_junk(name))
        yield from (Path(error.filename).relative_to(top).parts for error in closed)

    def read(self, parts: Parts) -> bytes:
        """Bytes of a file, by `read_file`; OSError also for a folder that `walk` has not entered."""
        path = self.path.joinpath(*parts)
        if path.is_dir():
            os.listdir(path)  # says what is wrong with it
            raise OSError("a link to a folder, which is not followed; put the folder itself in its place")
        return read_file(path)


class ZipSource:
    """The same over the members of a zip file, decompressed in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (MemoryError, PermissionError):
            raise
        except Exception as error:  # zipfile raises anything at a damaged directory: IndexError, struct.error, ...
            raise ValueError(f"{path} is not a whole zip file: {error}") from error
        self._lock = threading.Lock()
        self._members: dict[Parts, zipfile.ZipInfo] = {}
        self._folders: dict[Parts, set[str]] = {(): set()}  # empty ones too: an empty class is found and named
        for info in self._zip.infolist():
            name = info.filename.replace("\\", "/")  # some Windows tools write backslashes
            parts = tuple(part for part in name.split("/") if part not in ("", "."))
            is_file = not name.endswith("/")
            wrong = _what_is_wrong(name, parts, is_file)
            if is_file and parts in self._members:
                wrong = f"two files by the name {name!r}, of which one would be left out"
            if wrong:
                self._zip.close()
                raise ValueError(f"{path} holds {wrong}")
            if any(map(is_junk, parts)):
                continue
            folders = parts[:-1] if is_file else parts
            for depth, folder in enumerate(folders):
                self._folders.setdefault(folders[:depth], set()).add(folder)
            self._folders.setdefault(folders, set())
            if is_file:
                self._members[parts] = info

    def __enter__(self) -> "ZipSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def where(self, *parts: str) -> str:
        """How error messages call the member or folder at `parts`."""
        return "/".join((str(self.path), *parts))

    def listing(self, parts: Parts = ()) -> tuple[list[str], list[str]]:
        """Sorted names of the folders and of the files directly below `parts`, junk left out."""
        files = [member[-1] for member in self._members if member[:-1] == parts]
        return sorted(self._folders.get(parts, ())), sorted(files)

    def walk(self, parts: Parts = ()) -> Iterator[Parts]:
        """Parts, relative to `parts`, of all files below it."""
        return (member[len(parts) :] for member in self._members if member[: len(parts)] == parts)

    def read(self, parts: Parts) -> bytes:
        """Bytes of a member; OSError if it is damaged, encrypted or decompresses to more than 512 MB."""
        info = self._members[parts]
        if info.file_size > MAX_FILE_BYTES:
            raise OSError(f"{info.file_size:,} bytes, the limit is {MAX_FILE_BYTES:,}")
        try:
            with self._lock:  # ZipFile counts its open members without one
                return self._zip.read(info)
        except MemoryError:
            raise
        except RuntimeError as error:  # NotImplementedError is one
            raise OSError(f"encrypted or compressed in an unknown way: {error}") from error
        except Exception as error:
            raise OSError(f"damaged in the zip: {str(error)[:200]}") from error  # zipfile quotes bytes of the file


def _what_is_wrong(name: str, parts: Parts, is_file: bool) -> str:
    """Why no honest zip has a member of that name; empty if one may."""
    if ".." in parts or name.startswith("/") or name[1:2] == ":":
        return f"the unsafe path {name!r}: it is no ordinary data set"
    if len(parts) - is_file > MAX_DEPTH:
        return f"more than {MAX_DEPTH} folders in one another: {name[:80]}..."
    return "a file without a name: it is damaged" if is_file and not parts else ""
