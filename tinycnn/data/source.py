"""One view of a folder and of a zip file: list a level, walk the files below, read a file's bytes."""

import os
import threading
import zipfile
import zlib
from pathlib import Path

_JUNK = ("__macosx", "thumbs.db", "desktop.ini")
_MAX_MEMBER_BYTES = 1 << 29  # a film of 100 megapixels at 16 bit, uncompressed, is 200 MB


def is_junk(name):
    """Whether an operating system left this file or folder behind: hidden, or on a short list.

    >>> [is_junk(name) for name in (".DS_Store", "._film.png", "Thumbs.db", "__MACOSX", "film.png")]
    [True, True, True, True, False]
    """
    return name.startswith(".") or name.lower() in _JUNK


def open_source(path):
    """A `FolderSource` or `ZipSource` for `path`; use it in a ``with`` block.

    Raises
    ------
    FileNotFoundError
        If there is no such path.
    ValueError
        If it is neither a folder nor a zip file, or the zip is damaged or holds unsafe paths.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise FileNotFoundError(f"no such folder or zip file: {path}")
    if path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is neither a folder nor a zip file")
    return ZipSource(path)


class FolderSource:
    """Files under a folder; paths are tuples of names below it."""

    def __init__(self, path):
        self.path = Path(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def where(self, *parts):
        """How error messages call the file or folder at `parts`."""
        return str(self.path.joinpath(*parts))

    def listing(self, parts=()):
        """Sorted names of the folders and of the files directly below `parts`, junk left out."""
        names = sorted(name for name in os.listdir(self.path.joinpath(*parts)) if not is_junk(name))
        folders = [name for name in names if self.path.joinpath(*parts, name).is_dir()]
        return folders, [name for name in names if name not in set(folders)]

    def walk(self, parts=()):
        """Parts, relative to `parts`, of all files below it."""
        top = self.path.joinpath(*parts)
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not is_junk(name)]
            inner = Path(folder).relative_to(top).parts
            yield from ((*inner, name) for name in files if not is_junk(name))

    def read(self, parts):
        """Bytes of a file; OSError if it cannot be read."""
        path = self.path.joinpath(*parts)
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")  # reading a pipe would wait for ever
        return path.read_bytes()


class ZipSource:
    """The same over the members of a zip file, decompressed in memory."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"{self.path} is not a whole zip file: {error}") from error
        self._lock = threading.Lock()
        self._members = {}
        self._folders = {(): set()}  # empty ones too, so that an empty class is found and named
        for info in self._zip.infolist():
            parts = self._parts_of(info)
            if any(map(is_junk, parts)):
                continue
            folders = parts if info.is_dir() else parts[:-1]
            for depth, name in enumerate(folders):
                self._folders.setdefault(folders[:depth], set()).add(name)
            self._folders.setdefault(folders, set())
            if not info.is_dir():
                self._members[parts] = info

    def _parts_of(self, info):
        name = info.filename.replace("\\", "/")  # some Windows tools write backslashes
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts or name.startswith("/") or name[1:2] == ":":
            self._zip.close()
            raise ValueError(f"{self.path} holds the unsafe path {info.filename!r}: it is no ordinary data set")
        return parts

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._zip.close()

    def where(self, *parts):
        """How error messages call the member or folder at `parts`."""
        return "/".join((str(self.path), *parts))

    def listing(self, parts=()):
        """Sorted names of the folders and of the files directly below `parts`, junk left out."""
        files = [member[-1] for member in self._members if member[:-1] == tuple(parts)]
        return sorted(self._folders.get(tuple(parts), ())), sorted(files)

    def walk(self, parts=()):
        """Parts, relative to `parts`, of all files below it."""
        parts = tuple(parts)
        return (member[len(parts) :] for member in self._members if member[: len(parts)] == parts)

    def read(self, parts):
        """Bytes of a member; OSError if it is damaged, encrypted or decompresses to more than 512 MB."""
        info = self._members[tuple(parts)]
        if info.file_size > _MAX_MEMBER_BYTES:
            raise OSError(f"{info.file_size:,} bytes, the limit is {_MAX_MEMBER_BYTES:,}")
        try:
            with self._lock:  # ZipFile counts its open members without one
                return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise OSError(f"damaged in the zip: {error}") from error
        except (RuntimeError, NotImplementedError) as error:
            raise OSError(f"encrypted or compressed in an unknown way: {error}") from error
