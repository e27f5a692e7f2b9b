"""Writing files so that a crash or a full disk never leaves a broken one behind."""

import json
import math
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def atomic_write(path):
    """Yield a temporary path beside `path`; rename it over `path` if the block succeeds, remove it if not.

    The bytes are flushed to the disk before the rename, so readers see either the old file or the whole new
    one, even after a power cut.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
    ('whole', 1)

    Raises
    ------
    OSError
        With the target's name, if the folder is missing, read-only or full; the old file is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 would make the result unreadable to others
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, f"could not write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path, report):
    """Write a report as indented JSON, whole or not at all; nan becomes null.

    Raises
    ------
    OSError
        Naming `path`.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(plain(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def plain(value):
    """`value` as JSON knows it: NumPy's numbers and arrays as Python's, tuples as lists, nan and infinity as None.

    >>> plain({"a": np.float64(0.5), "b": (np.int64(1), float("nan"))})
    {'a': 0.5, 'b': [1, None]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
