"""The safetensors format, in which weights are passed around: eight bytes of length, a JSON header, raw numbers.

As `tinycnn.npz` does, a file's claims are held against its size before memory is taken; nothing in it is executed.
"""

import json
import math
import os
import stat
from collections.abc import Mapping

import numpy as np

from tinycnn.arguments import as_path, of_class
from tinycnn.files import PathLike, atomic_write
from tinycnn.npz import field

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
_DTYPES |= {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items() if name != "BF16"}
_LONGEST_HEADER = 100_000_000  # bytes, as the format says


def save_safetensors(tensors: Mapping[str, np.ndarray], path: PathLike) -> None:
    """Write arrays by name to `path`, whole or not at all.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Such as ``model.get_weights()``; for PyTorch's names and axes, those of ``to_torch(model).state_dict()``.
    path : path
        Ends in ``.safetensors`` by custom.

    Raises
    ------
    ValueError
        For an array of a type that the format lacks.
    OSError
        If `path` cannot be written.

    References
    ----------
    https://huggingface.co/docs/safetensors, "Format".

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> save_safetensors({"dense/kernel": np.float32([[1, 2]])}, path)
    >>> load_safetensors(path)
    {'dense/kernel': array([[1., 2.]], dtype=float32)}
    """
    of_class(tensors, Mapping, "save_safetensors: tensors")
    arrays = {name: np.asarray(array) for name, array in tensors.items()}
    header, at = {}, 0
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES or name == "__metadata__":
            raise ValueError(f"save_safetensors: {name!r} of {array.dtype} cannot be stored; use floats, ints or bools")
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of eight bytes
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def load_safetensors(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays of a file by name; ``model.set_weights`` takes those that `save_safetensors` wrote of a model.

    bfloat16, which NumPy lacks, comes as float32 of the same value.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is cut off, damaged or something else, with what is wrong with it.
    """
    path = os.fspath(as_path(path))  # a number would be a file that is open
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is no ordinary file")
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise ValueError(f"its header claims {length} bytes of a file of {size}")
            header = json.loads(file.read(length).decode())
            entries = _entries(header, size - 8 - length)
            data = np.fromfile(file, np.uint8, size - 8 - length)
    except (ValueError, RecursionError) as error:  # of JSON and of text too
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    arrays = {}
    for name, (dtype, shape, begin, end) in entries.items():
        array = data[begin:end].copy().view(_DTYPES[dtype]).reshape(shape)
        arrays[name] = (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array
    return arrays


def _entries(header: object, size: int) -> dict[str, tuple[str, list[int], int, int]]:
    """``(dtype, shape, begin, end)`` of each tensor, which together are the `size` bytes behind the header."""
    if not isinstance(header, dict):
        raise ValueError("its header is no dict")
    entries = {}
    for name, claim in header.items():
        if name == "__metadata__":
            continue
        where = f"tensor {name!r}"
        dtype, shape = field(claim, "dtype", str, where), field(claim, "shape", list, where)
        offsets = field(claim, "data_offsets", list, where)
        if any(type(n) is not int or n < 0 for n in [*shape, *offsets]) or len(offsets) != 2 or len(shape) > 32:
            raise ValueError(f"{where} has shape {shape} and offsets {offsets}")
        if dtype not in _DTYPES:
            raise ValueError(f"{where} is of type {dtype!r}; known are {', '.join(_DTYPES)}")
        if math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != offsets[1] - offsets[0]:
            raise ValueError(f"{where} claims shape {shape} of {dtype}, but has {offsets[1] - offsets[0]} bytes")
        entries[name] = (dtype, shape, *offsets)
    end = 0
    for name, (*_, begin, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != end:
            raise ValueError(f"tensor {name!r} begins at byte {begin}, where {end} was to be")
        end = stop
    if end != size:
        raise ValueError(f"its tensors have {end} bytes, behind its header are {size}")
    return entries
