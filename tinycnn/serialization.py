"""Models and checkpoints as one `.npz` file each: arrays by name and one JSON text, never a pickle."""

import json
import zipfile
import zlib

import numpy as np

from tinycnn.files import atomic_write

HEADER = "tinycnn"  # name of the JSON text inside the file
VERSION = 1


def write_npz(path, header, arrays):
    """Write `arrays` and the JSON-able dict `header` to `path`, whole or not at all.

    Equal contents give equal bytes: the zip entries carry a fixed date.

    Raises
    ------
    OSError
        Naming `path`, if it cannot be written; an older file there is left as it was.
    ValueError
        If `header` holds something that JSON has no notion of.
    """
    try:
        text = json.dumps({"version": VERSION, **header}, default=_plain)
    except TypeError as error:
        raise ValueError(f"cannot write {path}: {error}; use numbers, texts, lists and dicts of them") from error
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{HEADER: np.array(text)}, **arrays)


def read_npz(path):
    """The pair ``(header, arrays)`` that `write_npz` stored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, of a newer version or not one of tinycnn's.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile) or HEADER not in file.files:
                raise ValueError("it has no tinycnn header")
            header = json.loads(file[HEADER].item())
            if header["version"] > VERSION:
                raise ValueError(f"it has format version {header['version']}, this tinycnn reads up to {VERSION}")
            return header, {key: file[key] for key in file.files if key != HEADER}
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{path} is not a whole tinycnn file: {error}") from error


def _plain(value):
    """NumPy's numbers and arrays (of a layer's arguments, of a generator's state) as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be stored")
