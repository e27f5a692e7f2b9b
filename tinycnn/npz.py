"""Models and checkpoints as one ``.npz`` file each: arrays by name and one JSON text, never a pickle.

What is read is held against the file before anything is allocated for it: each array's shape and type, which its
header claims, must be exactly as many bytes as the file has for it, so a file of a kilobyte cannot ask for gigabytes.
"""

import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinycnn.arguments import as_path
from tinycnn.files import PathLike, atomic_write

HEADER = "tinycnn"  # name of the JSON text inside the file
VERSION = 1

# NumPy's own parser of such a header evaluates it as Python and can therefore raise whatever Python can.
_ARRAY_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>|=][fiubU]\d{1,9})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)
# What zipfile raises for damaged archives, besides what is raised here.
_DAMAGED: tuple[type[Exception], ...] = (ValueError, OSError, EOFError, RuntimeError, LookupError, ArithmeticError)
_DAMAGED += (struct.error, zipfile.BadZipFile, zlib.error)
_PIECE = 1 << 20  # bytes read at once
_LONGEST_HEADER = 4096  # bytes; NumPy's are of 128, and of more only for very many axes


def write_npz(path: PathLike, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
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
        np.savez(file, **{HEADER: np.array(text), **arrays})  # type: ignore[arg-type]


def read_npz(path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The pair ``(header, arrays)`` that `write_npz` stored.

    Nothing is executed or unpacked, and no more memory is taken than twice what the file has.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, of a newer version or not one of tinycnn's, with what is wrong with it.
    """
    path = os.fspath(as_path(path))  # a number would be a file that is open
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ValueError("it is no ordinary file")  # a pipe would be waited for
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("a model is a .npz, which is a zip file, and this is none (or it was cut off)")
            with zipfile.ZipFile(file) as archive:
                arrays = _arrays(archive, os.path.getsize(path))
        return _header(arrays.pop(HEADER, None)), arrays
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except _DAMAGED as error:
        said = str(error)[:300]  # zipfile quotes bytes of the file
        raise ValueError(f"{path} is not a whole tinycnn file: {said}") from error


def _arrays(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    members = archive.infolist()
    if sum(member.file_size for member in members) > size:
        raise ValueError("its parts claim more bytes than the file has")
    arrays: dict[str, np.ndarray] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name in arrays:
            raise ValueError(f"it has two arrays {name!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError(f"{name!r} is compressed or encrypted; tinycnn stores arrays as they are")
        with archive.open(member) as file:
            arrays[name] = _array(file, name, member.file_size)
    return arrays


def _array(file: Any, name: str, size: int) -> np.ndarray:
    """The array in the open member `file` of `size` bytes, in NumPy's format 1 or 2 (numpy.lib.format has it)."""
    start = file.read(8)
    digits = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(start[6:])
    if start[:6] != b"\x93NUMPY" or digits is None:
        raise ValueError(f"{name!r} is no NumPy array")
    length = int.from_bytes(file.read(digits), "little")
    found = _ARRAY_HEADER.fullmatch(file.read(length)) if length <= _LONGEST_HEADER else None
    if found is None:
        raise ValueError(f"{name!r} is no array of numbers or text, or its header is damaged")
    shape = tuple(int(n) for n in found["shape"].split(b",") if n.strip())
    try:
        dtype = np.dtype(found["type"].decode())
    except TypeError as error:
        raise ValueError(f"{name!r}: {error}") from error
    left = size - 8 - digits - length
    if len(shape) > 32 or dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"{name!r} claims shape {shape} of {dtype}, but has {left} bytes")
    values = np.empty(left, np.uint8)
    for at in range(0, left, _PIECE):
        part = file.read(min(_PIECE, left - at))
        if len(part) < min(_PIECE, left - at):
            raise ValueError(f"{name!r} was cut off")
        values[at : at + len(part)] = np.frombuffer(part, np.uint8)
    file.read(1)  # at the end the sum of its bytes is compared
    return values.view(dtype).reshape(shape, order="F" if found["fortran"] == b"True" else "C")


def _header(text: np.ndarray | None) -> dict[str, Any]:
    if text is None or text.dtype.kind != "U" or text.ndim:
        raise ValueError("it has no tinycnn header")
    try:
        header = json.loads(text.item())
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError(f"its header is no dict but {type(header).__name__}")
    version = field(header, "version", int, "its header")
    if not 1 <= version <= VERSION:
        raise ValueError(f"it has format version {version}, this tinycnn reads up to {VERSION}")
    return header


def field(owner: Any, key: str, kind: type | tuple[type, ...], where: str, least: float = -math.inf) -> Any:
    """``owner[key]`` of a dict that came from a file, if it is there and of that kind.

    Parameters
    ----------
    owner : object
        Should be a dict.
    key : str
    kind : type or tuple of type
        ``float`` takes ints too; a bool is neither.
    where : str
        How errors call `owner`.
    least : float
        The smallest number allowed.

    Raises
    ------
    ValueError
        Naming `where` and `key`.

    Examples
    --------
    >>> field({"epoch": 3}, "epoch", int, "run.npz", least=0)
    3
    >>> field({"epoch": -3}, "epoch", int, "run.npz", least=0)
    Traceback (most recent call last):
        ...
    ValueError: run.npz: 'epoch' must be at least 0, got -3
    """
    if not isinstance(owner, dict):
        raise ValueError(f"{where} should be a dict with {key!r}, got {type(owner).__name__}")
    if key not in owner:
        raise ValueError(f"{where}: {key!r} is missing")
    value, kinds = owner[key], kind if isinstance(kind, tuple) else (kind,)
    kinds += (int,) if float in kinds else ()
    if not isinstance(value, kinds) or isinstance(value, bool) and bool not in kinds:
        wanted = " or ".join("nothing" if one is type(None) else one.__name__ for one in kinds)
        raise ValueError(f"{where}: {key!r} must be {wanted}, got {str(value)[:80]!r}")
    if least > -math.inf and not owner[key] >= least:
        raise ValueError(f"{where}: {key!r} must be at least {least:g}, got {value}")
    return value


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays (of a layer's arguments, of a generator's state) as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be stored")
